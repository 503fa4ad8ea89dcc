"""Rules: the parameters by which each noun is judged, and what cannot be set."""

from __future__ import annotations

from types import FunctionType
from typing import Annotated

import pytest
from msgspec.structs import replace

from nats_insights.check import STATZ, VARZ, Cluster, Connection, Server, Tally, fold
from nats_insights.checks.accounts.account_slow_consumers import account_slow_consumers
from nats_insights.checks.server.certificate_expiry import certificate_expiry
from nats_insights.checks.server.streams_unhealthy import streams_unhealthy
from nats_insights.config import parse
from nats_insights.errors import ConfigError, Missing
from nats_insights.judge.declare import (
    CRITICAL,
    INFO,
    OFF,
    WARNING,
    Finding,
    Params,
    check,
    duration,
    limit,
)
from nats_insights.judge.plan import every, plan
from nats_insights.judge.rules import Rule, rules
from nats_insights.model.nouns.noun import ALL_SERVERS, Noun
from nats_insights.model.snapshot import Snapshot
from nats_insights.replies.fields import ServerInfo
from scenario import FOUNDING, OF_SILENCE, Story, cluster, system
from scenario import Server as Held


def rule(name: str, config: str = "") -> Rule:
    """The rule of one check under a configuration."""
    return next(one for one in rules(FOUNDING.values(), parse(config)) if one.check.name == name)


# --- Parameters.


def test_without_a_configuration_everything_is_as_declared():
    assert [
        (one.check.name, one.params, one.severity, one.open_after, one.resolve_after)
        for one in rules(FOUNDING.values(), parse(""))
    ] == [
        (check.name, check.params(), None, check.open_after, check.resolve_after)
        for check in FOUNDING.values()
    ]


def test_a_check_can_be_set():
    one = rule(
        "connection_hotspot",
        "[checks.connection_hotspot]\nratio = 3\nseverity = 'critical'\nopen_after = 5",
    )
    assert (one.params.ratio, one.params.min_connections, one.severity, one.open_after) == (
        3.0,
        10,
        CRITICAL,
        5,
    )
    assert one.configured == {"ratio", "severity", "open_after"}


def test_a_configured_severity_wins_over_that_of_the_finding():
    full = system(cluster(n1=Held(99, max_connections=100)))
    story = Story("checks.connection_count_high.severity = 'info'")
    story.hears(full)
    assert [str(life.severity) for life in story.lives.values()] == ["info"]


def test_a_disabled_check_has_no_rule():
    names = {
        one.check.name
        for one in rules(FOUNDING.values(), parse("checks.connection_hotspot.enabled = false"))
    }
    assert names == FOUNDING.keys() - {"connection_hotspot"}


@pytest.mark.parametrize("key", ["OPT_BALANCE_002", "connection_hotspot"])
def test_a_check_is_set_by_its_name_or_its_code(key):
    config = f"checks.{key}.ratio = 3\n[[override]]\nmatch.cluster = 'EU'\n{key}.ratio = 4"
    one = rule("connection_hotspot", config)
    ratios = [one.resolve(a_server(home)).params.ratio for home in ("US", "EU")]
    assert (ratios, one.configured) == ([3.0, 4.0], {"ratio"})


# --- Overrides.

OVERRIDES = """
    [checks.connection_hotspot]
    ratio = 2.5
    [[override]]
    match = { cluster = "EU" }
    connection_hotspot = { ratio = 3.0 }
    [[override]]
    match = { cluster = "EU", server = "n1" }
    connection_hotspot = { ratio = 4.0, min_connections = 20 }
    [[override]]
    match = { server = "n2" }
    connection_hotspot = { ratio = 5.0 }
"""
RATIOS = {
    ("EU", "n3"): (3.0, 10),
    ("EU", "n1"): (4.0, 20),
    ("EU", "n2"): (5.0, 10),
    ("US", "n1"): (2.5, 10),
    ("US", "n2"): (5.0, 10),
}


@pytest.mark.parametrize(("names", "expected"), RATIOS.items(), ids=map("/".join, RATIOS))
def test_of_the_overrides_that_match_the_later_wins(names, expected):
    story = Story(OVERRIDES)
    story.hears(system(cluster("EU", n1=1, n2=1, n3=1), cluster("US", n1=1, n2=1)))
    params = rule("connection_hotspot", OVERRIDES).resolve(story.snapshot.servers[names]).params
    assert (params.ratio, params.min_connections) == expected


