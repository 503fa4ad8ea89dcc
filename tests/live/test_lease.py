"""The lease on real servers: one agent has it at a time, and knows by its own clock when not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from msgspec.structs import replace

from kit.keeping import KEEP, Kept, keeper, kept
from nats_insights.agent.lease import PATIENCE, SAFE, TTLS_AWAY, Lease
from nats_insights.agent.reign import boot_clock
from nats_insights.connection.client import Client
from nats_insights.connection.connect import connect
from nats_insights.connection.contexts import Settings
from nats_insights.connection.jetstream import JetStream
from nats_insights.errors import JetStreamError
from nats_insights.lab.demo.stage import login
from nats_insights.lab.servers.local import System

pytestmark = pytest.mark.live

STREAM = "KV_INSIGHTS_LEASE"
KEY = "$KV.INSIGHTS_LEASE.leader._"
TTL = 60.0
Make = Callable[..., Lease]


class Clock:
    """The clock of the machine, and what was slept on top."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return boot_clock() + self.ahead


@pytest.fixture
def system(start_server):
    return start_server("n1", **KEEP)


@pytest.fixture
async def there(system) -> AsyncIterator[Kept]:
    async with kept(keeper(system)) as there:
        await there.make(lease=TTL)
        yield there


@pytest.fixture
def lease(there) -> Make:
    """`lease("a")`: the lease as an agent of that name sees it."""

    def lease(name: str, shard: str = "", clock: Callable[[], float] = boot_clock) -> Lease:
        return Lease(lambda: there.client, shard, name, f"{name}-1", clock)

    return lease


async def shorten(there: Kept, seconds: float) -> None:
    """The bucket drops keys after these seconds from now on."""
    stream = await there.jetstream.stream(STREAM)
    age = {"max_age": int(seconds * 1e9), "duplicate_window": int(seconds * 1e9)}
    await there.jetstream.update(stream.config | age)


async def test_one_agent_has_it_until_it_lets_go(lease):
    first, second = lease("a"), lease("b")
    assert await first.take() is True
    assert (first.standing, first.holds, first.holder) == ("mine", True, "a-1")
    assert await second.take() is False
    assert (second.standing, second.holds, second.holder) == ("taken", False, "a-1")
    await first.release()
    assert (first.standing, first.holds, first.holder) == ("free", False, "")
    assert await second.take() is True
    assert await first.take() is False


async def test_of_many_that_want_it_at_once_one_gets_it(lease):
    all_of_them = [lease(f"a{number}") for number in range(20)]
    assert sorted(await asyncio.gather(*(one.take() for one in all_of_them))).count(True) == 1


async def test_each_shard_has_its_own_whatever_it_is_called(lease):
    names = ["", "_", "a.b", "*", ">", "é x", "leader.a"]
    assert [await lease("a", name).take() for name in names] == [True] * len(names)
    assert [await lease("b", name).take() for name in names] == [False] * len(names)


async def test_the_number_of_the_reign_grows_from_one_to_the_next(lease):
    first, second = lease("a"), lease("b")
    await first.take()
    revisions = [first.revision]
    await first.take()  # The same reign.
    assert first.revision == revisions[0]
    for one, other in ((first, second), (second, first)):
        await one.release()
        await other.take()
        revisions.append(other.revision)
    assert revisions == sorted(set(revisions))


async def test_it_ends_by_the_clock_of_its_holder_before_another_one_can_have_it(lease):
    clock = Clock()
    mine = lease("a", clock=clock)
    await mine.take()
    for ahead, holds in [(0.0, True), (SAFE * TTL - 5, True), (SAFE * TTL, False)]:
        clock.ahead = ahead
        assert mine.holds == holds
    assert await lease("b").take() is False


async def test_it_counts_from_before_it_was_asked_for(system, there, lease):
    clock = Clock()
    mine = lease("a", clock=clock)
    await mine.take()

    class Slow(JetStream):
        async def put(self, *args, **more):
            clock.ahead += SAFE * TTL
            return await super().put(*args, **more)

    await mine._renew(Slow(there.client))
    assert not mine.holds


