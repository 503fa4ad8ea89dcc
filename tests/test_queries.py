"""Queries: what is answered of what an agent knows."""

from __future__ import annotations

import json

import jsonschema_rs
import pytest

from kit.asked import AGENT, after, ask, view
from nats_insights.check import INFO, VARZ, Check, Finding, check
from nats_insights.check import Server as ServerNoun
from nats_insights.facts import Access, Cost
from nats_insights.judge.declare import parameters_of
from nats_insights.tell.queries import QUERIES, Refused, answer, forget
from nats_insights.tell.schemas import schemas
from nats_insights.tell.view import View, not_evaluated
from scenario import FOUNDING, START, Server, Story, cluster, dead, hung, lone, system

BY_CODE = {check.code: check for check in FOUNDING.values()}
HOT = system(cluster(n1=60, n2=15, n3=15))
FULL = Server(99, max_connections=100)


# --- Every reply.

SYSTEMS = {
    "nothing is known": [],
    "nothing is wrong": [system(cluster(n1=5, n2=5))],
    "much is wrong": [system(cluster(n1=FULL, n2=0, n3=0)), system(cluster(n1=FULL, n2=0, n3=0))],
    "somebody is silent": [HOT, system(cluster(n1=60, n2=15, n3=hung))],
    "somebody died": [HOT, system(cluster(n1=60, n2=15, n3=dead))],
}


@pytest.mark.parametrize("name", QUERIES)
@pytest.mark.parametrize("systems", SYSTEMS.values(), ids=SYSTEMS)
def test_every_reply_is_as_its_schema_says(systems, name):
    body = {"code": "SERVER_011"} if name == "EXPLAIN" else {}
    reply = ask(after(*systems), name, **body)
    schema = schemas()[reply["type"]]
    jsonschema_rs.validator_for(schema, validate_formats=True).validate(reply)


@pytest.mark.parametrize("name", QUERIES)
def test_every_reply_says_who_answers_and_for_how_much(name):
    body = {"code": "SERVER_011"} if name == "EXPLAIN" else {}
    reply = ask(after(system(cluster(n1=1, n2=hung))), name, **body)
    assert (reply["agent"]["id"], reply["coverage"]) == (
        "agent",
        {"servers_known": 2, "servers_answered": 1, "missing": ["n2"]},
    )


def test_an_empty_body_is_an_empty_request():
    assert json.loads(answer(after(HOT), "FINDINGS", b""))["total"] == 0


# --- STATUS.

EASY = system(cluster(n1=5, n2=5))
VERDICTS = {
    "ok": [EASY],
    "info": [HOT, HOT],
    "warning": [system(cluster(n1=Server(80, max_connections=100)))],
    "critical": [system(cluster(n1=FULL))],
}


@pytest.mark.parametrize(("expected", "systems"), VERDICTS.items(), ids=VERDICTS)
def test_the_verdict_is_that_of_the_worst_open_finding(expected, systems):
    assert ask(after(*systems), "STATUS")["verdict"] == expected


UNSURE = {
    "before the first epoch": ([], "unknown"),
    "when nobody is there": ([system()], "unknown"),
    "when a server hangs": ([system(cluster(n1=5, n2=hung))], "unknown"),
    "when a server hangs beside an information": (
        [HOT, HOT, system(cluster(n1=60, n2=15, n3=hung))],
        "unknown",
    ),
    "when a server hangs beside a disaster": ([system(cluster(n1=FULL, n2=hung))], "critical"),
}


@pytest.mark.parametrize(("systems", "expected"), UNSURE.values(), ids=UNSURE)
def test_the_verdict_is_unknown(systems, expected):
    assert ask(after(*systems), "STATUS")["verdict"] == expected


def test_a_check_that_lacks_a_reply_makes_the_verdict_unknown():
    story = Story()
    story.hears(EASY, [("n2", "ROUTEZ")])
    status = ask(view(story), "STATUS")
    assert (status["verdict"], status["not_evaluated"]) == (
        "unknown",
        [
            {
                "code": "OPT_BALANCE_003",
                "name": "subscription_hotspot",
                "why": "ROUTEZ of n2",
                "excused": False,
                "checks": 1,
                "others": [],
            }
        ],
    )