def test_a_server_without_a_cluster_matches_no_cluster():
    story = Story(OVERRIDES)
    story.hears(system(cluster("", n3=1)))
    (server,) = story.snapshot.each(Server)
    assert rule("connection_hotspot", OVERRIDES).resolve(server).params.ratio == 2.5


ONE_PER_LABEL = {
    "cluster": (
        "[[override]]\nmatch.cluster = 'US'\nconnection_hotspot.ratio = 3.0",
        {"EU n1", "APP EU", "APP US", "APP app"},
    ),
    "server": (
        "[[override]]\nmatch.server = 'n1'\nconnection_hotspot.ratio = 3.0",
        {"US u1", "APP EU", "APP US", "APP app"},
    ),
    "account": (
        "[[override]]\nmatch.account = 'APP'\naccount_connection_concentration.percent = 99.9",
        {"EU n1", "US u1", "APP app"},
    ),
    "user": (
        "[[override]]\nmatch = {account = 'APP', user = 'app'}\n"
        "excessive_user_connections.max_connections = 1000",
        {"EU n1", "US u1", "APP EU", "APP US"},
    ),
    "two checks in one": (
        "[[override]]\nmatch.cluster = 'EU'\nconnection_hotspot.ratio = 3.0\n"
        "account_connection_concentration.percent = 99.9",
        {"US u1", "APP US", "APP app"},
    ),
}


@pytest.mark.parametrize(("config", "expected"), ONE_PER_LABEL.values(), ids=ONE_PER_LABEL)
def test_an_override_holds_for_what_it_names(config, expected):
    uneven = system(cluster("EU", n1=90, n2=9, n3=1), cluster("US", u1=90, u2=9, u3=1))
    story = Story(config)
    story.hears(uneven)
    assert story.found == expected


PATTERNS = {
    ("E*", "n1"): {"EU n1"},
    ("*U*", "*"): {"EU n1", "US u1"},
    ("EU", "n?"): {"EU n1"},
    ("?U", "*"): {"EU n1"},
    ("[EU]*", "[!n]*"): {"US u1"},
    ("eu", "*"): set(),
    ("E", "*"): set(),
    ("EU?", "*"): set(),
}


@pytest.mark.parametrize(("patterns", "expected"), PATTERNS.items(), ids=map("/".join, PATTERNS))
def test_an_override_holds_for_what_its_patterns_match(patterns, expected):
    config = """
        [[override]]
        match = {{ cluster = "{}", server = "{}" }}
        connection_hotspot.ratio = 9.0
    """
    story = Story(config.format(*patterns))
    story.hears(system(cluster("EU", n1=1), cluster("US", u1=1)))
    one = rule("connection_hotspot", config.format(*patterns))
    matched = {
        " ".join(server.names)
        for server in story.snapshot.servers.values()
        if one.resolve(server).params.ratio == 9.0
    }
    assert matched == expected


def a_server(cluster: str = "EU", name: str = "n1", tags: tuple[str, ...] | None = ()) -> Server:
    """A server with these tags; None if it did not tell them."""
    snapshot = Snapshot(1, 0.0)
    server = Server(name, Cluster(cluster, snapshot), snapshot)
    if tags is not None:
        server.info = ServerInfo(tags=tags)
    return server


TAGGED = "[[override]]\nmatch.tag = 'edge*'\nconnection_hotspot.ratio = 9.0"


def test_an_override_holds_for_the_servers_with_a_tag():
    one = rule("connection_hotspot", TAGGED)
    tagged = [(), ("core",), ("core", "edge-7"), ("edge",), ("an-edge",)]
    assert [one.resolve(a_server(tags=tags)).params.ratio for tags in tagged] == [2, 2, 9, 9, 2]


def test_without_the_tags_of_a_server_nobody_knows_what_holds_for_it():
    with pytest.raises(Missing):
        rule("connection_hotspot", TAGGED).resolve(a_server(tags=None))
    assert rule("connection_hotspot").resolve(a_server(tags=None)).enabled