async def test_what_is_not_renewed_is_dropped_by_the_bucket(there, lease):
    await shorten(there, 1.0)
    first, second = lease("a"), lease("b")
    await first.take()
    await there.until(second.take)
    assert not first.holds
    assert await first.take() is False
    assert (first.revision, first.standing) == (None, "taken")


async def test_it_is_renewed_as_long_as_the_leader_lives_and_given_back_at_the_end(there, lease):
    lives = True
    await shorten(there, 1.0)
    first, second = lease("a"), lease("b")
    async with first.running(lambda: lives):
        await first.take()
        last = (await there.jetstream.stream(STREAM)).state.last_seq
        renewed = last + 9  # For more than one TTL.
        await there.until(lambda: there_is(there, renewed))
        assert first.holds
        assert await second.take() is False
        lives = False
        await there.until(second.take)
        lives = True
        await there.until(lambda: first.standing == "taken")
        assert (first.revision, first.holds) == (None, False)
    assert await second.take() is True


async def there_is(there: Kept, sequence: int) -> bool:
    return (await there.jetstream.stream(STREAM)).state.last_seq >= sequence


async def test_at_the_end_it_is_free_at_once(lease):
    first = lease("a")
    async with first.running(lambda: True):
        await first.take()
    assert await lease("b").take() is True


async def test_a_renewal_whose_answer_was_lost_is_a_renewal(there, lease):
    mine = lease("a")
    await mine.take()
    await there.jetstream.put(KEY, mine._mine, after=mine._sequence)
    revision = mine.revision
    assert await mine._tried(mine._renew) is True
    assert (mine.revision, mine.holds) == (revision, True)


async def test_a_holder_that_was_away_does_not_get_back_what_another_one_had(there, lease):
    frozen, other = lease("a"), lease("b")
    await frozen.take()
    await there.client.jetstream().purge_stream(STREAM)  # As if the TTL were over.
    await other.take()
    await other.release()
    assert await frozen._tried(frozen._renew) is False
    assert (frozen.revision, frozen.holds, frozen.standing) == (None, False, "free")


async def test_what_somebody_else_wrote_there_is_respected_until_it_ends(there, lease):
    for foreign in (b"\xff", b"[" * 5000, b'{"instance": 5}', b"{}"):
        await there.client.request(KEY, foreign)
        mine = lease("a")
        assert (await mine.take(), mine.holder) == (False, "unknown")
    await there.client.request("$KV.INSIGHTS_LEASE.leader.other", b"x")
    await there.client.request(KEY, b"")
    assert await lease("a").take() is True


async def test_without_a_bucket_nothing_is_decided(there, lease):
    await there.client.jetstream().delete_stream(STREAM)
    mine = lease("a")
    assert await mine.take() is True
    assert (mine.standing, mine.holds, mine.grants) == ("none", False, True)
    assert (mine.holder, mine.problem) == (None, "")


async def test_a_bucket_without_a_ttl_is_of_no_use(there, lease):
    stream = await there.jetstream.stream(STREAM)
    await there.jetstream.update(stream.config | {"max_age": 0})
    mine = lease("a")
    assert (await mine.take(), mine.standing) == (True, "none")
    assert mine.problem == (
        "bucket INSIGHTS_LEASE is of no use: it has no TTL: a leader that vanished would keep the "
        "lead"
    )


async def test_a_bucket_that_is_made_later_is_taken_by_who_leads(there, lease, monkeypatch):
    monkeypatch.setattr("nats_insights.agent.lease.LOOK_AGAIN", 0.1)
    await shorten(there, 2.0)
    stream = await there.jetstream.stream(STREAM)
    await there.client.jetstream().delete_stream(STREAM)
    mine = lease("a")
    async with mine.running(lambda: True):
        await mine.take()
        await there.jetstream.create(stream.config)
        await there.until(lambda: mine.holds)
        assert not mine.waived
        await there.client.jetstream().delete_stream(STREAM)
        await there.until(lambda: mine.standing == "none")
        assert (mine.grants, mine.holds) == (True, False)


