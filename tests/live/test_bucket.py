"""The state in a bucket, on real servers: replaced as a whole, or not at all."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable

import pytest
from msgspec.structs import replace

from kit.keeping import KEEP, Kept, keeper, kept
from nats_insights.agent import bucket as module
from nats_insights.agent.bucket import Bucket
from nats_insights.connection.connect import connect
from nats_insights.connection.jetstream import JetStream
from nats_insights.errors import JetStreamError, StateError
from nats_insights.lab.demo.stage import login

pytestmark = pytest.mark.live

STREAM = "KV_INSIGHTS_AGENT"
# No compression makes these shorter.
LARGE = os.urandom(3 * 1024 * 1024)
HEAD = "$KV.INSIGHTS_AGENT.me.state.head"
Make = Callable[..., Bucket]


@pytest.fixture
def system(start_server):
    return start_server("n1", **KEEP)


@pytest.fixture
async def there(system) -> AsyncIterator[Kept]:
    async with kept(keeper(system)) as there:
        await there.make()
        yield there


@pytest.fixture
def bucket(there) -> Make:
    """`bucket("me")`: what this agent keeps, as another process of it would see it."""
    return lambda name="me": Bucket(lambda: there.client, name)


@pytest.mark.parametrize("data", [b"x", b"", LARGE], ids=["short", "empty", "in parts"])
async def test_another_process_reads_what_was_saved(bucket, data):
    first, second = bucket(), bucket()
    assert await first.load() is None
    await first.save(data)
    assert await second.load() == data
    await second.save(b"after")
    assert await bucket().load() == b"after"
    assert await bucket("other").load() is None


async def test_what_was_replaced_is_removed(there, bucket):
    mine = bucket()
    for number in range(5):
        await mine.save(LARGE[number:])
    stream = await there.jetstream.stream(STREAM)
    assert stream.state.bytes < 1.1 * len(LARGE)
    assert stream.state.messages == 1 + len(LARGE) // module.PART_BYTES + 1


async def test_a_reader_never_sees_half_of_it(there, bucket):
    values = [bytes([65 + number]) + LARGE[:2_000_000] for number in range(2)]
    mine, reader = bucket(), bucket()
    await mine.save(values[0])

    async def writes() -> None:
        for number in range(10):
            await mine.save(values[number % 2])

    writing = asyncio.create_task(writes())
    read = []
    while not writing.done():
        read.append(await reader.load())
    await writing
    assert len(read) > 3
    assert {one in values for one in read} == {True}


async def test_who_was_away_does_not_overwrite_what_its_successor_saved(bucket):
    old, new = bucket(), bucket()
    await old.save(b"old")
    await new.load()
    await new.save(b"new")
    for _ in range(2):
        with pytest.raises(StateError, match=r"another agent has saved .* key me.state"):
            await old.save(b"older")
    assert await bucket().load() == b"new"
    await new.save(b"newer")
    assert await old.load() == b"newer"
    await old.save(b"newest")
    assert await bucket().load() == b"newest"


async def test_a_save_that_was_not_confirmed_locks_nobody_out(system, there, bucket, monkeypatch):
    mine = bucket()
    await mine.save(b"one")
    impatient = JetStream(there.client, timeout=0.2)
    head = module._decoded(await there.jetstream.last(STREAM, HEAD))
    system["n1"].freeze()
    with pytest.raises(JetStreamError):
        await mine._replace_head(impatient, replace(head, generation=32 * "0"))
    system["n1"].thaw()
    await mine.save(b"two")
    assert await bucket().load() == b"two"


async def test_what_is_not_ours_is_set_aside_and_not_lost(there, bucket):
    await there.client.request(HEAD, b"something else")
    mine = bucket()
    assert await mine.load() == b"something else"
    where = await mine.set_aside()
    assert where == "bucket INSIGHTS_AGENT, key _.unreadable.me.state"
    assert await mine.load() is None
    aside = Bucket(lambda: there.client, "", "unreadable.me.state")
    assert await aside.load() == b"something else"
    await mine.save(b"ours")
    assert await bucket().load() == b"ours"
    assert await aside.load() == b"something else"


async def test_parts_that_are_gone_make_it_unusable_and_no_more(there, bucket):
    mine = bucket()
    await mine.save(b"one")
    await there.jetstream.purge(STREAM, "$KV.INSIGHTS_AGENT.me.state.part.>", 1000)
    assert (await bucket().load()).startswith(b'{"generation"')
    await mine.set_aside()
    await mine.save(b"two")
    assert await bucket().load() == b"two"


@pytest.mark.parametrize(
    "head",
    [
        b'{"generation":"*","parts":1,"bytes":1,"sha256":""}',
        b'{"generation":"00000000000000000000000000000000","parts":1000000,"bytes":1,"sha256":""}',
        b"[" * 5000,
        b"\xff",
    ],
)
async def test_a_hostile_head_is_something_that_cannot_be_used(there, bucket, head):
    await there.client.request(HEAD, head)
    assert await bucket().load() == head


async def test_a_key_that_somebody_deleted_is_no_state(there, bucket):
    mine = bucket()
    await mine.save(b"one")
    kv = await there.client.jetstream().key_value("INSIGHTS_AGENT")
    await kv.delete("me.state.head")
    assert await bucket().load() is None
    fresh = bucket()
    await fresh.load()
    await fresh.save(b"two")
    assert await bucket().load() == b"two"


async def test_any_name_is_a_key_that_clients_take(there, bucket):
    names = ["", "_", "a.b", "*", ">", "é %", "x" * 5000, "a=b/c", "\0\r\n", "=5F"]
    for name in names:
        await bucket(name).save(name.encode())
    js = there.client.jetstream()
    info = await js.stream_info(STREAM, subjects_filter=">")
    keys = [subject.removeprefix("$KV.INSIGHTS_AGENT.") for subject in info.state.subjects]
    assert len([key for key in keys if key.endswith(".head")]) == len(names)
    kv = await js.key_value("INSIGHTS_AGENT")
    for key in keys:
        assert (await kv.get(key)).value  # Else the client would refuse the key.
    assert [await bucket(name).load() for name in names] == [name.encode() for name in names]


async def test_without_a_connection_it_says_so():
    nowhere = Bucket(lambda: None, "me")
    for what in (nowhere.load(), nowhere.save(b""), nowhere.set_aside()):
        with pytest.raises(StateError, match="there is no connection to it now"):
            await what


async def test_what_is_too_large_is_refused_in_one_sentence(bucket, monkeypatch):
    monkeypatch.setattr(module, "MOST_BYTES", 1024 * 1024)
    mine = bucket()
    with pytest.raises(StateError, match=r"has 3 MiB compressed, and is not kept above 1 MiB"):
        await mine.save(LARGE)
    await mine.save(b"small")


async def test_a_full_bucket_keeps_what_it_had(there, bucket):
    mine = bucket()
    await mine.save(b"one")
    stream = await there.jetstream.stream(STREAM)
    await there.jetstream.update(stream.config | {"max_bytes": 1024 * 1024})
    with pytest.raises(StateError, match=r"cannot save the state in .*: maximum bytes exceeded"):
        await mine.save(LARGE)
    assert await bucket().load() == b"one"
    # What did not fit is in the way of nothing else.
    await there.jetstream.update(stream.config)
    await mine.save(b"two")
    stream = await there.jetstream.stream(STREAM)
    assert (await bucket().load(), stream.state.messages) == (b"two", 2)


async def test_without_the_bucket_it_says_so(system, there, bucket):
    await there.client.jetstream().delete_stream(STREAM)
    with pytest.raises(StateError, match=r"cannot read the state in .*: stream not found"):
        await bucket().load()
    mine = bucket()
    with pytest.raises(StateError, match=r"cannot save the state in .*: stream not found"):
        await mine.save(b"x")
    mine._revision = 0
    with pytest.raises(StateError, match=r"no stream stores \$KV\.INSIGHTS_AGENT\.me"):
        await mine.save(b"x")


async def test_without_jetstream_it_says_so(system):
    client = await connect(login(system, "app", "n1"), name="app")
    with pytest.raises(StateError, match="JetStream is not enabled for the account"):
        await Bucket(lambda: client, "me").load()
    await client.close()


async def test_it_survives_a_restart_of_the_server(system, there, bucket):
    await bucket().save(LARGE)
    system["n1"].restart()
    client = await connect(keeper(system), name="again")
    assert await Bucket(lambda: client, "me").load() == LARGE
    await client.close()
