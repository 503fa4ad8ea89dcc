"""Checks of streams, consumers and Raft groups on real clusters: quiet, found, cured, resolved."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import nats
import pytest
from nats.aio.client import Client
from nats.errors import Error
from nats.js.api import AckPolicy, ConsumerConfig, StreamConfig

from kit.watching import Watch, watching
from nats_insights.check import MetaGroup
from nats_insights.checks.consumer.outstanding_ack_critical import outstanding_ack_critical
from nats_insights.checks.jetstream.peer_lag_critical import peer_lag_critical
from nats_insights.checks.meta.meta_quorum_lost import meta_quorum_lost
from nats_insights.checks.opt_sys.leaderless_raft_group import leaderless_raft_group
from nats_insights.lab.servers import local

pytestmark = [pytest.mark.live, pytest.mark.long]

CHECKS = (
    leaderless_raft_group,
    meta_quorum_lost,
    outstanding_ack_critical,
    peer_lag_critical,
)
KEEPERS = ("n1", "n2", "n3")
# Without JetStream; with them most of the system still answers when two keepers do not.
OTHERS = ("n4", "n5")
EVERY_EPOCH = 'gather.timeout = "200ms"\ngather.every = { JSZ_STREAMS = "50ms" }\n'
MINE = {"io.nats.monitor.enabled": "true"}
PATIENCE = 40.0


@pytest.fixture
def servers(binary, version, tmp_path) -> Iterator[local.System]:
    if version == "2.10.26":
        pytest.skip("it now and then takes a minute to add a stream where other tests run beside")
    options = {name: f'jetstream {{ store_dir: "{tmp_path / name}" }}' for name in KEEPERS}
    with local.cluster(*KEEPERS, *OTHERS, options=options, binary=binary) as system:
        yield system


@pytest.fixture
async def client(servers: local.System) -> AsyncIterator[Client]:
    user, password = servers.user("ops")
    client = await nats.connect(servers["n4"].url, user=user, password=password)
    yield client
    await client.close()


async def insist(request: Any, **settings: Any) -> Any:
    """What JetStream answers, once it has a leader that has heard of enough peers."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await request(**settings)
            except (Error, nats.js.errors.Error):
                await asyncio.sleep(0.1)


def looking(servers: local.System, more: str = "") -> Any:
    return watching(servers, agent="n4", listen="n5", more=EVERY_EPOCH + more, checks=CHECKS)


async def test_a_replica_that_lags_behind_is_found_if_its_server_does_not_explain_it(
    servers, client
):
    orders = StreamConfig(
        name="ORDERS",
        subjects=["orders"],
        num_replicas=3,
        metadata=MINE | {"io.nats.monitor.peer-lag-critical": "50"},
    )
    stream = await insist(client.jetstream(timeout=2).add_stream, config=orders)
    late = next(name for name in KEEPERS if name != stream.cluster.leader)
    name = f"ORDERS on {late}"
    async with looking(servers, "checks.server_not_answering.enabled = false\n") as watch:
        await watch.epochs()
        assert watch.named("JETSTREAM_022") == set()
        await _leave_behind(servers[late], client)
        await watch.until(lambda: watch.named("JETSTREAM_022") == {name})
        said = watch.open["JETSTREAM_022", name]
        assert (said.threshold, said.entity.server, said.entity.stream) == (50, late, "ORDERS")
        assert said.value > 50
        servers[late].thaw()
        await watch.until(lambda: not watch.named("JETSTREAM_022"))
    async with looking(servers) as watch:
        await watch.epochs()
        await _leave_behind(servers[late], client)
        await watch.until(lambda: watch.named("SERVER_901") == {late})
        (cause,) = watch.open.values()
        await watch.until(lambda: cause.fingerprint in _explained(watch, "JETSTREAM_022"))
        assert watch.named("JETSTREAM_022") == set()


async def test_deliveries_that_nobody_acknowledges_are_found(servers, client):
    jetstream = client.jetstream(timeout=2)
    jobs = StreamConfig(name="JOBS", subjects=["jobs"], num_replicas=3)
    await insist(jetstream.add_stream, config=jobs)
    worker = ConsumerConfig(
        durable_name="worker",
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=3600,
        metadata=MINE | {"io.nats.monitor.outstanding-ack-critical": "20"},
    )
    await insist(jetstream.add_consumer, stream="JOBS", config=worker)
    for _ in range(20):
        await insist(jetstream.publish, subject="jobs", payload=b"a job")
    subscription = await jetstream.pull_subscribe_bind("worker", "JOBS")
    async with looking(servers) as watch:
        taken = await subscription.fetch(19, timeout=10)
        await watch.epochs()
        assert watch.named("CONSUMER_006") == set()
        taken += await subscription.fetch(1, timeout=10)
        await watch.until(lambda: watch.named("CONSUMER_006") == {"worker"})
        said = watch.open["CONSUMER_006", "worker"]
        assert (said.value, said.threshold, said.entity.account) == (20, 20, "OPS")
        for job in taken[:5]:
            await job.ack_sync()
        await watch.until(lambda: not watch.named("CONSUMER_006"))
        assert watch.advisories[-1].reason == "condition_cleared"


async def test_a_meta_group_without_quorum_is_found_until_its_members_are_back(servers, client):
    await insist(client.jetstream(timeout=2).add_stream, name="ANY", subjects=["any"])
    async with looking(servers) as watch:
        await watch.epochs()
        assert not watch.named("META_006") | watch.named("OPT_SYS_009")
        leader = _meta(watch).leader
        last, other = (name for name in KEEPERS if name != leader)
        # The last one is no leader, which would take twice as long to give up.
        servers[leader].kill()
        servers[other].kill()
        await watch.until(lambda: watch.named("META_006") == {"C1"})
        said = watch.open["META_006", "C1"]
        assert (said.value, said.threshold, said.entity.kind) == (1, 2, "meta_group")
        await watch.until(lambda: watch.named("OPT_SYS_009") == {"_meta_"})
        assert watch.open["OPT_SYS_009", "_meta_"].entity.server == last
        servers[leader].restart(settle=False)
        servers[other].restart(settle=False)
        await watch.until(lambda: not watch.named("META_006") | watch.named("OPT_SYS_009"))


async def _leave_behind(server: local.Server, client: Client) -> None:
    """Freeze it, and publish what it then lacks."""
    server.freeze()
    for _ in range(100):
        await insist(client.jetstream(timeout=2).publish, subject="orders", payload=b"an order")


def _explained(watch: Watch, code: str) -> set[str]:
    """What explains the findings of a check."""
    lives = watch.agent.auditor.lives
    return {life.explained_by for key, life in lives.items() if key.code == code}


def _meta(watch: Watch) -> MetaGroup:
    (group,) = MetaGroup.all(watch.agent.auditor.snapshot)
    return group
