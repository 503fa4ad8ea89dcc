"""A live client on real servers: what it notices, and why it says that it closed."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nats.errors
import pytest
from nats.aio.client import Client as NatsClient
from nats.aio.msg import Msg

from nats_insights.connection import client as client_module
from nats_insights.connection import connect as connect_module
from nats_insights.connection.client import Client
from nats_insights.connection.connect import user_info
from nats_insights.lab.servers.jwts import Operator

# Without a cure one in some twenty last messages is lost.
STOPS = 150


def one_user(permissions: str = "") -> str:
    user = f"user: agent, password: p, permissions: {{ {permissions} }}"
    return f"authorization {{ users: [ {{ {user} }} ] }}"


async def until(client: Client, condition: Any) -> None:
    """Waits by round trips to the server, which answers after it has told of a denial."""
    while not condition():
        await client.flush()


async def test_denied_subjects_are_remembered_in_their_own_case(serve: Any, ours: Any) -> None:
    permissions = 'publish: { deny: "$SYS.>" }, subscribe: { deny: ["B.>", "Q x"] }'
    client = await ours(serve(one_user(permissions)).url, user="agent", password="p")
    await client.publish("$SYS.Bc.D", b"")
    await client.subscribe("B.Xy")
    await client.subscribe("Q", queue="x")
    await until(client, lambda: len(client.denied) == 3)
    assert client.denied == {"$SYS.Bc.D", "B.Xy", "Q"}
    assert client.closed.is_set() is False


async def test_denied_subjects_are_bounded(
    serve: Any, ours: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "_DENIED_MAX", 2)
    url = serve(one_user('publish: { deny: "INSIGHTS.>" }')).url
    client = await ours(url, user="agent", password="p")
    for number in range(4):
        await client.publish(f"INSIGHTS.{number}", b"")
    await client.flush()
    await client.flush()
    assert client.denied == {"INSIGHTS.0", "INSIGHTS.1"}


async def test_a_reply_that_is_denied_is_not_our_trouble(
    serve: Any, ours: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "_DENIED_MAX", 2)
    permissions = (
        'permissions: { publish: { allow: "$SYS.REQ.USER.INFO" }, allow_responses: { max: 1 } }'
    )
    users = f"{{ user: agent, password: p, {permissions} }}, {{ user: u, password: p }}"
    server = serve(f"authorization {{ users: [ {users} ] }}")
    client = await ours(server.url, user="agent", password="p")
    asker = await ours(server.url, user="u", password="p")
    asked = 0

    async def answer(message: Msg) -> None:
        nonlocal asked
        await message.respond(b"")
        asked += 1

    await client.subscribe("Q", cb=answer)
    await user_info(client)  # By now the server has subscribed us.
    for number in range(5):
        # The second request with a reply subject gets no permission for a reply.
        await asker.publish("Q", b"", reply=f"A.{number}")
        await asker.publish("Q", b"", reply=f"A.{number}")
    await until(client, lambda: asked == 10)
    await client.publish("$SYS.REQ.X", b"")
    await until(client, lambda: client.denied)
    assert client.denied == {"$SYS.REQ.X"}
    assert "Publish Violation" in server.log.read_text()


@pytest.mark.parametrize("reply", ["$SYS.REQ.X", "$INSIGHTS.X", "INSIGHTS.X", "$SRV.X"])
async def test_nobody_makes_us_publish_where_only_we_do(reply: str, serve: Any, ours: Any) -> None:
    url = serve().url
    client, asker = await ours(url), await ours(url)
    heard: asyncio.Queue[Msg] = asyncio.Queue()
    await client.subscribe("Q", cb=heard.put)
    await user_info(client)  # By now the server has subscribed us.
    await asker.publish("Q", b"", reply=reply)
    await asker.publish("Q", b"", reply="_INBOX.X")
    assert [(await heard.get()).reply for _ in range(2)] == ["", "_INBOX.X"]


async def test_dropped_messages_are_counted(serve: Any, ours: Any) -> None:
    client = await ours(serve().url)
    await client.subscribe("S", pending_msgs_limit=2)
    for _ in range(5):
        await client.publish("S", b"")
    await until(client, lambda: client.slow == 3)
    assert client.closed.is_set() is False


async def test_only_so_many_requests_wait_at_an_endpoint(serve: Any, ours: Any) -> None:
    url = serve().url
    client, asker = await ours(url), await ours(url)
    held = asyncio.Event()

    async def wait(_: Msg) -> None:
        await held.wait()

    await client.subscribe("Q", "group", cb=wait)
    await user_info(client)  # By now the server has subscribed us.
    for _ in range(10_003):
        await asker.publish("Q", b"")
    await asker.flush()
    # One is in hand.
    await until(client, lambda: client.slow == 2)
    held.set()
    assert client.closed.is_set() is False


async def test_a_failing_callback_of_a_subscription_is_logged_and_harms_nothing(
    serve: Any, ours: Any, caplog: pytest.LogCaptureFixture
) -> None:
    client = await ours(serve().url)

    async def fail(message: Msg) -> None:
        raise RuntimeError("ours")

    await client.subscribe("S", cb=fail)
    await client.publish("S", b"")
    await until(client, lambda: caplog.records)
    assert [record.getMessage() for record in caplog.records] == [
        "a subscription's callback failed"
    ]
    assert client.closed.is_set() is False


async def test_what_fits_is_taken_and_what_does_not_is_our_end(serve: Any, ours: Any) -> None:
    client = await ours(serve("max_payload: 1000").url)
    headers = {"Nats-Msg-Id": "é" * 20, "ce-type": "x"}
    size = next(size for size in range(1001) if not client.fits(b"x" * size, headers))
    message = asyncio.get_running_loop().create_future()

    async def receive(msg: Msg) -> None:
        message.set_result(msg)

    await client.subscribe("S", cb=receive)
    await client.publish("S", b"x" * (size - 1), headers=headers)
    assert len((await message).data) == size - 1
    await client.publish("S", b"x" * size, headers=headers)
    await client.closed.wait()
    assert client.last_error == "the server said: Maximum Payload Violation"


async def test_fits_without_headers_is_what_nats_py_allows(serve: Any, ours: Any) -> None:
    client = await ours(serve("max_payload: 1000").url)
    assert [client.fits(b"x" * 1000), client.fits(b"x" * 1001)] == [True, False]
    assert [client.fits(b"x" * 988, {}), client.fits(b"x" * 989, {})] == [True, False]
    with pytest.raises(nats.errors.MaxPayloadError):
        await client.publish("S", b"x" * 1001)


async def test_a_killed_server_closes_the_client_at_once(serve: Any, ours: Any) -> None:
    server = serve()
    client = await ours(server.url)
    server.stop()
    await client.closed.wait()
    assert client.last_error == "the server closed the connection without an error message"
    assert client.is_reconnecting is False


async def test_a_server_that_shuts_down_closes_the_client(serve: Any, ours: Any) -> None:
    server = serve()
    client = await ours(server.url)
    server.signal(signal.SIGTERM)
    await client.closed.wait()
    assert client.last_error


async def test_a_user_taken_out_of_the_configuration_closes_the_client(
    serve: Any, ours: Any
) -> None:
    server = serve(one_user())
    client = await ours(server.url, user="agent", password="p")
    server.configure(one_user().replace("agent", "other"))
    server.signal(signal.SIGHUP)
    await client.closed.wait()
    assert client.last_error == "the server closed the connection without an error message"


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("Authorization Violation", "the server no longer accepts the credentials"),
        ("Stale Connection", "the server closed the connection as stale"),
        ("Some New\x1b[31m Error", "the server said: Some New[31m Error"),
    ],
)
async def test_what_the_server_says_at_the_end_is_passed_on(
    said: str, reason: str, peer: Any, ours: Any
) -> None:
    url, logged_in = peer
    client = await ours(url)
    (await logged_in)[1].write(f"-ERR '{said}'\r\n".encode())
    await client.closed.wait()
    assert client.last_error == reason


@pytest.mark.asyncio(loop_factories=["asyncio"])
async def test_an_expired_jwt_closes_the_client(serve: Any, ours: Any, tmp_path: Path) -> None:
    operator = Operator()
    system = operator.account("SYS")
    url = serve(operator.configuration(system)).url
    user = system.user("agent", exp=int(time.time()) + 3)
    client = await ours(url, user_jwt=user.jwt, user_seed=user.key.seed)
    await client.closed.wait()
    assert client.last_error == "the user JWT has expired"


async def test_a_frozen_server_cannot_hold_up_the_end(
    serve: Any, ours: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "_CLOSE_SECONDS", 0.1)
    monkeypatch.setattr(client_module, "_FAREWELL_SECONDS", 0.1)
    server = serve()
    client = await ours(server.url)
    server.freeze()
    while client._transport._io_writer.transport.get_write_buffer_size() == 0:
        await client.publish("S", b"x" * 100_000)
        await asyncio.sleep(0)
    await client.close()
    assert client.closed.is_set()


async def test_closing_what_ended_with_bytes_unsent_is_no_error(serve: Any, ours: Any) -> None:
    server = serve()
    client = await ours(server.url)
    transport = client._transport._io_writer.transport
    server.freeze()
    while transport.get_write_buffer_size() == 0:
        await client.publish("S", b"x" * 100_000)
        await asyncio.sleep(0)
    transport.close()
    server.signal(signal.SIGCONT)
    await client.closed.wait()
    await client.close()
    assert client.last_error


async def test_unanswered_pings_close_the_client(
    peer: Any, ours: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connect_module, "PING_SECONDS", 0.05)
    client = await ours(peer[0])
    await client.closed.wait()
    assert client.last_error == "the server stopped answering"


async def test_closing_is_no_error(serve: Any, ours: Any) -> None:
    client = await ours(serve().url)
    await client.close()
    assert (client.closed.is_set(), client.last_error) == (True, "")


async def test_giving_up_keeps_the_first_reason(serve: Any, ours: Any) -> None:
    client = await ours(serve().url)
    await client.give_up("it is of no use")
    await client.give_up("later")
    assert (client.closed.is_set(), client.last_error) == (True, "it is of no use")


async def test_messages_published_just_before_closing_arrive(serve: Any, ours: Any) -> None:
    url = serve().url
    receiver, sender = await ours(url), await ours(url)
    received: asyncio.Queue[Msg] = asyncio.Queue()
    await receiver.subscribe("S", cb=received.put)
    await receiver.flush()
    await receiver.flush()
    for number in range(500):
        await sender.publish("S", str(number).encode())
    await sender.close()
    assert [int((await received.get()).data) for _ in range(500)] == list(range(500))


@contextmanager
def flood(port: int, subject: str) -> Iterator[None]:
    """Messages on this subject, one after another as fast as the server takes them."""
    stop = threading.Event()

    def publish() -> None:
        message = f"PUB {subject} 100000\r\n{100_000 * 'x'}\r\n".encode()
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(b'CONNECT {"verbose": false}\r\n')
            while not stop.is_set():
                connection.sendall(message)

    publishing = threading.Thread(target=publish)
    publishing.start()
    try:
        yield
    finally:
        stop.set()
        publishing.join()


async def test_the_last_message_arrives_although_the_server_is_still_sending(
    serve: Any, ours: Any
) -> None:
    server = serve()
    receiver = await ours(server.url)
    received: list[int] = []

    async def receive(message: Msg) -> None:
        received.append(int(message.data))

    async def ignore(message: Msg) -> None:
        pass

    await receiver.subscribe("LAST", cb=receive)
    await user_info(receiver)
    with flood(server.port, "FLOOD"):
        for number in range(STOPS):
            client = await ours(server.url)
            await client.subscribe("FLOOD", cb=ignore)
            await user_info(client)
            await client.publish("LAST", str(number).encode())
            await client.close()
    await receiver.publish("LAST", str(STOPS).encode())
    await until(receiver, lambda: STOPS in received)
    assert received == list(range(STOPS + 1))


async def test_a_client_closes_when_the_server_has_read_its_last_message(
    peer: Any, ours: Any
) -> None:
    client = await ours(peer[0])
    reader, writer = await peer[1]
    await client.publish("LAST", b"")
    closing = asyncio.create_task(client.close())
    lines: list[bytes] = []
    while lines.count(b"PING\r\n") < 2:
        assert not closing.done()
        lines.append(await reader.readline())
        if lines[-1] == b"PING\r\n":
            writer.write(b"PONG\r\n")
    await closing
    assert lines[-1] == b"PING\r\n"
    assert b"PUB LAST  0\r\n" in lines
    assert await reader.read() == b""


async def test_headers_that_repeat_are_read_once_and_kept_apart(serve: Any, ours: Any) -> None:
    client = await ours(serve().url)
    heard: list[Any] = []

    async def hear(message: Msg) -> None:
        heard.append(message.headers)
        if message.headers:
            message.headers["Spoilt"] = "by whoever reads it"

    await client.subscribe("S", cb=hear)
    for headers in ({"A": "1"}, {"A": "1"}, None, {"A": "2"}, {"A": "1"}):
        await client.publish("S", b"", headers=headers)
    await until(client, lambda: len(heard) == 5)
    spoilt = {"Spoilt": "by whoever reads it"}
    expected = [{"A": "1"}, {"A": "1"}, None, {"A": "2"}, {"A": "1"}]
    assert heard == [headers and headers | spoilt for headers in expected]


async def test_headers_that_alternate_are_parsed_once_each(
    serve: Any, ours: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[bytes] = []
    parse = NatsClient._process_headers

    async def counted(client: Any, headers: bytes) -> Any:
        parsed.append(headers)
        return await parse(client, headers)

    monkeypatch.setattr(NatsClient, "_process_headers", counted)
    client = await ours(serve().url)
    heard: list[Any] = []

    async def hear(message: Msg) -> None:
        heard.append(message.headers)

    await client.subscribe("S", cb=hear)
    sent = [{"A": str(number % 2)} for number in range(8)]
    sent += [{"A": str(number)} for number in range(100)]  # More than are remembered.
    for headers in sent:
        await client.publish("S", b"", headers=headers)
    await until(client, lambda: len(heard) == len(sent))
    assert heard == sent
    assert len(parsed) == 100
    assert len(client._parsed) <= 16
