"""Replies that get lost on the real wire change nothing: a relay drops them one by one."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from msgspec.structs import replace

from kit.watching import watching
from nats_insights.lab.demo.stage import login
from nats_insights.lab.servers import conf, local
from nats_insights.lab.servers.crowd import Crowd

pytestmark = pytest.mark.live


class Relay:
    """Passes NATS on, save `left` replies of server `server` to requests for `endpoint`."""

    def __init__(self, port: int) -> None:
        self.url = ""
        self.asked: set[str] = set()
        self.endpoint = self.server = ""
        self.left = 0
        self.dropped = asyncio.Event()
        self._port = port
        self._inboxes: dict[str, str] = {}

    def drop(self, endpoint: str, server: str, count: int) -> None:
        """From now on lose so many of its replies; `dropped` is set when they are gone."""
        self.endpoint, self.server, self.left = endpoint, server, count
        self.dropped.clear()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of the agent, until either end closes it."""
        above, below = await asyncio.open_connection(conf.LOOPBACK, self._port)
        ways = [self._pass(reader, below), self._pass(above, writer)]
        tasks = [asyncio.create_task(way) for way in ways]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for end in (below, writer):
                end.close()

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while line := await source.readline():
            verb, *words = line.decode().split() or [""]
            body = b""
            if verb in ("PUB", "HPUB", "MSG", "HMSG"):
                body = await source.readexactly(int(words[-1]) + 2)
            if len(words) == {"PUB": 3, "HPUB": 4}.get(verb):
                self._inboxes[words[1]] = words[0].rpartition(".")[2]
                self.asked.add(self._inboxes[words[1]])
            if verb in ("MSG", "HMSG") and self._is_chosen(words, body[:-2]):
                self.left -= 1
                if not self.left:
                    self.dropped.set()
                continue
            sink.write(line + body)
            await sink.drain()

    def _is_chosen(self, words: list[str], body: bytes) -> bool:
        if not self.left or self._inboxes.get(words[0]) != self.endpoint:
            return False
        payload = body[int(words[-2]) :] if len(words) > 3 else body
        if payload.startswith(b"\x1f\x8b"):
            payload = gzip.decompress(payload)
        return bool(json.loads(payload)["server"]["name"] == self.server)


@asynccontextmanager
async def relayed(server: local.Server) -> AsyncIterator[Relay]:
    """A relay to this server."""
    relay = Relay(server.port)
    listener = await asyncio.start_server(relay.serve, conf.LOOPBACK, 0, limit=2**20)
    async with listener:
        relay.url = f"nats://{conf.LOOPBACK}:{listener.sockets[0].getsockname()[1]}"
        yield relay


# STATZ are the statistics of accounts. Servers without leaf nodes are not asked for LEAFZ, and only
# the agent's own server for STATSZ.
REPLIES = {(one, name) for one in ("VARZ", "STATZ", "ROUTEZ", "CONNZ") for name in ("n1", "n2")}
REPLIES |= {("STATSZ", "n1")}


@pytest.mark.parametrize("count", [1, 2])
async def test_a_lost_reply_opens_and_resolves_nothing(start_cluster, count):
    system = start_cluster("n1", "n2", options={"n2": "max_connections: 120"})
    user, password = system.user("big")
    login_of_agent = login(system, "agent", "n1")
    async with Crowd() as crowd, relayed(system["n1"]) as relay:
        await crowd.join(
            system["n2"].url, 101, user=user, password=password, subscriptions=5, name="big"
        )
        agent = replace(login_of_agent, servers=(relay.url,))
        # All are swept in each epoch: else CONNZ would be asked, and lost, where something moved.
        more = 'gather.timeout = "100ms"\ngather.sweep = "all"\n'
        async with watching(system, agent, more=more, interval="100ms") as watch:
            await watch.until(lambda: len(watch.open) == 4)
            await watch.epochs(1)
            told, heard = watch.story[:], len(watch.heartbeats)
            assert len(told) == 4
            assert relay.asked >= {endpoint for endpoint, _ in REPLIES}
            for endpoint, server in sorted(REPLIES):
                relay.drop(endpoint, server, count)
                await asyncio.wait_for(relay.dropped.wait(), 20)
            await watch.epochs(3)
            assert watch.story == told
            if count == 1:  # The second request brought every one of them.
                assert {tuple(beat.coverage.missing) for beat in watch.heartbeats[heard:]} == {()}
