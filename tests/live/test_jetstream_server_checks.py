"""What VARZ says of JetStream, and of servers and clusters, on real servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import msgspec
import nats
import pytest
from msgspec.structs import replace
from nats.aio.client import Client
from nats.errors import Error
from nats.js.api import ConsumerConfig, StorageType, StreamConfig
from nats.js.client import JetStreamContext

from kit.watching import watching
from nats_insights.checks.change.jetstream_domain_changed import jetstream_domain_changed
from nats_insights.checks.cluster.cluster_name_whitespace import cluster_name_whitespace
from nats_insights.checks.cluster.connection_count_change import connection_count_change
from nats_insights.checks.cluster.ha_assets_high import ha_assets_high
from nats_insights.checks.cluster.memory_outlier import memory_outlier
from nats_insights.checks.cluster.no_room_to_lose_a_server import no_room_to_lose_a_server
from nats_insights.checks.jetstream.js_api_error_rate_high import js_api_error_rate_high
from nats_insights.checks.jetstream.js_api_pending_high import js_api_pending_high
from nats_insights.checks.jetstream.js_api_rate_high import js_api_rate_high
from nats_insights.checks.server.connection_limit_ahead import connection_limit_ahead
from nats_insights.checks.server.jetstream_memory_pressure import jetstream_memory_pressure
from nats_insights.checks.server.jetstream_storage_near_limit import (
    jetstream_storage_near_limit,
)
from nats_insights.checks.server.jetstream_storage_pressure import jetstream_storage_pressure
from nats_insights.checks.system.other_system_account import other_system_account
from nats_insights.errors import InsightsError
from nats_insights.lab.servers import local
from nats_insights.testing import Story, System
from nats_insights.testing.systems import Replying
from scenario import read

pytestmark = [pytest.mark.live, pytest.mark.long]

KEEPERS = ("n1", "n2", "n3")
MIB = 2**20
PATIENCE = 30.0
SOON = 'gather.timeout = "200ms"\n'


def keeper(store: str, memory: int = 128, storage: int = 32, more: str = "") -> str:
    """The configuration of a server that keeps streams, of so many MiB."""
    limits = f"max_memory_store: {memory}MB, max_file_store: {storage}MB"
    return f'jetstream {{ store_dir: "{store}", {limits}, {more} }}'


@pytest.fixture(scope="module")
def keepers(binary, tmp_path_factory) -> Iterator[local.System]:
    """A cluster with JetStream, for all tests of this file that need one."""
    home = tmp_path_factory.mktemp("stores")
    options = {name: keeper(f"{home}/{name}") for name in KEEPERS}
    with local.cluster(*KEEPERS, options=options, binary=binary) as system:
        yield system


@asynccontextmanager
async def client_of(system: local.System, name: str = "n1") -> AsyncIterator[Client]:
    user, password = system.user("ops")
    client = await nats.connect(system[name].url, user=user, password=password)
    try:
        yield client
    finally:
        await client.close()


async def insist(request: Callable[..., Any], **settings: Any) -> Any:
    """What JetStream answers, once it has a leader that has heard of enough peers."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await request(**settings)
            except (Error, nats.js.errors.Error):
                await asyncio.sleep(0.1)


