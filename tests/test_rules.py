"""Rules: the parameters by which each noun is judged, and what cannot be set."""

from __future__ import annotations

import pytest

from nats_insights.check import STATZ, VARZ, Server
from nats_insights.config import parse
from nats_insights.errors import ConfigError
from nats_insights.judge.declare import CRITICAL
from nats_insights.judge.plan import plan
from nats_insights.judge.rules import Rule, rules
from scenario import CHECKS, Story, cluster, system
from scenario import Server as Held


def rule(name: str, config: str = "") -> Rule:
    """The rule of one check under a configuration."""
    return next(one for one in rules(CHECKS.values(), parse(config)) if one.check.name == name)


# --- Parameters.


def test_without_a_configuration_everything_is_as_declared():
    assert [
        (one.check.name, one.params, one.severity, one.open_after, one.resolve_after)
        for one in rules(CHECKS.values(), parse(""))
    ] == [
        (check.name, check.params(), None, check.open_after, check.resolve_after)
        for check in CHECKS.values()
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
        for one in rules(CHECKS.values(), parse("checks.connection_hotspot.enabled = false"))
    }
    assert names == CHECKS.keys() - {"connection_hotspot"}


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
    params = rule("connection_hotspot", OVERRIDES).resolve(story.snapshot.servers[names])
    assert (params.ratio, params.min_connections) == expected


def test_a_server_without_a_cluster_matches_no_cluster():
    story = Story(OVERRIDES)
    story.hears(system(cluster("", n3=1)))
    (server,) = story.snapshot.each(Server)
    assert rule("connection_hotspot", OVERRIDES).resolve(server).ratio == 2.5


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

WRONG = {
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
        "checks.connection_hotspot.ratio is refused: expected float > 1.0",
    ),
    "a parameter above its bounds": (
        "checks.connection_count_high.warning_percent = 101",
        "checks.connection_count_high.warning_percent is refused: expected float <= 100.0",
    ),
    "a parameter of another type": (
        "checks.connection_hotspot.min_connections = 2.5",
        "checks.connection_hotspot.min_connections is refused: expected int, got float",
    ),
    "a parameter that is text": (
        "checks.connection_hotspot.ratio = '3'",
        "checks.connection_hotspot.ratio is refused: expected float, got str",
    ),
    "no evaluation until it opens": (
        "checks.connection_hotspot.open_after = 0",
        "checks.connection_hotspot.open_after is refused: expected int >= 1",
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
        "override[0].match.cluster is refused: expected a name in quotes",
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
        "[[override]]\nmatch.cluster = 'EU'\n[[override]]\nmatch.cluster = 'EU'\n"
        "connection_hotspot.rato = 3.0",
        "there is no key override[1].connection_hotspot.rato; "
        "did you mean override[1].connection_hotspot.ratio?",
    ),
    "a parameter out of its bounds in an override": (
        "[[override]]\nmatch.cluster = 'EU'\nconnection_hotspot.ratio = 0.5",
        "override[0].connection_hotspot.ratio is refused: expected float > 1.0",
    ),
    "no parameters in an override": (
        "[[override]]\nmatch.cluster = 'EU'\nconnection_hotspot = 3.0",
        "override[0].connection_hotspot is refused: expected parameters, such as { ratio = 3.0 }",
    ),
}


@pytest.mark.parametrize(("text", "expected"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_is_refused_at_the_start(text, expected):
    with pytest.raises(ConfigError) as refused:
        rules(CHECKS.values(), parse(text))
    assert str(refused.value) == expected


ENDLESS = {
    "ratio": "checks.connection_hotspot.ratio = inf",
    "min_connections": "checks.connection_hotspot.min_connections = 99999999999999999999",
}


@pytest.mark.parametrize("text", ENDLESS.values(), ids=ENDLESS)
def test_a_parameter_that_no_reply_can_tell_is_refused(text):
    with pytest.raises(ConfigError, match="is refused"):
        rules(CHECKS.values(), parse(text))


# --- What they need together.


def test_what_is_asked_is_what_the_enabled_checks_need():
    asked = plan(rules([CHECKS["connection_hotspot"]], parse("")))
    assert (asked.endpoints, asked.folds) == ({VARZ, STATZ}, {})


def test_nothing_is_asked_for_a_disabled_check():
    config = """
        checks.subscription_hotspot.enabled = false
        checks.excessive_user_connections.enabled = false
    """
    asked = plan(rules(CHECKS.values(), parse(config)))
    assert (asked.endpoints, asked.folds) == ({VARZ, STATZ}, {})


def test_rows_are_folded_by_the_loosest_parameters_in_force():
    asked = plan(rules(CHECKS.values(), parse("")))
    assert {fold.name: params for fold, params in asked.folds.items()} == {
        "by_user": rule("excessive_user_connections").loosest(),
        "local_subscriptions": rule("subscription_hotspot").loosest(),
    }
