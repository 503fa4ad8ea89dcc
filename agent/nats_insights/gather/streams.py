"""Read the streams and consumers of servers from JSZ, within the window.

JSZ pages only by account, and 2.10 before 2.10.28 and 2.11 before 2.11.2 page in no order. So no
pages are requested. A first request, without streams, lists the accounts: ACCOUNTZ and STATZ list
accounts without JetStream too, and this reply also has the number of streams and consumers. A small
number is then requested at once, a large one account by account: for each request the server scans
all of its streams, however few it returns.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection, Generator

import msgspec

from nats_insights.facts import Names
from nats_insights.gather.asking import Asker, Round, each
from nats_insights.gather.stepwise import stepwise
from nats_insights.gather.window import Window
from nats_insights.replies.fields import Malformed
from nats_insights.replies.heard import Target
from nats_insights.replies.jsz import JSZ_STREAMS, AccountDetail, Jsz, body
from nats_insights.replies.unpack import unpack

# Servers that are read at a time, since replies are kept until the whole server is read, and
# timeouts after which no more servers are asked.
AT_A_TIME = 8
# Streams and consumers up to which one reply has the whole server.
WHOLE = 4096
# The assumed size of each, compressed, until replies have been measured.
ROW_BYTES = 250
ACCOUNT_BYTES = 64
ROW_SECONDS = 50e-6
# A reply that is expected to exceed this many windows is not requested: the server might cut the
# agent off, since a window is 3/8 of what the server allows.
MOST_WINDOWS = 2
# A limit so large that there is no second page.
ALL = 10_000_000
LIST = msgspec.json.encode({"accounts": True, "limit": ALL})

Take = Callable[[Names, list[AccountDetail]], Generator[None, None, None]]


class Streams:
    """Reads streams and consumers within a window."""

    def __init__(self, asker: Asker, window: Window) -> None:
        self.asker = asker
        self.window = window
        self._row_bytes = float(ROW_BYTES)
        # Replies are decoded one at a time: a stream takes ten times its size on the wire.
        self._turn = asyncio.Lock()

    async def read(self, targets: Collection[Target], take: Take) -> None:
        """Read all streams of these servers; `take` gets each one that was read completely.

        After some timeouts no more servers are asked. The order is random, so other servers come
        first the next time.
        """
        this_round = Round(self.asker, JSZ_STREAMS, AT_A_TIME)

        async def one(target: Target) -> None:
            details = await this_round.attempt(lambda: self._server(target), target.key[-1])
            if details is not None:
                await stepwise(take(target.key, details))

        await each(one, random.sample([*targets], len(targets)), AT_A_TIME)

    async def _server(self, target: Target) -> list[AccountDetail]:
        """All accounts of one server that have streams on it; Malformed if some are missing."""
        listed = await self._ask(target, LIST, 0, target.rows * ACCOUNT_BYTES)
        left = listed.streams + listed.consumers
        details: list[AccountDetail] = []
        for account in self._accounts(listed):
            told = await self._ask(target, body(account, 0, ALL), left, int(left * self._row_bytes))
            # Some versions return all accounts if the requested one was removed.
            new = [one for one in told.account_details or () if account in ("", one.id)]
            details += new
            left = max(1, left - _rows(new))
            listed.streams = min(listed.streams, told.streams)
        if sum(len(one.stream_detail or ()) for one in details) < listed.streams:
            raise Malformed("not all of its streams")
        return details

    def _accounts(self, listed: Jsz) -> list[str]:
        """The accounts to request, one per request, or "" for all in one."""
        rows = listed.streams + listed.consumers
        size = rows * self._row_bytes
        accounts = sorted(one.id for one in listed.account_details or ())
        if not listed.streams:
            return []
        if rows <= WHOLE and size <= self.window.size / 2:
            return [""]
        if len(accounts) == 1 and size > MOST_WINDOWS * self.window.size:
            raise Malformed("more streams in one account than fit into a reply")
        return accounts

    async def _ask(self, target: Target, wanted: bytes, rows: int, size: int) -> Jsz:
        """Request one reply, with an estimate of its rows and bytes."""
        timeout = self.asker.timeout + rows * ROW_SECONDS
        async with self.window.take(size):
            message = await self.asker.ask_twice(JSZ_STREAMS, target.id, wanted, timeout)
            async with self._turn:
                payload = unpack(message.data, message.headers)
                await asyncio.sleep(0)
                info, told = JSZ_STREAMS.decode(payload)
                await asyncio.sleep(0)
        if info.id != target.id:
            raise Malformed("another server's reply")
        if read := _rows(told.account_details or ()):
            self._row_bytes += 0.2 * (1.5 * len(message.data) / read - self._row_bytes)
        return told


def _rows(details: Collection[AccountDetail]) -> int:
    """The number of streams and consumers in a reply."""
    streams = [stream for one in details for stream in one.stream_detail or ()]
    return len(streams) + sum(len(stream.consumer_detail or ()) for stream in streams)
