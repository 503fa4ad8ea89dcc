"""The contract of checks: each clause is tested with each check of a package.

    # tests/test_contract.py
    from nats_insights.testing import contract

    test_contract = contract.of(acme_checks, Path(__file__).parent)

The test file of a check mirrors its own file: that of `acme_checks/queues/too_long.py` is
`queues/test_too_long.py` in the given folder. Its table `CASES` maps a sentence, which begins with
"fires" or "quiet", to a system and to what the check finds there: the names of each entity as one
string. A check that compares with the past has `then(system, system)` for a system.

A clause yields one sentence for each problem.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import json
import random
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from nats_insights.errors import ConfigError, Missing
from nats_insights.judge.declare import Check, discover, parameters_of
from nats_insights.judge.limits import values
from nats_insights.model.fold import Fold
from nats_insights.model.past import Past
from nats_insights.model.snapshot import Snapshot
from nats_insights.replies.connz import CONNZ
from nats_insights.replies.endpoint import Endpoint
from nats_insights.replies.varz import VARZ
from nats_insights.tell.advisory import advisory, message, subject
from nats_insights.tell.messages import Advisory, AgentInfo
from nats_insights.testing.story import Story
from nats_insights.testing.systems import Epochs, Server, System, cluster, lone, system, then

Given = System | Epochs
Cases = dict[str, tuple[Given, set[str]]]

QUIET: dict[str, System] = {
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
# Epochs after which a finding would open or resolve.
LONG = 5
# Seconds between epochs, so short that only lost replies change a result.
AT_ONCE = 0.001
# Orders in which servers may answer.
ORDERS = 3

_AGENT = AgentInfo(id="agent", instance="i", version="1", epoch=1, role="leader")


class Tested:
    """A check, and the cases in its test file."""

    def __init__(self, check: Check, package: ModuleType, folder: Path) -> None:
        self.check = check
        self.module = inspect.getmodule(check.judge)
        inside = check.judge.__module__.removeprefix(f"{package.__name__}.").split(".")
        self.path = folder.joinpath(*inside[:-1], f"test_{inside[-1]}.py")

    @cached_property
    def cases(self) -> Cases:
        """The table of its test file, empty if there is none."""
        if not self.path.exists():
            return {}
        spec = importlib.util.spec_from_file_location(f"cases_of_{self.check.name}", self.path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        cases: Cases = getattr(module, "CASES", {})
        return cases

    @property
    def given(self) -> list[Given]:
        """The systems of all cases."""
        return [given for given, _ in self.cases.values()]

    @property
    def situations(self) -> list[tuple[str, Given]]:
        """Its cases, and systems without problems."""
        return [*((case, given) for case, (given, _) in self.cases.items()), *QUIET.items()]

    @property
    def firing(self) -> list[Given]:
        """The systems in which it finds something."""
        return [given for case, (given, _) in self.cases.items() if case.startswith("fires")]

    def story(self, **changed: Any) -> Story:
        """An agent that runs only this check, and requests all that it needs in every epoch."""
        story = Story(checks=[replace(self.check, **changed)])
        story.auditor.every = dict.fromkeys(story.auditor.every, 0.0)
        return story

    def found(self, given: Given) -> dict[str, Any]:
        """Its findings in a system, with all figures, by the names of each entity."""
        story = self.story()
        story.hears(given)
        return {
            " ".join(filter(None, key.names)): (found.finding, bytes(found.evidence))
            for key, found in story.audit.found.items()
        }

    def advisories(self, given: Given) -> Iterator[Advisory]:
        """The advisories that are published when these findings open."""
        story = self.story(open_after=1)
        story.hears(given)
        for told in story.told:
            yield advisory(told, self.check, _AGENT, story.snapshot.coverage, 60.0)


Clause = Callable[[Tested], Iterable[str]]
CLAUSES: list[Clause] = []


def of(package: ModuleType, folder: Path, clauses: Iterable[Clause] = ()) -> Callable[..., None]:
    """A test of each check of a package by each clause, and by additional clauses.

    `folder` holds the test files of the checks. DeclarationError if a check is declared wrong.
    """
    # Each test file is read once for all clauses.
    checks = [Tested(check, package, folder) for check in discover(package)]
    every = [*CLAUSES, *clauses]

    @pytest.mark.parametrize("tested", checks, ids=[one.check.name for one in checks])
    @pytest.mark.parametrize("clause", every, ids=[clause.__name__ for clause in every])
    def test_contract(tested: Tested, clause: Clause) -> None:
        first = it_has_cases_in_which_it_fires_and_in_which_it_is_quiet
        if not tested.cases and clause is not first:
            pytest.skip("its cases are missing")  # The first clause reports it.
        wrong = list(clause(tested))
        assert not wrong, "\n".join([f"{tested.check.code} {tested.check.name}:", *wrong])

    return test_contract


def _clause(clause: Clause) -> Clause:
    CLAUSES.append(clause)
    return clause


# --- Its declaration.


@_clause
def it_says_what_it_finds_why_and_what_to_do(tested: Tested) -> Iterator[str]:
    check = tested.check
    for heading, text in (("Finds", check.finds), ("Why", check.why), ("Do", check.do)):
        if not re.fullmatch(r"[A-Z].{40,}\.", text):
            yield f"its paragraph {heading!r} is no sentence of 40 characters or more: {text!r}"


@_clause
def what_to_do_has_no_gap(tested: Tested) -> Iterator[str]:
    check = tested.check
    for known in ({}, dict.fromkeys(check.about.labelled, "a name")):
        if re.search(r"[{}]", told := check.remediation(known)):
            yield f"a gap is left in {told!r}"


@_clause
def each_parameter_is_described(tested: Tested) -> Iterator[str]:
    for parameter in parameters_of(tested.check.params):
        if bool(parameter.unit) is not bool(parameter.when):
            yield f"{parameter.name} has a unit or is a limit, and not both"
        if len(parameter.description) <= 10:
            yield f"{parameter.name} is described by {parameter.description!r}"


@_clause
def its_limits_stay_within_their_bounds(tested: Tested) -> Iterator[str]:
    params = tested.check.params
    for one in parameters_of(params):
        eased = getattr(tested.check.eased(params()), one.name)
        for what, value in (("eased", eased), ("loosest", one.loosest if one.when else eased)):
            try:
                values({one.name: one.written(value)}, params, "")
            except ConfigError as refused:
                yield f"the {what} limit is outside of its bounds: {refused}"


@_clause
def it_reads_figures_of_nouns_and_not_the_snapshot(tested: Tested) -> Iterator[str]:
    assert tested.module is not None
    for node in _outside_classes(ast.parse(inspect.getsource(tested.module))):
        if isinstance(node, ast.Attribute) and node.attr == "snapshot":
            yield f"line {node.lineno}: .snapshot knows nothing of what is lacking"


def _outside_classes(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes outside classes: a noun may read the snapshot, since it reports missing data."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.ClassDef):
            yield child
            yield from _outside_classes(child)


# --- Its cases.


@_clause
def it_has_cases_in_which_it_fires_and_in_which_it_is_quiet(tested: Tested) -> Iterator[str]:
    if not tested.cases:
        yield (
            f"its cases are missing: write {tested.path} with CASES = "
            '{"fires when ...": (system(...), {"..."}), "quiet when ...": (system(...), set())}'
        )
        return
    words = {case.split()[0] for case in tested.cases}
    if words != {"fires", "quiet"}:
        yield f"its cases begin with {', '.join(sorted(words))}: 'fires' and 'quiet' are wanted"


@_clause
def its_cases_are_true(tested: Tested) -> Iterator[str]:
    for case, (given, expected) in tested.cases.items():
        if bool(expected) is not case.startswith("fires"):
            yield f"{case!r} expects {expected or 'nothing'}"
        if (found := tested.found(given).keys()) != expected:
            yield f"{case!r} finds {sorted(found)} instead of {sorted(expected)}"


# --- Its judgement.


@_clause
def it_is_quiet_and_sure_where_all_is_well(tested: Tested) -> Iterator[str]:
    for what, given in QUIET.items():
        story = tested.story()
        story.hears(given)
        outcome = story.audit.outcomes[tested.check.code]
        if story.found:
            yield f"it finds {sorted(story.found)} in {what}"
        if outcome.why and not outcome.excused:
            yield f"it cannot tell in {what}: {outcome.why}"


@_clause
def no_server_lists_its_connections_again_where_nothing_moved(tested: Tested) -> Iterator[str]:
    if not all(fold.lasting for fold in tested.check.folds if fold.slow):
        return  # A survey of what changes all the time reads every server, every few hours.
    for what, given in QUIET.items():
        story = tested.story()
        story.hears(given)
        story.hears(given)
        if story.swept:
            yield (
                f"{story.swept} servers list their connections again in {what}, where none moved: "
                "does it need what its folds move with?"
            )


@_clause
def it_says_the_same_in_whatever_order_servers_answer(tested: Tested) -> Iterator[str]:
    for case, (given, _) in tested.cases.items():
        one = tested.found(given)
        for seed in range(ORDERS):
            if (other := tested.found(_shuffled(given, random.Random(seed)))) != one:
                yield f"{case!r} is {other} in another order, and not {one}"


def _shuffled(given: Given, order: random.Random) -> Given:
    if isinstance(given, Epochs):
        return replace(given, systems=tuple(_shuffled(one, order) for one in given.systems))
    return replace(given, servers=tuple(order.sample(given.servers, len(given.servers))))


@_clause
def it_reads_all_that_it_needs(tested: Tested) -> Iterator[str]:
    # Data that it reads without naming is Missing: a story requests only what is needed.
    check = tested.check
    for need in _needs(check):
        if not any(_reads(tested, given, need) for given in tested.given):
            name = need.key if isinstance(need, Endpoint) else need.name
            yield f"it needs {name}, but no case depends on it: leave it out, or add a case"


def _needs(check: Check) -> list[Endpoint[Any] | Fold | Past[Any]]:
    """The needs that it names itself: folds imply CONNZ, and `settle` implies VARZ."""
    implied = {CONNZ: bool(check.folds), VARZ: check.settle}
    named = [endpoint for endpoint in check.endpoints if not implied.get(endpoint)]
    return [*named, *check.folds, *check.pasts]


def _reads(tested: Tested, given: Given, need: Endpoint[Any] | Fold | Past[Any]) -> bool:
    """Whether any result differs if it is not requested."""
    check = tested.check
    whole = tested.story()
    partly = tested.story(
        endpoints=tuple(endpoint for endpoint in check.endpoints if endpoint is not need),
        folds=tuple(fold for fold in check.folds if fold is not need),
        pasts=tuple(past for past in check.pasts if past is not need),
    )
    whole.hears(given)
    partly.hears(given)
    if need is VARZ:  # Always requested: it lists the servers.
        _drop_varz(partly.snapshot)
    return _judged(check, whole) != _judged(check, partly)


def _drop_varz(snapshot: Snapshot) -> None:
    """Remove VARZ from a snapshot, and everything computed from it."""
    for noun in (snapshot.system, *snapshot.clusters.values(), *snapshot.servers.values()):
        noun.forget()
    for server in snapshot.servers.values():
        server.replies.pop(VARZ.key, None)
        for figure, key in server.REPLY_OF.items():
            if key == VARZ.key:
                with suppress(AttributeError):
                    delattr(server, figure)


def _judged(check: Check, story: Story) -> list[tuple[str, object]]:
    """Its result for each noun, its recorded figures, and what decides which rows are read."""
    snapshot, params = story.snapshot, check.params()
    said = [_said(check.judge, noun, params) for noun in snapshot.each(check.about)]
    for past in check.pasts:
        said += [_said(past.figure, noun) for noun in snapshot.each(past.about)]
    if check.rules_out is not None:
        groups = [snapshot.system, *snapshot.clusters.values()]
        said += [_said(check.rules_out, group, params) for group in groups]
    for figure in {fold.moves_with for fold in check.folds} - {""}:
        said += [_said(getattr, server, figure) for server in snapshot.servers.values()]
    return said


def _said(function: Callable[..., Any], *arguments: Any) -> tuple[str, object]:
    try:
        return "", function(*arguments)
    except Exception as error:
        return type(error).__name__, str(error)


@_clause
def a_lost_reply_opens_nothing(tested: Tested) -> Iterator[str]:
    for what, given in tested.situations:
        epochs = given if isinstance(given, Epochs) else then(given, given)
        right = _opened(tested, epochs)
        for lost in _replies(tested.check, epochs.last):
            for number in range(len(epochs.systems)):
                if wrong := _opened(tested, epochs, number, lost) - right:
                    yield f"{what}: without {lost[1]} of {lost[0]} it opens {sorted(wrong)}"


def _opened(
    tested: Tested, epochs: Epochs, without: int = -1, lost: tuple[str, str] = ("", "")
) -> set[str]:
    """The findings that open, where a reply is lost in one of these epochs."""
    story = tested.story(open_after=1, resolve_after=1)
    told = []
    for number, one in enumerate(epochs.systems):
        told += story.hears(one, [lost] if number == without else [], after=epochs.every)
    return {said for said in told if said.startswith("opened")}


@_clause
def a_finding_outlives_a_lost_reply(tested: Tested) -> Iterator[str]:
    for what, given in tested.situations:
        last = given.last if isinstance(given, Epochs) else given
        for lost in _replies(tested.check, last):
            story = tested.story(open_after=1, resolve_after=1)
            story.hears(given)
            told = []
            for _ in range(LONG):
                told += story.hears(last, [lost], after=AT_ONCE)
            if wrong := [said for said in told if not said.startswith("updated")]:
                yield f"{what}: without {lost[1]} of {lost[0]} it says {wrong}"


def _replies(check: Check, given: System) -> Iterator[tuple[str, str]]:
    """Each reply that the check needs and that may be lost, as (server, endpoint)."""
    for one in given.servers:
        if one.state == "answering":
            yield from ((one.info.name, key) for key in check.needs)


@_clause
def it_survives_its_loosest_limits(tested: Tested) -> Iterator[str]:
    # With these limits the audit gets the figure of a finding that is clear.
    check = tested.check
    for given in tested.given:
        story = tested.story()
        story.hears(given)
        for noun in story.snapshot.each(check.about):
            with suppress(Missing):
                check.judge(noun, check.unlimited(check.params()))
    yield from ()


# --- What it says.


@_clause
def its_advisories_survive_json(tested: Tested) -> Iterator[str]:
    for given in tested.firing:
        for made in tested.advisories(given):
            read = msgspec.json.decode(msgspec.json.encode(made), type=Advisory)
            if read != made:
                yield f"it is told otherwise than it is: {read} is not {made}"


@_clause
def its_summary_is_a_sentence_with_its_figure(tested: Tested) -> Iterator[str]:
    for given in tested.firing:
        for told in tested.advisories(given):
            if not told.summary.isprintable() or told.summary.endswith("."):
                yield f"{told.summary!r} is not one sentence without its full stop"
            if told.value is not None and not re.search(r"\d", told.summary):
                yield f"{told.summary!r} does not tell its figure"


@_clause
def its_figure_comes_with_a_limit_and_a_unit(tested: Tested) -> Iterator[str]:
    for given in tested.firing:
        for told in tested.advisories(given):
            if not (told.value is None) is (told.threshold is None) is (told.unit == ""):
                yield f"value {told.value}, threshold {told.threshold} and unit {told.unit!r}"


@_clause
def its_advisories_have_a_subject_of_its_scope(tested: Tested) -> Iterator[str]:
    check = tested.check
    for given in tested.firing:
        story = tested.story(open_after=1)
        story.hears(given)
        for told in story.told:
            _, _, _, scope, *_, code, _ = subject(told.life, check).split(".")
            of_all = check.common and told.life.key.names == story.snapshot.system.names
            if (scope, code) != ("SYSTEM" if of_all else check.about.scope, check.code):
                yield f"it is told on {subject(told.life, check)}"


@_clause
def its_advisories_are_small_as_they_are(tested: Tested) -> Iterator[str]:
    for given in tested.firing:
        for told in tested.advisories(given):
            sent = message(told, "subject", 1024 * 1024)
            if json.loads(sent.payload)["evidence"].get("truncated") is not None:
                yield f"its evidence is too long: {told.summary}"