def test_a_check_can_be_disabled_for_some():
    config = "[[override]]\nmatch.cluster = 'EU'\nconnection_hotspot.enabled = false"
    story = Story(config, [FOUNDING["connection_hotspot"]])
    story.hears(system(cluster("EU", n1=90, n2=9, n3=1), cluster("US", u1=90, u2=9, u3=1)))
    assert (story.found, story.audit.unknown) == ({"US u1"}, {})


def test_where_a_check_is_disabled_nothing_is_unknown():
    config = "[[override]]\nmatch.server = 'n1'\nconnection_count_high.enabled = false"
    for text, expected in (("", {"n1", "n2"}), (config, {"n2"})):
        story = Story(text, [FOUNDING["connection_count_high"]])
        story.hears(system(cluster(n1=1, n2=1, n3=1)))
        story.hears(system(cluster(n1=1, n2=1, n3=1)), [("n1", "VARZ"), ("n2", "VARZ")])
        assert {key.names[1] for key in story.audit.unknown} == expected


def test_a_check_can_be_enabled_for_some_alone():
    config = """
        checks.connection_hotspot.enabled = false
        [[override]]
        match.cluster = "EU"
        connection_hotspot.enabled = true
        [[override]]
        match.server = "n1"
        connection_hotspot.ratio = 2.5
    """
    one = rule("connection_hotspot", config)
    enabled = [one.resolve(a_server(*names)).enabled for names in (("EU", "n2"), ("US", "n1"))]
    assert enabled == [True, False]


def test_a_later_override_may_enable_again():
    config = """
        [[override]]
        match.cluster = "EU"
        connection_hotspot = { enabled = false, severity = "warning" }
        [[override]]
        match = { cluster = "EU", server = "n1" }
        connection_hotspot = { enabled = true }
    """
    one = rule("connection_hotspot", config)
    n1, n2 = one.resolve(a_server("EU", "n1")), one.resolve(a_server("EU", "n2"))
    assert [(force.enabled, force.severity_of(None)) for force in (n1, n2)] == [
        (True, WARNING),
        (False, WARNING),
    ]


def test_what_is_open_resolves_at_once_where_its_check_is_disabled():
    check = FOUNDING["connection_hotspot"]
    hot = system(cluster("EU", n1=90, n2=9, n3=1))
    story = Story(checks=[check])
    for _ in range(2):
        story.hears(hot)
    disabled = "[[override]]\nmatch.server = 'n1'\nconnection_hotspot.enabled = false"
    story.auditor.rules = rules([check], parse(disabled))
    assert story.hears(hot, counts=False) == []
    assert story.hears(hot) == ["resolved OPT_BALANCE_002 EU n1"]
    (told,) = story.told
    assert (told.reason, "gone" in told.life.summary) == ("check_disabled", False)


def test_a_severity_can_be_set_for_some():
    config = """
        checks.connection_count_high.severity = "warning"
        [[override]]
        match.server = "n1"
        connection_count_high.severity = "info"
    """
    story = Story(config, [FOUNDING["connection_count_high"]])
    story.hears(system(cluster(n1=Held(99, max_connections=99), n2=Held(99, max_connections=99))))
    assert {key.names[1]: found.severity for key, found in story.audit.found.items()} == {
        "n1": INFO,
        "n2": WARNING,
    }


def test_what_is_in_force_is_remembered_by_what_overrides_look_at():
    one = rule(
        "connection_hotspot", "[[override]]\nmatch.cluster = 'EU'\nconnection_hotspot.ratio = 3"
    )
    n1, n2, other = (
        one.resolve(a_server(*names)) for names in (("EU", "a"), ("EU", "b"), ("US", "a"))
    )
    assert (n1 is n2, n1 is other, one.resolve(a_server("US", "c")) is other) == (True, False, True)
    everywhere = rule("connection_hotspot")
    assert everywhere.resolve(a_server("EU")) is everywhere.resolve(a_server("US"))


def test_no_more_is_remembered_than_fits():
    one = rule(
        "connection_hotspot", "[[override]]\nmatch.server = 'n?'\nconnection_hotspot.ratio = 3"
    )
    for number in range(10_001):
        one.resolve(a_server(name=f"s{number}"))
    assert len(one.known) < 10
    assert one.resolve(a_server(name="n1")).params.ratio == 3.0


