"""SERVER_007: anybody who reaches a server can use it."""

from __future__ import annotations

import pytest

from nats_insights.checks.server.authentication_not_required import (
    authentication_not_required as check,
)
from nats_insights.testing import Server, Story, cluster, finding, found, hung, lone, system


def opened(host: str = "0.0.0.0", required: bool = False, **more: object) -> Server:
    """A server on an address, without authentication."""
    return Server(1, varz={"host": host, "port": 4222, "auth_required": required, **more})


WEB = {"host": "10.0.0.7", "port": 8080}
CASES = {
    "fires where nobody need authenticate": (system(cluster(n1=opened(), n2=1)), {"C1 n1"}),
    "fires where no address is told": (system(lone(n1=opened(""))), {"n1"}),
    "fires on an address of a network": (system(lone(n1=opened("10.0.0.7"))), {"n1"}),
    "fires on an address of IPv6": (system(lone(n1=opened("[fd00::7]"))), {"n1"}),
    "fires on a host by its name": (system(lone(n1=opened("nats.example"))), {"n1"}),
    "quiet where authentication is required": (system(lone(n1=opened(required=True))), set()),
    "quiet on loopback, unlike its peers": (system(lone(n1=opened("127.0.0.1"))), set()),
    "quiet on loopback of IPv6": (system(lone(n1=opened("[::1]"))), set()),
    "quiet on localhost": (system(lone(n1=opened("localhost"))), set()),
    "fires where only the WebSocket listener is open to others": (
        system(lone(n1=opened("127.0.0.1", websocket=WEB))),
        {"n1"},
    ),
    "quiet where MQTT is not configured": (
        system(lone(n1=opened("127.0.0.1", mqtt={"host": "10.0.0.7"}))),
        set(),
    ),
    "quiet where certificates are verified": (system(lone(n1=opened(tls_verify=True))), set()),
    "fires where TLS is all": (system(lone(n1=opened(tls_required=True))), {"n1"}),
    "fires though a peer hangs": (system(cluster(n1=opened(), n2=hung)), {"C1 n1"}),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


SETTINGS = {
    "checks.authentication_not_required.loopback = true": {"here"},
    "checks.authentication_not_required.certificates = true": {"mine"},
    'profile = "insights"': {"here", "mine"},
}


@pytest.mark.parametrize(("setting", "expected"), SETTINGS.items(), ids=SETTINGS)
def test_its_parameters_can_be_set(setting, expected):
    given = system(lone(here=opened("127.0.0.1"), mine=opened(tls_verify=True)))
    assert found(check, given, setting) == expected


def test_it_says_where():
    said = finding(check, system(lone(n1=opened(websocket=WEB))))
    assert said.summary == "n1 lets in clients without authentication on 0.0.0.0, 10.0.0.7"
    assert said.evidence == {"listens_on": ["0.0.0.0", "10.0.0.7"], "tls_required": False}


def test_it_opens_at_once_and_resolves():
    story = Story(checks=[check])
    heard = [story.hears(system(lone(n1=opened(required=one)))) for one in (True, False, True)]
    assert heard == [[], ["opened SERVER_007 n1"], ["resolved SERVER_007 n1"]]
