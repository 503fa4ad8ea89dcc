"""ACME_001: each sentence is a case. The contract runs them too, with every reply lost in turn."""

from __future__ import annotations

import pytest
from acme_checks.unnamed_connections import unnamed_connections

from nats_insights.testing import Server, System, cluster, finding, found, hung, row, system


def clients(named: int, unnamed: int) -> System:
    """A cluster with so many clients of account APP, those with a name on a server of their own."""
    return system(cluster(n1=named, n2=Server(rows=(row(name=""),) * unnamed)))


CASES = {
    "fires when half of the clients have no name": (clients(5, 5), {"APP"}),
    "fires when no client has a name": (clients(0, 10), {"APP"}),
    "quiet when most clients have one": (clients(6, 5), set()),
    "quiet on a small account": (clients(0, 9), set()),
    "quiet about the connections of leaf nodes": (
        system(cluster(n1=Server(rows=(row(kind="Leafnode"),) * 20))),
        set(),
    ),
    "quiet while a server is silent: its clients may have names": (
        system(cluster(n1=Server(rows=(row(name=""),) * 20), n2=hung)),
        set(),
    ),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(unnamed_connections, given) == expected


def test_it_says_how_many():
    said = finding(unnamed_connections, clients(500, 1500))
    assert (said.summary, said.value, said.evidence) == (
        "1,500 of 2,000 connections of account APP have no name",
        75.0,
        {"unnamed": 1500, "connections": 2000},
    )