# --- What the owner of an asset says.


class Asset(Noun):
    """A noun with an owner."""

    __slots__ = ("_told",)
    kind, scope, depends_on, labelled = "stream", "ACCOUNT", ALL_SERVERS, ("account", "stream")

    def __init__(self, told: dict[str, str]) -> None:
        self._told = told

    def labels(self):
        return {"account": "A", "stream": "ORDERS"}

    @property
    def metadata(self):
        return self._told


class Lags(Params, frozen=True):
    max_lag: Annotated[int, limit("x", clear=0.5, ge=1, metadata="lag", description="d")] = OFF
    max_age: Annotated[float, duration(ge=1, metadata="age", description="d")] = OFF


@check("TEST_901", CRITICAL, "health", needs=(VARZ,))
def lagging(asset: Asset, params: Lags) -> Finding | None:
    """An asset lags.

    Finds: it.

    Why: so.

    Do: that.
    """
    return None


def asset(enabled: str | None = "true", **told: str) -> Asset:
    """An asset with this metadata."""
    return Asset(told | ({} if enabled is None else {"io.nats.monitor.enabled": enabled}))


def lags(config: str = "") -> Rule:
    """The rule of a check whose limits owners set."""
    (one,) = rules([lagging], parse(config))
    return one


OWNERS = {
    "nothing": (asset(None), "", (False, OFF, OFF, ())),
    "nothing of its limits": (asset(), "", (False, OFF, OFF, ())),
    "a number": (asset(lag="7"), "", (True, 7, OFF, ())),
    "a duration": (asset(age="5m"), "", (True, OFF, 300.0, ())),
    "a flag in another spelling": (asset("1", lag="7"), "", (True, 7, OFF, ())),
    "limits without enabling them": (asset(None, lag="7"), "", (False, OFF, OFF, ())),
    "that nobody shall look": (
        asset("false", lag="7"),
        "checks.lagging.max_lag = 5",
        (False, 5, OFF, ()),
    ),
    "nothing, where the file does": (asset(None), "checks.lagging.max_lag = 5", (True, 5, OFF, ())),
    "more than the file": (
        asset(lag="7"),
        "checks.lagging.max_lag = 5",
        (True, 7, OFF, ()),
    ),
    "more than an override": (
        asset(lag="7"),
        "[[override]]\nmatch.stream = 'O*'\nlagging = {max_lag = 5, max_age = '1m'}",
        (True, 7, 60.0, ()),
    ),
    "that one limit is off": (
        asset(lag="0"),
        "checks.lagging.max_lag = 5",
        (False, OFF, OFF, ()),
    ),
    "what nobody can read": (
        asset(lag="many", age="5m"),
        "checks.lagging.max_lag = 5",
        (True, 5, 300.0, ("lag = many",)),
    ),
    "neither yes nor no": (
        asset("perhaps", lag="7"),
        "",
        (False, OFF, OFF, ("io.nats.monitor.enabled = perhaps",)),
    ),
}


@pytest.mark.parametrize(("one", "config", "expected"), OWNERS.values(), ids=OWNERS)
def test_the_owner_of_an_asset_says(one, config, expected):
    force = lags(config).resolve(one)
    assert (force.enabled, force.params.max_lag, force.params.max_age, force.unreadable) == expected


def test_what_owners_say_is_remembered_apart():
    one = lags()
    lag = [one.resolve(asset(lag=text)).params.max_lag for text in ("1", "2", "1")]
    assert lag == [1, 2, 1]
    enabled = [one.resolve(asset(told, lag="7")).enabled for told in ("true", "false", "true")]
    assert enabled == [True, False, True]


class Full(Params, frozen=True):
    warning: Annotated[
        int, limit("x", severity=WARNING, ge=1, metadata="warn", description="d")
    ] = 10
    critical: Annotated[
        int, limit("x", severity=CRITICAL, ge=1, metadata="crit", description="d")
    ] = 20


@check("TEST_902", CRITICAL, "health", needs=(VARZ,))
def fills(asset: Asset, params: Full) -> Finding | None:
    """An asset fills.

    Finds: it.

    Why: so.

    Do: that.
    """
    return None