def test_a_check_that_the_agent_may_not_run_makes_the_verdict_unknown():
    story = Story()
    story.hears(EASY, denied={"ROUTEZ"})
    status = ask(view(story), "STATUS")
    assert status["verdict"] == "unknown"
    assert [one["why"] for one in status["not_evaluated"]] == ["not permitted: ROUTEZ"]


ACCEPTED = {"that one": (["ROUTEZ"], "ok"), "another one": (["LEAFZ"], "unknown")}


@pytest.mark.parametrize(("without", "expected"), ACCEPTED.values(), ids=ACCEPTED)
def test_unless_the_configuration_accepts_that_it_may_not(without, expected):
    story = Story(f"access.without = {without}")
    story.hears(EASY, denied={"ROUTEZ"})
    status = ask(view(story), "STATUS")
    assert status["verdict"] == expected
    assert len(status["not_evaluated"]) == 1


def test_the_verdict_waits_for_each_check_that_is_told_as_not_evaluated():
    of = after(system(cluster(n1=5, n2=hung)))
    doubtful = ask(of, "STATUS")["not_evaluated"]
    assert not_evaluated(of) == sum(one["checks"] for one in doubtful if not one["excused"]) > 1


def test_a_hundred_and_fifty_checks_that_lack_data_make_a_short_status():
    checks = [lacking(number) for number in range(150)]
    story = Story(checks=checks)
    story.hears(system(cluster(**{f"n{i}": hung if i < 75 else 1 for i in range(150)})))
    of = View.of(story.auditor, AGENT, Access(mode="system", account="S", user="u"), Cost(), 2**20)
    status = ask(of, "STATUS")
    assert len(answer(of, "STATUS", b"")) < 4096
    assert status["checks_not_evaluated"] == sum(one["checks"] for one in status["not_evaluated"])
    (reason,) = status["not_evaluated"]
    assert (reason["code"], reason["checks"], len(reason["others"])) == ("TEST_000", 150, 20)


def lacking(number: int) -> Check:
    """A check of a figure of every server."""

    def quiet(server: ServerNoun) -> Finding | None:
        """A server is not there.

        Finds: it. Why: it is needed. Do: find it.
        """
        assert server.varz.start
        return None

    quiet.__name__ = f"quiet_{number}"
    return check(f"TEST_{number:03}", INFO, "health", needs=(VARZ,))(quiet)


def test_the_verdict_does_not_wait_for_a_cluster_that_settles():
    story = Story(settle=120.0)
    story.hears(HOT)
    story.hears(system(cluster(n1=Server(60, up=1.0), n2=15, n3=15)))
    status = ask(view(story), "STATUS")
    assert status["verdict"] == "ok"
    assert [(one["why"], one["excused"]) for one in status["not_evaluated"]] == [("settling", True)]


def test_servers_that_were_never_seen_make_the_verdict_unknown():
    story = Story("expect = 5")
    story.hears(EASY)
    status = ask(view(story), "STATUS")
    assert (status["verdict"], status["coverage"]["servers_known"]) == ("unknown", 5)


def test_the_verdict_is_that_of_the_worst_of_several():
    of = after(*2 * [system(cluster(n1=FULL, n2=Server(80, max_connections=100), n3=0, n4=0))])
    told = {one["severity"] for one in ask(of, "FINDINGS")["findings"]}
    assert told >= {"critical", "warning"}
    assert ask(of, "STATUS")["verdict"] == "critical"


def test_what_is_pending_does_not_count():
    status = ask(after(HOT), "STATUS")
    assert (status["verdict"], status["open"]) == (
        "ok",
        {"critical": 0, "warning": 0, "info": 0},
    )


# --- FINDINGS.


