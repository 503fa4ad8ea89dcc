"""HISTORY from a stream: what it has, within bounds, for one question at a time."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from kit.asked import after
from kit.keeping import KEEP, Kept, keeper, kept, publishing
from kit.published import openings, tell
from kit.watching import watching
from nats_insights.agent import archive as module
from nats_insights.agent.archive import Archive
from nats_insights.agent.publisher import Publisher
from nats_insights.connection.contexts import Settings
from nats_insights.lab.demo.stage import login
from nats_insights.tell.advisory import at
from nats_insights.tell.history import Past, Question
from nats_insights.tell.messages import Advisory

pytestmark = pytest.mark.live

ONE = tell(next(openings()))[0]
EPOCH = after()


@pytest.fixture
def system(start_server: Any) -> Any:
    return start_server("n1", **KEEP)


def asked(**body: Any) -> Question:
    """A question of somebody, to an agent that remembers nothing."""
    return Question(replace(EPOCH, known_since=time.time() + 1), json.dumps(body).encode())


def advisory(number: int, **more: Any) -> Advisory:
    members = {"id": f"{number:032x}", "timestamp": at(time.time()), "summary": str(number)}
    return replace(ONE, **members | more)


async def store(there: Kept, *said: Advisory) -> None:
    """Each as the next message of its finding."""
    js = there.client.jetstream()
    for one in said:
        subject = f"$INSIGHTS.ADVISORY.WARNING.SERVER.EU.n1.{one.code}.{one.fingerprint}"
        await js.publish(subject, msgspec.json.encode(one))


def numbers(past: Past) -> list[int]:
    """What it tells, the last first."""
    return [int(msgspec.json.decode(row.payload)["summary"]) for row in past.rows]


@asynccontextmanager
async def archive(settings: Settings) -> AsyncIterator[tuple[Archive, Publisher]]:
    """An archive, as soon as the stream is found."""
    async with publishing(settings) as publisher, kept(settings) as there:
        await there.until(lambda: publisher.stream)
        yield Archive(publisher), publisher


async def consumers(there: Kept) -> int:
    return (await there.client.jetstream().stream_info("INSIGHTS")).state.consumer_count


async def test_all_that_the_stream_has_is_told_with_the_last_first(system, monkeypatch):
    monkeypatch.setattr(module, "BATCH", 7)
    async with kept(keeper(system)) as there:
        await there.make()
        stream = await there.jetstream.stream("INSIGHTS")
        await store(there, *map(advisory, range(20)), advisory(20, transition="reminded"))
        async with archive(keeper(system)) as (of, _):
            past = await of.about(asked())
            assert numbers(past) == [*reversed(range(20))]
            assert (past.stream, past.problem) == ("INSIGHTS", "")
            assert past.since == stream.created.timestamp()
            assert abs(past.since - time.time()) < 600

        async def are_gone() -> bool:
            return await consumers(there) == 0

        await there.until(are_gone)


async def test_nothing_is_read_for_what_the_agent_remembers(system):
    async with kept(keeper(system)) as there:
        await there.make()
        await store(there, advisory(1))
        async with archive(keeper(system)) as (of, _):
            view = replace(EPOCH, known_since=time.time() - 3600)
            assert await of.about(Question(view, b'{"since":"50m"}')) == Past()
            assert numbers(await of.about(Question(view, b'{"since":"70m"}'))) == [1]


async def test_the_pages_of_a_list_are_read_once_and_another_question_has_to_wait(
    system, monkeypatch
):
    monkeypatch.setattr(module, "SHARE", 1e-6)  # So that it rests for hours.
    async with kept(keeper(system)) as there:
        await there.make()
        await store(there, *map(advisory, range(3)))
        async with archive(keeper(system)) as (of, _):
            first, second = await asyncio.gather(of.about(asked()), of.about(asked(server="n1")))
            assert numbers(first) == [2, 1, 0]
            busy = "stream INSIGHTS was read a moment ago: ask again in some seconds"
            assert second == Past(problem=busy)
            assert await of.about(asked(offset=2, limit=5)) is first
            assert await of.about(asked(server="n1")) == Past(problem=busy)
            monkeypatch.setattr(of, "_rests_until", 0.0)
            monkeypatch.setattr(module, "KEPT", 0.0)
            assert numbers(await of.about(asked(server="n1"))) == [2, 1, 0]
            assert (await of.about(asked(server="n2"))).problem == busy
            monkeypatch.setattr(of, "_rests_until", 0.0)
            await store(there, advisory(3))
            assert numbers(await of.about(asked(server="n1"))) == [3, 2, 1, 0]


async def test_what_is_forgotten_is_no_later_answer(system, monkeypatch):
    monkeypatch.setattr(module, "SHARE", float("inf"))
    monkeypatch.setattr(module, "KEPT", 0.2)
    async with kept(keeper(system)) as there:
        await there.make()
        await store(there, advisory(1))
        async with archive(keeper(system)) as (of, _):
            first = await of.about(asked())
            monkeypatch.setattr(module, "KEPT", 600.0)
            second = await of.about(asked(server="n1"))
            await asyncio.sleep(0.3)  # By now the first one is forgotten.
            assert await of.about(asked(server="n1")) is second
            assert await of.about(asked()) is not first


async def test_the_clock_of_the_server_may_be_behind(system):
    async with kept(keeper(system)) as there:
        await there.make()
        now = time.time()
        await store(there, advisory(1), advisory(2, timestamp=at(now + 40)))
        async with archive(keeper(system)) as (of, _):
            body = {"since": at(now + 30).isoformat()}
            ahead = Question(replace(EPOCH, known_since=now + 60), json.dumps(body).encode())
            assert numbers(await of.about(ahead)) == [2]


async def test_of_too_much_the_end_is_read(system, monkeypatch):
    monkeypatch.setattr(module, "MOST", 50)
    monkeypatch.setattr(module, "SHARE", float("inf"))
    async with kept(keeper(system)) as there:
        await there.make()
        many = [advisory(n, fingerprint="abc"[n % 3] * 32) for n in range(300)]
        await store(there, *many)
        async with archive(keeper(system)) as (of, _):
            past = await of.about(asked())
            assert numbers(past) == [*reversed(range(250, 300))]
            assert past.problem == "only the end of stream INSIGHTS was read: ask about less"
            assert past.since == many[250].timestamp.timestamp()
            # One of the three findings has 100 messages, of which 34 are in the last 100.
            past = await of.about(asked(fingerprint=32 * "c"))
            assert numbers(past) == [n for n in reversed(range(200, 300)) if n % 3 == 2]
            assert past.since == many[200].timestamp.timestamp()
            assert past.problem
            past = await of.about(asked(code="USER_002"))
            assert (past.rows, past.problem) == ([], "")


async def test_a_finding_that_is_seldom_is_told_as_a_whole(system, monkeypatch):
    monkeypatch.setattr(module, "MOST", 20)
    many = [advisory(n, fingerprint=("b" if n % 30 else "a") * 32) for n in range(300)]
    async with kept(keeper(system)) as there:
        await there.make()
        await store(there, *many)
        async with archive(keeper(system)) as (of, _):
            past = await of.about(asked(fingerprint=32 * "a"))
            assert (numbers(past), past.problem) == ([*range(270, -1, -30)], "")


async def test_bytes_are_bounded_and_what_is_left_is_complete(system, monkeypatch):
    monkeypatch.setattr(module, "MOST_BYTES", 10 * len(msgspec.json.encode(advisory(10))))
    async with kept(keeper(system)) as there:
        await there.make()
        many = [advisory(n) for n in range(10, 50)]
        await store(there, *many)
        async with archive(keeper(system)) as (of, _):
            past = await of.about(asked())
    assert numbers(past) == [*reversed(range(40, 50))]
    assert past.since == many[29].timestamp.timestamp()
    assert past.problem == "only the end of stream INSIGHTS was read: ask about less"


async def test_only_what_was_stored_in_the_time_is_read(system, monkeypatch):
    monkeypatch.setattr(module, "MOST", 10)
    monkeypatch.setattr(module, "SHARE", float("inf"))
    monkeypatch.setattr(module, "_EARLY", 0.0)
    monkeypatch.setattr(module, "_LATE", 0.0)
    async with kept(keeper(system)) as there:
        await there.make()
        times = []
        for start in (0, 10, 20, 30):
            times.append(at(time.time() + 0.01).isoformat())
            await asyncio.sleep(0.02)  # Later than that by the clock of the server.
            await store(there, *map(advisory, range(start, start + 10)))
        async with archive(keeper(system)) as (of, _):
            past = await of.about(asked(since=times[1], until=times[2]))
            assert (numbers(past), past.problem) == ([*reversed(range(10, 20))], "")
            assert past.since == asked(since=times[1]).since
            past = await of.about(asked(since=times[0], until=times[2]))
            assert (numbers(past), bool(past.problem)) == ([*reversed(range(10, 20))], True)
            past = await of.about(asked(until="1970-01-01T00:00:01Z"))
            assert (past.rows, past.problem) == ([], "")


async def test_what_the_stream_has_lost_to_its_limits_is_not_known(system, monkeypatch):
    monkeypatch.setattr(module, "SHARE", float("inf"))
    async with kept(keeper(system)) as there:
        await there.make(max_msgs=5)
        await store(there, *map(advisory, range(20)))
        stream = await there.jetstream.stream("INSIGHTS")
        async with archive(keeper(system)) as (of, _):
            past = await of.about(asked())
            assert numbers(past) == [*reversed(range(15, 20))]
            assert past.since == stream.state.first_ts.timestamp()
            assert abs(past.since - time.time()) < 600
            await there.client.jetstream().purge_stream("INSIGHTS")
            past = await of.about(asked(server="n1"))
            assert (past.stream, past.rows, past.since) == ("INSIGHTS", [], float("inf"))


async def test_what_somebody_else_stored_there_is_left_out(system):
    async with kept(keeper(system)) as there:
        await there.make()
        for body in (b"", b"\xff", b"{}", b"x" * 100_000):
            await there.client.jetstream().publish("$INSIGHTS.ADVISORY.A.B.C.D.E.F", body)
        await store(there, advisory(1))
        async with archive(keeper(system)) as (of, _):
            assert numbers(await of.about(asked())) == [1]


PERMISSIONS = (Path(__file__).parents[2] / "docs" / "jetstream.md").read_text()
PERMISSIONS = f"permissions:{PERMISSIONS.split('permissions:')[1].split('```')[0]}"


async def test_a_user_with_the_permissions_of_the_page_can_read(start_server):
    users = f"users: [ {{ user: k, password: p }}, {{ user: u, password: p, {PERMISSIONS} }} ]"
    text = f"accounts {{ A: {{ jetstream: enabled\n{users} }} }}"
    server = start_server("n1", jetstream=True, authorization=text)["n1"]
    by = Settings(servers=(server.url,), user="k", password="p")
    async with kept(by) as there:
        await there.make()
        await store(there, *map(advisory, range(3)))
        async with publishing(replace(by, user="u")) as publisher:
            await there.until(lambda: publisher.stream)
            past = await Archive(publisher).about(asked())
            assert (numbers(past), past.problem) == ([2, 1, 0], "")
            assert publisher.client.denied == set()

        async def are_gone() -> bool:
            return await consumers(there) == 0

        await there.until(are_gone)


async def test_a_user_who_may_not_read_is_told_what_to_allow(start_server):
    deny = 'permissions: { publish: { deny: "$JS.API.CONSUMER.>" } }'
    users = f"users: [ {{ user: u, password: p, {deny} }} ]"
    text = f"accounts {{ A: {{ jetstream: enabled\n{users} }} }}"
    server = start_server("n1", jetstream=True, authorization=text)["n1"]
    by = Settings(servers=(server.url,), user="u", password="p")
    async with kept(by) as there:
        await there.make()
        async with archive(by) as (of, _):
            problem = (await of.about(asked())).problem
    assert problem == (
        "stream INSIGHTS could not be read: the user may not use "
        "$JS.API.CONSUMER.CREATE.INSIGHTS.>: allow it"
    )


async def test_a_stream_that_is_gone_and_a_server_that_is_silent_are_named(system, monkeypatch):
    monkeypatch.setattr(module, "SHARE", float("inf"))
    async with kept(keeper(system)) as there:
        await there.make()
        async with archive(keeper(system)) as (of, publisher):
            await there.client.jetstream().delete_stream("INSIGHTS")
            assert (await of.about(asked())).problem == (
                "stream INSIGHTS could not be read: there is no such stream any more"
            )
            monkeypatch.setattr(module, "PATIENCE", 0.2)
            system["n1"].freeze()
            assert (await of.about(asked())).problem == (
                "stream INSIGHTS could not be read: it took longer than 0.2 s: ask for less"
            )
            system["n1"].kill()
            await there.until(lambda: publisher.client is None)
            problem = (await of.about(asked())).problem
            assert problem.startswith("there is no connection to publish on: ")


async def test_where_there_is_no_stream_nothing_is_read_and_nothing_is_wrong(system):
    async with kept(keeper(system)) as there, publishing(keeper(system)) as publisher:
        await there.until(lambda: publisher.stream == "" and not publisher.problem)
        assert await Archive(publisher).about(asked()) == Past()


async def test_what_happened_before_an_agent_started_is_told_by_it(start_cluster, crowd, cli_of):
    system = start_cluster("n1", "n2", **KEEP, options={"n2": "max_connections: 30"})
    own = keeper(system, "n1")
    async with kept(own) as there:
        await there.make()
        async with watching(system, listen=own, publish=own) as watch:
            user, password = system["n2"].user("app")
            some = await crowd.join(system["n2"].url, 26, user=user, password=password)
            await watch.until(lambda: watch.named("SERVER_011"))
            await crowd.leave(some)
            await watch.until(lambda: not watch.named("SERVER_011"))
            await there.until(lambda: watch.agent.answers.publisher.done)
        before = [one for one in watch.advisories if one.code == "SERVER_011"]
        async with watching(system, listen=own, publish=own) as watch:
            await watch.epochs(1)
            cli = cli_of(login(system, "ops", "n1"))
            code, said = await cli("history", "--code", "SERVER_011", "--format", "json")
            told = json.loads(said)
            assert code == 0
            assert [one["id"] for one in reversed(told["transitions"])] == [
                one.id for one in before
            ]
            assert (told["stream"], told["problem"]) == ("INSIGHTS", "")
            code, said = await cli("history", "--code", "SERVER_011")
            assert code == 0
            assert "with stream INSIGHTS" in said.splitlines()[0]
            assert [line.split()[1] for line in said.splitlines()[2:]] == ["opened", "resolved"]
