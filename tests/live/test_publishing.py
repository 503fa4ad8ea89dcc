"""The second connection: what is published arrives, is stored once, and in order."""

from __future__ import annotations

import asyncio
import json
import logging
import re

import msgspec
import pytest
from msgspec.structs import replace
from nats.aio.msg import Msg

from kit.keeping import KEEP, keeper, kept, message, publishing
from kit.programs import until
from kit.watching import watching
from nats_insights.agent import publisher as module
from nats_insights.agent.publisher import IN_FLIGHT
from nats_insights.agent.unstored import finding_of
from nats_insights.connection.connect import connect
from nats_insights.lab.demo.stage import login
from nats_insights.tell.advisory import Message
from nats_insights.tell.messages import Advisory, PublishingState

pytestmark = pytest.mark.live

ALLOWED = {"Nats-Msg-Id"}
FULL = {"discard": "new", "max_msgs": 2}


@pytest.fixture
def system(start_server):
    return start_server("n1", **KEEP)


async def test_what_is_stored_is_acknowledged_once_and_in_order(system, caplog):
    caplog.set_level(logging.INFO)
    many = [message(number) for number in range(3 * IN_FLIGHT)]
    async with kept(keeper(system)) as there:
        await there.make()
        async with publishing(keeper(system)) as publisher:
            for one in many:
                publisher.put(one)
            await there.until(lambda: publisher.done)
            assert (publisher.problem, publisher.dropped, len(publisher.unstored)) == ("", 0, 0)
        assert await there.stored() == list(range(len(many)))
        assert there.numbers == list(range(len(many)))
    assert "stream INSIGHTS acknowledges advisories" in caplog.messages


async def test_only_so_many_acknowledgements_are_waited_for_at_a_time(system, monkeypatch):
    monkeypatch.setattr(module, "IN_FLIGHT", 2)
    monkeypatch.setattr(module, "ACK_SECONDS", 60.0)
    async with kept(keeper(system)) as there:
        await there.make()
        async with publishing(keeper(system)) as publisher:
            await there.until(lambda: publisher.stream)
            system["n1"].freeze()
            for number in range(5):
                publisher.put(message(number))
            # The third one waits for the word on the first two.
            waiting = asyncio.create_task(publisher.said(600.0))
            await there.until(lambda: publisher.state.waiting == 3)
            system["n1"].thaw()
            assert await waiting
            await there.until(lambda: publisher.done)
        assert await there.stored() == list(range(5))


COPY = Message("INSIGHTS.ACCOUNT.APP.ADVISORY.INFO.TEST_001.f", b"7", {"Nats-Msg-Id": "7"})
BEAT = Message("$INSIGHTS.HEARTBEAT.a", b"8", {"Nats-Msg-Id": "8"})


@pytest.mark.parametrize("one", [message(1), COPY])
async def test_what_waits_is_counted_until_it_is_forgotten(system, one):
    publisher = module.Publisher(keeper(system), "test")
    assert (publisher.done, publisher.state.waiting) == (True, 0)
    publisher.put(one)
    assert (publisher.waiting, publisher.state.waiting) == ([one], 1)
    publisher.put(message(2))
    assert publisher.state.waiting == 2
    assert not publisher.done
    publisher.clear()
    assert (publisher.waiting, publisher.state.waiting) == ([], 0)


async def test_whoever_waits_is_told_whether_all_is_stored(system):
    first = await connect(login(system, "root", "n1"), name="first")
    publisher = module.Publisher(keeper(system), "test")
    publisher.put(message(0))
    assert not await publisher.send(first)  # Nothing runs yet.
    await first.close()
    async with kept(keeper(system)) as there:
        await there.make(**FULL)
        async with publisher.running():
            await there.until(lambda: publisher.stream)
            publisher.put(message(1))
            assert await publisher.stored(600.0)
            publisher.put(message(2))
            await there.until(lambda: publisher.problem)
            # At once, for it is not known when there will be room.
            assert not await publisher.stored(600.0)
            assert publisher.client is not None
        assert publisher.client is None