ORDERED = {
    "in order": ({"warn": "30", "crit": "40"}, (30, 40, ())),
    "one off": ({"warn": "30", "crit": "0"}, (30, OFF, ())),
    "one above that of the file": ({"warn": "30"}, (10, 20, ("warn = 30",))),
    "one below that of the file": ({"crit": "5"}, (10, 20, ("crit = 5",))),
    "both, in the wrong order": (
        {"warn": "7", "crit": "5"},
        (10, 20, ("warn = 7", "crit = 5")),
    ),
}


@pytest.mark.parametrize(("told", "expected"), ORDERED.values(), ids=ORDERED)
def test_limits_of_an_owner_that_contradict_each_other_have_no_effect(told, expected):
    (one,) = rules([fills], parse(""))
    force = one.resolve(asset(**told))
    assert (force.params.warning, force.params.critical, force.unreadable) == expected


def test_nothing_may_be_dropped_by_a_limit_that_owners_set():
    assert lags("checks.lagging.max_lag = 500").loosest() == Lags(max_lag=1, max_age=1.0)


# --- Profiles.


def test_a_profile_changes_the_defaults_and_the_file_changes_both():
    config = """
        profile = "insights"
        [[override]]
        match.cluster = "EU"
        connection_hotspot.ratio = 3.0
    """
    one = rule("connection_hotspot", config)
    assert (one.params.min_connections, one.profiled) == (100, {"min_connections"})
    assert one.resolve(a_server()).params == replace(one.params, ratio=3.0)
    full = rule("connection_count_high", 'profile = "insights"')
    assert (full.params.warning_percent, full.params.critical_percent) == (80.0, OFF)
    config += "[checks.connection_hotspot]\nmin_connections = 5"
    set_too = rule("connection_hotspot", config)
    assert (set_too.params.min_connections, set_too.profiled) == (5, set())


def test_without_a_profile_nothing_is_changed_by_one():
    assert rule("connection_hotspot", 'profile = "default"').params.min_connections == 10
    assert rule("connection_hotspot").profiled == set()


# --- What may be dropped.


def test_what_may_be_dropped_is_below_every_limit_in_force():
    config = """
        [checks.excessive_user_connections]
        max_connections = 200
        [[override]]
        match.user = "bob"
        excessive_user_connections.max_connections = 50
    """
    assert rule("excessive_user_connections", config).loosest().max_connections == 45.0


# --- What is refused.

ALL = [
    *(FOUNDING | OF_SILENCE).values(),
    account_slow_consumers,
    certificate_expiry,
]

