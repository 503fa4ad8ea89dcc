"""What servers garble, repeat or say of others changes nothing, and is never logged."""

from __future__ import annotations

import logging
from contextlib import suppress

import pytest

from kit.fleet.auditing import (
    CHECKS,
    PATIENT,
    SECRET,
    auditing,
    held,
    reconnect,
    sick_and_well,
    subscribed,
)
from nats_insights.errors import Missing
from nats_insights.lab.fleet.misbehave import Misbehaviour
from nats_insights.lab.fleet.truth import truth

pytestmark = [pytest.mark.live, pytest.mark.long]

ENDPOINTS = ("VARZ", "STATZ", "ROUTEZ", "CONNZ")
# Replies in which each record of a list is read.
LISTS = ("STATZ", "ROUTEZ", "CONNZ")
UNREADABLE = [
    *((one, malformed) for one in ENDPOINTS for malformed in ("garbage", "truncated", "cut_off")),
    *((one, malformed) for one in LISTS for malformed in ("null_record", "wrong_type")),
]
# What cannot be found without a reply.
BLIND = {
    "VARZ": set(CHECKS),
    "STATZ": {"OPT_BALANCE_002", "OPT_BALANCE_006"},
    "ROUTEZ": set(),
    "CONNZ": {"OPT_BALANCE_003", "USER_002"},
}
# Seconds for a reply, once some will not be understood.
TIMEOUT = 0.3
# Nothing waits, so that one epoch tells.
AT_ONCE = "".join(
    f"[checks.{check.name}]\nopen_after = 1\nresolve_after = 1\n" for check in CHECKS.values()
)


@pytest.fixture
def fleet():
    """Of which each check finds something, and only as long as `a` is heard."""
    fleet = sick_and_well()
    assert {code for code, _ in truth(fleet)} == set(CHECKS)
    return fleet


@pytest.fixture(autouse=True)
def nothing_is_logged(caplog):
    """No part of any reply, whatever the level."""
    caplog.set_level(logging.DEBUG)
    yield
    logged = [caplog.handler.format(record) for record in caplog.get_records("call")]
    for content in (SECRET, "this is not", "many"):
        assert [line for line in logged if content in line] == []


def spoil(watch, malformed, endpoint):
    """From now on one endpoint of `a` and `d` is malformed, "" for no more."""
    misbehaviour = Misbehaviour(endpoints=frozenset({endpoint}), malformed=malformed)
    watch.service.misbehave(map(watch.service.fleet.server, "ad"), misbehaviour)


@pytest.mark.parametrize(("endpoint", "malformed"), UNREADABLE)
async def test_what_cannot_be_read_changes_nothing(host, fleet, endpoint, malformed):
    true = truth(fleet)
    async with auditing(fleet, host, config=AT_ONCE) as watch:
        await watch.epochs()
        assert watch.open == true
        spoil(watch, malformed, endpoint)
        watch.wait(TIMEOUT)
        for _ in range(2):
            reconnect(fleet, fleet.servers)
            assert await watch.epochs() == []
            assert watch.malformed >= 2
            assert watch.owing(endpoint) >= {"a", "d"}
        assert watch.open == true


@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_what_could_never_be_read_opens_nothing(host, fleet, endpoint):
    true = truth(fleet)
    async with auditing(fleet, host, config=AT_ONCE) as watch:
        spoil(watch, "garbage", endpoint)
        watch.wait(TIMEOUT)
        await watch.epochs()
        assert watch.owing(endpoint) >= {"a", "d"}
        assert watch.open <= {(code, name) for code, name in true if code not in BLIND[endpoint]}
        spoil(watch, "", endpoint)
        watch.wait(PATIENT)
        reconnect(fleet, fleet.servers)
        await watch.epochs()
        assert watch.open == true


async def test_replies_that_come_several_times_count_once(host, fleet):
    async with auditing(fleet, host, config=AT_ONCE) as watch:
        watch.service.misbehave(fleet.servers, Misbehaviour(duplicates=3))
        await watch.epochs()
        assert watch.open == truth(fleet)
        assert watch.users == held(fleet)
        assert watch.subscriptions == subscribed(fleet)
        assert (watch.malformed, watch.coverage.missing) == (0, [])
        reconnect(fleet, fleet.servers)
        assert await watch.epochs() == []


def connections(watch, server):
    """How many connections it has, by each endpoint whose figure is known."""
    noun = watch.auditor.snapshot.servers[server.cluster.name, server.name]
    figures = set()
    for figure in (lambda: noun.varz.connections, lambda: noun.connections):
        with suppress(Missing):
            figures.add(figure())
    return figures


# Servers answer in the order of their names: a lie comes first, or after the truth.
@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize(("liar", "other"), [("a", "f"), ("b", "h"), ("f", "a")])
async def test_what_is_said_in_the_name_of_another_changes_nothing(
    host, fleet, liar, other, endpoint
):
    # A lie could open a finding of f, and resolve one of h.
    fleet.server("h").max_connections = 36
    true = truth(fleet)
    assert ("SERVER_011", ("C3", "h")) in true
    claim = Misbehaviour(endpoints=frozenset({endpoint}), claims=other)
    async with auditing(fleet, host, config=AT_ONCE) as watch:
        await watch.epochs()
        assert watch.open == true
        watch.service.misbehave([fleet.server(liar)], claim)
        watch.wait(TIMEOUT)
        reconnect(fleet, fleet.servers)
        assert await watch.epochs() == []
        assert watch.open == true
        assert liar in watch.owing(endpoint)
        assert connections(watch, fleet.server(other)) <= {len(fleet.server(other).cids)}
        assert watch.malformed > 0
