"""Tenants: what an account may know of itself, and nothing else."""

from __future__ import annotations

import itertools
import json
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from msgspec.structs import replace

from kit.asked import AGENT, MIB, view
from nats_insights import config, subjects
from nats_insights.agent.barred import MOST, Barred
from nats_insights.errors import ConfigError
from nats_insights.gather.stepwise import at_once
from nats_insights.judge.lifecycle import Told
from nats_insights.tell.messages import FindingsRequest, OpenCounts, PublishingState, ShardState
from nats_insights.tell.queries import Refused, answer
from nats_insights.tell.schemas import schemas
from nats_insights.tell.tenants import NOBODY, QUERIES, Tenants, account_in, advisories, shared
from nats_insights.tell.view import View, not_evaluated, of_tenant
from scenario import FOUNDING, OF_SILENCE, START, Server, Story, System, cluster, hung, system

KEY = "A" + 55 * "B"
ALL = "tenants.accounts = ['*']\n"
LOW = "checks.excessive_user_connections.max_connections = 5\n"
CHECKS = [*FOUNDING.values(), *OF_SILENCE.values()]


def tenants(*chosen: str, **names: str) -> Tenants:
    return Tenants(chosen, names, ("SYS",))


# --- Who is a tenant.


@pytest.mark.parametrize(
    ("chosen", "account", "is_one"),
    [
        (["*"], "APP", True),
        (["APP"], "APP", True),
        (["APP"], "APPS", False),
        (["A*", "B"], "B", True),
        (["A*", "B"], "C", False),
        ([], "APP", False),
        (["*"], "", False),
        (["*"], "SYS", False),
        (["*"], "$G", False),
        (["*"], "team.a", False),
        (["*"], "my team", False),
        (["*"], "A*", False),
        (["*"], ">", False),
        (["*"], "_", False),
        (["*"], "café", False),
        (["*"], "foo@bar:/+=-_1", True),
        (["*"], 128 * "a", True),
        (["*"], 129 * "a", False),
    ],
)
def test_who_is_a_tenant(chosen, account, is_one):
    assert tenants(*chosen).has(account) == is_one


def test_an_account_is_chosen_by_its_name_too():
    named = tenants("BILLING", **{KEY: "BILLING"})
    assert (named.has(KEY), named.has("A" + 55 * "C")) == (True, False)


def test_accounts_that_are_chosen_and_cannot_be_tenants_are_known():
    accounts = ["APP", "team.a", "my team", "other team", "SYS", "$G"]
    assert tenants("my*", "team*", "APP").barred(accounts) == ["my team", "team.a"]
    assert tenants("*").barred(accounts) == ["my team", "other team", "team.a"]
    assert tenants().barred(accounts) == []


def test_nobody_is_a_tenant_by_default():
    assert config.parse("").tenants.accounts == []
    assert not view(Story()).tenants.has("APP")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("tenants.accounts = ['[ab']", "nothing closes the bracket in '[ab'"),
        ("tenants.accounts = 'all'", "'all' is not a list in brackets"),
        ("tenants.acounts = []", "there is no key tenants.acounts; did you mean tenants.accounts?"),
    ],
)
def test_what_is_wrong_in_the_configuration_is_said(text, sentence):
    with pytest.raises(ConfigError) as raised:
        config.parse(text)
    assert sentence in str(raised.value)


# --- Subjects.


def test_the_subjects_of_a_tenant():
    assert subjects.tenant_advisory("APP", "critical", "USER_002", "f1") == (
        "INSIGHTS.ACCOUNT.APP.ADVISORY.CRITICAL.USER_002.f1"
    )
    assert subjects.tenant_api("STATUS", "APP") == "INSIGHTS.ACCOUNT.APP.API.STATUS"
    assert subjects.tenant_api("STATUS") == "INSIGHTS.ACCOUNT.*.API.STATUS"


@pytest.mark.parametrize(
    ("subject", "account"),
    [
        ("INSIGHTS.ACCOUNT.APP.API.STATUS", "APP"),
        ("INSIGHTS.ACCOUNT.API.API.STATUS", "API"),
        ("INSIGHTS.API.STATUS", ""),
        ("INSIGHTS.ACCOUNTS.APP.API.STATUS", ""),
    ],
)
def test_the_account_that_a_request_is_about(subject, account):
    assert subjects.account_of(subject) == account


