"""Streams of simulated servers: all are read, within the window, and what is wrong is found."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from kit.fleet.auditing import Watch, auditing
from nats_insights.check import (
    CRITICAL,
    JSZ_STREAMS,
    WARNING,
    Consumer,
    Finding,
    Stream,
    StreamReplica,
    check,
)
from nats_insights.gather import streams as reading
from nats_insights.lab.fleet.model import Fleet
from nats_insights.lab.fleet.plant import HEALTHY, Faults, plant
from nats_insights.lab.fleet.truth import Fact, stream_truth
from nats_insights.lab.servers import local

pytestmark = pytest.mark.live

FAULTS = Faults(lagging_replicas=4, unacknowledging_consumers=4)
ONCE = {"needs": (JSZ_STREAMS,), "resolve_after": 1}


@check("JETSTREAM_001", WARNING, "consistency", **ONCE)
def replica_lags(replica: StreamReplica) -> Finding | None:
    """A replica lags behind its leader by more than a tenth.

    Finds: it does. Why: it matters. Do: mend it.
    """
    behind = 10 * replica.peer.lag > replica.stream.told.state.last_seq
    return Finding(summary="it lags") if behind else None


@check("OPT_SYS_003", CRITICAL, "saturation", **ONCE)
def consumer_waits(consumer: Consumer) -> Finding | None:
    """A consumer waits for nearly all acknowledgements that it may wait for.

    Finds: it does. Why: it matters. Do: mend it.
    """
    told = consumer.told
    waits = 5 * told.num_ack_pending >= 4 * told.config.max_ack_pending
    return Finding(summary="it waits") if waits else None


@pytest.fixture(scope="module")
def strict() -> Iterator[local.Server]:
    """A server that cuts off whoever it owes more than 8 MB."""
    with local.server("strict", options="max_payload: 8MB\nmax_pending: 8MB") as system:
        yield system["strict"]


@asynccontextmanager
async def looking(fleet: Fleet, host: local.Server) -> AsyncIterator[Watch]:
    checks = (replica_lags, consumer_waits)
    async with auditing(fleet, host, checks=checks) as watch:
        yield watch


def truth(fleet: Fleet) -> set[Fact]:
    """What these checks can find, with the place of a stream behind its name."""
    return {
        (code, (account, stream, cluster, *rest))
        for code, (cluster, account, stream, *rest) in stream_truth(fleet)
        if code != "OPT_SYS_009"
    }


def planted(fleet: Fleet) -> set[tuple[str, str, str]]:
    return {
        (stream.account, stream.name, cluster.name)
        for cluster in fleet.clusters
        for stream in cluster.streams
    }


def seen(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> set[tuple[str, ...]]:
    """The streams that are judged from now on."""
    names: set[tuple[str, ...]] = set()
    take = watch.auditor.take_streams

    def note(server, details):
        yield from take(server, details)
        names.update(one.names for one in Stream.all(watch.auditor.snapshot))

    monkeypatch.setattr(watch.auditor, "take_streams", note)
    return names


async def test_all_streams_are_read_and_what_is_wrong_is_found(host, monkeypatch):
    fleet = plant(9, 5, clusters=2, streams=40, faults=FAULTS)
    async with looking(fleet, host) as watch:
        names = seen(watch, monkeypatch)
        await watch.epochs()
        assert names == planted(fleet)
        assert watch.open == truth(fleet)
        assert len(watch.open) == 8
        # One request for the accounts, and one for all of their streams; the host has none.
        assert watch.cost.endpoints["JSZ_STREAMS"].requests == 2 * 9
        assert watch.auditor.snapshot.streams == {}
        await watch.epochs()
        assert "JSZ_STREAMS" not in watch.cost.endpoints
        assert watch.open == truth(fleet)


async def test_servers_with_many_streams_tell_them_account_by_account(host, monkeypatch):
    monkeypatch.setattr(reading, "WHOLE", 50)
    fleet = plant(6, 5, clusters=2, streams=40, faults=FAULTS)
    async with looking(fleet, host) as watch:
        names = seen(watch, monkeypatch)
        await watch.epochs()
        assert names == planted(fleet)
        assert watch.open == truth(fleet)
        accounts = sum(len(server.cluster.jetstream) for server in fleet.servers)
        assert watch.cost.endpoints["JSZ_STREAMS"].requests == 6 + accounts


async def test_large_servers_are_read_within_what_a_strict_server_allows(strict):
    fleet = plant(10, 5, clusters=1, streams=600, faults=FAULTS)
    async with looking(fleet, strict) as watch:
        await watch.epochs()
        assert watch.open == truth(fleet)
        assert watch.owing("JSZ_STREAMS") == set()
        assert 0 < watch.cost.peak_window_bytes <= 3 * 2**20
        assert watch.auditor.snapshot.servers["", "strict"].varz.slow_consumers == 0


async def test_one_account_that_no_reply_could_hold_is_not_asked_for(host, monkeypatch):
    fleet = plant(3, 5, accounts=1, streams=300, faults=HEALTHY)
    async with looking(fleet, host) as watch:
        window = watch.gatherer.window
        window.wanted = window.full = window.size = 64 * 1024
        monkeypatch.setattr(reading, "ROW_BYTES", 4000)
        watch.gatherer.streams._row_bytes = 4000.0
        await watch.epochs()
        assert len(watch.owing("JSZ_STREAMS")) == 3
        assert watch.cost.endpoints["JSZ_STREAMS"].requests == 3
        assert watch.auditor.outcomes["OPT_SYS_003"].why.startswith("JSZ_STREAMS of ")