WRONG = {
    "a check by its name and its code": (
        "checks.OPT_BALANCE_002.ratio = 3.0\nchecks.connection_hotspot.ratio = 3.0",
        "checks.connection_hotspot is refused: checks.OPT_BALANCE_002 is the same check",
    ),
    "a check by its name and its code in an override": (
        "[[override]]\nmatch.cluster = 'EU'\n"
        "connection_hotspot.ratio = 3.0\nOPT_BALANCE_002.ratio = 3.0",
        "override[0].OPT_BALANCE_002 is refused: override[0].connection_hotspot is the same check",
    ),
    "a code in small letters": (
        "checks.opt_balance_002.ratio = 3.0",
        "there is no key checks.opt_balance_002; did you mean checks.OPT_BALANCE_002?",
    ),
    "a parameter of a check by its code": (
        "checks.OPT_BALANCE_002.ratio = 0.5",
        "checks.OPT_BALANCE_002.ratio is refused: 0.5 is not allowed, it must be above 1",
    ),
    "a check that is like none": (
        "checks.zzz.ratio = 3.0",
        "there is no key checks.zzz; `nats-insights checks` lists the checks",
    ),
    "an unknown endpoint": (
        "gather.every.connz = '2m'",
        "there is no key gather.every.connz; did you mean gather.every.CONNZ?",
    ),
    "evaluations in an override": (
        "[[override]]\nmatch.cluster = 'EU'\nconnection_hotspot.open_after = 3",
        "override[0].connection_hotspot.open_after is refused: "
        "it is set in [checks.connection_hotspot]",
    ),
    "an unknown severity in an override": (
        "[[override]]\nmatch.cluster = 'EU'\nconnection_hotspot.severity = 'warn'",
        "override[0].connection_hotspot.severity is refused: there is no warn; "
        "did you mean warning?",
    ),
    "a word for a flag in an override": (
        "[[override]]\nmatch.cluster = 'EU'\nconnection_hotspot.enabled = 'no'",
        "override[0].connection_hotspot.enabled is refused: 'no' is not true or false",
    ),
    "a pattern that nothing closes": (
        "[[override]]\nmatch.cluster = 'EU[1-3'\nconnection_hotspot.ratio = 3.0",
        "override[0].match.cluster is refused: nothing closes the bracket in 'EU[1-3'",
    ),
    "a second bracket that nothing closes": (
        "[[override]]\nmatch.cluster = '[]E][!]U][n'\nconnection_hotspot.ratio = 3.0",
        "override[0].match.cluster is refused: nothing closes the bracket in '[]E][!]U][n'",
    ),
    "a tag of a user": (
        "[[override]]\nmatch.tag = 'edge'\nexcessive_user_connections.max_connections = 3",
        "override[0].excessive_user_connections is refused: it is judged by account and user, "
        "so match.tag can never be true",
    ),
    "a stream of a server": (
        "[[override]]\nmatch.stream = 'ORDERS'\nconnection_hotspot.ratio = 3.0",
        "override[0].connection_hotspot is refused: it is judged by cluster and server, "
        "so match.stream can never be true",
    ),
    "a limit that cannot be off": (
        "checks.connection_hotspot.ratio = 'off'",
        "checks.connection_hotspot.ratio is refused: this limit cannot be off; "
        "enabled = false switches the check off",
    ),
    "an unknown check": (
        "checks.connection_hotspt.ratio = 3.0",
        "there is no key checks.connection_hotspt; did you mean checks.connection_hotspot?",
    ),
    "an unknown parameter": (
        "checks.connection_hotspot.rato = 3.0",
        "there is no key checks.connection_hotspot.rato; "
        "did you mean checks.connection_hotspot.ratio?",
    ),
    "a parameter out of its bounds": (
        "checks.connection_hotspot.ratio = 1.0",
        "checks.connection_hotspot.ratio is refused: 1.0 is not allowed, it must be above 1",
    ),
    "a parameter above its bounds": (
        "checks.connection_count_high.warning_percent = 101",
        "checks.connection_count_high.warning_percent is refused: 101 is not allowed, "
        "it must be above 0 and at most 100",
    ),
    "a parameter of another type": (
        "checks.connection_hotspot.min_connections = 2.5",
        "checks.connection_hotspot.min_connections is refused: 2.5 is not a whole number",
    ),
    "a parameter that is text": (
        "checks.connection_hotspot.ratio = '3'",
        "checks.connection_hotspot.ratio is refused: '3' is not a number",
    ),
    "no evaluation until it opens": (
        "checks.connection_hotspot.open_after = 0",
        "checks.connection_hotspot.open_after is refused: 0 is not allowed, it must be at least 1",
    ),
    "an unknown severity": (
        "checks.connection_hotspot.severity = 'warn'",
        "checks.connection_hotspot.severity is refused: there is no warn; did you mean warning?",
    ),
    "an endpoint that nobody knows": (
        "access.without = ['RAFT']",
        "access.without is refused: there is no RAFT; did you mean RAFTZ?",
    ),
    "an override of nothing": (
        "[[override]]\nconnection_hotspot.ratio = 3.0",
        'override[0] lacks its match, such as match = { cluster = "EU" }',
    ),
    "an override of everything": (
        "[[override]]\nmatch = {}\nconnection_hotspot.ratio = 3.0",
        'override[0] lacks its match, such as match = { cluster = "EU" }',
    ),
    "a name for what it matches": (
        "[[override]]\nmatch = 'EU'\nconnection_hotspot.ratio = 3.0",
        'override[0] lacks its match, such as match = { cluster = "EU" }',
    ),
    "an unknown label": (
        "[[override]]\nmatch.clustr = 'EU'",
        "there is no key override[0].match.clustr; did you mean override[0].match.cluster?",
    ),
    "a label that is no name": (
        "[[override]]\nmatch.cluster = 3\nconnection_hotspot.ratio = 3.0",
        "override[0].match.cluster is refused: a name is written in quotes",
    ),
    "a label that the noun lacks": (
        "[[override]]\nmatch.user = 'bob'\nconnection_hotspot.ratio = 3.0",
        "override[0].connection_hotspot is refused: it is judged by cluster and server, "
        "so match.user can never be true",
    ),
    "a server for a user": (
        "[[override]]\nmatch = {server = 'n1', user = 'bob'}\n"
        "excessive_user_connections.max_connections = 5",
        "override[0].excessive_user_connections is refused: it is judged by account and user, "
        "so match.server can never be true",
    ),
    "a server for the agent": (
        "[[override]]\nmatch.server = 'n1'\nagent_late.epochs = 5",
        "override[0].agent_late is refused: it is judged by no label, "
        "so match.server can never be true",
    ),
    "an unknown check in an override": (
        "[[override]]\nmatch.cluster = 'EU'\nconnections_hotspot.ratio = 3.0",
        "there is no key override[0].connections_hotspot; "
        "did you mean override[0].connection_hotspot?",
    ),
    "an unknown parameter in a second override": (
        "[[override]]\nmatch.cluster = 'EU'\nconnection_hotspot.ratio = 3.0\n"
        "[[override]]\nmatch.cluster = 'EU'\nconnection_hotspot.rato = 3.0",
        "there is no key override[1].connection_hotspot.rato; "
        "did you mean override[1].connection_hotspot.ratio?",
    ),
    "a parameter out of its bounds in an override": (
        "[[override]]\nmatch.cluster = 'EU'\nconnection_hotspot.ratio = 0.5",
        "override[0].connection_hotspot.ratio is refused: 0.5 is not allowed, it must be above 1",
    ),
    "no parameters in an override": (
        "[[override]]\nmatch.cluster = 'EU'\nconnection_hotspot = 3.0",
        "override[0].connection_hotspot is refused: it is a table such as { ratio = 3.0 }",
    ),
    "an empty table in an override": (
        "[[override]]\nmatch.cluster = 'EU'\nconnection_hotspot = {}",
        "override[0].connection_hotspot is refused: it is a table such as { ratio = 3.0 }",
    ),
    "an override that sets nothing": (
        "[[override]]\nmatch.cluster = 'EU'",
        "override[0] sets nothing: name a check, such as connection_hotspot = { ratio = 3.0 }",
    ),
    "a warning above what is critical": (
        "checks.connection_count_high.warning_percent = 96",
        "checks.connection_count_high.warning_percent is refused: "
        "96 is above critical_percent, which is 95 by default",
    ),
    "critical below what is a warning": (
        "checks.connection_count_high.critical_percent = 70.5",
        "checks.connection_count_high.critical_percent is refused: "
        "70.5 is below warning_percent, which is 80 by default",
    ),
    "both, in the wrong order": (
        "[checks.SERVER_011]\ncritical_percent = 70\nwarning_percent = 90",
        "checks.SERVER_011.warning_percent is refused: 90 is above critical_percent, which is 70",
    ),
    "the wrong order in a check that is disabled": (
        "[checks.SERVER_011]\nenabled = false\nwarning_percent = 96",
        "checks.SERVER_011.warning_percent is refused: "
        "96 is above critical_percent, which is 95 by default",
    ),
    "a warning of some above what is critical for all": (
        "checks.connection_count_high.critical_percent = 90\n"
        "[[override]]\nmatch.cluster = 'EU'\nconnection_count_high.warning_percent = 92",
        "override[0].connection_count_high.warning_percent is refused: "
        "92 is above critical_percent, which is 90 in [checks.connection_count_high]",
    ),
    "both of some, in the wrong order": (
        "[[override]]\nmatch.cluster = 'EU'\n"
        "connection_count_high = { warning_percent = 60, critical_percent = 50 }",
        "override[0].connection_count_high.warning_percent is refused: "
        "60 is above critical_percent, which is 50",
    ),
    "a warning below what is critical, where less is worse": (
        "checks.certificate_expiry.warning_days = 5",
        "checks.certificate_expiry.warning_days is refused: "
        "5 is below critical_days, which is 7 by default",
    ),
    "critical above what is a warning, where less is worse": (
        "checks.certificate_expiry.critical_days = 31",
        "checks.certificate_expiry.critical_days is refused: "
        "31 is above warning_days, which is 30 by default",
    ),
    "a warning above what is critical in the profile": (
        "profile = 'insights'\nchecks.account_slow_consumers.warning = 2",
        "checks.account_slow_consumers.warning is refused: "
        "2 is above critical, which is 1 in the profile insights",
    ),
}