async def test_a_heartbeat_that_waits_is_not_done(system):
    publisher = module.Publisher(keeper(system), "test")
    publisher.beat(BEAT)
    assert not publisher.done
    async with kept(keeper(system)) as there, publisher.running():
        await there.until(lambda: publisher.done)
        await there.until(lambda: there.numbers == [8])


async def test_without_a_connection_an_advisory_may_have_a_mebibyte(system):
    publisher = module.Publisher(keeper(system), "test")
    assert publisher.max_payload == 1_048_576


async def test_without_a_stream_what_a_server_has_not_read_is_published_again(start_cluster):
    system = start_cluster("n1", "n2", accounts=KEEP["accounts"])  # None has JetStream.
    async with (
        kept(keeper(system, "n2")) as there,
        publishing(keeper(system, "n1", "n2")) as publisher,
    ):
        await there.until(lambda: publisher.stream == "")
        system["n1"].freeze()
        publisher.put(message(1))
        await there.until(lambda: not publisher.state.waiting)
        assert not publisher.done
        system["n1"].kill()
        await there.until(lambda: there.numbers == [1])


async def test_of_a_connection_the_limit_is_that_of_its_server(start_server, caplog):
    system = start_server("n2", **KEEP, options="max_payload: 20000")
    async with kept(keeper(system)) as there, publishing(keeper(system)) as publisher:
        await there.until(lambda: publisher.client)
        assert publisher.max_payload == 20_000
        large = message(1)
        publisher.put(Message(large.subject, bytes(19_990), large.headers))
        publisher.put(message(2))
        await there.until(lambda: publisher.done)
        # Its headers count: the server would have closed the connection.
        assert (there.numbers, publisher.dropped) == ([2], 1)
    assert "is too large for the server" in caplog.text


async def test_a_duplicate_is_stored_already(system):
    async with kept(keeper(system)) as there:
        await there.make()
        for _ in range(2):
            async with publishing(keeper(system)) as publisher:
                publisher.put(message(1))
                await there.until(lambda: publisher.done)
        assert await there.stored() == [1]
        assert len(there.heard) == 2


async def test_it_sends_no_header_of_its_own(system):
    async with kept(keeper(system)) as there:
        await there.make()
        async with publishing(keeper(system)) as publisher:
            publisher.put(message(1))
            publisher.beat(Message("$INSIGHTS.HEARTBEAT.a", b"2", {"Nats-Msg-Id": "h"}))
            await there.until(lambda: publisher.done)
        await there.until(lambda: len(there.heard) == 2)
        assert [set(one.headers or {}) for one in there.heard] == [ALLOWED, ALLOWED]
        assert [bool(one.reply) for one in there.heard] == [True, False]


async def test_without_a_stream_it_is_published_and_that_is_said_once(system, caplog):
    async with kept(keeper(system)) as there, publishing(keeper(system)) as publisher:
        for number in range(3):
            publisher.put(message(number))
            await there.until(lambda number=number: number in there.numbers)
        await there.until(lambda: publisher.stream == "" and not publisher.unstored)
        await there.until(lambda: publisher.done)
        assert publisher.problem == ""
    said = [line for line in caplog.messages if "acknowledged" in line]
    assert said == [
        "no stream stores $INSIGHTS.ADVISORY.>, so nothing is acknowledged; "
        "`nats-insights assets apply` creates one"
    ]


async def test_a_stream_that_is_made_later_is_found(system, monkeypatch):
    monkeypatch.setattr(module, "LOOK_AGAIN", 0.1)
    async with kept(keeper(system)) as there, publishing(keeper(system)) as publisher:
        await there.until(lambda: publisher.stream == "")
        await there.make()
        await there.until(lambda: publisher.stream == "INSIGHTS")
        publisher.put(message(1))
        await there.until(lambda: publisher.done)
        assert await there.stored() == [1]