@pytest.mark.parametrize(
    ("subject", "allowed"),
    [
        ("INSIGHTS.ACCOUNT.APP.ADVISORY.INFO.X.f", "INSIGHTS.ACCOUNT.*.ADVISORY.>"),
        ("INSIGHTS.ACCOUNT.*.API.STATUS", "INSIGHTS.ACCOUNT.*.API.*"),
    ],
)
def test_what_to_allow_for_a_subject_of_tenants(subject, allowed):
    assert subjects.permission(subject) == allowed


# --- What a tenant is told does not depend on anybody else.

OWN = {"APP app": 12}


def alone() -> System:
    """APP has what it has, among servers and users that do nothing special; one server hangs."""
    return system(
        cluster(n1=Server(users=OWN), n2=Server(users={"APP app": 1}), n3=0, quiet=hung),
        cluster("C2", m1=0, m2=0),
    )


def among_others() -> System:
    """For APP the same; all else has other names, and much is wrong with it."""
    full = Server(users={"SECRET spy": 90}, max_connections=90)
    return system(
        cluster(n1=Server(users=OWN), n2=Server(users={"APP app": 1}), n3=full, silence=hung),
        cluster("HIDDEN", h1=full, h2=Server(users={"SECRET spy": 1, "my team it": 9})),
    )


SECRETS = ("SECRET", "spy", "HIDDEN", "h1", "h2", "n3", "silence", "my team")


def story(given: System, more: str = "") -> Story:
    made = Story(ALL + LOW + more, CHECKS)
    for _ in range(3):
        made.hears(given)
    return made


@pytest.fixture(scope="module")
def worlds() -> tuple[View, View]:
    return view(story(alone())), view(story(among_others()))


def asked(of: View, account: str, name: str, body: dict[str, Any]) -> Any:
    """What a tenant is told: the reply without its time, or the error."""
    try:
        reply = json.loads(answer(at_once(of_tenant(of, account)), name, json.dumps(body).encode()))
    except Refused as refused:
        return refused.code, str(refused)
    del reply["timestamp"]
    return reply


CODES = ("USER_002", "SERVER_011", "server_not_answering", "SERVER_01", "connections")
NAMES = ("APP", "app", "SECRET", "spy", "HIDDEN", "C1", "n1", "n3", "h1", "silence", "my team")
# Values for each field of a request, those that match nothing and are wrong included.
VALUES: dict[str, tuple[Any, ...]] = {
    "code": CODES,
    "severity": ("critical", "warning", "info", "none"),
    "scope": ("SYSTEM", "CLUSTER", "SERVER", "ACCOUNT", "HIDDEN"),
    "account": NAMES,
    "cluster": NAMES,
    "server": NAMES,
    "user": NAMES,
    "severity_at_least": ("critical", "warning", "info"),
    "state": ("open", "resolved", "all"),
    "by": ("code", "cluster", "server", "account", "user"),
    "offset": (0, 1, 1000, -1),
    "limit": (1, 1000, 0),
}


def bodies() -> list[dict[str, Any]]:
    """Each value of each field, and each with each value of each other one."""
    single = [{field: value} for field, values in VALUES.items() for value in values]
    pairs = itertools.combinations(single, 2)
    return [{}, {"colour": 1}, *single, *(one | other for one, other in pairs)]


def test_each_field_of_a_request_is_tried():
    assert set(VALUES) == set(FindingsRequest.__struct_fields__)


def test_findings_of_a_tenant_are_the_same_whatever_happens_elsewhere(worlds):
    quiet, loud = worlds
    found = 0
    for body in bodies():
        told = asked(quiet, "APP", "FINDINGS", body)
        assert asked(loud, "APP", "FINDINGS", body) == told, body
        found += isinstance(told, dict) and told["total"] > 0
    assert found > 100


@pytest.mark.parametrize("name", ["STATUS", "CHECKS", "EXPLAIN"])
@pytest.mark.parametrize(
    "body",
    [{}, *({"code": code} for code in CODES), {"name": "excessive_user_connections"}, {"limit": 1}],
    ids=str,
)
def test_replies_to_a_tenant_are_the_same_whatever_happens_elsewhere(worlds, name, body):
    quiet, loud = worlds
    told = asked(quiet, "APP", name, body)
    assert asked(loud, "APP", name, body) == told
    assert [word for word in SECRETS if word in json.dumps(told) and word not in str(body)] == []


