"""SERVER_004: other servers or leaf nodes read too slowly from a server."""

from __future__ import annotations

import pytest

from nats_insights.checks.server.slow_consumers import slow_consumers as check
from nats_insights.testing import (
    Epochs,
    Server,
    Story,
    System,
    cluster,
    finding,
    found,
    hung,
    lone,
    system,
    then,
)


def counting(**kinds: int) -> Server:
    """A server that counted so many slow consumers of each kind."""
    total = sum(kinds.values())
    return Server(1, varz={"slow_consumers": total, "slow_consumer_stats": kinds})


def at(**kinds: int) -> System:
    return system(cluster(n1=counting(**kinds), n2=counting()))


def counts(*links: int, every: float = 30.0) -> Epochs:
    """So many slow routes in each epoch."""
    return then(*(at(routes=count) for count in links), every=every)


CASES = {
    "fires for one slow route": (counts(0, 1), {"C1 n1"}),
    "fires for a slow gateway": (then(at(), at(gateways=1)), {"C1 n1"}),
    "fires for a slow leaf node": (then(at(), at(leafs=1)), {"C1 n1"}),
    "quiet about slow clients, which their accounts tell, unlike its peers": (
        then(at(), at(clients=30)),
        set(),
    ),
    "quiet about what was counted before, unlike its peers": (counts(3, 3), set()),
    "quiet where none was counted": (counts(0, 0), set()),
    "quiet in the first epoch": (at(routes=3), set()),
    "fires for five minutes": (counts(0, *10 * [1]), {"C1 n1"}),
    "quiet after that": (counts(0, *11 * [1]), set()),
    "quiet after a restart": (counts(7, 0), set()),
    "fires for what is counted since a restart": (counts(7, 2), {"C1 n1"}),
    "fires on a server without a cluster": (
        then(system(lone(n1=counting())), system(lone(n1=counting(leafs=1)))),
        {"n1"},
    ),
    "fires though a peer hangs": (
        then(at(), system(cluster(n1=counting(routes=1), n2=hung))),
        {"C1 n1"},
    ),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


SETTINGS = {
    "links = 2": {"C1 n1"},
    "links = 3": set(),
    "links = 3\nclients = 4": {"C1 n1"},
    "links = 3\nclients = 5": set(),
    "window = '30s'": set(),
    "window = '60s'": {"C1 n1"},
}


@pytest.mark.parametrize(("setting", "expected"), SETTINGS.items(), ids=SETTINGS)
def test_its_parameters_can_be_set(setting, expected):
    slow = at(routes=1, leafs=1, clients=4)
    given = then(at(), slow, slow)
    assert found(check, given, f"[checks.slow_consumers]\n{setting}") == expected


def test_it_says_how_many_of_which_kind():
    said = finding(check, then(at(routes=5), at(routes=6, leafs=1, clients=9)))
    assert (said.summary, said.value, said.threshold, said.evidence) == (
        "2 links of n1 read too slowly in the last 30 s",
        2,
        1,
        {
            "seconds": 30.0,
            "since_start": {"routes": 6, "gateways": 0, "leaf_nodes": 1, "clients": 9},
        },
    )


def test_it_is_about_clients_where_only_they_were_slow():
    said = finding(check, then(at(), at(clients=9)), 'profile = "insights"')
    assert (said.summary, said.unit) == (
        "9 clients of n1 read too slowly in the last 30 s",
        "clients",
    )


def test_it_resolves_when_there_are_no_more():
    story = Story("checks.slow_consumers.window = '1m'", [check])
    heard = [story.hears(at(routes=n)) for n in (0, 2, 2, 2, 2)]
    assert heard == [[], ["opened SERVER_004 C1 n1"], [], ["resolved SERVER_004 C1 n1"], []]
    assert story.lives == {}
