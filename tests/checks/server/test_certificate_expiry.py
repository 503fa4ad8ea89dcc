"""SERVER_902: the certificate of a listener expires soon."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from nats_insights.check import CRITICAL, WARNING
from nats_insights.checks.server.certificate_expiry import certificate_expiry as check
from nats_insights.replies.varz import (
    ClusterOptions,
    GatewayOptions,
    LeafOptions,
    MqttOptions,
    WebsocketOptions,
)
from scenario import START, Server, Story, cluster, finding, found, hung, lone, system

NOW = datetime.fromtimestamp(START, UTC)


def after(days):
    return NOW + timedelta(days=days)


def client(days, **more):
    """A server whose certificate for clients has so many days left."""
    return Server(1, varz={"tls_required": True, "tls_cert_not_after": after(days)}, **more)


def listening(**options):
    return system(cluster(n1=Server(varz=options), n2=1))


EVERY = {
    "cluster": ClusterOptions(cluster_port=1, tls_required=True, tls_cert_not_after=after(1)),
    "gateway": GatewayOptions(port=1, tls_required=True, tls_cert_not_after=after(1)),
    "leaf": LeafOptions(port=1, tls_required=True, tls_cert_not_after=after(1)),
}

CASES = {
    "fires below 30 days": (system(lone(n1=client(29.99))), {"n1 client"}),
    "quiet at 30 days": (system(lone(n1=client(30))), set()),
    "fires below 7 days": (system(lone(n1=client(6.99))), {"n1 client"}),
    "fires after the end": (system(lone(n1=client(-3))), {"n1 client"}),
    "quiet about a year": (system(lone(n1=client(365))), set()),
    "quiet about a listener without a certificate": (system(lone(n1=5)), set()),
    "fires about one server of a cluster": (
        system(cluster(n1=client(300), n2=client(10))),
        {"C1 n2 client"},
    ),
    "fires about clients that may come without TLS": (
        listening(tls_cert_not_after=after(1)),
        {"C1 n1 client"},
    ),
    "fires about each listener for servers": (
        listening(**EVERY),
        {"C1 n1 cluster", "C1 n1 gateway", "C1 n1 leafnode"},
    ),
    "fires about WebSocket and MQTT": (
        listening(
            websocket=WebsocketOptions(port=1, tls_cert_not_after=after(1)),
            mqtt=MqttOptions(port=1, tls_cert_not_after=after(1)),
        ),
        {"C1 n1 websocket", "C1 n1 mqtt"},
    ),
    "quiet about what is configured and does not listen": (
        listening(leaf=LeafOptions(tls_required=True, tls_cert_not_after=after(1))),
        set(),
    ),
    "quiet about an old server": (
        system(lone(n1=Server(version="2.10.26", varz={"tls_required": True}))),
        set(),
    ),
    "quiet about a server that hangs": (system(cluster(n1=client(300), n2=hung)), set()),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


@pytest.mark.parametrize(
    ("days", "severity", "threshold", "said"),
    [
        (29, WARNING, 30, "expires in 29 days, on 2027-02-13"),
        (7, WARNING, 30, "expires in 7 days, on 2027-01-22"),
        (6.9, CRITICAL, 7, "expires in 6.9 days, on 2027-01-22"),
        (-3, CRITICAL, 7, "expired 3 days ago, on 2027-01-12"),
    ],
)
def test_it_says_how_long_and_how_bad(days, severity, threshold, said):
    told = finding(check, system(lone(n1=client(days))))
    assert told.summary == f"the certificate of the client listener of n1 {said}"
    assert (told.severity, told.value, told.threshold, told.unit) == (
        severity,
        days,
        threshold,
        "days",
    )
    assert told.evidence == {"not_after": after(days).isoformat()}


@pytest.mark.parametrize("version", ["2.10.26", "2.11.11", "2.12.3"])
def test_what_an_old_server_does_not_tell_is_unknown_and_that_is_as_it_should_be(version):
    story = Story(checks=[check])
    story.hears(system(lone(n1=Server(version=version, varz={"tls_required": True}))))
    outcome = story.audit.outcomes[check.code]
    assert outcome.excused
    assert outcome.why == f"tls_cert_not_after of n1: not told by {version}"


@pytest.mark.parametrize("version", ["2.11.12", "2.12.4", "2.14.0"])
def test_the_first_versions_that_tell_it_are_judged(version):
    assert found(check, system(lone(n1=client(3, version=version)))) == {"n1 client"}


SETTINGS = {
    "warning_days = 10": set(),
    "warning_days = 'off'\ncritical_days = 20": {"n1 client"},
    "warning_days = 'off'": set(),
}


@pytest.mark.parametrize(("setting", "expected"), SETTINGS.items(), ids=SETTINGS)
def test_its_limits_can_be_set(setting, expected):
    given = system(lone(n1=client(15)))
    assert found(check, given, f"[checks.certificate_expiry]\n{setting}") == expected


def test_it_gets_worse_and_is_over_with_a_new_certificate():
    story = Story(checks=[check])
    days = [31, 29, 20, 6, 5, 365, 365]
    assert [story.hears(system(lone(n1=client(left)))) for left in days] == [
        [],
        ["opened SERVER_902 n1 client"],
        [],
        ["resolved SERVER_902 n1 client", "opened SERVER_902 n1 client"],
        [],
        [],
        ["resolved SERVER_902 n1 client"],
    ]
    (resolved,) = story.told
    assert resolved.life.summary.startswith("the certificate of the client listener of n1 expires")


def test_one_certificate_on_many_servers_is_one_finding():
    given = system(cluster(**{f"n{number}": client(5) for number in range(6)}))
    assert found(check, given) >= {"system"}
    story = Story(checks=[check])
    assert story.hears(given) == ["opened SERVER_902 system"]