@pytest.mark.parametrize("name", QUERIES)
def test_a_reply_to_a_tenant_is_as_its_schema_says(worlds, name):
    body = {"code": "USER_002"} if name == "EXPLAIN" else {}
    (_, loud) = worlds
    reply = json.loads(answer(at_once(of_tenant(loud, "APP")), name, json.dumps(body).encode()))
    jsonschema_rs.validator_for(schemas()[reply["type"]], validate_formats=True).validate(reply)


def messages(made: Story, account: str = "APP") -> list[tuple[str, bytes, Any]]:
    """All that an account receives of the transitions of some epochs."""
    by_code = {check.code: check for check in CHECKS}
    of = view(made).tenants
    told = [
        message
        for one in made.told
        for message in advisories(
            one,
            by_code[one.life.key.code],
            AGENT,
            made.snapshot.coverage,
            made.auditor.valid_for,
            of,
            MIB,
        )[1]
    ]
    own = [one for one in told if subjects.account_of(one.subject) == account]
    return [(one.subject, one.payload, one.headers) for one in own]


def test_advisories_of_a_tenant_are_the_same_whatever_happens_elsewhere():
    heard = []
    for given in (alone(), among_others()):
        made = Story(ALL + LOW, CHECKS)
        told = [message for _ in range(3) if made.hears(given) for message in messages(made)]
        made.now += 3600  # A reminder.
        made.hears(given)
        heard.append(told + messages(made))
    quiet, loud = heard
    assert quiet == loud
    transitions = [json.loads(payload)["transition"] for _, payload, _ in quiet]
    assert transitions == ["opened", "reminded"]


def test_a_tenant_hears_nothing_of_anybody_else():
    made = Story(ALL + LOW, CHECKS)
    made.hears(among_others())
    assert {one.life.entity.get("account") for one in made.told} > {"APP", "SECRET"}
    told = b"".join(payload for _, payload, _ in messages(made)).decode()
    assert "user app of account APP" in told
    assert [word for word in SECRETS if word in told] == []


def test_the_second_message_has_the_bytes_and_the_headers_of_the_first():
    made = Story(ALL + LOW, CHECKS)
    made.hears(among_others())
    (told,) = (one for one in made.told if one.life.entity.get("account") == "APP")
    said, (first, second) = advisories(
        told, FOUNDING["excessive_user_connections"], AGENT, made.snapshot.coverage, 60.0,
        view(made).tenants, MIB,
    )  # fmt: skip
    assert (second.payload, second.headers) == (first.payload, first.headers)
    assert second.headers["Nats-Msg-Id"] == said.id
    assert first.subject.startswith("$INSIGHTS.ADVISORY.WARNING.ACCOUNT._.APP.USER_002.")
    assert second.subject == f"INSIGHTS.ACCOUNT.APP.ADVISORY.WARNING.USER_002.{said.fingerprint}"
    assert said.coverage.missing == []
    assert said.evidence["lower_bound"] == "without some replies"


def test_where_nobody_is_a_tenant_there_is_one_message_and_it_names_servers():
    made = Story(LOW, CHECKS)
    made.hears(among_others())
    (told,) = (one for one in made.told if one.life.entity.get("account") == "APP")
    check = FOUNDING["excessive_user_connections"]
    said, (first,) = advisories(
        told, check, AGENT, made.snapshot.coverage, 60.0, view(made).tenants, MIB
    )
    assert said.coverage.missing == ["silence"]
    assert said.evidence["lower_bound"] == "without CONNZ of silence"
    assert msgspec.json.decode(first.payload)["coverage"]["missing"] == ["silence"]


def test_a_finding_about_something_else_is_not_pointed_at():
    loud = story(among_others())
    life = next(one for one in loud.lives.values() if one.entity.get("account") == "APP")
    explained = replace(life, partial="", explained_by="f" * 32)
    assert shared(explained) == replace(life, partial="", explained_by="")
    over = Told(transition="resolved", life=explained, reason="", at=START)
    told = replace(view(loud), transitions=[over])
    (own,) = asked(told, "APP", "FINDINGS", {"state": "resolved"})["findings"]
    assert own["explained_by"] is None


def test_only_what_is_about_an_account_as_a_whole_is_of_a_tenant():
    lives = story(alone()).lives.values()
    life = next(one for one in lives if one.scope == "ACCOUNT")
    assert account_in(life) == "APP"
    assert account_in(replace(life, scope="SERVER")) == ""


# --- The view of a tenant.


