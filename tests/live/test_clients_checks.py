"""The checks about clients and users, on real servers."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import pytest

from kit.watching import QUICK, watching
from nats_insights import config
from nats_insights.agent.epoch import epoch
from nats_insights.checks.conn.connection_stopped import connection_stopped
from nats_insights.checks.conn.high_client_rtt import high_client_rtt
from nats_insights.checks.conn.logins_refused import logins_refused
from nats_insights.checks.conn.outdated_clients import outdated_clients
from nats_insights.checks.conn.unnamed_clients import unnamed_clients
from nats_insights.checks.opt_idle.idle_clients import idle_clients
from nats_insights.checks.user.connection_leak import connection_leak
from nats_insights.checks.user.reconnect_storm import reconnect_storm
from nats_insights.connection.connect import connect
from nats_insights.connection.contexts import Settings
from nats_insights.gather.small import Gatherer
from nats_insights.gather.window import Window
from nats_insights.judge.auditor import Auditor
from nats_insights.lab.demo.stage import login
from nats_insights.lab.servers import conf, local
from nats_insights.lab.servers.crowd import Member

pytestmark = [pytest.mark.live, pytest.mark.long]


@pytest.fixture(scope="module")
def system() -> Iterator[local.System]:
    """Two servers that measure round-trip times every second."""
    with local.cluster("n1", "n2", options='ping_interval: "1s", ping_max: 60') as system:
        yield system


class Client:
    """A client of account APP that writes what a test has it write, and answers PING `late`."""

    def __init__(self, server: local.Server, **connect: Any) -> None:
        self.server, self.connect, self.late = server, connect, 0.0
        self.reading: asyncio.Task[None] | None = None

    async def join(self) -> None:
        """Connect and log in; ConnectionError if the server refuses that."""
        user, password = self.server.user("app")
        self.incoming, self.outgoing = await asyncio.open_connection(
            conf.LOOPBACK, self.server.port
        )
        hello = {"user": user, "pass": password, "verbose": False, "lang": "python", **self.connect}
        self.write(f"CONNECT {json.dumps(hello)}", "PING")
        while not (line := await self.incoming.readline()).startswith(b"PONG"):
            if line.startswith(b"-ERR") or not line:
                raise ConnectionError(line)
        self.reading = asyncio.create_task(self._read())

    def write(self, *lines: str) -> None:
        """Write lines of the protocol."""
        self.outgoing.write("".join(f"{line}\r\n" for line in lines).encode())

    async def _read(self) -> None:
        with suppress(ConnectionError):
            while line := await self.incoming.readline():
                if line.startswith(b"PING"):
                    await asyncio.sleep(self.late)
                    self.write("PONG")

    async def leave(self) -> None:
        """Close the connection."""
        if self.reading is not None:
            self.reading.cancel()
        self.outgoing.close()
        with suppress(ConnectionError):
            await self.outgoing.wait_closed()


@asynccontextmanager
async def clients(server: local.Server, count: int, **connect: Any) -> AsyncIterator[list[Client]]:
    """So many clients that do nothing."""
    joined = [Client(server, **connect) for _ in range(count)]
    try:
        for client in joined:
            await client.join()
        yield joined
    finally:
        for client in joined:
            await client.leave()


async def test_clients_that_answer_late_are_found_until_they_answer_at_once(system):
    more = "gather.every = { CONNZ_RTT_16_600 = 0.0 }\nchecks.high_client_rtt.max_rtt = '200ms'\n"
    async with (
        clients(system["n2"], 3, name="far") as far,
        watching(system, more=more, checks=[high_client_rtt]) as watch,
    ):
        await watch.epochs(3)
        assert watch.story == []
        for client in far:
            client.late = 0.3
        await watch.until(lambda: watch.open)
        opened = watch.open["CONN_001", "APP"]
        rows = opened.evidence["connections"]["top"]
        assert {(row["name"], row["server"]) for row in rows} == {("far", "n2")}
        assert 0.2 < opened.value == round(rows[0]["rtt"], 3)
        for client in far:
            client.late = 0.0
        await watch.until(lambda: not watch.open)
        assert watch.story[-1] == ("resolved", "CONN_001", "APP")


async def test_clients_that_were_never_used_are_found_until_they_are(system):
    more = (
        "gather.every = { CONNZ_IDLE_64_3600 = 0.0 }\n"
        "checks.idle_clients = { idle = '1s', clients = 3 }\n"
    )
    async with (
        clients(system["n1"], 2, name="spare"),
        clients(system["n2"], 3, name="waiting") as waiting,
        watching(system, more=more, checks=[idle_clients]) as watch,
    ):
        for client in waiting:
            client.write("SUB work 1")
        await asyncio.sleep(2.1)  # All are idle for longer than a second, as servers count.
        await watch.epochs(2)
        assert watch.story == []
        async with clients(system["n2"], 1, name="spare") as last:
            await watch.until(lambda: watch.open)
            rows = watch.open["OPT_IDLE_007", "APP"].evidence["connections"]["top"]
            assert [row["name"] for row in rows] == 3 * ["spare"]
            last[0].write("PUB used 0", "")
            await watch.until(lambda: not watch.open)


CLOSED = "gather.every = { CONNZ_CLOSED = 0.0 }\n"
TOO_LONG = f"SUB {'a' * 5000} 1"


async def test_clients_that_violate_the_protocol_are_found_and_not_those_that_leave(system):
    more = CLOSED + (
        "checks.connection_stopped = { closed = 3, window = '4s' }\n"
        "checks.reconnect_storm = { failed = 45.0, ended = 900.0, window = '4s' }\n"
    )
    checks = [connection_stopped, reconnect_storm]
    async with clients(system["n1"], 2), watching(system, more=more, checks=checks) as watch:
        for name in ("n1", "n2", "n1"):
            async with clients(system[name], 1, name="short"):
                pass
        await watch.epochs(3)
        assert watch.story == []
        for name in ("n1", "n2", "n1"):
            async with clients(system[name], 1, name="wordy") as wordy:
                wordy[0].write(TOO_LONG)
                await wordy[0].reading
        await watch.until(lambda: len(watch.open) == 2)
        for told in watch.open.values():
            assert told.evidence["by_reason"]["top"] == [["Maximum Control Line Exceeded", 3]]
            named = told.evidence["closed"]["top"]
            assert {(row["name"], row["user"]) for row in named} == {("wordy", "app")}
        assert watch.open.keys() == {("CONN_003", "APP"), ("USER_902", "app")}
        await watch.until(lambda: not watch.open)


async def test_refused_logins_are_found_without_the_names_that_were_tried(system):
    more = CLOSED + "checks.logins_refused = { refused = 3, window = '3s' }\n"
    wrong = {"user": None, "pass": None, "auth_token": "a-secret", "name": "cron"}
    async with watching(system, more=more, checks=[logins_refused]) as watch:
        await watch.epochs(3)
        assert watch.story == []
        for _ in range(3):
            with pytest.raises(ConnectionError):
                async with clients(system["n2"], 1, **wrong):
                    pass
        await watch.until(lambda: watch.open)
        told = watch.open["CONN_903", "n2"]
        assert told.evidence["by_address"]["top"] == [["127.0.0.1", 3]]
        assert {row["name"] for row in told.evidence["closed"]["top"]} == {"cron"}
        assert b"secret" not in b"".join(message.data for message in watch.messages)
        await watch.until(lambda: not watch.open)


async def test_clients_without_a_name_and_with_old_libraries_are_found(system):
    more = (
        "gather.every = { CONNZ_SURVEY = 0.0 }\n"
        "checks.unnamed_clients = { connections = 3 }\n"
        "checks.outdated_clients = { connections = 3 }\n"
    )
    checks = [unnamed_clients, outdated_clients]
    async with (
        clients(system["n1"], 3, name="new", lang="go", version="1.47.0"),
        watching(system, more=more, checks=checks) as watch,
    ):
        await watch.epochs(3)
        assert watch.story == []
        async with clients(system["n2"], 4, lang="go", version="1.9.1"):
            await watch.until(lambda: len(watch.open) == 2)
            assert watch.open["CONN_901", "APP"].evidence["unnamed"] == 4
            assert watch.open["CONN_902", "system"].evidence == {
                "libraries": {"top": [["go 1.9.1", 4]], "left_out": 0},
                "newest": {"go": "1.47"},
            }
        await watch.until(lambda: not watch.open)


async def test_idle_connections_that_only_grow_in_a_day_are_found_until_they_end(system, crowd):
    user, password = system.user("app")
    settings = "checks.connection_leak = { connections = 30, idle = '1s', window = '20h' }\n"
    auditor = Auditor([connection_leak], config.parse(QUICK + settings))
    client = await connect(login(system, "agent", "n1"), name="a day")
    gatherer = Gatherer(client, timeout=2.0, window=Window(24 * 1024 * 1024))

    async def look(hour: int) -> list[tuple[str, ...]]:
        told = await epoch(auditor, gatherer, 1_800_000_000.0 + 3600 * hour)
        return [(item.transition, *item.life.key.names) for item in told]

    async def leak(count: int) -> list[Member]:
        members = await crowd.join(system["n2"].url, count, user=user, password=password)
        await asyncio.sleep(2.1)  # Until servers count them as idle for longer than a second.
        return members

    try:
        first = await leak(20)
        assert [await look(hour) for hour in range(0, 20, 5)] == 4 * [[]]
        await leak(20)
        assert await look(20) == [("opened", "APP", "app")]
        await crowd.leave(first)
        assert await look(25) == [("resolved", "APP", "app")]
    finally:
        await client.close()


async def test_whoever_may_not_ask_for_connections_is_told_so(start_server):
    user = '{ user: agent, password: pw, permissions: { publish: { deny: "$SYS.*.*.*.CONNZ" } } }'
    text = f"accounts {{ SYS: {{ users: [{user}] }} }}\nsystem_account: SYS"
    server = start_server("n1", authorization=text)["n1"]
    settings = Settings(servers=(server.url,), user="agent", password="pw")
    checks = [unnamed_clients, high_client_rtt]
    auditor = Auditor(checks, config.parse("gather.every = { CONNZ_SURVEY = 0.0 }"))
    client = await connect(settings, name="denied")
    gatherer = Gatherer(client, timeout=0.3, window=Window(24 * 1024 * 1024))
    try:
        for second in range(2):  # What is denied is known after the first request.
            await epoch(auditor, gatherer, 1_800_000_000.0 + 3600 * second)
    finally:
        await client.close()
    assert {code: one.why for code, one in auditor.outcomes.items()} == {
        "CONN_001": "not permitted: CONNZ_RTT_16_600",
        "CONN_901": "not permitted: CONNZ_SURVEY",
    }


DISPLACED = "Duplicate Client ID"


def mqtt_connect(client: str, user: str, password: str) -> bytes:
    """The first packet of an MQTT client: protocol 3.1.1, a clean session, user and password."""
    texts = [struct.pack(">H", len(text)) + text.encode() for text in (client, user, password)]
    body = b"\x00\x04MQTT\x04\xc2\x00\x3c" + b"".join(texts)
    return b"\x10" + bytes([len(body)]) + body


async def test_mqtt_clients_with_one_id_that_displace_each_other_are_a_storm():
    more = CLOSED + "checks.reconnect_storm = { failed = 20.0, ended = 900.0, window = '4s' }\n"
    with local.server("n1", jetstream=True, options="mqtt { port: -1 }") as system:
        user, password = system.user("ops")
        watched = watching(system, listen="n1", more=more, checks=[reconnect_storm])
        async with watched as watch, AsyncExitStack() as stack:
            await watch.epochs(1)
            port = watch.agent.auditor.snapshot.servers["", "n1"].varz.mqtt.port
            for _ in range(5):  # The server itself refuses one that comes back too soon.
                incoming, outgoing = await asyncio.open_connection(conf.LOOPBACK, port)
                outgoing.write(mqtt_connect("pump", user, password))
                await incoming.read(4)
                stack.callback(outgoing.close)
            await watch.until(lambda: watch.open)
            told = watch.open["USER_902", "ops"]
            assert [reason for reason, _ in told.evidence["by_reason"]["top"]] == [DISPLACED]
            await watch.until(lambda: not watch.open)