async def test_a_stream_that_is_gone_is_given_up(system, caplog, monkeypatch):
    monkeypatch.setattr(module, "ACK_SECONDS", 0.3)
    async with kept(keeper(system)) as there:
        await there.make()
        async with publishing(keeper(system)) as publisher:
            publisher.put(message(1))
            await there.until(lambda: publisher.done)
            await there.client.jetstream().delete_stream("INSIGHTS")
            publisher.put(message(2))
            await there.until(lambda: publisher.stream == "")
            await there.until(lambda: not publisher.unstored)
            publisher.put(message(3))
            await there.until(lambda: publisher.done)
        assert there.numbers == [1, 2, 3]
    assert len([line for line in caplog.messages if "no stream stores" in line]) == 1


async def test_a_stream_of_another_name_acknowledges_and_one_of_some_does_not(system, monkeypatch):
    monkeypatch.setattr(module, "LOOK_AGAIN", 0.1)
    async with kept(keeper(system)) as there:
        some = {"name": "SOME", "subjects": ["$INSIGHTS.ADVISORY.CRITICAL.>"]}
        await there.jetstream.create(some)
        async with publishing(keeper(system)) as publisher:
            await there.until(lambda: publisher.stream == "")
            await there.jetstream.update(some | {"subjects": ["$INSIGHTS.>"], "no_ack": True})
            publisher.put(message(1))
            await there.until(lambda: publisher.done)
            assert publisher.stream == ""
            await there.client.jetstream().delete_stream("SOME")
            await there.jetstream.create({"name": "MINE", "subjects": ["$INSIGHTS.>"]})
            await there.until(lambda: publisher.stream == "MINE")
            publisher.put(message(2))
            await there.until(lambda: publisher.done)
            assert await there.stored("MINE") == [2]


async def test_a_full_stream_loses_nothing_delays_nobody_and_keeps_the_order(system, caplog):
    async with kept(keeper(system)) as there:
        await there.make(**FULL)
        async with publishing(keeper(system)) as publisher:
            for number in (1, 2):
                publisher.put(message(number))
            await there.until(lambda: publisher.done)
            # Two findings, of which one is opened, updated and resolved meanwhile.
            for number, finding in ((3, "a"), (4, "b"), (5, "a"), (6, "a")):
                publisher.put(message(number, finding))
                await there.until(lambda number=number: number in there.numbers)
            await there.until(lambda: "does not store" in publisher.problem)
            assert publisher.problem == (
                "stream INSIGHTS does not store advisories: maximum messages exceeded"
            )
            assert len(publisher.unstored) == 4
            await there.change(max_msgs=-1)
            await there.until(lambda: not publisher.unstored)
            assert (publisher.problem, publisher.dropped) == ("", 0)
        assert sorted(await there.stored()) == [1, 2, 3, 4, 5, 6]
        assert [n for n in await there.stored() if n in (3, 5, 6)] == [3, 5, 6]
    assert len([line for line in caplog.messages if "maximum messages exceeded" in line]) == 1


async def test_a_request_to_jetstream_that_fails_is_no_reason_to_give_up(start_server, caplog):
    def accounts(denied: str) -> str:
        users = f"{{ user: u, password: p, permissions: {{ publish: {{ deny: [{denied}] }} }} }}"
        users += ", { user: all, password: p }"
        return f"accounts {{ A: {{ jetstream: enabled, users: [{users}] }} }}"

    last = "$JS.API.STREAM.MSG.GET.INSIGHTS"
    server = start_server("n1", jetstream=True, authorization=accounts(f'"{last}"'))["n1"]
    settings = module.Settings(servers=(server.url,), user="u", password="p")
    async with kept(replace(settings, user="all")) as there:
        await there.make(**FULL | {"max_msgs": 1})
        async with publishing(settings) as publisher:
            for number, finding in ((1, "z"), (2, "a"), (3, "a")):
                publisher.put(message(number, finding))
            await there.until(lambda: "maximum messages" in publisher.problem)
            await there.until(lambda: there.numbers == [1, 2, 3])
            await there.change(max_msgs=-1)
            sentence = f"nothing is stored: the user may not use {last}: allow it"
            await there.until(lambda: publisher.problem == sentence)
            server.reload(accounts(""))
            await there.until(lambda: publisher.done)
        assert await there.stored() == [1, 2, 3]
    assert len([line for line in caplog.messages if line == sentence]) == 1


