"""Read which connections of an account are instances of micro services, within the window.

Most accounts of most servers have none: a first request, which lists no subscriptions, has an empty
reply then. Else it has the number of subscriptions, so that the size of their list is known before
it is requested.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from typing import Any

import msgspec

from nats_insights.gather.asking import Asker, Round, in_turns
from nats_insights.gather.window import Window
from nats_insights.replies.connz import CONNZ_SERVICES, Host
from nats_insights.replies.fields import Malformed
from nats_insights.replies.heard import AccountOn
from nats_insights.subjects import INSTANCE

# Connections in one reply, subscriptions, and how many of these may name instances.
MOST_ROWS = 4096
MOST_SUBJECTS = 65_536
MOST_NAMED = 16_384
ROW_BYTES = 450
SUBJECT_BYTES = 48
# Timeouts after which no more servers are asked, and seconds after which none is.
MOST_LATE = 8
SECONDS = 10.0

Take = Callable[[AccountOn, list[Host]], None]


class Services:
    """Reads the instances of services within a window."""

    def __init__(self, asker: Asker, window: Window) -> None:
        self.asker = asker
        self.window = window

    async def read(self, wanted: Collection[AccountOn], take: Take) -> None:
        """Read these accounts, of each server one at a time; `take` gets each that was read.

        After some timeouts no more are read. The order is random, so others come first the next
        time.
        """
        this_round = Round(self.asker, CONNZ_SERVICES, MOST_LATE)

        async def one(on: AccountOn) -> None:
            rows = await this_round.attempt(lambda: self._rows(on), on.key[-1])
            if rows is not None:
                take(on, rows)

        shuffled = random.sample([*wanted], len(wanted))
        await in_turns(one, shuffled, lambda on: on.id, SECONDS)

    async def _rows(self, on: AccountOn) -> list[Host]:
        """Connections that may be instances, with all of their subscriptions."""
        rows = await self._ask(on, ROW_BYTES)
        if not rows:
            return rows
        subjects = sum(row.subscriptions for row in rows)
        if len(rows) >= MOST_ROWS or subjects > MOST_SUBJECTS:
            raise Malformed("more subscriptions than fit into a reply")
        size = ROW_BYTES * len(rows) + SUBJECT_BYTES * subjects
        rows = await self._ask(on, size, subscriptions=True)
        named = sum(one.startswith(INSTANCE) for row in rows for one in row.subjects or ())
        if named > MOST_NAMED:
            raise Malformed("more instances than are counted")
        return rows

    async def _ask(self, on: AccountOn, size: int, **more: Any) -> list[Host]:
        wanted = {"acc": on.account, "filter_subject": f"{INSTANCE}*.*", "limit": MOST_ROWS}
        async with self.window.take(size):
            body = msgspec.json.encode(wanted | more)
            _, told = await self.asker.one(CONNZ_SERVICES, on.id, body)
        return told.connections or []
