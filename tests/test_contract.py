"""What every check must be, for each check that is discovered: a new one is covered at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import jsonschema_rs
import msgspec

from nats_insights import checks
from nats_insights.tell.schemas import schemas
from scenario import Server, Story, System, cluster, found, lone, system, whole

# Codes that once meant something stay with their meaning: nobody takes them up again.
RETIRED: tuple[str, ...] = ()

SCHEMA = jsonschema_rs.validator_for(
    schemas()["insights.advisory.v1.finding"], validate_formats=True
)


def its_folder_is_its_family(tested: contract.Tested) -> Iterator[str]:
    check = tested.check
    family = check.code.rpartition("_")[0].lower()
    if check.judge.__module__ != f"{checks.__name__}.{family}.{check.name}":
        yield f"its file is checks/{family}/{check.name}.py"


def it_is_sure_of_replies_of_real_servers(tested: contract.Tested) -> Iterator[str]:
    for version in (VERSIONS[0], VERSIONS[-1]):
        story = tested.story()
        story.hears(whole(version))
        outcome = story.audit.outcomes[tested.check.code]
        if outcome.why and not outcome.excused:
            yield f"it cannot tell of {version}: {outcome.why}"


def its_advisories_are_as_their_schema_says(tested: contract.Tested) -> Iterator[str]:
    for given in tested.firing:
        for told in tested.advisories(given):
            yield from map(str, SCHEMA.iter_errors(json.loads(msgspec.json.encode(told))))


OURS = (
    its_folder_is_its_family,
    it_is_sure_of_replies_of_real_servers,
    its_advisories_are_as_their_schema_says,
)

test_contract = contract.of(checks, Path(__file__).parent / "checks", OURS)


@EVERY
def test_its_code_is_a_family_and_a_number(check):
    assert re.fullmatch(r"[A-Z]+(_[A-Z]+)*_\d{3}", check.code)


@EVERY
def test_its_file_is_called_like_it(check):
    assert check.judge.__module__ == f"nats_insights.checks.{family(check)}.{check.name}"


@EVERY
def test_its_title_is_a_condition(check):
    assert re.fullmatch(r"[A-Z][^.!?{}]{10,79}", check.title)
    assert check.title.split()[0] not in {"Avoid", "Check", "Detects", "Ensure", "Find", "Use"}


@EVERY
def test_it_says_what_it_finds_why_and_what_to_do(check):
    for paragraph in (check.finds, check.why, check.do):
        assert re.fullmatch(r"[A-Z].{40,}\.", paragraph)


@EVERY
def test_what_to_do_names_only_what_its_noun_has(check):
    named = set(re.findall(r"\{(\w+)\}", check.do))
    assert named <= set(check.about.labelled)


@EVERY
@pytest.mark.parametrize("known", [True, False], ids=["with names", "without names"])
def test_what_to_do_has_no_gap(check, known):
    labels = {label: f"my {label}" for label in check.about.labelled} if known else {}
    assert not re.search(r"[{}]", check.remediation(labels))


@EVERY
def test_each_limit_has_a_unit_and_each_parameter_a_description(check):
    for parameter in parameters_of(check.params):
        assert bool(parameter.unit) is bool(parameter.when)
        assert len(parameter.description) > 10


@EVERY
def test_limits_ease_without_leaving_their_bounds(check):
    eased = check.eased(check.params())
    for parameter in parameters_of(check.params):
        if parameter.clear is not None:
            refuse_wrong(check, parameter, getattr(eased, parameter.name))


@EVERY
def test_its_loosest_limits_are_within_their_bounds(check):
    for parameter in parameters_of(check.params):
        if parameter.when:
            refuse_wrong(check, parameter, parameter.loosest)


def refuse_wrong(check: Check, parameter: Parameter, value: float) -> None:
    """ConfigError if a parameter may not have this value."""
    name = parameter.name
    assert values({name: parameter.written(value)}, check.params, "")[name] == value


@EVERY
def test_it_needs_the_uptime_of_servers_if_it_waits_for_them(check):
    assert "VARZ" in check.needs or not check.settle


# --- Its tests.


@EVERY
def test_it_has_cases_in_which_it_fires_and_in_which_it_is_quiet(check):
    assert {sentence.split()[0] for sentence in cases(check)} == {"fires", "quiet"}


@EVERY
def test_its_cases_say_what_they_mean(check):
    for sentence, (_, expected) in cases(check).items():
        assert bool(expected) is sentence.startswith("fires"), sentence


# --- Its judgement.

QUIET = {
    "an empty system": system(),
    "a lone server": system(lone(n1=1)),
    "a lone server in a cluster": system(cluster(n1=1)),
    "an idle cluster": system(cluster(n1=0, n2=0, n3=0)),
    "an even cluster": system(
        cluster(**{f"n{i}": Server(20, {"B bob": 10}, subscriptions=300) for i in range(3)})
    ),
    "two even clusters": system(
        cluster("EU", n1=30, n2=30, n3=30),
        cluster("US", n1=3, n2=3, n3=3),
    ),
}


@EVERY
@pytest.mark.parametrize("given", QUIET.values(), ids=QUIET)
def test_it_is_quiet_and_sure_on(check, given):
    story = Story(checks=[check])
    story.hears(given)
    assert (story.found, story.audit.unknown) == (set(), {})


@EVERY
def test_it_finds_the_same_in_whatever_order_servers_answer(check):
    for given, expected in cases(check).values():
        servers = list(given.servers)
        random.Random(0).shuffle(servers)
        shuffled = replace(given, servers=tuple(servers))
        assert found(check, shuffled) == found(check, given) == expected


@EVERY
def test_it_says_the_same_of_the_same(check):
    for given in fires(check):
        one, other = (_findings(check, given) for _ in range(2))
        assert one == other


@EVERY
def test_it_asks_only_for_what_it_needs(check):
    # A story asks for what its checks declare, so what was not declared would be unknown here.
    for given in [whole("2.10.26"), whole("2.15.1"), *QUIET.values()]:
        story = Story(checks=[check])
        story.hears(given)
        outcome = story.audit.outcomes[check.code]
        # Old servers do not tell everything.
        assert outcome.excused or (outcome.unknown, outcome.why) == (0, "")


@EVERY
def test_it_is_unknown_without_a_reply_that_it_needs(check):
    # The other way round: whatever it declares makes a difference to it when it is lost.
    for endpoint in check.needs:
        story = Story(checks=[check])
        given = whole("2.15.1")
        story.hears(given, [(one.info.name, endpoint) for one in given.servers])
        assert story.audit.outcomes[check.code].why


@EVERY
def test_nothing_happens_for_as_long_as_a_reply_that_it_needs_is_lost(check):
    for given in [*fires(check), *QUIET.values()]:
        names = [one.info.name for one in given.servers if one.state == "answering"]
        for lost in [(name, endpoint) for endpoint in check.needs for name in names]:
            story = Story(checks=[replace(check, open_after=1, resolve_after=1)])
            story.hears(given)
            told = [story.hears(given, [lost], after=0.001) for _ in range(5)]
            assert not any(told), (lost, told)


@EVERY
def test_it_survives_its_lowest_limits(check):
    # By these it has the last word on a finding that is clear.
    for given, _ in cases(check).values():
        story = Story(checks=[check])
        story.hears(given)
        for noun in story.snapshot.each(check.about):
            with suppress(Missing):
                check.judge(noun, check.unlimited(check.params()))


# --- What it says.


def _findings(check: Check, given: System) -> dict[Any, Any]:
    story = Story(checks=[check])
    story.hears(given)
    return {key: found.finding for key, found in story.audit.found.items()}


def _opened(check: Check, given: System) -> list[Advisory]:
    once = replace(check, open_after=1)
    story = Story(checks=[once])
    story.hears(given)
    return [advisory(told, once, AGENT, story.snapshot.coverage, 60.0) for told in story.told]


@EVERY
def test_its_findings_survive_json_and_are_valid(check):
    valid = jsonschema_rs.validator_for(
        schemas()["insights.advisory.v1.finding"], validate_formats=True
    )
    for given in fires(check):
        made = _opened(check, given)
        assert made
        for one in made:
            raw = msgspec.json.encode(one)
            valid.validate(json.loads(raw))
            assert msgspec.json.decode(raw, type=Advisory) == one


@EVERY
def test_its_summary_is_a_sentence_with_the_numbers(check):
    for given in fires(check):
        for one in _opened(check, given):
            assert one.value is None or re.search(r"\d", one.summary)
            assert one.summary.isprintable()
            assert not one.summary.endswith(".")


@EVERY
def test_its_figure_comes_with_a_limit_and_a_unit(check):
    for given in fires(check):
        for one in _opened(check, given):
            assert (one.value is None) is (one.threshold is None) is (one.unit == "")


@EVERY
def test_its_advisories_have_a_subject_of_its_scope(check):
    for given in fires(check):
        story = Story(checks=[replace(check, open_after=1)])
        story.hears(given)
        for told in story.told:
            _, _, _, scope, *_, code, _ = subject(told.life, check).split(".")
            assert (scope, code) == (check.about.scope, check.code)


@EVERY
def test_its_advisories_are_small_as_they_are(check):
    for given in fires(check):
        for one in _opened(check, given):
            sent = message(one, "subject", 1024 * 1024)
            assert json.loads(sent.payload)["evidence"].get("truncated") is None
