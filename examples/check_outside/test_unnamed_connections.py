"""ACME_001: each sentence is a case."""

from __future__ import annotations

import pytest
from acme_checks.unnamed_connections import Unnamed, naming, unnamed_connections

from nats_insights.check import Account, Server
from nats_insights.errors import Missing
from nats_insights.model.fold import Tally
from nats_insights.model.snapshot import Snapshot
from nats_insights.model.sweeps import Sweeps
from nats_insights.replies.connz import Connection


def account(named: int, unnamed: int) -> Account:
    """Account APP with so many clients, all on one server."""
    rows = [Connection(account="APP", name=name) for name in ["app"] * named + [""] * unnamed]
    naming.page(rows, tally := Tally(), Unnamed())
    sweeps = Sweeps([naming])
    sweeps.ledgers[naming].put(("", "n1"), tally)
    snapshot = Snapshot(epoch=1, now=0.0, sweeps=sweeps)
    snapshot.servers["", "n1"] = Server("n1", None, snapshot)
    return Account("APP", snapshot)


CASES = {
    "fires when half of the clients have no name": (account(5, 5), 50.0),
    "fires when no client has a name": (account(0, 10), 100.0),
    "quiet when most clients have one": (account(6, 5), None),
    "quiet on a small account": (account(0, 9), None),
    "quiet on an account that only leaf nodes use": (account(0, 0), None),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    finding = unnamed_connections.judge(given, Unnamed())
    assert (finding and finding.value) == expected


def test_it_cannot_tell_while_a_server_owes_its_connections():
    given = account(0, 10)
    given.snapshot.lacking["CONNZ"].add(("", "n2"))
    with pytest.raises(Missing):
        unnamed_connections.judge(given, Unnamed())


def test_its_summary_has_the_numbers():
    finding = unnamed_connections.judge(account(500, 1500), Unnamed())
    assert finding.summary == "1,500 of 2,000 connections of account APP have no name"