def test_a_tenant_sees_its_own(worlds):
    _, loud = worlds
    status = asked(loud, "SECRET", "STATUS", {})
    assert (status["open"]["warning"], status["verdict"]) == (1, "unknown")
    assert "access" not in status
    assert "cost" not in status
    findings = asked(loud, "SECRET", "FINDINGS", {})["findings"]
    assert {one["entity"]["account"] for one in findings} == {"SECRET"}
    assert loud.counts.critical == 2


# What the view of a tenant has of its own, and what is the same for everybody and tells nothing.
CUT = {
    *(
        "account",
        "access",
        "checks",
        "cost",
        "coverage",
        "failed_epochs",
        "grouped",
        "last_failure",
    ),
    *("lives", "mutes", "muting", "outcomes", "ranked", "servers", "shards", "swept_at"),
    *("publishing", "transitions"),
}
SAME = {
    *("agent", "interval", "known_since", "max_payload", "rules", "started_at", "tenants"),
    "valid_for",
}


def test_of_each_field_of_a_view_it_is_decided_what_a_tenant_may_know():
    assert set(View.__struct_fields__) == CUT | SAME


def test_a_tenant_is_told_nothing_of_the_second_connection(worlds):
    _, loud = worlds
    told = replace(loud, publishing=PublishingState(server="nats://secret:4222"))
    assert b"nats://secret:4222" in answer(told, "STATUS", b"")
    assert "publishing" not in asked(told, "APP", "STATUS", {})


def test_a_tenant_of_a_divided_system_is_told_that_the_rest_is_unknown(worlds):
    _, loud = worlds
    more = {"open": OpenCounts(critical=5), "servers_known": 3, "servers_answered": 3}
    other = ShardState(name="us", agent="us-1", verdict="critical", **more)
    status = asked(replace(loud, shards=[other]), "APP", "STATUS", {})
    assert status["shards"] == [
        msgspec.to_builtins(ShardState(name="us", why="an account is told of one shard alone"))
    ]
    assert (status["coverage"]["missing"], status["open"]["critical"]) == ([], 0)
    assert status["verdict"] == "unknown"


def test_the_view_of_the_operator_is_not_changed_by_a_tenant(worlds):
    _, loud = worlds
    before = answer(loud, "FINDINGS", b""), loud.coverage.missing
    at_once(of_tenant(loud, "APP"))
    after = answer(loud, "FINDINGS", b""), loud.coverage.missing
    assert json.loads(before[0])["findings"] == json.loads(after[0])["findings"]
    assert before[1] == after[1] == ["silence"]


def test_checks_about_anything_but_accounts_do_not_exist_for_a_tenant(worlds):
    _, loud = worlds
    told = asked(loud, "APP", "CHECKS", {})["checks"]
    assert {one["code"] for one in told} == {"USER_002", "OPT_BALANCE_006"}
    assert [(one["last"], one["overrides"]) for one in told] == [(None, 0), (None, 0)]
    assert asked(loud, "APP", "EXPLAIN", {"code": "SERVER_011"})[0] == 404


def test_overrides_for_others_are_not_counted_for_a_tenant():
    more = "override = [{ match = { account = 'SECRET' }, user_901 = 1 }]".replace(
        "user_901 = 1", "excessive_user_connections = { max_connections = 7 }"
    )
    loud = view(story(among_others(), more))
    (own,) = (
        one for one in asked(loud, "APP", "CHECKS", {})["checks"] if one["code"] == "USER_002"
    )
    assert own["overrides"] == 0


def test_what_resolved_of_others_is_not_told():
    made = story(among_others())
    gone = system(
        cluster(n1=1, n2=Server(users={"APP app": 1}), n3=0, silence=0), cluster("HIDDEN", h1=0)
    )
    for _ in range(4):
        made.hears(gone)
    after = view(made)
    everything = json.loads(answer(after, "FINDINGS", b'{"state": "resolved"}'))["findings"]
    assert {"APP", "SECRET"} <= {one["entity"].get("account") for one in everything}
    own = asked(after, "APP", "FINDINGS", {"state": "resolved"})["findings"]
    assert [one["entity"]["account"] for one in own] == ["APP"]


@pytest.mark.parametrize("account", ["$SYS", "$G", "my team", "my%20team", "", "*", ">"])
def test_who_is_no_tenant_is_told_that_and_nothing_else(worlds, account):
    _, loud = worlds
    said = "this account is not a tenant of the agent"
    for name in QUERIES:
        assert asked(loud, account, name, {"code": "USER_002"}) == (404, said)


