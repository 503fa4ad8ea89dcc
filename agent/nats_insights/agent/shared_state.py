"""The state of a shard in a bucket: whoever leads reads it first, and saves it from then on.

It belongs to the lead and not to an agent: a successor goes on from what its predecessor saved,
with findings, counters and figures of the past, also where all agents were restarted at once. It is
replaced by compare and set. So a leader that finds it changed knows that another one has led.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress

from nats_insights.agent.bucket import Bucket
from nats_insights.agent.state import Left, State
from nats_insights.connection.client import Client
from nats_insights.errors import StateError
from nats_insights.tell.assets import KEPT
from nats_insights.text import plain

log = logging.getLogger(__name__)

# Seconds between two attempts to read it, or to find a bucket.
LOOK_AGAIN = 20.0


class SharedState(State):
    """What the agents of a shard keep in one place; kept only from `take_up` to `lay_down`.

    `readable` says whether there was a bucket when it was last looked for.
    """

    def __init__(self, client: Callable[[], Client | None], shard: str) -> None:
        self._bucket = Bucket(client, shard)
        super().__init__(self._bucket, Bucket(client, shard, "past"))
        self.readable = False
        self._shard = shard
        self._is_taken_up = self._told = False
        self._next_look = float("-inf")

    @property
    def keeps(self) -> bool:
        """Whether it was read, so that it may be replaced."""
        return self._is_taken_up

    @property
    def superseded(self) -> bool:
        """Whether another agent has saved it since this one did."""
        return self._bucket.superseded

    async def look(self, client: Client) -> None:
        """Look whether there is a bucket, on a new connection."""
        with suppress(StateError):  # Whoever leads says so.
            self.readable = await self._bucket.exists(client)

    async def take_up(self) -> Left | None:
        """What the last leader saved; None if there is nothing, or if it cannot be read now.

        What cannot be read is not replaced either: call this again until it `keeps`. Nothing is
        raised.
        """
        if time.monotonic() < self._next_look:
            return None
        self._next_look = time.monotonic() + LOOK_AGAIN
        try:
            if not await self._exists():
                return None
            left = await self.load(self._shard)
        except StateError as why:
            self._heed(plain(str(why)))
            return None
        self._is_taken_up = True
        self._heed("")
        return left

    async def _exists(self) -> bool:
        was_readable, self.readable = self.readable, await self._bucket.exists()
        if was_readable and not self.readable:
            self._heed(f"there is no bucket {KEPT} any more")
        elif not self.readable and not self.failure and not self._told:
            self._told = True
            log.info("no state is kept: there is no bucket %s", KEPT)
        return self.readable

    def lay_down(self) -> None:
        """Another agent may lead, and save it."""
        self._is_taken_up = False
        self._next_look = float("-inf")
