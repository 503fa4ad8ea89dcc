"""The checks about one server, or about servers of one cluster, on real servers."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator

import pytest

from kit import servers
from kit.watching import watching
from nats_insights.checks.server.connection_churn import connection_churn
from nats_insights.checks.server.cpu_high import cpu_high
from nats_insights.checks.server.version_mismatch import version_mismatch
from nats_insights.lab.servers import conf, local
from nats_insights.lab.servers.crowd import Member

pytestmark = [pytest.mark.live, pytest.mark.long]


@pytest.fixture
def mixed() -> Iterator[local.System]:
    """A cluster in the middle of an upgrade."""
    old, new = map(servers.binary, servers.CI_VERSIONS)
    with local.cluster("n1", "n2", "n3", binary={"n1": old, "n2": new, "n3": new}) as system:
        yield system


async def test_two_versions_in_a_cluster_are_found_until_the_upgrade_is_done(mixed):
    soon = "checks.version_mismatch.open_after = 3\n"
    checks = [version_mismatch]
    async with watching(mixed, agent="n2", listen="n3", more=soon, checks=checks) as watch:
        await watch.until(lambda: watch.open)
        assert watch.story == [("opened", "SERVER_002", "C1")]
        (opened,) = watch.advisories
        assert opened.evidence["versions"] == {"2.15.1": ["n2", "n3"], "2.10.26": ["n1"]}
        mixed["n1"].binary = mixed["n2"].binary
        mixed["n1"].restart()
        await watch.until(lambda: not watch.open)
        await watch.epochs(2)
        assert watch.story[1:] == [("resolved", "SERVER_002", "C1")]


@contextlib.asynccontextmanager
async def flood(system: local.System, name: str) -> AsyncIterator[None]:
    """A client that publishes small messages as fast as the server takes them."""
    user, password = system.user("app")
    _, writer = await asyncio.open_connection(conf.LOOPBACK, system[name].port)
    hello = {"user": user, "pass": password, "verbose": False}
    writer.write(f"CONNECT {json.dumps(hello)}\r\n".encode())

    async def publish() -> None:
        while True:
            writer.write(10_000 * b"PUB flood 1\r\nx\r\n")
            await writer.drain()

    running = asyncio.create_task(publish())
    try:
        yield
    finally:
        running.cancel()
        await asyncio.wait([running])
        writer.transport.abort()


async def test_a_server_that_is_flooded_with_messages_uses_its_cpu(shared_cluster):
    # Small enough for a machine that is busy with other tests.
    low = "checks.cpu_high.warning_percent = 20\nchecks.cpu_high.critical_percent = 100\n"
    async with watching(shared_cluster, more=low, checks=[cpu_high]) as watch:
        await watch.epochs(4)
        assert watch.story == []
        async with flood(shared_cluster, "n3"):
            # Where the machine is busy, a peer that relays may need as much for a moment.
            await watch.until(lambda: "n3" in watch.named("SERVER_003"))
        await watch.until(lambda: not watch.open)
        opened, *_, resolved = [one for one in watch.advisories if one.entity.name == "n3"]
        assert (opened.transition, resolved.transition) == ("opened", "resolved")
        assert opened.value >= 20


async def test_clients_that_come_and_go_are_found_until_they_stop(shared_cluster, crowd):
    user, password = shared_cluster.user("app")

    async def join(count: int) -> list[Member]:
        return await crowd.join(shared_cluster["n3"].url, count, user=user, password=password)

    quick = 'checks.connection_churn.window = "1s"\n'
    async with watching(shared_cluster, more=quick, checks=[connection_churn]) as watch:
        stay = await join(30)  # Which is no churn.
        await watch.epochs(6)
        assert watch.story == []
        while not watch.open:
            await crowd.leave(await join(30))
        assert watch.named("SERVER_903") == {"n3"}
        await watch.until(lambda: not watch.open)
        assert watch.story == [("opened", "SERVER_903", "n3"), ("resolved", "SERVER_903", "n3")]
        assert len(stay) == 30