async def test_while_nobody_answers_it_is_not_known_who_has_it(system, there, lease):
    clock, client = Clock(), None
    mine = Lease(lambda: client, "", "a", "a-1", clock)
    assert await mine.take() is None
    assert (mine.standing, mine.holder, mine.waivable) == ("away", None, False)
    assert mine.problem == (
        "the lease in bucket INSIGHTS_LEASE cannot be had: there is no connection to it now"
    )
    clock.ahead = PATIENCE
    assert mine.waivable
    client = there.client
    assert await mine.take() is True
    assert not mine.waivable
    client = None
    assert await mine._tried(mine._renew) is None
    # It counts until it ends, and others may take it before heartbeats decide alone.
    assert (mine.standing, mine.holds) == ("away", True)
    clock.ahead += SAFE * TTL
    assert (mine.holds, mine.waivable, mine.grants) == (False, False, False)
    clock.ahead += (TTLS_AWAY - SAFE) * TTL
    assert mine.waivable
    mine.waive()
    assert mine.grants


async def test_who_leads_without_it_yields_to_who_has_it(there, lease):
    client: Client | None = None
    mine, other = Lease(lambda: client, "", "a", "a-1"), lease("b")
    mine.waive()
    await other.take()
    async with mine.running(lambda: True):
        assert mine.grants
        client = there.client
        await there.until(lambda: mine.standing == "taken")
        assert not mine.grants


async def test_a_server_that_hangs_is_nobody_who_answers(system, there, lease):
    await shorten(there, 1.0)
    mine = lease("a")
    await mine.take()
    system["n1"].freeze()
    try:
        assert await mine._tried(mine._renew) is None
        assert mine.standing == "away"
        assert "within 0.2 s" in mine.problem
    finally:
        system["n1"].thaw()
    await there.until(mine.take)


@pytest.fixture
def read_only(start_server) -> System:
    deny = 'permissions: { publish: { deny: "$KV.>" } }'
    users = f"users: [{{ user: u, password: p, {deny} }}, {{ user: k, password: p }}]"
    return start_server(
        "n1", jetstream=True, authorization=f"accounts {{ A: {{ {users}, jetstream: enabled }} }}"
    )


async def test_a_user_that_may_not_write_it_is_told_so(read_only):
    settings = Settings(servers=(read_only["n1"].url,), user="u", password="p")
    async with kept(replace(settings, user="k")) as there:
        await there.make()
        client = await connect(settings, name="reader")
        mine = Lease(lambda: client, "", "a", "a-1")
        assert await mine.take() is None
        assert mine.problem == (
            "the lease in bucket INSIGHTS_LEASE cannot be had: the user may not use "
            "$KV.INSIGHTS_LEASE.leader._: allow it"
        )
        await client.close()


async def test_a_full_bucket_lets_nobody_have_it_beside_its_holder(there, lease):
    mine, other = lease("a"), lease("b")
    await mine.take()
    stream = await there.jetstream.stream(STREAM)
    await there.jetstream.update(stream.config | {"max_bytes": stream.state.bytes})
    with pytest.raises(JetStreamError, match="maximum bytes"):
        await there.jetstream.put("$KV.INSIGHTS_LEASE.foreign", b"x")
    # Old servers refuse even the holder: a message that replaces another one is one more first.
    renewed = await mine._tried(mine._renew)
    assert (renewed, mine.standing) in [(True, "mine"), (None, "away")]
    assert mine.holds
    assert await other.take() is False


async def test_an_account_without_jetstream_has_no_bucket(system):
    client = await connect(login(system, "app", "n1"), name="app")
    mine = Lease(lambda: client, "", "a", "a-1")
    assert await mine.take() is True
    assert (mine.standing, mine.grants) == ("none", True)
    await client.close()