async def test_an_advisory_too_large_for_the_stream_stands_in_the_way_of_no_other(system, caplog):
    async with kept(keeper(system)) as there:
        await there.make(max_msg_size=100)
        large = message(1)
        large = Message(large.subject, b"1".rjust(200), large.headers)
        async with publishing(keeper(system)) as publisher:
            for one in (large, message(2, finding_of(large))):
                publisher.put(one)
            await there.until(lambda: publisher.dropped == 1)
            await there.until(lambda: publisher.done)
        assert await there.stored() == [2]
    assert "too large for INSIGHTS" in caplog.text


async def test_who_answers_whatever_has_a_reply_subject_acknowledges_nothing(system, caplog):
    async with kept(keeper(system)) as there:
        await there.make(**FULL)
        async with publishing(keeper(system)) as publisher:
            for number in (1, 2):
                publisher.put(message(number))
            await there.until(lambda: publisher.done)

            async def answer(heard: Msg) -> None:
                for body in (b"", b"\xff", b"[]", b"{}", b'{"stream":"OTHER","seq":1}'):
                    await there.client.publish(heard.reply, body)
                other = f"{heard.reply.rpartition('.')[0]}.another"
                await there.client.publish(other, b'{"stream":"INSIGHTS","seq":1}')

            await there.client.subscribe("$INSIGHTS.ADVISORY.>", cb=answer)
            await there.client.flush()
            await there.client.flush()
            publisher.put(message(3))
            await there.until(lambda: publisher.problem)
            assert len(publisher.unstored) == 1
    assert "callback failed" not in caplog.text


async def test_too_many_are_dropped_the_oldest_first(system, monkeypatch):
    monkeypatch.setattr(module, "MOST", 5)
    publisher = module.Publisher(keeper(system), "test")
    for number in range(7):
        publisher.put(message(number))
    assert [int(one.payload) for one in publisher.waiting] == [2, 3, 4, 5, 6]
    assert publisher.dropped == 2
    async with kept(keeper(system)) as there:
        await there.make(**FULL)
        async with publisher.running():
            await there.until(lambda: len(publisher.unstored) == 3)
            for number in range(7, 10):
                publisher.put(message(number))
            await there.until(lambda: 9 in there.numbers)
            assert (len(publisher.unstored), publisher.dropped) == (5, 3)


async def test_its_state_says_where_it_is_and_what_is_or_was_wrong(start_server, monkeypatch):
    monkeypatch.setattr(module, "FIRST_RETRY", 0.1)
    system = start_server("n1", **KEEP)
    publisher = module.Publisher(keeper(system), "test")
    publisher.put(message(1))
    assert (publisher.state.server, publisher.state.waiting) == ("", 1)
    async with kept(keeper(system)) as there:
        await there.make(**FULL)
        async with publisher.running():
            for number in (2, 3):
                publisher.put(message(number))
            await there.until(lambda: publisher.state.problem)
            why = "stream INSIGHTS does not store advisories: maximum messages exceeded"
            full = PublishingState(
                server=system["n1"].url, stream="INSIGHTS", unstored=1, problem=why
            )
            await there.until(lambda: publisher.state == replace(full, last_problem=why))
            await there.change(max_msgs=-1)
            await there.until(lambda: not publisher.state.unstored)
            well = replace(full, unstored=0, problem="", last_problem=why)
            await there.until(lambda: publisher.state == well)
            system["n1"].kill()
            await there.until(lambda: publisher.state.server == "")
            publisher.put(message(4))
            assert publisher.state.waiting == 1
            assert publisher.state.problem.startswith("there is no connection to publish on: ")
            system["n1"].restart()
            await there.until(lambda: publisher.state.server)


