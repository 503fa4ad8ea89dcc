"""SERVER_907: a server accepts no clients, by its configuration."""

from __future__ import annotations

import pytest

from nats_insights.checks.server.clients_not_accepted import clients_not_accepted as check
from nats_insights.testing import Server, Story, cluster, finding, found, hung, lone, system

CLOSED = Server(max_connections=-1)
CASES = {
    "fires at minus one": (system(cluster(n1=CLOSED, n2=1)), {"C1 n1"}),
    "quiet at zero, which servers show as minus one": (
        system(cluster(n1=Server(max_connections=0), n2=1)),
        set(),
    ),
    "quiet at any other number": (system(cluster(n1=Server(max_connections=1), n2=1)), set()),
    "fires from the version on that refuses everybody": (
        system(lone(n1=Server(max_connections=-1, version="2.12.5"))),
        {"n1"},
    ),
    "quiet before, where it meant that there is no limit": (
        system(lone(n1=Server(max_connections=-1, version="2.12.4"))),
        set(),
    ),
    "quiet in the older line": (
        system(lone(n1=Server(max_connections=-1, version="2.11.17"))),
        set(),
    ),
    "fires though a peer hangs": (system(cluster(n1=CLOSED, n2=hung)), {"C1 n1"}),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


def test_it_says_why():
    said = finding(check, system(cluster(n1=CLOSED)))
    assert (said.summary, said.value, said.threshold, said.unit, said.evidence) == (
        "n1 refuses every client: its max_connections is -1",
        -1,
        0,
        "connections",
        {"connections": 0, "version": "2.15.1"},
    )


def test_it_opens_and_resolves():
    story = Story(checks=[check])
    heard = [story.hears(system(cluster(n1=one, n2=1))) for one in (1, CLOSED, CLOSED, 1, 1)]
    assert heard == [[], ["opened SERVER_907 C1 n1"], [], [], ["resolved SERVER_907 C1 n1"]]