@pytest.fixture(scope="module")
def mixed() -> View:
    """Findings of every scope and severity in two clusters, and one that resolved."""
    story = Story()
    story.hears(system(cluster("EU", n9=Server(80, max_connections=100))))
    given = system(
        cluster("EU", n1=Server(users={"A bob": 120}, max_connections=120), n2=0, n3=0, n9=1),
        cluster("US", n1=Server(users={"B eve": 60}), n2=Server(max_connections=100), n3=0),
    )
    for _ in range(3):
        story.hears(given)
    return view(story)


FILTERS = {
    "nothing": (
        {},
        [
            "SERVER_011 n1",
            "USER_002 bob",
            "OPT_BALANCE_002 n1",
            "OPT_BALANCE_002 n1",
            "OPT_BALANCE_006 A",
            "OPT_BALANCE_006 B",
        ],
    ),
    "a code": ({"code": "USER_002"}, ["USER_002 bob"]),
    "a name": ({"code": "connection_count_high"}, ["SERVER_011 n1"]),
    "a severity": ({"severity": "critical"}, ["SERVER_011 n1"]),
    "a severity and worse": (
        {"severity_at_least": "warning"},
        ["SERVER_011 n1", "USER_002 bob"],
    ),
    "both severities": ({"severity": "info", "severity_at_least": "warning"}, []),
    "a user": ({"user": "bob"}, ["USER_002 bob"]),
    "a scope": (
        {"scope": "ACCOUNT"},
        ["USER_002 bob", "OPT_BALANCE_006 A", "OPT_BALANCE_006 B"],
    ),
    "an account": ({"account": "A"}, ["USER_002 bob", "OPT_BALANCE_006 A"]),
    "a cluster": ({"cluster": "US"}, ["OPT_BALANCE_002 n1", "OPT_BALANCE_006 B"]),
    "a server of a cluster": ({"cluster": "US", "server": "n1"}, ["OPT_BALANCE_002 n1"]),
    "the resolved": ({"state": "resolved"}, ["SERVER_011 n9"]),
    "the resolved of a check": ({"state": "resolved", "code": "SERVER_011"}, ["SERVER_011 n9"]),
    "the resolved of another check": ({"state": "resolved", "code": "USER_002"}, []),
    "the resolved of another severity": ({"state": "resolved", "severity": "critical"}, []),
    "the resolved of a cluster": ({"state": "resolved", "cluster": "EU"}, ["SERVER_011 n9"]),
    "the resolved of another cluster": ({"state": "resolved", "cluster": "US"}, []),
    "the resolved of another scope": ({"state": "resolved", "scope": "ACCOUNT"}, []),
    "nobody": ({"account": "nobody"}, []),
}


@pytest.mark.parametrize(("body", "expected"), FILTERS.values(), ids=FILTERS)
def test_findings_are_told_worst_first_by(body, expected, mixed):
    found = ask(mixed, "FINDINGS", **body)["findings"]
    assert [f"{one['code']} {one['entity']['name']}" for one in found] == expected


def test_all_findings_are_the_open_and_the_resolved(mixed):
    states = [one["state"] for one in ask(mixed, "FINDINGS", state="all")["findings"]]
    assert states == ["open"] * 6 + ["resolved"]


def test_the_resolved_are_told_with_the_last_first():
    story = Story()
    for full in ("n1", "n2", "n3", "n3"):
        story.hears(system(lone(**{"n1": 1, "n2": 1, "n3": 1, full: FULL})))
    resolved = ask(view(story), "FINDINGS", state="resolved")["findings"]
    assert [one["entity"]["name"] for one in resolved] == ["n2", "n1"]


WEIGHTS = {
    "the fuller server": ({"a": (85, 100), "b": (94, 100), "c": (81, 100)}, ["b", "a", "c"]),
    "by name, where they are alike": (
        {"c": (90, 100), "a": (90, 100), "b": (90, 100)},
        list("abc"),
    ),
    "severity before all else": ({"a": (94, 100), "b": (99, 100)}, ["b", "a"]),
}