async def test_what_waits_is_published_when_the_server_is_there_and_old_heartbeats_are_not(
    start_cluster,
):
    system = start_cluster("n1", "n2", accounts=KEEP["accounts"])
    system["n1"].stop()
    publisher = module.Publisher(keeper(system, "n1"), "test")
    async with kept(keeper(system, "n2")) as there, publisher.running():
        for number in range(3):
            publisher.put(message(number))
            publisher.beat(Message("$INSIGHTS.HEARTBEAT.a", b"%d" % (100 + number), {}))
        assert not await publisher.said(0.1)
        system["n1"].restart()
        await there.until(lambda: 102 in there.numbers)
        assert there.numbers == [0, 1, 2, 102]


SENTENCES = {
    "nobody may connect": (
        "password: other",
        r"there is no connection to publish on: nats://\S+ refused user 'u': check the name and "
        "the password",
    ),
    "may only read": (
        'permissions: { publish: "$JS.API.>" }',
        r"the user of \[publish\] may not publish \$INSIGHTS\.>: allow it",
    ),
    "no JetStream": (
        "",
        "no stream can be found that stores advisories: JetStream is not enabled for the account "
        "of this connection: enable it there",
    ),
    "may not look for streams": (
        'permissions: { publish: { deny: "$JS.>" } }',
        r"no stream can be found that stores advisories: the user may not use "
        r"\$JS\.API\.STREAM\.NAMES: allow it",
    ),
}


@pytest.mark.parametrize(("user", "sentence"), SENTENCES.values(), ids=SENTENCES)
async def test_what_is_wrong_is_said_in_one_sentence_once(start_server, caplog, user, sentence):
    jetstream = "jetstream: enabled, " if user else ""
    text = f"accounts {{ A: {{ {jetstream}users: [{{ user: u, password: p, {user} }}] }} }}"
    server = start_server("n1", jetstream=True, authorization=text)["n1"]
    settings = module.Settings(servers=(server.url,), user="u", password="p")

    async def is_said() -> bool:
        publisher.put(message(1))
        said = [line for line in caplog.messages if re.fullmatch(sentence, line)]
        return len(said) == 1 and re.fullmatch(sentence, publisher.problem) is not None

    async with publishing(settings) as publisher:
        await until(is_said)
        await until(is_said)


async def test_copies_for_tenants_stay_on_the_connection_whose_account_exports_them(system):
    copy = Message("INSIGHTS.ACCOUNT.APP.ADVISORY.INFO.TEST_001.f", b"7", {"Nats-Msg-Id": "7"})
    first = await connect(login(system, "root", "n1"), name="first")
    heard = await first.subscribe("INSIGHTS.ACCOUNT.>")
    async with kept(keeper(system)) as there:
        await there.make()
        async with publishing(keeper(system)) as publisher:
            publisher.put(copy)
            publisher.put(message(1))
            assert copy in publisher.waiting
            await publisher.send(first)
            assert (await heard.next_msg(timeout=10)).data == b"7"
            await there.until(lambda: publisher.done)
            assert publisher.waiting == []
        assert there.numbers == [1]
    await first.close()


async def test_what_another_agent_tells_from_now_on_is_forgotten(system):
    publisher = module.Publisher(keeper(system), "test")
    publisher.put(message(1))
    publisher.clear()
    async with kept(keeper(system)) as there, publisher.running():
        publisher.put(message(2))
        await there.until(lambda: there.numbers == [2])


