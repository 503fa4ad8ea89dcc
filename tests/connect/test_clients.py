"""The connection is kept up: a fresh client each time, for as long as one is wanted."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from nats_insights.connection import connect as connect_module
from nats_insights.connection.client import Client
from nats_insights.connection.connect import clients, user_info
from nats_insights.connection.contexts import Settings
from nats_insights.errors import ConnectError
from nats_insights.lab.servers.jwts import Operator
from nats_insights.subjects import USER_INFO

SECRET = "s3cr3t-do-not-show"
USERS = f'authorization {{ users: [ {{ user: agent, password: "{SECRET}" }} ] }}'


async def until(condition: Any) -> None:
    """Waits for what no event tells of."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.01)


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pause of note between attempts."""
    monkeypatch.setattr(connect_module, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(connect_module, "LONGEST_PAUSE", 0.02)


@pytest.fixture
def probes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Probes in quick succession."""
    monkeypatch.setattr(connect_module, "PROBE_SECONDS", 0.02)


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Any:
    """`told()`: what was logged so far, by level and text."""
    caplog.set_level(logging.INFO, "nats_insights")

    def told() -> list[str]:
        return [f"{record.levelname} {record.getMessage()}" for record in caplog.records]

    return told


def supply(*servers: str, patient: bool = False, **fields: Any) -> Any:
    settings = Settings(servers=servers, **fields)
    return aclosing(clients(settings, name="test", patient=patient))


async def test_a_restarted_server_is_found_again(serve: Any, told: Any) -> None:
    server = serve()
    async with supply(server.url) as supplied:
        first = await anext(supplied)
        server.stop()
        await first.closed.wait()
        again = asyncio.create_task(anext(supplied))
        await until(lambda: any("no connection" in line for line in told()))
        serve(port=server.port)
        second = await again
        assert (await user_info(second)).account == "$G"
        assert second is not first
    assert second.closed.is_set()
    url = server.url
    assert told() == [
        f"INFO connected to {url}",
        f"WARNING connection to {url} closed: "
        "the server closed the connection without an error message",
        f"WARNING no connection: {url} cannot be reached: Connection refused",
        f"INFO connected to {url}",
    ]


async def test_the_next_server_is_taken_when_one_dies(serve: Any) -> None:
    servers = [serve(), serve(), serve()]
    async with supply(*(server.url for server in servers)) as supplied:
        for server in servers:
            client = await anext(supplied)
            assert client.url == server.url
            server.stop()
            await client.closed.wait()


async def lose_one_of_two(one: Any, two: Any, url: str, **fields: Any) -> Client:
    """The client that follows when a cluster of two loses the only server we were told of."""
    async with supply(url, **fields) as supplied:
        client = await anext(supplied)
        await until(lambda: client.discovered_servers)
        one.stop()
        await client.closed.wait()
        following = await anext(supplied)
        assert (await user_info(following)).user in ("agent", "")
        return following


def clustered(name: str, *routes: str, rest: str = "") -> str:
    quoted = ", ".join(f'"{route.replace("nats://", "nats-route://")}"' for route in routes)
    listen = f'listen: "127.0.0.1:-1", routes: [{quoted}]'
    return f"server_name: {name}\ncluster {{ name: C, {listen} }}\n{rest}"


async def test_a_server_that_was_only_heard_of_is_taken(serve: Any) -> None:
    one = serve(clustered("A"))
    two = serve(clustered("B", one.cluster_url))
    assert (await lose_one_of_two(one, two, one.url)).url == two.url


async def test_a_server_that_was_only_heard_of_is_given_the_login_and_the_tls_name(
    serve: Any, certificates: Path
) -> None:
    files = f'cert_file: "{certificates}/server.pem", key_file: "{certificates}/server.key"'
    rest = f"tls {{ {files} }}\n{USERS}"
    one = serve(clustered("A", rest=rest))
    two = serve(clustered("B", one.cluster_url, rest=rest))
    url = f"tls://agent:{SECRET}@localhost:{one.port}"
    following = await lose_one_of_two(one, two, url, ca=str(certificates / "ca.pem"))
    assert following.url == f"tls://127.0.0.1:{two.port}"


async def test_a_server_that_is_heard_of_under_a_strange_name_is_left_out(
    listen: Any, greet: Any, ours: Any
) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await greet(reader, writer, connect_urls=["a\x1bc:4222", "b\u202e:4222", "c:4222"])
        await reader.read()

    url = await listen(handler)
    client = await ours(url)
    assert len(client.discovered_servers) == 3
    following = connect_module._after(client, [connect_module._Server(url)])
    assert [server.url for server in following] == ["nats://c:4222", url]


async def test_asking_for_the_next_closes_a_client_that_lives(serve: Any, told: Any) -> None:
    url = serve().url
    async with supply(url) as supplied:
        first = await anext(supplied)
        second = await anext(supplied)
        assert (first.closed.is_set(), second.closed.is_set()) == (True, False)
    assert told()[1] == f"WARNING connection to {url} closed: by us"