@pytest.mark.parametrize(("servers", "expected"), WEIGHTS.values(), ids=WEIGHTS)
def test_of_equal_severity_that_comes_first_which_is_furthest_beyond_its_limit(servers, expected):
    some = {name: Server(n, max_connections=most) for name, (n, most) in servers.items()}
    found = ask(after(system(lone(**some))), "FINDINGS", code="SERVER_011")["findings"]
    assert [one["entity"]["name"] for one in found] == expected


def test_the_first_page_holds_the_worst():
    users = {f"A u{number:04}": 101 + number for number in range(900)}
    of = after(system(lone(n1=Server(users=users))))
    page = ask(of, "FINDINGS", code="USER_002", limit=3)
    names = [one["entity"]["name"] for one in page["findings"]]
    assert (names, page["total"]) == (["u0899", "u0898", "u0897"], 900)


def test_what_clears_is_told_as_such_until_it_resolved():
    story, said = Story(), []
    # The limit is twice the mean, and 1.8 times for what is open.
    for connections in (200, 200, 170, 100, 100):
        story.hears(system(cluster(n1=connections, n2=50, n3=50)))
        told = ask(view(story), "FINDINGS", state="all", code="OPT_BALANCE_002")["findings"]
        said.append([(one["state"], one["clearing"]) for one in told])
    assert said == [
        [],
        [("open", False)],
        [("open", True)],
        [("open", True)],
        [("resolved", False)],
    ]


def test_all_that_match_are_counted_whatever_the_page(mixed):
    page = ask(mixed, "FINDINGS", limit=1)
    assert page["counts"] == {"critical": 1, "warning": 1, "info": 4}
    page = ask(mixed, "FINDINGS", account="A", state="all")
    assert page["counts"] == {"critical": 0, "warning": 1, "info": 1}


def test_a_page_says_of_which_epoch_it_is(mixed):
    page = ask(mixed, "FINDINGS")
    assert (page["epoch"]["started_at"], page["epoch"]["interval_seconds"]) == (
        "2027-01-15T08:02:00Z",
        30.0,
    )


GROUPS = {
    "code": [
        {"code": "SERVER_011", "critical": 1},
        {"code": "USER_002", "warning": 1},
        {"code": "OPT_BALANCE_002", "info": 2},
        {"code": "OPT_BALANCE_006", "info": 2},
    ],
    "cluster": [
        {"cluster": "EU", "critical": 1, "info": 2},
        {"warning": 1},
        {"cluster": "US", "info": 2},
    ],
    "server": [
        {"cluster": "EU", "server": "n1", "critical": 1, "info": 1},
        {"warning": 1},
        {"cluster": "EU", "info": 1},
        {"cluster": "US", "info": 1},
        {"cluster": "US", "server": "n1", "info": 1},
    ],
    "account": [
        {"critical": 1, "info": 2},
        {"account": "A", "warning": 1, "info": 1},
        {"account": "B", "info": 1},
    ],
    "user": [
        {"critical": 1, "info": 2},
        {"account": "A", "user": "bob", "warning": 1},
        {"account": "A", "info": 1},
        {"account": "B", "info": 1},
    ],
}


@pytest.mark.parametrize(("by", "expected"), GROUPS.items(), ids=GROUPS)
def test_findings_are_counted_in_groups(by, expected, mixed):
    page = ask(mixed, "FINDINGS", by=by)
    assert (page["groups"], page["findings"], page["total"]) == (expected, [], len(expected))


def test_groups_are_filtered_and_paged(mixed):
    page = ask(mixed, "FINDINGS", by="server", severity="info", limit=1, offset=1)
    assert (page["groups"], page["total"], page["more"]) == (
        [{"cluster": "EU", "server": "n1", "info": 1}],
        4,
        True,
    )
    assert page["counts"] == {"critical": 0, "warning": 0, "info": 4}


PAGES = {
    "the first two": ({"limit": 2}, (2, 6, 0, True)),
    "the last two": ({"limit": 2, "offset": 4}, (2, 6, 4, False)),
    "beyond the end": ({"offset": 6}, (0, 6, 6, False)),
    "far beyond the end": ({"offset": 10**9}, (0, 6, 10**9, False)),
}


