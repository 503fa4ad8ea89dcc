"""The second connection into a real cluster whose servers end, freeze and come back."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from kit.keeping import KEEP, Kept, keeper, kept, message, publishing
from kit.watching import watching
from nats_insights.agent.publisher import Publisher
from nats_insights.lab.demo.stage import login
from nats_insights.lab.servers.local import System
from nats_insights.tell.messages import Advisory

pytestmark = [pytest.mark.live, pytest.mark.long, pytest.mark.timeout(300)]

FINDINGS = 8
# So that what a new leader refuses as being in process is taken soon.
WINDOW = {"duplicate_window": 3_000_000_000}


@pytest.fixture
def cluster(start_cluster) -> System:
    return start_cluster("n1", "n2", "n3", **KEEP)


@asynccontextmanager
async def talking(publisher: Publisher, findings: int = 0) -> AsyncIterator[list[int]]:
    """Something is published all the time meanwhile: each about another finding, or in turn."""
    said: list[int] = []

    async def talk() -> None:
        for number in itertools.count():
            publisher.put(message(number, f"f{number % findings}" if findings else ""))
            said.append(number)
            await asyncio.sleep(0.04)

    task = asyncio.create_task(talk())
    try:
        yield said
    finally:
        task.cancel()


async def leader(there: Kept) -> str:
    stream = await there.jetstream.stream("INSIGHTS")
    return stream.cluster.leader


@pytest.mark.parametrize("where", ["leader", "other"])
async def test_a_leader_that_is_killed_loses_nothing(cluster, where):
    async with kept(keeper(cluster)) as there:
        await there.make(replicas=3, **WINDOW)
        name = await leader(there)
        others = sorted({"n1", "n2", "n3"} - {name})
    # The subscriber goes on with the others.
    first = [name, *others] if where == "leader" else [*others, name]
    async with kept(keeper(cluster, *others)) as there:
        async with publishing(keeper(cluster, *first)) as publisher:
            async with talking(publisher) as said:
                await there.until(lambda: len(there.numbers) > 25)
                cluster[name].kill()
                await there.until(lambda: len(said) > 50 and publisher.done)
                now = len(said)
                await asyncio.to_thread(cluster[name].restart)
                await there.until(lambda: len(said) > now + 25 and publisher.done)
            await there.until(lambda: publisher.done)
            assert (publisher.dropped, publisher.problem) == (0, "")
        assert set(await there.stored()) == set(said)


async def test_what_follows_on_a_finding_is_never_stored_before_it(cluster):
    async with kept(keeper(cluster)) as there:
        await there.make(replicas=3)
        name = await leader(there)
        others = sorted({"n1", "n2", "n3"} - {name})
    async with kept(keeper(cluster, *others)) as there:
        async with publishing(keeper(cluster, *others)) as publisher:
            async with talking(publisher, FINDINGS) as said:
                await there.until(lambda: len(there.numbers) > 25)
                cluster[name].kill()
                await there.until(lambda: len(said) > 50 and publisher.done)
            await there.until(lambda: publisher.done and len(there.numbers) == len(said))
        # What a new leader refused for a while may lack: something later was stored meanwhile.
        stored = await there.stored()
        for finding in range(FINDINGS):
            own = [number for number in stored if number % FINDINGS == finding]
            assert own == sorted(set(own))
            assert own[-1] == [number for number in said if number % FINDINGS == finding][-1]


async def test_what_a_full_stream_refused_is_stored_when_there_is_room(cluster):
    """A 2.10 with replicas acknowledges it from then on as the duplicate of a message 0."""
    async with kept(keeper(cluster)) as there:
        await there.make(replicas=3, **WINDOW, discard="new", max_msgs=1)
        async with publishing(keeper(cluster)) as publisher:
            for number, finding in ((1, "z"), (2, "a"), (3, "b"), (4, "a")):
                publisher.put(message(number, finding))
            await there.until(lambda: "maximum messages" in publisher.problem)
            # All of them have been refused twice.
            await there.until(lambda: len(there.heard) >= 1 + 2 * 3)
            await there.change(max_msgs=-1)
            await there.until(lambda: publisher.done)
            assert publisher.problem == ""
        stored = await there.stored()
        assert sorted(stored) == [1, 2, 3, 4]
        assert stored.index(2) < stored.index(4)


async def test_servers_that_are_restarted_one_after_another_lose_nothing(cluster):
    async with kept(keeper(cluster)) as there:
        await there.make(replicas=3, **WINDOW)
    async with publishing(keeper(cluster)) as publisher:
        async with talking(publisher) as said:
            for server in cluster:
                now = len(said)
                await asyncio.to_thread(server.restart)
                async with kept(keeper(cluster)) as there:
                    await there.until(lambda now=now: len(said) > now + 25 and publisher.done)
        async with kept(keeper(cluster)) as there:
            await there.until(lambda: publisher.done)
            assert publisher.dropped == 0
            assert set(await there.stored()) == set(said)


async def test_jetstream_that_is_gone_for_a_while_loses_nothing_and_delays_nobody(
    start_server, caplog
):
    system = start_server("n1", **KEEP)
    server = system["n1"]
    async with kept(keeper(system)) as there:
        await there.make()
    async with publishing(keeper(system)) as publisher:
        publisher.put(message(0))
        async with kept(keeper(system)) as there:
            await there.until(lambda: publisher.done)
        server.options = "jetstream: disabled"
        await asyncio.to_thread(server.restart)
        async with kept(keeper(system)) as there:
            for number in (1, 2, 3):
                publisher.put(message(number, "a"))
                await there.until(lambda number=number: number in there.numbers)
            await there.until(lambda: "JetStream is not enabled on the servers" in caplog.text)
            assert len(publisher.unstored) == 3
        server.options = ""
        await asyncio.to_thread(server.restart)
        async with kept(keeper(system)) as there:
            await there.until(lambda: publisher.done)
            assert await there.stored() == [0, 1, 2, 3]
            assert publisher.problem == ""


async def test_who_comes_late_reads_the_current_state_and_sees_what_is_over(start_server, crowd):
    system = start_server("n1", **KEEP, options="max_connections: 60")
    server = system["n1"]
    user, password = server.user("app")
    async with kept(keeper(system)) as there:
        await there.make()
        settings = keeper(system)
        async with watching(
            system, listen=login(system, "keeper", "n1"), publish=settings
        ) as watch:
            some = await crowd.join(server.url, 50, user=user, password=password)
            await watch.until(lambda: watch.named("SERVER_011"))
            more = await crowd.join(server.url, 5, user=user, password=password)
            await watch.until(lambda: [a for a in watch.advisories if a.severity == "critical"])
            await crowd.leave([*some, *more])
            await watch.until(lambda: not watch.named("SERVER_011"))
            await there.until(lambda: watch.agent.advisories.outbox.done)
        told = [one for one in watch.advisories if one.code == "SERVER_011"]

        async def mirrored() -> bool:
            stream, mirror = [
                await there.jetstream.stream(name) for name in ("INSIGHTS", "INSIGHTS_STATE")
            ]
            return stream.state.last_seq == mirror.state.last_seq

        await there.until(mirrored)
        reader = await there.client.jetstream().subscribe(
            "$INSIGHTS.ADVISORY.*.*.*.*.SERVER_011.*",
            stream="INSIGHTS_STATE",
            ordered_consumer=True,
        )
        messages = [await reader.next_msg(timeout=10) for _ in {one.severity for one in told}]
        rows = [msgspec.json.decode(one.data, type=Advisory) for one in messages]
        # One message for each subject, and each says that it is over.
        assert sorted(one.severity for one in rows) == sorted({one.severity for one in told})
        assert {(one.state, one.transition) for one in rows} == {("resolved", "resolved")}
        assert [one.valid_until for one in rows] == [one.resolved_at for one in rows]
        stream = await there.jetstream.stream("INSIGHTS")
        assert stream.state.messages == len({one.id for one in watch.advisories})


async def test_an_agent_that_is_started_again_adds_to_the_same_stream(start_server, crowd):
    system = start_server("n1", **KEEP, options="max_connections: 60")
    server = system["n1"]
    user, password = server.user("app")
    async with kept(keeper(system)) as there:
        await there.make()
        listen, publish = login(system, "keeper", "n1"), keeper(system)
        members = await crowd.join(server.url, 50, user=user, password=password)
        async with watching(system, listen=listen, publish=publish) as first:
            await first.until(lambda: first.named("SERVER_011"))
        await crowd.leave(members)
        async with watching(system, listen=listen, publish=publish) as second:
            await second.until(lambda: "SERVER_011" in {one.code for one in second.advisories})
        told = [one for one in (*first.advisories, *second.advisories) if one.code == "SERVER_011"]
        assert [one.transition for one in told] == ["opened", "resolved"]
        assert len({(one.fingerprint, one.opened_at) for one in told}) == 1
        stream = await there.jetstream.stream("INSIGHTS")
        ids = {one.id for one in (*first.advisories, *second.advisories)}
        assert stream.state.messages == len(ids)