async def test_the_first_connection_fails_at_once(dead: str) -> None:
    async with supply(dead) as supplied:
        with pytest.raises(ConnectError, match="Connection refused"):
            await anext(supplied)


async def test_patience_waits_for_a_server_and_says_so_once(
    listen: Any, greet: Any, told: Any
) -> None:
    calls = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        calls += 1
        if calls < 5:
            writer.close()
        else:
            await greet(reader, writer)
            await reader.read()

    url = await listen(handler)
    async with supply(url, patient=True) as supplied:
        await anext(supplied)
    assert told() == [
        f"WARNING no connection: {url} closed the connection during the log-in",
        f"INFO connected to {url}",
    ]


async def test_patience_does_not_wait_for_what_only_a_person_can_mend(
    serve: Any, told: Any
) -> None:
    async with supply(serve(USERS).url, patient=True, user="agent", password="wrong") as supplied:
        with pytest.raises(ConnectError, match="refused user 'agent'"):
            await anext(supplied)


async def test_renewed_credentials_are_used_for_the_next_client(
    serve: Any, tmp_path: Path, told: Any
) -> None:
    operator = Operator()
    system = operator.account("SYS")
    configuration = operator.configuration(system)
    server, creds = serve(configuration), tmp_path / "agent.creds"
    creds.write_text(system.user("agent").creds)
    async with supply(server.url, creds=str(creds)) as supplied:
        first = await anext(supplied)
        creds.unlink()
        await first.give_up("for a test")
        again = asyncio.create_task(anext(supplied))
        await until(lambda: any("cannot be read" in line for line in told()))
        renewed = system.user("renewed")
        creds.write_text(renewed.creds)
        assert (await user_info(await again)).user == renewed.key.public


async def test_a_frozen_server_is_given_up(
    serve: Any, probes: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connect_module, "PROBE_TIMEOUT", 0.1)
    frozen, other = serve(), serve()
    async with supply(frozen.url, other.url) as supplied:
        client = await anext(supplied)
        frozen.freeze()
        await client.closed.wait()
        assert client.last_error == f"the server left {USER_INFO} unanswered twice in a row"
        assert (await anext(supplied)).url == other.url


NO_RESPONDERS = "NATS/1.0 503\r\n\r\n"


@pytest.mark.parametrize(
    ("answers", "closed"),
    [
        ("+-+-+-", False),  # one that is missed is forgiven
        ("000000", False),  # nobody there: still the word of a living server
        ("+-0-+-", False),
        ("+--", True),
        ("---", True),
    ],
)
async def test_two_probes_missed_in_a_row_are_the_end(
    answers: str,
    closed: bool,
    listen: Any,
    greet: Any,
    probes: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connect_module, "PROBE_TIMEOUT", 0.3)
    exhausted = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await greet(reader, writer)
        sid, left = b"", list(answers)
        while line := await reader.readline():
            words = line.split() or [b""]
            if words[0] == b"SUB":
                sid = words[-1]
            if words[0] == b"PUB" and words[1] == USER_INFO.encode() and left:
                answer = left.pop(0)
                if answer == "+":
                    writer.write(b"MSG %s %s 2\r\n{}\r\n" % (words[2], sid))
                if answer == "0":
                    size = len(NO_RESPONDERS)
                    head = b"HMSG %s %s %d %d\r\n" % (words[2], sid, size, size)
                    writer.write(head + NO_RESPONDERS.encode() + b"\r\n")
            elif words[0] == b"PUB" and not left:
                exhausted.set()

    async with supply(await listen(handler)) as supplied:
        client = await anext(supplied)
        ends = [asyncio.create_task(event.wait()) for event in (client.closed, exhausted)]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        assert client.closed.is_set() is closed
        for end in ends:
            end.cancel()


async def test_a_user_that_may_not_be_probed_is_left_in_peace(
    serve: Any, probes: None, monkeypatch: pytest.MonkeyPatch, told: Any
) -> None:
    monkeypatch.setattr(connect_module, "PROBE_TIMEOUT", 0.1)
    user = f'user: agent, password: p, permissions: {{ publish: {{ deny: "{USER_INFO}" }} }}'
    url = serve(f"authorization {{ users: [ {{ {user} }} ] }}").url
    async with supply(url, user="agent", password="p") as supplied:
        client = await anext(supplied)
        await until(lambda: any("may not use" in line for line in told()))
        await client.flush()
        assert client.closed.is_set() is False


async def test_no_secret_is_logged(serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    server = serve(USERS)
    url = server.url.replace("//", f"//agent:{SECRET}@")
    async with supply(url, user="agent", password=SECRET) as supplied:
        client = await anext(supplied)
        server.stop()
        await client.closed.wait()
        again = asyncio.create_task(anext(supplied))
        await until(lambda: "no connection" in caplog.text)
        again.cancel()
        await asyncio.wait({again})
    assert "connected to nats://127.0.0.1" in caplog.text
    assert SECRET not in caplog.text