@pytest.mark.parametrize(("body", "expected"), PAGES.values(), ids=PAGES)
def test_a_page_says_what_it_is_a_part_of(body, expected, mixed):
    page = ask(mixed, "FINDINGS", **body)
    assert (len(page["findings"]), page["total"], page["offset"], page["more"]) == expected


# --- CHECKS and EXPLAIN.


def test_checks_tell_what_can_be_set_and_who_set_it():
    of = after(HOT, config="checks.connection_hotspot.ratio = 3")
    (one,) = [c for c in ask(of, "CHECKS")["checks"] if c["code"] == "OPT_BALANCE_002"]
    assert one["parameters"][0] == {
        "name": "ratio",
        "value": 3.0,
        "default": 2.0,
        "origin": "config",
        "unit": "x",
        "description": "times the mean of the cluster",
        "clear_factor": 0.9,
        "minimum": None,
        "exclusive_minimum": 1.0,
        "maximum": None,
        "exclusive_maximum": None,
        "kind": "number",
        "comparison": ">=",
        "severity": None,
        "insights": None,
        "metadata": "",
        "choices": [],
    }
    assert one["parameters"][1]["origin"] == "default"


def test_checks_tell_of_each_parameter_what_was_declared():
    told = {one["code"]: one["parameters"] for one in ask(after(), "CHECKS")["checks"]}
    for code, parameters in told.items():
        declared = parameters_of(BY_CODE[code].params)
        assert [(one["name"], one["default"], one["unit"]) for one in parameters] == [
            (one.name, one.written(one.default), one.unit) for one in declared
        ]


def test_checks_tell_how_they_are_set_to_judge():
    config = """
        [checks.connection_hotspot]
        severity = "critical"
        open_after = 5
        resolve_after = 7
        [[override]]
        match.cluster = "EU"
        connection_hotspot.ratio = 3.0
        [[override]]
        match.cluster = "US"
        connection_hotspot.ratio = 4.0
    """
    told = {one["name"]: one for one in ask(after(config=config), "CHECKS")["checks"]}
    names = ("severity", "open_after", "resolve_after", "overrides")
    judged = {name: tuple(one[of] for of in names) for name, one in told.items()}
    assert judged["connection_hotspot"] == ("critical", 5, 7, 2)
    assert judged["subscription_hotspot"] == ("info", 2, 2, 0)


def test_a_disabled_check_is_told_as_it_was_declared():
    config = "[checks.connection_hotspot]\nenabled = false\nopen_after = 5"
    told = {one["name"]: one for one in ask(after(config=config), "CHECKS")["checks"]}
    one = told["connection_hotspot"]
    assert (one["severity"], one["open_after"], one["resolve_after"], one["overrides"]) == (
        *("info", 2, 2),
        0,
    )


def test_checks_tell_the_last_outcome():
    of = after(HOT)
    told = {one["name"]: one["last"] for one in ask(of, "CHECKS")["checks"]}
    assert told["connection_hotspot"] == {
        "judged": 3,
        "found": 1,
        "unknown": 0,
        "not_due": False,
        "why": "",
        "excused": False,
    }


def test_a_disabled_check_is_listed_as_such():
    of = after(HOT, config="checks.connection_hotspot.enabled = false")
    told = {one["name"]: (one["enabled"], one["last"]) for one in ask(of, "CHECKS")["checks"]}
    assert told["connection_hotspot"] == (False, None)
    assert [name for name, (enabled, _) in told.items() if enabled] == [
        name for name in FOUNDING if name != "connection_hotspot"
    ]


ASKED = [
    {"code": "SERVER_011"},
    {"code": "server_011"},
    {"name": "connection_count_high"},
    {"name": "Connection-Count-High"},
    {"code": "connection_count_high"},
]