@pytest.mark.parametrize(("text", "expected"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_is_refused_at_the_start(text, expected):
    config = parse(text)
    with pytest.raises(ConfigError) as refused:
        every(plan(rules(ALL, config)).endpoints, config)
    assert str(refused.value) == expected


IN_ORDER = {
    "the same": "checks.connection_count_high.critical_percent = 80",
    "nothing is critical": (
        "[checks.connection_count_high]\ncritical_percent = 'off'\nwarning_percent = 99"
    ),
    "nothing is a warning": (
        "[checks.connection_count_high]\ncritical_percent = 50\nwarning_percent = 'off'"
    ),
    "nothing is critical in the profile": (
        "profile = 'insights'\nchecks.connection_count_high.warning_percent = 99"
    ),
    "limits of two figures": "checks.streams_unhealthy = { streams = 1, consumers = 9 }",
    "an override that relies on another": (
        "[[override]]\nmatch.cluster = 'EU'\nconnection_count_high.critical_percent = 99\n"
        "[[override]]\nmatch = { cluster = 'EU', server = 'n1' }\n"
        "connection_count_high.warning_percent = 96"
    ),
}


@pytest.mark.parametrize("text", IN_ORDER.values(), ids=IN_ORDER)
def test_limits_that_do_not_contradict_each_other_are_taken(text):
    assert rules([*ALL, streams_unhealthy], parse(text))


ENDLESS = {
    "ratio": "checks.connection_hotspot.ratio = inf",
    "min_connections": "checks.connection_hotspot.min_connections = 99999999999999999999",
}


@pytest.mark.parametrize("text", ENDLESS.values(), ids=ENDLESS)
def test_a_parameter_that_no_reply_can_tell_is_refused(text):
    with pytest.raises(ConfigError, match="is refused"):
        rules(FOUNDING.values(), parse(text))


# --- What they need together.


def test_what_is_asked_is_what_the_enabled_checks_need():
    asked = plan(rules([FOUNDING["connection_hotspot"]], parse("")))
    assert (asked.endpoints, asked.folds) == ({VARZ, STATZ}, {})


class Rows(Params, frozen=True):
    most: Annotated[int, limit("rows", clear=0.5, ge=1, description="of one name")] = 100


@fold("name")
def by_name(rows: list[Connection], tally: Tally, params: Rows) -> None:
    """Rows by name."""


def _reads_names(server: Server, params: Rows) -> Finding | None:
    """A server has rows.

    Finds: it.

    Why: so.

    Do: that.
    """


def test_checks_that_share_a_fold_have_it_read_by_the_loosest_of_them():
    checks = []
    for number, name in enumerate(("one", "other", "third"), 902):
        judge = FunctionType(_reads_names.__code__, globals(), name)
        judge.__doc__, judge.__annotations__ = _reads_names.__doc__, _reads_names.__annotations__
        checks.append(check(f"TEST_{number}", INFO, "health", needs=(by_name,))(judge))
    config = "checks.other.most = 50\nchecks.third.most = 500"
    asked = plan(rules([*checks, FOUNDING["subscription_hotspot"]], parse(config)))
    assert {fold.name: params for fold, params in asked.folds.items()} == {
        "by_name": Rows(most=25),
        "local_subscriptions": Params(),
    }


def test_nothing_is_asked_for_a_disabled_check():
    config = """
        checks.subscription_hotspot.enabled = false
        checks.excessive_user_connections.enabled = false
    """
    asked = plan(rules(FOUNDING.values(), parse(config)))
    assert (asked.endpoints, asked.folds) == ({VARZ, STATZ}, {})