async def test_all_of_an_agent_is_published_there_and_queries_stay_where_they_are(
    start_cluster, crowd
):
    system = start_cluster("n1", "n2", **KEEP, options={"n2": "max_connections: 30"})
    ops = await connect(login(system, "ops", "n2"), name="ops")
    imported: list[Msg] = []

    async def hear(heard: Msg) -> None:
        imported.append(heard)

    await ops.subscribe("$INSIGHTS.>", cb=hear)
    async with kept(keeper(system)) as there:
        await there.make()
        outside, own = keeper(system, "n2"), keeper(system, "n1")
        async with watching(system, listen=outside, publish=own) as watch:
            user, password = system["n2"].user("app")
            await crowd.join(system["n2"].url, 26, user=user, password=password)
            await watch.until(lambda: watch.named("SERVER_011"))
            status = json.loads((await ops.request("INSIGHTS.API.STATUS", timeout=5)).data)
            assert status["open"]["warning"] == 1
            assert status["publishing"]["server"] == system["n1"].url
            assert (status["publishing"]["stream"], status["publishing"]["dropped"]) == (
                "INSIGHTS",
                0,
            )
            # Other agents hear heartbeats on the first connection.
            assert {one.subject.split(".")[1] for one in imported} == {"HEARTBEAT"}
            await there.until(lambda: not watch.agent.advisories.outbox.unstored)
        # The last heartbeat says that the agent stops.
        await there.until(lambda: b'"stopped"' in there.heard[-1].data)
        js = there.client.jetstream()
        stream = await there.jetstream.stream("INSIGHTS")
        numbers = range(1, stream.state.last_seq + 1)
        rows = [(await js.get_msg("INSIGHTS", number)).data for number in numbers]
        advisories = [msgspec.json.decode(row, type=Advisory) for row in rows]
        assert [one.id for one in advisories] == [one.id for one in watch.advisories]
    await ops.close()


@pytest.mark.parametrize("stream", [True, False], ids=["a stream", "none"])
async def test_what_may_not_be_told_waits_and_heartbeats_do_not(system, stream):
    async with kept(keeper(system)) as there:
        if stream:
            await there.make()
        async with publishing(keeper(system)) as publisher:
            await there.until(lambda: publisher.stream is not None)
            publisher.may_tell = lambda: False
            publisher.put(message(1))
            publisher.put(message(2))
            for number in (8, 9):  # The second one comes when all that waits was looked at again.
                publisher.beat(Message("$INSIGHTS.HEARTBEAT.a", b"%d" % number, {}))
                await there.until(lambda number=number: number in there.numbers)
            assert (there.numbers, publisher.published, publisher.done) == ([8, 9], 0, False)
            publisher.may_tell = lambda: True
            publisher.put(message(3))
            await there.until(lambda: publisher.done)
            await there.until(lambda: there.numbers == [8, 9, 1, 2, 3])


async def test_what_a_frozen_leader_was_about_to_repeat_is_not_published(system):
    async with kept(keeper(system)) as there:
        await there.make(**FULL)
        async with publishing(keeper(system)) as publisher:
            for number in (1, 2, 3):
                publisher.put(message(number))
            await there.until(lambda: "maximum messages" in publisher.problem)
            await there.until(lambda: there.numbers == [1, 2, 3])
            heard = len(there.heard)
            await there.until(lambda: len(there.heard) > heard)  # It is repeated.
            publisher.may_tell = lambda: False
            published = publisher.published
            for _ in range(3):
                publisher._retry_at = 0.0
                publisher._keeper.set()
                await there.until(lambda: publisher._retry_at > 0)
            assert publisher.published == published


async def test_what_was_held_when_it_could_not_be_told_is_told_when_it_may_be(system):
    async with kept(keeper(system)) as there:
        await there.make(**FULL)
        async with publishing(keeper(system)) as publisher:
            await there.until(lambda: publisher.stream)
            for number in (1, 2):
                publisher.put(message(number))
            await there.until(lambda: publisher.done)
            may_tell = False
            publisher.may_tell = lambda: may_tell or len(publisher.unstored) < 2
            publisher.put(message(3, "a"))  # It is refused, when the next one already waits for it.
            publisher.put(message(4, "a"))
            await there.until(lambda: "maximum messages" in publisher.problem)
            assert there.numbers == [1, 2, 3]
            may_tell = True
            await there.until(lambda: there.numbers == [1, 2, 3, 4])
            assert len(publisher.unstored) == 2