@pytest.mark.parametrize("body", ASKED, ids=str)
def test_a_check_is_explained_by_code_or_name(body):
    told = ask(after(), "EXPLAIN", **body)
    assert told["check"]["code"] == "SERVER_011"
    assert all(told[paragraph] for paragraph in ("finds", "why", "do"))


# --- SERVERS.


def test_servers_are_told_by_cluster_and_name_with_their_state():
    of = after(system(cluster("EU", n2=1, n1=hung), cluster("AP", n9=dead), lone(z=1)))
    told = [(one["cluster"], one["name"], one["state"]) for one in ask(of, "SERVERS")["servers"]]
    assert told == [
        ("", "z", "answering"),
        ("AP", "n9", "dead"),
        ("EU", "n1", "hung"),
        ("EU", "n2", "answering"),
    ]


def test_a_server_is_told_with_its_id_version_and_times():
    (one,) = ask(after(system(lone(n1=1)), system(lone(n1=1))), "SERVERS")["servers"]
    assert one == {
        "name": "n1",
        "id": "id of  n1",
        "cluster": "",
        "version": "2.15.1",
        "state": "answering",
        "first_seen": "2027-01-15T08:00:30Z",
        "last_seen": "2027-01-15T08:01:00Z",
        "swept_at": "2027-01-15T08:00:30Z",  # Nothing has moved since.
        "last_error": "",
    }
    assert START == 1_800_000_000.0


# --- FORGET.


def forgets(story: Story, **body: str) -> dict:
    """The reply to a request to forget."""
    return json.loads(forget(view(story), story.auditor.roster, json.dumps(body).encode()))


def some_silent() -> Story:
    """Servers n3, n5 and n6 are dead, of n3 there are two, and of n6 one without a cluster; n4
    hangs, and the rest answers."""
    story = Story()
    story.hears(
        system(
            cluster("EU", n1=5, n2=5, n3=dead, n4=hung),
            cluster("US", n1=5, n2=5, n3=dead, n6=dead),
            lone(n5=dead, n6=dead),
        )
    )
    return story


FORGETTABLE = {
    "that hangs": ({"server": "n4"}, ("EU", "n4")),
    "that is dead": ({"server": "n5"}, ("", "n5")),
    "of a cluster": ({"server": "n3", "cluster": "US"}, ("US", "n3")),
    "without a cluster": ({"server": "n6", "cluster": ""}, ("", "n6")),
}


@pytest.mark.parametrize(("body", "names"), FORGETTABLE.values(), ids=FORGETTABLE)
def test_a_server_is_forgotten(body, names):
    story = some_silent()
    before, state = len(story.auditor.roster), story.auditor.roster.at(names).state
    reply = forgets(story, **body)
    assert [(one["cluster"], one["name"], one["state"]) for one in reply["servers"]] == [
        (*names, state)
    ]
    assert (len(story.auditor.roster), story.auditor.roster.at(names)) == (before - 1, None)


REFUSED = {
    "that nobody knows": ({"server": "x"}, 404, "there is no server 'x'"),
    "that is written otherwise": (
        {"server": "n44"},
        404,
        "there is no server 'n44'; did you mean n4?",
    ),
    "that is one of several": (
        {"server": "n3"},
        409,
        'several servers are called n3: name one of "EU", "US"',
    ),
    "that is in another cluster": (
        {"server": "n4", "cluster": "US"},
        404,
        'n4 is not in that cluster, but in "EU"',
    ),
    "that is one of two, of which one has no cluster": (
        {"server": "n6"},
        409,
        'several servers are called n6: name one of "", "US"',
    ),
    "that answers": (
        {"server": "n2", "cluster": "EU"},
        409,
        "n2 answers: only a server that is gone can be forgotten",
    ),
}


@pytest.mark.parametrize(("body", "code", "why"), REFUSED.values(), ids=REFUSED)
def test_no_server_is_forgotten(body, code, why):
    story = some_silent()
    before = len(story.auditor.roster)
    with pytest.raises(Refused) as refused:
        forgets(story, **body)
    assert (refused.value.code, str(refused.value)) == (code, why)
    assert len(story.auditor.roster) == before
