"""A server that cuts the agent off as a slow consumer: survived, explained, and a finding."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import nats
import pytest
from msgspec.structs import replace

from kit.watching import watching
from nats_insights.lab.demo.stage import login
from nats_insights.lab.servers import conf, local

pytestmark = pytest.mark.live

# More than a server and the sockets on the way hold back.
FLOOD = 40


class Line:
    """A connection to a server that somebody may hold up; `flows` is cleared to do so."""

    def __init__(self, port: int) -> None:
        self.url = ""
        self.flows = asyncio.Event()
        self.flows.set()
        self._port = port

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        above, below = await asyncio.open_connection(conf.LOOPBACK, self._port)
        up = asyncio.create_task(self._pass(reader, below, asyncio.Event()))
        try:
            await self._pass(above, writer, self.flows)
        finally:
            up.cancel()
            await asyncio.gather(up, return_exceptions=True)
            for end in (below, writer):
                end.close()

    async def _pass(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, gate: asyncio.Event
    ) -> None:
        while data := await source.read(65_536):
            if gate is self.flows:
                await gate.wait()
            sink.write(data)
            await sink.drain()


@asynccontextmanager
async def line(server: local.Server) -> AsyncIterator[Line]:
    """A line to this server."""
    between = Line(server.port)
    async with await asyncio.start_server(between.serve, conf.LOOPBACK, 0) as listener:
        between.url = f"nats://{conf.LOOPBACK}:{listener.sockets[0].getsockname()[1]}"
        yield between


async def test_it_is_survived_and_told(start_cluster, caplog):
    caplog.set_level(logging.WARNING, "nats_insights")
    system = start_cluster("n1", "n2", options={"n1": "max_pending: 1MB"})
    user, password = system.user("root")
    async with line(system["n1"]) as between:
        agent = replace(login(system, "agent", "n1"), servers=(between.url,))
        async with watching(system, agent, more='id = "slow"\n') as watch:
            window = watch.agent.window
            await watch.until(lambda: window.full < window.wanted)
            size = window.size
            client = await nats.connect(system["n1"].url, user=user, password=password)
            between.flows.clear()
            for _ in range(FLOOD):
                await client.publish("$SYS.SERVER.FLOOD.LAMEDUCK", bytes(1_000_000))
                await client.flush()
            await client.close()
            between.flows.set()
            await watch.until(lambda: ("AGENT_001", "slow") in watch.open)
            told = watch.open["AGENT_001", "slow"]
            assert (told.value, told.evidence["by_server"]["top"]) == (1, [["n1", 1]])
            assert told.evidence["window_bytes"] == size // 2
            assert told.summary.endswith("last by n1")
            await watch.until(lambda: ("AGENT_001", "slow") not in watch.open)
            assert watch.story == [
                ("opened", "AGENT_001", "slow"),
                ("resolved", "AGENT_001", "slow"),
            ]
    said = [r.getMessage() for r in caplog.records if "cut the agent off" in r.getMessage()]
    (only,) = said
    assert only.startswith("n1 cut the agent off because it read too slowly (Slow Consumer")
