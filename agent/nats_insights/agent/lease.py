"""The lease: one key in a bucket names the agent that leads a shard, for as long as it renews it.

    INSIGHTS_LEASE   leader.SHARD   {"agent": "a", "instance": "…"}, or nothing

The bucket drops a key that was not written for one TTL, and takes a write only from who has seen
the last one: so one agent has it at a time. The holder counts from before it asked, on its own
clock, and only to SAFE of the TTL: it stops before another one can begin, also if it was frozen.

    away     nobody answers, or this agent may not take it
    none     there is no such bucket, or no key in it would ever end; heartbeats decide alone
    free     nobody has it
    taken    another agent has it
    mine     this agent has it, or had it when it last asked
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Literal

import msgspec
import nats.errors
from msgspec import Struct

from nats_insights import subjects
from nats_insights.agent.farewell import finish
from nats_insights.agent.reign import boot_clock
from nats_insights.connection.client import Client
from nats_insights.connection.jetstream import NOT_ENABLED, STALE, JetStream, Stream, Value
from nats_insights.errors import ConnectError, JetStreamError
from nats_insights.tell.assets import LEASES, faults_of_leases, stream_of, ttl_of
from nats_insights.text import plain

log = logging.getLogger(__name__)

Standing = Literal["away", "none", "free", "taken", "mine"]

# It is renewed so often in a TTL, and trusted for that part of it: clocks of servers differ, and a
# new leader of the bucket may take nine seconds.
RENEWALS, SAFE = 6, 0.8
# Seconds between two looks at who has it, two looks for the bucket, and to wait for an answer.
POLL, LOOK_AGAIN, TIMEOUT = 0.5, 30.0, 2.0
# While nobody answers: who has led goes on without it after so many TTLs, in which others who can
# take it have done so; where the TTL is not known, after these seconds.
TTLS_AWAY, PATIENCE = 2, 5.0
_STREAM = stream_of(LEASES)


class _Holder(Struct):
    agent: str = ""
    instance: str = ""


class Lease:
    """The lease of one shard, as one agent sees it.

    client: returns the connection into the account with the bucket, None while there is none.
    standing: what was last known of it; `on_change` is called when that changes.
    revision: of the write with which this agent took it, None if it has not. It grows from reign
        to reign.
    ttl: seconds, 0 while that is not known.
    waived: this agent leads without it.
    problem: why it cannot be used, "" if it can, or if there is no bucket for it.
    """

    def __init__(
        self,
        client: Callable[[], Client | None],
        shard: str,
        agent: str,
        instance: str,
        clock: Callable[[], float] = boot_clock,
    ) -> None:
        self.standing: Standing = "away"
        self.on_change: Callable[[], None] = lambda: None
        self.revision: int | None = None
        self.ttl = 0.0
        self.waived = False
        self.problem = ""
        self.instance = instance
        self._client = client
        self._clock = clock
        self._key = f"leader.{subjects.key(shard)}"
        self._mine = msgspec.json.encode(_Holder(agent, instance))
        self._holder = ""
        # The last write, and until when it counts; when anybody was last known to have it.
        self._sequence, self._until = 0, float("-inf")
        self._decided = clock()
        # On which connection the bucket was looked for, and when.
        self._looked_on: Client | None = None
        self._looked_at = float("-inf")
        self._lock, self._wanted = asyncio.Lock(), asyncio.Event()

    # --- What is known.

    @property
    def holds(self) -> bool:
        """Whether no other agent can have it."""
        return self.revision is not None and self._clock() < self._until

    @property
    def connected(self) -> bool:
        """Whether there is a connection into the account with the bucket."""
        return self._client() is not None

    @property
    def grants(self) -> bool:
        """Whether this agent may lead, as far as the lease decides."""
        return self.holds or self.waived

    @property
    def holder(self) -> str | None:
        """The instance of the agent that has it, "" if none has, None if that cannot be known."""
        if self.holds:
            return self.instance
        return None if self.standing in ("away", "none") else self._holder

    @property
    def waivable(self) -> bool:
        """Whether nobody could be seen to have it for so long that who can take it has done so."""
        patience = TTLS_AWAY * self.ttl or PATIENCE
        return self.standing == "away" and self._clock() - self._decided >= patience

    # --- For the agent that leads or wants to.

    async def take(self) -> bool | None:
        """Whether this agent may lead now; None if nobody answers.

        True where there is no bucket: then it leads without it.
        """
        return await self._tried(self._take)

    async def release(self) -> None:
        """Let another agent have it at once, if this one has it."""
        self.waived = False
        async with self._lock:
            had, self.revision, self._until = self.revision is not None, None, float("-inf")
            if had and (client := self._client()) is not None:
                with suppress(JetStreamError, ConnectError, nats.errors.Error, OSError):
                    jetstream = JetStream(client, self._timeout)
                    await jetstream.put(self._subject, b"", after=self._sequence)
                    self._stands("free")

    def waive(self) -> None:
        """Lead without it, until it can be had or another agent has it."""
        self.waived = True

    def look(self) -> None:
        """Look at once who has it."""
        self._wanted.set()

    @asynccontextmanager
    async def running(self, lives: Callable[[], bool]) -> AsyncIterator[None]:
        """Renew it meanwhile, as long as the leader `lives`, or look who has it; release it then.

        It is renewed by the loop that runs the agent: one that hangs loses it.
        """
        task = asyncio.create_task(self._run(lives))
        try:
            yield
        finally:
            while not task.done():
                # Once may not be enough: up to Python 3.11, a timeout below can swallow it.
                task.cancel()
                await asyncio.wait([task], timeout=1.0)
            await finish(self.release())

    async def _run(self, lives: Callable[[], bool]) -> None:
        while True:
            self._wanted.clear()
            # What may have been lost is taken anew by who asks others first.
            if self.revision is None:
                took = await self._tried(self._take if self.waived else self._look)
            else:
                took = not lives() or await self._tried(self._renew)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pause(bool(took))):
                    await self._wanted.wait()

    def _pause(self, succeeded: bool) -> float:
        if self.holds and succeeded:
            return self.ttl / RENEWALS
        if self.standing == "none":
            return LOOK_AGAIN
        if self.waived:  # What is refused is not to be asked for all the time.
            return self.ttl / 3 or PATIENCE
        return min(POLL, self.ttl / RENEWALS) if self.ttl else POLL

    # --- The bucket.

    @property
    def _subject(self) -> str:
        return f"$KV.{LEASES}.{self._key}"

    @property
    def _timeout(self) -> float:
        return min(TIMEOUT, self.ttl / 5) if self.ttl else TIMEOUT

    async def _tried(self, work: Callable[[JetStream], Awaitable[bool]]) -> bool | None:
        """What came of it; None, and it is away, if nobody answered."""
        async with self._lock:
            client = self._client()
            why = "there is no connection to it now"
            if client is not None:
                try:
                    return await work(JetStream(client, self._timeout))
                except (JetStreamError, ConnectError, nats.errors.Error, OSError) as error:
                    why = plain(str(error)) or type(error).__name__
            self._looked_on = None
            self._stands("away", f"the lease in bucket {LEASES} cannot be had: {why}")
            return None

    async def _find(self, jetstream: JetStream) -> Value | None:
        """The key as the bucket has it, after which it stands who has it."""
        if not await self._exists(jetstream):
            return None
        found = await jetstream.last(_STREAM, self._subject)
        self._holder = _instance(found)
        held = {"": "free", self.instance: "mine"}.get(self._holder, "taken")
        if held == "taken":
            self._decided = self._clock()
        self._stands(held)  # type: ignore[arg-type]
        return found

    async def _exists(self, jetstream: JetStream) -> bool:
        """Whether there is a bucket; its TTL may be changed at any time."""
        due = self._clock() - self._looked_at >= LOOK_AGAIN
        if due or self._looked_on is not jetstream.client:
            stream = await _bucket(jetstream)
            faults = faults_of_leases(stream.config) if stream else []
            self.ttl = ttl_of(stream.config) if stream else 0.0
            self._looked_at, self._looked_on = self._clock(), jetstream.client
            if faults or stream is None:
                self._stands("none", f"bucket {LEASES} is of no use: {faults[0]}" if faults else "")
            elif self.standing == "none":
                self._stands("free")
        return self.standing != "none"

    async def _look(self, jetstream: JetStream) -> bool:
        await self._find(jetstream)
        return False

    async def _take(self, jetstream: JetStream) -> bool:
        found = await self._find(jetstream)
        if self.standing == "none":
            self.waived = True
            return True
        if self.standing == "taken":
            self.revision, self.waived = None, False
            return False
        goes_on = self.standing == "mine" and self.revision is not None
        try:
            await self._write(jetstream, found.seq if found else 0)
        except JetStreamError as error:
            if error.code != STALE:
                raise
            self.revision, self.waived = None, False
            self._stands("taken")
            return False
        if not goes_on:
            self.revision = self._sequence
        self.waived = False
        self._stands("mine")
        return True

    async def _renew(self, jetstream: JetStream) -> bool:
        if not await self._exists(jetstream):
            self.waived, self.revision = True, None
            return True
        try:
            await self._write(jetstream, self._sequence)
        except JetStreamError as error:
            if error.code != STALE:
                raise
            found = await self._find(jetstream)
            if self.standing != "mine" or found is None:
                self.revision, self._until = None, float("-inf")
                return False
            # It is the last renewal, whose answer was lost.
            await self._write(jetstream, found.seq)
        self._stands("mine")
        return True

    async def _write(self, jetstream: JetStream, after: int) -> None:
        at = self._clock()
        self._sequence = await jetstream.put(self._subject, self._mine, after=after)
        self._until, self._decided = at + SAFE * self.ttl, self._clock()

    def _stands(self, standing: Standing, why: str = "") -> None:
        """Note how it stands, and call whoever waits for that to change."""
        before, self.standing, self.problem = self.standing, standing, why
        if before != standing:
            log.debug("the lease was %s and is %s now: %s", before, standing, why or "no trouble")
            self.on_change()


async def _bucket(jetstream: JetStream) -> Stream | None:
    """The bucket, None where there is none and can be none."""
    try:
        return await jetstream.stream(_STREAM)
    except JetStreamError as error:
        if error.code in NOT_ENABLED:
            return None
        raise


def _instance(found: Value | None) -> str:
    """Who has it, "" if nobody; whatever else is there keeps it until that ends."""
    if found is None or not found.data:
        return ""
    try:
        return msgspec.json.decode(found.data, type=_Holder).instance or "unknown"
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return "unknown"
