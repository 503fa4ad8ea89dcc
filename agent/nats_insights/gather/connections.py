"""Read the connection rows of servers, page by page within the window.

A page is dropped as soon as it is counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Generator, Iterable
from typing import Any, Protocol, TypeVar

import msgspec
import nats.errors
from nats.aio.msg import Msg

from nats_insights.facts import Names
from nats_insights.gather.asking import Asker, each
from nats_insights.gather.stepwise import stepwise
from nats_insights.gather.window import Window
from nats_insights.replies.connz import CONNZ, Page, PageDecoder, rows_of
from nats_insights.replies.fields import Malformed
from nats_insights.replies.heard import Target
from nats_insights.replies.unpack import unpack

# Requests in flight.
AT_A_TIME = 64
# Rows of servers that are read at a time: pages are kept until the whole server is read.
ROWS_AT_A_TIME = 131_072
PAGE = 8192
# Rows up to which one page reads the server: it scans all its connections for every page.
WHOLE = 16_384
# The smallest page, however small the window is, since each page is expensive.
LEAST = 1024
# Rows read of one server at most, whatever total it reports.
MOST_ROWS = 2**21
ROW_BYTES = 600
ROW_SECONDS = 50e-6
# Bytes of JSON that are decoded and counted in a few milliseconds.
AT_ONCE = 2**20
# A page that lacks more than this share of the rows that were asked for is the last one.
SHORT = 0.02


class Reading(Protocol):
    """Counts the rows of one server; valid only when `exact`."""

    rows: int
    total: int

    def page(self, page: Page) -> None:
        """Count one more page."""

    @property
    def exact(self) -> bool: ...


R = TypeVar("R", bound=Reading)


class Pages:
    """Reads connection rows within a window. `swept` is the number of servers read."""

    def __init__(self, asker: Asker, window: Window) -> None:
        self.asker = asker
        self.window = window
        self.swept = 0
        self._row_bytes = float(ROW_BYTES)
        self._rows = Window(ROWS_AT_A_TIME)
        # Pages are decoded and servers taken one at a time: each step blocks the event loop, and a
        # decoded page takes ten times as much memory as on the wire.
        self._turn = asyncio.Lock()

    async def sweep(
        self,
        targets: Collection[Target],
        fields: Iterable[str],
        start: Callable[[], R],
        take: Callable[[Names, R], Generator[None, None, None] | None],
    ) -> None:
        """Read every connection row of these servers, with these fields.

        `start` begins the sweep of a server. `take` gets each one that was read completely, one at
        a time, and may return the steps in which it takes it.
        """
        with_kinds = PageDecoder(fields)
        without_kinds = with_kinds.without("kind")

        async def one(target: Target) -> None:
            try:
                async with self._rows.take(target.rows):
                    sweep = start()
                    decoder = with_kinds if target.leafs else without_kinds
                    await self._pages(target, sweep, decoder)
            except (Malformed, nats.errors.Error) as problem:
                self.asker.complain(CONNZ, target.key[-1], problem)
                return
            if sweep.exact:
                self.swept += 1
                async with self._turn:
                    if (steps := take(target.key, sweep)) is not None:
                        await stepwise(steps)
            else:
                told = f"{sweep.rows} rows of {sweep.total}, or figures that have no sum"
                self.asker.complain(CONNZ, target.key[-1], told)

        if CONNZ.key not in self.asker.denied:
            await each(one, targets, AT_A_TIME)

    async def rows(self, server_id: str, fields: list[str], **wanted: Any) -> Page:
        """Up to LEAST rows of one server; Malformed or a NATS error if there is no reply."""
        body = msgspec.json.encode({"auth": True, "limit": LEAST, **wanted})
        async with self.window.take(int(LEAST * self._row_bytes)):
            message = await self.asker.ask(CONNZ, server_id, body)
        page = PageDecoder(fields).decode(unpack(message.data, message.headers))
        if page.server.id != server_id:
            raise Malformed("another server's reply")
        return page

    async def user_name(self, server_id: str, account: str, user: str) -> str | None:
        """The name of a user, "" if the server hides it, None if it has no connection there.

        Malformed or a NATS error if there is no reply.
        """
        body = msgspec.json.encode({"auth": True, "limit": 1, "acc": account, "user": user})
        message = await self.asker.ask(CONNZ, server_id, body)
        info, reply = rows_of(unpack(message.data, message.headers))
        if info.id != server_id:
            raise Malformed("another server's reply")
        for row in reply.connections or ():
            if (row.account, row.authorized_user) == (account, user):
                return row.user_name
        return None

    async def _pages(self, target: Target, sweep: Reading, decoder: PageDecoder) -> None:
        """Read one server page by page. Rows shift when others close, hence the dedupe in Sweep.

        A page that lacks many of the rows that were asked for is the last one, whatever the total:
        the sweep cannot become exact any more.
        """
        rows = target.rows + target.rows // 20 + 64
        offset = 0
        while True:
            room = int(self.window.size / 2 / self._row_bytes)
            limit = min(rows if rows <= WHOLE else PAGE, max(LEAST, room))
            body = msgspec.json.encode({"auth": True, "offset": offset, "limit": limit})
            owed = min(limit, max(1, target.rows - offset)) * self._row_bytes
            async with self.window.take(int(owed)):
                timeout = self.asker.timeout + limit * ROW_SECONDS
                message = await self.asker.ask_twice(CONNZ, target.id, body, timeout)
                whole = not offset and rows <= limit
                async with self._turn:
                    page = await self._fold(message, target, sweep, decoder, whole=whole)
            offset += limit
            short = len(page.connections) < (1 - SHORT) * limit
            if short or offset >= min(page.total, MOST_ROWS):
                return

    async def _fold(
        self, message: Msg, target: Target, sweep: Reading, decoder: PageDecoder, *, whole: bool
    ) -> Page:
        """Decode and count one page, and yield between the steps that take milliseconds.

        If it should hold the `whole` server, no cids are decoded: there is nothing to dedupe.
        """
        payload = unpack(message.data, message.headers)
        long = len(payload) > AT_ONCE
        if long:
            await asyncio.sleep(0)
        page = (decoder.without("cid") if whole else decoder).decode(payload)
        if whole and page.total > len(page.connections):
            page = decoder.decode(payload)
        if page.server.id != target.id:
            raise Malformed("another server's reply")
        if page.connections:
            size = 1.5 * len(message.data) / len(page.connections)
            self._row_bytes += 0.2 * (size - self._row_bytes)
        self.asker.malformed += page.bad
        if long:
            await asyncio.sleep(0)
        sweep.page(page)
        await asyncio.sleep(0)
        return page