def test_an_account_without_findings_is_a_tenant_like_any_other(worlds):
    _, loud = worlds
    status = asked(loud, "NEW", "STATUS", {})
    assert status["open"] == {"critical": 0, "warning": 0, "info": 0}
    assert asked(loud, "NEW", "FINDINGS", {})["total"] == 0


def test_a_tenant_of_a_healthy_system_is_told_that_it_is():
    made = Story(ALL, CHECKS)
    made.hears(system(cluster(n1=Server(users=OWN), n2=0)))
    assert asked(view(made), "APP", "STATUS", {})["verdict"] == "ok"


def test_what_could_not_be_evaluated_is_told_without_its_reason(worlds):
    _, loud = worlds
    status = asked(loud, "APP", "STATUS", {})
    assert status["checks_not_evaluated"] == sum(one["checks"] for one in status["not_evaluated"])
    assert status["checks_not_evaluated"] < not_evaluated(loud)
    reasons = {one["why"] for one in status["not_evaluated"]}
    assert reasons == {"it could not be evaluated for all accounts"}


def test_what_is_expected_makes_no_verdict_unknown():
    made = Story(ALL, CHECKS, settle=1e9)
    made.hears(system(cluster(n1=Server(users=OWN), n2=0, n3=0)))
    status = asked(view(made), "APP", "STATUS", {})
    assert [(one["code"], one["excused"]) for one in status["not_evaluated"]] == [
        ("OPT_BALANCE_006", True)
    ]
    assert status["verdict"] == "ok"


def test_errors_of_the_program_are_the_operators_business():
    made = story(among_others())
    made.auditor.note(ValueError("secret"))
    epoch = asked(view(made), "APP", "STATUS", {})["epoch"]
    assert (epoch["failed"], epoch["last_failure"]) == (0, "")


def test_mutes_are_the_operators_business(worlds):
    _, loud = worlds
    muted = replace(loud, mutes=[object()], muting={("x",): 1})
    assert asked(muted, "APP", "STATUS", {})["mutes"] == 0
    own = at_once(of_tenant(muted, "APP"))
    assert (own.mutes, own.muting) == ([], {})


def test_the_view_of_a_tenant_has_no_servers(worlds):
    _, loud = worlds
    own = at_once(of_tenant(loud, "APP"))
    assert json.loads(answer(own, "SERVERS", b""))["total"] == 0
    assert own.swept_at == {}


def test_nobody_is_a_tenant_of_nobody():
    assert not NOBODY.has("APP")


# --- What it costs, and what is said of names.


def test_findings_are_grouped_once_for_all_tenants():
    users = {f"A{number} app": 6 for number in range(1000)}
    made = story(system(cluster(n1=Server(users=users), n2=0)))
    of = view(made)
    assert of.grouped is None
    at_once(of_tenant(of, "A1"))
    grouped = of.grouped
    for number in range(1000):
        own = at_once(of_tenant(of, f"A{number}"))
        assert [life.entity["account"] for life in own.lives] == [f"A{number}"]
    assert of.grouped is grouped


def test_an_account_that_cannot_be_a_tenant_is_named_once(caplog):
    barred, accounts = Barred(), {"APP": 1, "my team": 2}
    for seen in (accounts, accounts, {}, accounts, accounts | {"a.b": 1}):
        at_once(barred.look(tenants("*"), seen.keys()))
    assert [said.split("'")[1] for said in caplog.messages] == ["my team", "a.b"]


def test_an_account_is_looked_at_again_when_others_are_chosen(caplog):
    barred, accounts = Barred(), {"my team": 2}
    for chosen in ([], ["APP"], ["*"], ["*"]):
        at_once(barred.look(tenants(*chosen), accounts.keys()))
    assert len(caplog.messages) == 1


def test_no_more_than_some_accounts_are_named(caplog):
    accounts = {f"my {number}": 1 for number in range(MOST + 1)}
    barred = Barred()
    for _ in range(2):
        at_once(barred.look(tenants("*"), accounts.keys()))
    assert len(caplog.messages) == MOST


def test_a_name_in_the_log_is_short_and_can_be_printed(caplog):
    at_once(Barred().look(tenants("*"), {"\x1b[31m" + 1000 * "x": 1}.keys()))
    assert caplog.messages[0].isprintable()
    assert len(caplog.messages[0]) < 250