async def fill(jetstream: JetStreamContext, mebibytes: int) -> None:
    for _ in range(2 * mebibytes):
        await insist(jetstream.publish, subject="big", payload=bytes(MIB // 2))


@asynccontextmanager
async def stream(system: local.System, **config: Any) -> AsyncIterator[tuple[Any, str]]:
    """A stream that takes subject `big`: JetStream, and the server that leads it."""
    async with client_of(system) as client:
        jetstream = client.jetstream(timeout=5)
        made = await insist(
            jetstream.add_stream, config=StreamConfig(name="BIG", subjects=["big"], **config)
        )
        try:
            yield jetstream, made.cluster.leader
        finally:
            await insist(jetstream.delete_stream, name="BIG")


async def test_streams_that_fill_the_storage_of_a_server_are_found_until_purged(keepers):
    checks = [jetstream_storage_near_limit, jetstream_memory_pressure, jetstream_storage_pressure]
    async with (
        watching(keepers, checks=checks) as watch,
        stream(keepers, storage=StorageType.FILE) as (jetstream, leader),
    ):
        await fill(jetstream, 20)
        await watch.epochs()
        assert watch.story == []
        await fill(jetstream, 9)
        await watch.until(lambda: watch.named("SERVER_019") == {leader})
        assert watch.severity("SERVER_019", leader) == "warning"
        await fill(jetstream, 2)
        await watch.until(lambda: watch.severity("SERVER_019", leader) == "critical")
        said = watch.open["SERVER_019", leader]
        assert said.evidence["max_storage"] == 32 * MIB
        assert 31 * MIB <= said.evidence["used"] <= 32 * MIB
        await insist(jetstream.purge_stream, name="BIG")
        await watch.until(lambda: not watch.open)
        assert {code for _, code, _ in watch.story} == {"SERVER_019"}


async def test_a_stream_in_memory_is_found_by_its_server_and_an_outlier_among_its_peers(keepers):
    low = "checks.memory_outlier = { min_mib = 120, open_after = 2 }\n"
    checks = [jetstream_memory_pressure, memory_outlier]
    async with stream(keepers, storage=StorageType.MEMORY) as (jetstream, leader):
        away = next(name for name in KEEPERS if name != leader)
        async with watching(keepers, agent=away, listen=away, more=low, checks=checks) as watch:
            await watch.epochs(3)
            assert watch.story == []
            await fill(jetstream, 120)
            await watch.until(lambda: watch.named("SERVER_005") == {leader})
            await watch.until(lambda: watch.named("CLUSTER_001") == {leader})
            assert watch.open["CLUSTER_001", leader].evidence["mem"] > 120 * MIB
            keepers[leader].restart()  # Only then a process gives its memory back at once.
            await watch.until(lambda: not watch.open)


async def test_streams_that_reserve_more_than_a_server_has_are_found(keepers, version):
    if version < "2.12":
        pytest.skip("it does not restore a stream that reserves more than there is")
    async with stream(keepers, max_bytes=20 * MIB) as (_, leader):
        away = next(name for name in KEEPERS if name != leader)
        checks = [jetstream_storage_pressure]
        async with watching(keepers, agent=away, listen=away, checks=checks) as watch:
            await watch.epochs()
            assert watch.story == []
            options = keepers[leader].options
            keepers[leader].options = options.replace("32MB", "16MB")
            keepers[leader].restart()
            await watch.until(lambda: watch.named("SERVER_017") == {leader})
            said = watch.open["SERVER_017", leader]
            assert (said.value, said.threshold) == (125.0, 100.0)
            keepers[leader].options = options
            keepers[leader].restart()
            await watch.until(lambda: not watch.named("SERVER_017"))


async def test_replicated_streams_and_consumers_are_counted(keepers):
    few = "checks.ha_assets_high.assets = 3\n"
    async with (
        watching(keepers, more=few, checks=[ha_assets_high]) as watch,
        stream(keepers, num_replicas=3) as (jetstream, _),
    ):
        await watch.epochs()
        assert watch.story == []  # The meta group and a stream.
        worker = ConsumerConfig(durable_name="worker", num_replicas=3)
        await insist(jetstream.add_consumer, stream="BIG", config=worker)
        await watch.until(lambda: watch.named("CLUSTER_003") == set(KEEPERS))
        await insist(jetstream.delete_consumer, stream="BIG", consumer="worker")
        await watch.until(lambda: not watch.open)


API = """
    checks.js_api_rate_high = { per_second = 1000.0, window = "1s", open_after = 2 }
    checks.js_api_error_rate_high = { window = "1s", min_requests = 20 }
    checks.js_api_pending_high = { pending = 5, open_after = 1 }
"""


async def test_requests_to_the_api_are_found_by_rate_errors_and_backlog(keepers):
    checks = [js_api_rate_high, js_api_error_rate_high, js_api_pending_high]
    # What its own server relays is answered at once: only requests by a route are queued.
    async with (
        stream(keepers, num_replicas=3) as (_, leader),
        client_of(keepers, next(name for name in KEEPERS if name != leader)) as client,
        watching(keepers, more=API, checks=checks) as watch,
    ):
        await watch.epochs(4)
        assert watch.story == []
        async with flood(client, "$JS.API.STREAM.INFO.BIG"):
            await watch.until(lambda: leader in watch.named("JETSTREAM_004"))
            await watch.until(lambda: leader in watch.named("JETSTREAM_005"))
            assert not watch.named("JETSTREAM_009")
        async with flood(client, "$JS.API.STREAM.INFO.NONE"):
            await watch.until(lambda: watch.named("JETSTREAM_009"))
        await watch.until(lambda: not watch.open)


@asynccontextmanager
async def flood(client: Client, subject: str) -> AsyncIterator[None]:
    """A client that sends requests and does not wait for the answers."""

    enough = asyncio.Event()

    async def send() -> None:
        while not enough.is_set():
            for _ in range(500):
                await client.publish(subject, reply="nobody")
            await client.flush()

    sending = asyncio.create_task(send())
    try:
        yield
    finally:
        enough.set()
        await sending


async def test_another_domain_is_told_across_the_restart_that_it_takes(start_cluster, tmp_path):
    hub = keeper(str(tmp_path), more="domain: hub")
    system = start_cluster("n1", "n2", "n3", options={"n3": hub})
    brief = 'checks.jetstream_domain_changed.within = "2s"\n'
    async with watching(system, more=brief, checks=[jetstream_domain_changed]) as watch:
        await watch.epochs(2)
        assert watch.story == []
        system["n3"].options = hub.replace("hub", "leaf")
        system["n3"].restart()
        await watch.until(lambda: watch.named("CHANGE_002") == {"n3"})
        said = watch.open["CHANGE_002", "n3"]
        assert (said.evidence["before"], said.evidence["now"]) == ("hub", "leaf")
        await watch.until(lambda: not watch.open)


def test_no_server_starts_with_whitespace_in_its_domain(start_server, tmp_path):
    # Therefore SERVER_006 is tested with replies in which the domain was replaced.
    with pytest.raises(InsightsError, match="domain"):
        start_server("n1", options=keeper(str(tmp_path), more='domain: "my hub"'))


async def test_a_cluster_with_a_tab_in_its_name_is_found(start_cluster):
    system = start_cluster("n1", "n2", cluster_name="EU\tWEST")
    async with watching(system, checks=[cluster_name_whitespace]) as watch:
        await watch.until(lambda: watch.open)
        (said,) = watch.open.values()
        assert (said.code, said.entity.name) == ("CLUSTER_004", "EU\tWEST")
        assert said.summary == r"the name of cluster 'EU\tWEST' has whitespace in it"


LIMITED = """
    checks.connection_count_change = { min_connections = 20, window = "1s", open_after = 2 }
    checks.no_room_to_lose_a_server.open_after = 2
"""


async def test_a_crowd_that_comes_is_a_change_and_leaves_no_room(start_cluster, crowd):
    system = start_cluster(*KEEPERS, options="max_connections: 40")
    user, password = system.user("app")
    checks = [connection_count_change, no_room_to_lose_a_server]
    async with watching(system, more=LIMITED, checks=checks) as watch:
        first = await crowd.join(system["n1"].url, 15, user=user, password=password)
        await watch.epochs(4)
        assert watch.story == []
        second = await crowd.join(system["n2"].url, 30, user=user, password=password)
        more = await crowd.join(system["n3"].url, 25, user=user, password=password)
        await watch.until(lambda: len(watch.open) == 2)
        said = watch.open["CLUSTER_901", "C1"]
        # With the subscriber of this test, and without the agent.
        assert said.evidence["connections"] == len([*first, *second, *more]) + 1
        assert (said.value, said.threshold) == (88.8, 80.0)
        assert "rose from" in watch.open["CLUSTER_006", "C1"].summary
        await watch.until(lambda: not watch.named("CLUSTER_006"))
        await crowd.leave(second)
        await watch.until(lambda: not watch.named("CLUSTER_901"))


async def test_a_server_with_another_system_account_is_found_until_it_has_that_of_its_peers(
    start_cluster,
):
    system = start_cluster(*KEEPERS)
    async with watching(system, listen="n1", more=SOON, checks=[other_system_account]) as watch:
        system["n2"].restart()
        await watch.epochs(3)
        assert not watch.named("SYSTEM_901")
        system["n3"].freeze()  # It hangs, but keeps its routes.
        await watch.until(lambda: watch.named("SERVER_901") == {"n3"})
        await watch.epochs(4)
        assert not watch.named("SYSTEM_901")
        system["n3"].thaw()
        system["n3"].options = "system_account: OPS"
        system["n3"].restart(settle=False)
        await watch.until(lambda: watch.named("SYSTEM_901") == {"C1"})
        assert watch.open["SYSTEM_901", "C1"].evidence["servers"] == ["n3"]
        system["n3"].options = ""
        system["n3"].restart()
        await watch.until(lambda: not watch.open)


async def test_connections_that_rise_towards_the_limit_are_told_before_they_reach_it(
    start_server, crowd, sys_request
):
    # An hour is played: each reply of the server counts as one that came five minutes later.
    server = start_server("n1", options="max_connections: 100")["n1"]
    user, password = server.user("app")
    story = Story("lifecycle.remind_every = '1d'", [connection_limit_ahead])
    told = []
    await crowd.join(server.url, 30, user=user, password=password)
    for _ in range(16):
        await crowd.join(server.url, 2, user=user, password=password)
        told += story.hears(await told_by(server, sys_request), after=300.0)
    assert told == ["opened SERVER_908 n1"]
    (found,) = story.audit.found.values()
    assert found.finding.summary.startswith("n1 reaches its limit of 100 connections in 1.5 hours")
    for _ in range(10):
        told += story.hears(await told_by(server, sys_request), after=300.0)
    assert told[1:] == ["resolved SERVER_908 n1"]


async def told_by(server: local.Server, sys_request: Any) -> System:
    """What a server replies, as if it had been started long ago."""
    reply = await sys_request(server, "VARZ")
    info, varz = read("VARZ", msgspec.json.encode(reply))
    return System((Replying(info, {"VARZ": replace(varz, start=varz.start - timedelta(1))}),))
