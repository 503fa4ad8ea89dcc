"""Gather: ask every server, know who did not answer, and never let servers owe too much.

Small replies come by one fan-out for each endpoint, which ends as soon as every expected server
has answered. Who stays silent is asked once more by its id: nobody takes the request of a dead
server, a hung one lets it time out. Connection rows are asked of each server on its own, within a
window.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Any

import msgspec
import nats.errors
from msgspec import Struct

from . import subjects, wire
from .asking import Asker, words
from .client import Client
from .fold import Fold, Sweep, row_fields
from .messages import Cost
from .roster import Names, Roster
from .snapshot import Replies, Swept
from .window import Window

log = logging.getLogger(__name__)

AT_A_TIME = 64
PAGE = 8192
# A whole server in one page up to here; the server scans all its connections for every page.
WHOLE = 16_384
ROW_BYTES = 600
ROW_SECONDS = 50e-6


class Target(Struct, frozen=True):
    """A server to sweep, and about how many rows it has."""

    key: Names
    id: str
    rows: int


class Gatherer:
    """Gathers over one connection: `timeout` in seconds per reply, `window` in bytes owed."""

    def __init__(self, client: Client, timeout: float, window: int) -> None:
        self.client = client
        self.asker = Asker(client, timeout)
        self.window = Window(window)
        self._row_bytes = float(ROW_BYTES)
        self.begin()

    @property
    def denied(self) -> set[str]:
        """The endpoints that this user may not ask."""
        return self.asker.denied

    def begin(self) -> None:
        """A new epoch: all costs at zero."""
        self.asker.reset()
        self.servers_asked = self.window.peak = 0
        self._wall, self._cpu = time.monotonic(), time.process_time()

    def cost(self, dropped_keys: int = 0) -> Cost:
        """What the epoch cost so far."""
        return Cost(
            requests=self.asker.requests,
            replies=self.asker.replies,
            bytes=self.asker.bytes,
            malformed=self.asker.malformed,
            servers_asked=self.servers_asked,
            wall_seconds=round(time.monotonic() - self._wall, 4),
            cpu_seconds=round(time.process_time() - self._cpu, 4),
            peak_window_bytes=self.window.peak,
            dropped_keys=dropped_keys,
        )

    async def small(self, endpoints: Collection[str], roster: Roster, now: float) -> Replies:
        """The small replies of everybody, and a roster that knows who answered."""
        replies = Replies(endpoints)
        expected = {entry.id for entry in roster if entry.state == "answering"}
        heard = await self.asker.everybody("STATSZ", expected, discover=True)
        for server_id, (info, data) in heard.items():
            roster.heard(info, now, heard.keys())
            replies.add("STATSZ", server_id, data)
        silent = roster.expected() - heard.keys()
        wanted = sorted(set(endpoints) - {"STATSZ", "CONNZ"} - self.denied)
        await asyncio.gather(
            self._probe(silent, roster, replies, now),
            *(self._small(endpoint, heard.keys(), replies) for endpoint in wanted),
        )
        await self._probe(self._named_by_peers(replies, roster, now), roster, replies, now)
        await self._again(wanted, roster, replies)
        roster.forget(now)
        self.servers_asked = len(heard) + len(silent)
        replies.denied = self.denied & set(endpoints)
        return replies

    async def sweep(
        self,
        targets: Iterable[Target],
        folds: Mapping[Fold, Any],
        system_accounts: frozenset[str],
        epoch: int,
    ) -> dict[Names, Swept]:
        """Every connection row of these servers, folded. Who cannot be read whole is left out."""
        decoder = wire.PageDecoder(row_fields(folds))
        done: dict[Names, Swept] = {}

        async def one(target: Target) -> None:
            sweep = Sweep(folds, system_accounts)
            try:
                await self._pages(target, sweep, decoder)
            except (wire.Malformed, nats.errors.Error) as problem:
                self.asker.complain("CONNZ", target.key[-1], problem)
                return
            if sweep.exact:
                done[target.key] = Swept(epoch, sweep.parts)
            else:
                self.asker.complain("CONNZ", target.key[-1], f"{sweep.rows} rows of {sweep.total}")

        if "CONNZ" not in self.denied:
            await _all(one, targets)
        return done

    async def rows(self, server_id: str, fields: list[str], **wanted: Any) -> wire.Page:
        """Up to 1,024 rows of one server; Malformed or a NATS error if they cannot be had."""
        body = msgspec.json.encode({"auth": True, "limit": 1024, **wanted})
        answer = await self.asker.ask("CONNZ", server_id, body)
        return wire.PageDecoder(fields).decode(answer.payload)

    async def _small(self, endpoint: str, expected: Collection[str], replies: Replies) -> None:
        for server_id, (_, data) in (await self.asker.everybody(endpoint, expected)).items():
            if server_id in expected:
                replies.add(endpoint, server_id, data)
        if not replies.data[endpoint] and subjects.server_request(endpoint) in self.client.denied:
            self.denied.add(endpoint)
            log.warning("not permitted to ask %s: checks that need it are unknown", endpoint)

    async def _probe(
        self, ids: Iterable[str], roster: Roster, replies: Replies, now: float
    ) -> None:
        """Ask silent servers by their ids: do they live, do they hang, are they dead?"""

        async def one(server_id: str) -> None:
            try:
                info, data = await self.asker.one("STATSZ", server_id)
            except nats.errors.NoRespondersError:
                roster.unheard(server_id, "dead", now, "nobody takes requests for it")
            except (wire.Malformed, nats.errors.Error) as problem:
                if not self.client.closed.is_set():  # Else it is we that hear nothing.
                    roster.unheard(server_id, "hung", now, words(problem))
            else:
                roster.heard(info, now)
                replies.add("STATSZ", server_id, data)

        await _all(one, ids)

    def _named_by_peers(self, replies: Replies, roster: Roster, now: float) -> set[str]:
        """Servers that nobody has heard but a peer holds a route to."""
        named = set()
        for server_id, routez in replies.data["ROUTEZ"].items():
            peer = roster.by_id(server_id)
            for route in routez.routes or ():
                if peer and route.remote_id and roster.by_id(route.remote_id) is None:
                    info = wire.ServerInfo(
                        id=route.remote_id, name=route.remote_name, cluster=peer.cluster
                    )
                    if roster.meet(info, now):
                        named.add(route.remote_id)
        return named

    async def _again(self, endpoints: Iterable[str], roster: Roster, replies: Replies) -> None:
        """One directed retry for each reply that a living server owes."""
        alive = {entry.id for entry in roster if entry.state == "answering"}
        owed = [
            (endpoint, server_id)
            for endpoint in endpoints
            if endpoint not in self.denied
            for server_id in sorted(alive - replies.data[endpoint].keys())
        ]

        async def one(item: tuple[str, str]) -> None:
            endpoint, server_id = item
            try:
                replies.add(endpoint, server_id, (await self.asker.one(endpoint, server_id))[1])
            except (wire.Malformed, nats.errors.Error) as problem:
                entry = roster.by_id(server_id)
                if entry is not None:
                    entry.last_error = f"{endpoint}: {words(problem)}"
                self.asker.complain(endpoint, server_id, problem)

        await _all(one, owed)

    async def _pages(self, target: Target, sweep: Sweep, decoder: wire.PageDecoder) -> None:
        """Page through one server. Rows move up while others leave, hence the dedupe in Sweep."""
        rows = target.rows + target.rows // 20 + 64
        limit = rows if rows <= WHOLE else PAGE
        offset = 0
        while True:
            page = await self._page(target, decoder, offset, limit)
            sweep.page(page)
            offset += limit
            if not page.connections or offset >= page.total:
                return
            await asyncio.sleep(0)

    async def _page(
        self, target: Target, decoder: wire.PageDecoder, offset: int, limit: int
    ) -> wire.Page:
        body = msgspec.json.encode({"auth": True, "offset": offset, "limit": limit})
        rows = min(limit, max(1, target.rows - offset))
        timeout = self.asker.timeout + limit * ROW_SECONDS
        async with self.window.take(int(rows * self._row_bytes)):
            try:
                answer = await self.asker.ask("CONNZ", target.id, body, timeout)
            except nats.errors.TimeoutError:
                answer = await self.asker.ask("CONNZ", target.id, body, timeout)
            page = decoder.decode(answer.payload)
        if page.server.id != target.id:
            raise wire.Malformed("another server's reply")
        if page.connections:
            self._row_bytes += 0.2 * (1.5 * answer.size / len(page.connections) - self._row_bytes)
        self.asker.malformed += page.bad
        return page


async def _all(one: Callable[[Any], Awaitable[None]], items: Iterable[Any]) -> None:
    """`one` for each item, some at a time, in tasks that end with this call."""
    waiting = iter(list(items))

    async def work() -> None:
        for item in waiting:
            await one(item)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(AT_A_TIME):
            tasks.create_task(work())
