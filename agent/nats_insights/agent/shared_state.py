"""The state of a shard in a bucket: whoever leads reads it first, and saves it from then on.

It belongs to the lead and not to an agent: a successor goes on from what its predecessor saved,
with findings, counters and figures of the past, also where all agents were restarted at once. It is
replaced by compare and set. So a leader that finds it changed knows that another one has led.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from nats_insights.agent.bucket import Bucket
from nats_insights.agent.kept import Kept
from nats_insights.agent.state import Left, State
from nats_insights.connection.client import Client
from nats_insights.errors import StateError
from nats_insights.judge.auditor import Auditor
from nats_insights.tell.assets import KEPT
from nats_insights.text import plain

log = logging.getLogger(__name__)

# Seconds between two attempts to read it, or to find a bucket.
LOOK_AGAIN = 20.0
# Seconds for which nothing is published because it was not read on a new connection, or cannot be
# saved, and from one attempt to the next meanwhile. An agent that is cut off counts for so long on
# a lease of 15 s: what it told till then, its successor would not know.
HOLD, MOMENT = 12.0, 1.0
# Seconds from a save that failed to the next one: whoever does not answer would delay each epoch.
RETRY = 5.0


class SharedState(State):
    """What the agents of a shard keep in one place; kept only from `take_up` to `lay_down`.

    `readable` says whether there was a bucket when it was last looked for.
    """

    shared = True

    def __init__(self, client: Callable[[], Client | None], shard: str) -> None:
        self._bucket = Bucket(client, shard)
        super().__init__(self._bucket, Bucket(client, shard, "past"))
        self.readable = False
        self._shard = shard
        # Whether there is a bucket was answered on the connection that was opened then.
        self._looked, self._connected_at = False, float("-inf")
        self._is_taken_up = self._had_bucket = self._told = False
        self._next_look = self._next_save = float("-inf")
        self._failing_since: float | None = None

    @property
    def keeps(self) -> bool:
        """Whether it was read, so that it may be replaced."""
        return self._is_taken_up

    @property
    def awaited(self) -> bool:
        """Whether it is to be read before anything is published: JetStream may just be starting."""
        new = time.monotonic() - self._connected_at < HOLD
        return new and not self.keeps and (self.readable or not self._looked)

    @property
    def withholds(self) -> bool:
        """Whether what was found is not to be told yet, because it could not be saved."""
        since = self._failing_since
        return self.keeps and since is not None and time.monotonic() - since < HOLD

    @property
    def superseded(self) -> bool:
        """Whether another agent has saved it since this one did."""
        return self._bucket.superseded

    async def look(self, client: Client) -> None:
        """Look whether there is a bucket, on a new connection."""
        self._connected_at, self._looked = time.monotonic(), False
        self._next_look = float("-inf")
        try:
            self.readable = await self._bucket.exists(client)
            self._looked = True
        except StateError as why:  # Whoever leads says so.
            self._cannot_read(why)

    async def take_up(self) -> Left | None:
        """What the last leader saved; None if there is nothing, or if it cannot be read now.

        What cannot be read is not replaced either: call this again until it `keeps`. Nothing is
        raised.
        """
        if time.monotonic() < self._next_look:
            return None
        self._next_look = time.monotonic() + (MOMENT if self.awaited else LOOK_AGAIN)
        try:
            if not await self._exists():
                return None
            left = await self.load(self._shard)
        except StateError as why:
            self._cannot_read(why)
            self._heed(plain(str(why)))
            return None
        self._is_taken_up = True
        self._heed("")
        return left

    async def _exists(self) -> bool:
        self.readable = await self._bucket.exists()
        self._looked = True
        if self.readable:
            self._had_bucket = True
        else:
            self._heed(f"there is no bucket {KEPT} any more" if self._had_bucket else "")
            if not self._had_bucket and not self._told:
                log.info("no state is kept: there is no bucket %s", KEPT)
            self._told = True
        return self.readable

    def _cannot_read(self, why: StateError) -> None:
        self.readable, self._looked = False, why.lasting

    async def save(self, auditor: Auditor, kept: Kept, now: float, *, whole: bool = False) -> None:
        """Save it, but not all the time while that fails."""
        if self.failure and time.monotonic() < self._next_save:
            return
        began = time.monotonic()
        await super().save(auditor, kept, now, whole=whole)
        self._failing_since = (self._failing_since or began) if self.failure else None
        self._next_save = time.monotonic() + (MOMENT if self.withholds else RETRY)

    def lay_down(self) -> None:
        """Another agent may lead, and save it."""
        self._is_taken_up, self._failing_since = False, None
        self._next_look = float("-inf")
