"""The second connection: publishes what the agent says, and knows what of it a stream has stored.

It runs beside the epochs and never stops them. What cannot be published waits, within bounds. What
the stream does not acknowledge is published again, with the same id.

The messages of one finding are stored in their order: each waits for the acknowledgement of the one
before it, for seconds at most. While the stream is in trouble none of them waits: who listens must
not wait because nothing can be stored.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager

import msgspec
import nats.errors
from msgspec import Struct
from nats.aio.msg import Msg

from nats_insights import subjects
from nats_insights.agent.farewell import finish
from nats_insights.agent.publish import MOST, Outbox
from nats_insights.agent.unstored import Unstored, finding_of
from nats_insights.connection.client import Client
from nats_insights.connection.connect import clients
from nats_insights.connection.contexts import Settings
from nats_insights.connection.jetstream import JetStream
from nats_insights.errors import ConnectError, JetStreamError
from nats_insights.tell.advisory import Message
from nats_insights.tell.assets import stores
from nats_insights.tell.messages import PublishingState
from nats_insights.text import plain, shortened

log = logging.getLogger(__name__)

# Messages whose acknowledgement is waited for at a time, for how long, in seconds, and how often
# each is published before the stream counts as silent: a new leader takes some seconds.
IN_FLIGHT, ACK_SECONDS, TRIES = 256, 1.5, 3
# Messages of one finding that are published together while the stream is in trouble.
MOST_REPEATED = 16
# Seconds until what was not stored is published again, doubling; and between two looks for a
# stream where there is none.
FIRST_RETRY, LAST_RETRY, LOOK_AGAIN = 1.0, 30.0, 60.0
# Seconds from one look whether what waits may be published to the next.
MOMENT = 0.5
# Seconds for what waits, in an epoch and when the agent ends.
PATIENCE, FAREWELL = 1.0, 2.0
# The stream takes no message of this size, now or later.
_TOO_LARGE = 10054
# A new leader has seen this id, and nothing of the message, while it was not ready: it refuses it
# until its window of duplicates is over. A 2.10 with replicas that refused a message, since the
# stream was full, takes it for a duplicate of nothing from then on, for as long.
_IN_PROCESS = 10158
_NEVER = float("inf")
_DEFAULT_PAYLOAD = 1024 * 1024
_ADVISORIES = f"{subjects.ADVISORY}.>"
_ALL = "$INSIGHTS.>"
Hook = Callable[[Client], Awaitable[None]]


class _Problem(Struct):
    err_code: int = 0
    description: str = ""


class _Ack(Struct):
    stream: str = ""
    seq: int = 0
    duplicate: bool = False
    error: _Problem | None = None


class Publisher:
    """Publishes on a connection of its own while `run` runs.

    client: the connection, None while there is none.
    stream: the stream that acknowledges, "" if there is none, None while that is not known.
    on_connect: called with each new connection.
    may_tell: whether advisories may be published now; until then they wait.
    dropped: messages that were given up: too many waited, or they can no longer be stored.
    published: how often an advisory was published.
    """

    def __init__(self, settings: Settings, name: str) -> None:
        self.settings = settings
        self.name = name
        self.client: Client | None = None
        self.stream: str | None = None
        self.on_connect: list[Hook] = []
        self.may_tell: Callable[[], bool] = lambda: True
        self.dropped = self.published = 0
        self._queue: deque[Message] = deque()
        self._copies = Outbox()
        self.unstored = Unstored()
        self._beat: Message | None = None
        # By their id, in the order of the time until which to wait for an acknowledgement.
        self._in_flight: dict[str, tuple[Message, float]] = {}
        # How often those were published that were not acknowledged in time, by their id.
        self._tries: Counter[str] = Counter()
        # Messages that come next in their finding, and those that nobody has heard of yet.
        self._next: deque[Message] = deque()
        self._held: dict[str, Message] = {}
        # Findings of which a message is refused for minutes, while others are stored.
        self._stuck: set[str] = set()
        self._inbox = ""
        self._away = "it was not open yet"
        self._trouble = ""
        self._backoff, self._retry_at = FIRST_RETRY, 0.0
        self._logged = self._last_problem = ""
        # Something is to be published; all is; the stream was looked for, and has said something;
        # what is not stored is to be looked after.
        self._wanted, self._said = asyncio.Event(), asyncio.Event()
        self._looked, self._answered = asyncio.Event(), asyncio.Event()
        self._keeper = asyncio.Event()
        self._said.set()

    # --- For the loop of the agent.

    @property
    def problem(self) -> str:
        """What is wrong now, in one sentence; "" if all is published as it should be."""
        if self.client is None:
            return f"there is no connection to publish on: {self._away}"
        if _ALL in self.client.lacks:
            return f"the user of [publish] may not publish {_ALL}: allow it"
        return self._trouble

    @property
    def state(self) -> PublishingState:
        """Where it is connected, what is not stored, and what is or was wrong."""
        return PublishingState(
            server=self.client.url if self.client else "",
            stream=shortened(self.stream or ""),
            waiting=len(self._queue) + len(self._copies.waiting),
            unstored=len(self.unstored),
            dropped=self.dropped,
            problem=plain(self.problem),
            last_problem=plain(self._last_problem),
        )

    @property
    def waiting(self) -> list[Message]:
        """What is not known to be published, and stored where there is a stream."""
        return [*self.unstored, *self._queue, *self._copies.waiting]

    @property
    def done(self) -> bool:
        """Whether all is published, and stored where there is a stream."""
        return self._said.is_set() and not self.unstored

    @property
    def max_payload(self) -> int:
        """The largest message that can be published, in bytes."""
        return self.client.max_payload if self.client else _DEFAULT_PAYLOAD

    def put(self, message: Message) -> None:
        """Publish an advisory after all others; of too many the oldest are dropped.

        The copies for tenants go to the connection of the epochs, whose account exports them.
        """
        if not message.subject.startswith(subjects.ADVISORY):
            self._copies.put(message)
            return
        if len(self._queue) + len(self.unstored) >= MOST:
            self.dropped += 1
            if self.unstored:
                self.unstored.drop_oldest()
            else:
                self._queue.popleft()
        self._queue.append(message)
        self._said.clear()
        self._wanted.set()

    def clear(self) -> None:
        """Publish none of it: another agent tells what is true."""
        self._copies.clear()
        self._queue.clear()
        self.unstored.clear()
        self._held.clear()
        self._next.clear()

    def beat(self, message: Message) -> None:
        """Publish a heartbeat behind what waits; it replaces one that still waits itself."""
        self._beat = message
        self._said.clear()
        self._wanted.set()

    async def send(self, client: Client) -> bool:
        """Whether all is published, at most after a second.

        On the `client` of the epochs there are only the copies for tenants.
        """
        copied = await self._copies.send(client)
        return await self.said(PATIENCE) and copied

    async def said(self, seconds: float) -> bool:
        """Whether all is published: True as soon as it is, else False after so many seconds."""
        deadline = _now() + seconds
        while self.client and not self._said.is_set() and _now() < deadline:
            await _either(self._said, self.client, deadline)
        return self._said.is_set()

    async def stored(self, seconds: float) -> bool:
        """The same, and whether all is stored; False at once if the stream is in trouble."""
        deadline = _now() + seconds
        await self.said(seconds)
        while self.client and self.unstored and not self._trouble and _now() < deadline:
            self._answered.clear()
            await _either(self._answered, self.client, deadline)
        return self.done

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Connect and publish meanwhile; at the end what waits is given a moment."""
        task = asyncio.create_task(self.run())
        try:
            yield
        finally:
            await finish(self._end(task), 2 * FAREWELL)

    async def _end(self, task: asyncio.Task[None]) -> None:
        await self.stored(FAREWELL)
        while not task.done():
            # Once may not be enough: up to Python 3.11, a wait_for below can swallow it.
            task.cancel()
            await asyncio.wait([task], timeout=1.0)

    async def run(self) -> None:
        """Connect and publish until cancelled; nothing is raised."""
        while True:
            try:
                await self._run()
            except Exception as error:  # Without it the agent would go on unheard.
                self._away = f"{type(error).__name__}: {error}"
                log.exception("publishing failed, and begins again")
            await asyncio.sleep(FIRST_RETRY)

    # --- The connection.

    async def _run(self) -> None:
        connections = clients(
            self.settings, name=self.name, purpose=" to publish", failed=self._failed
        )
        async with aclosing(connections):
            async for client in connections:
                try:
                    await self._serve(client)
                except (nats.errors.Error, OSError) as error:
                    log.debug("publishing stopped: %s", error)
                finally:
                    self.client = None
                    self._away = client.last_error or "it was closed"
                    self._in_flight.clear()
                    self._tries.clear()
                    self._next.clear()
                    self._stuck.clear()
                    # The server may not have read them.
                    self._held = {_id(one): one for one in self.unstored}

    def _failed(self, error: ConnectError) -> None:
        self._away = str(error)
        self._tell()

    async def _serve(self, client: Client) -> None:
        self._inbox = client.new_inbox()
        await client.subscribe(f"{self._inbox}.*", cb=self._hear)
        for hook in self.on_connect:
            await hook(client)
        self.client, self._retry_at = client, 0.0
        self._looked.clear()
        keeping = asyncio.create_task(self._keep_stored(client))
        # Should it ever fail, the publisher begins again: nothing would be stored any more.
        keeping.add_done_callback(lambda _: self._wanted.set())
        try:
            await _either(self._looked, client, _now() + PATIENCE)
            while not client.closed.is_set():
                if keeping.done():
                    await keeping
                self._wanted.clear()
                await self._say(client)
                self._tell()
                # Whatever waits may be told at any time.
                await _either(self._wanted, client, _now() + MOMENT if self._queue else _NEVER)
        finally:
            keeping.cancel()

    # --- What is published.

    async def _say(self, client: Client) -> None:
        """Publish all that waits, each message at once, behind those of its finding."""
        unproved: list[Message] = []
        try:
            while self._queue and self.may_tell():
                message = self._queue[0]
                await self._say_one(client, message, unproved)
                if self._queue and self._queue[0] is message:
                    self._queue.popleft()
            if self._beat is not None:
                beat, self._beat = self._beat, None
                await self._publish(client, beat)
            if unproved:
                await _round_trip(client)
                unproved.clear()
        finally:
            self._queue.extendleft(reversed(unproved))
        if not self._queue and self._beat is None:
            self._said.set()

    async def _say_one(self, client: Client, message: Message, unproved: list[Message]) -> None:
        if not client.fits(message.payload, message.headers):
            log.error("an advisory on %s is too large for the server", message.subject)
            self.dropped += 1
        elif self.stream == "":
            await self._publish(client, message)
            unproved.append(message)
        else:
            await self._offer(client, message)

    async def _offer(self, client: Client, message: Message) -> None:
        """Publish a message that is to be stored, or hold it until those before it are."""
        waits = bool(self.unstored.of(message))
        self.unstored.add(message)
        if not self.stream or self._trouble or finding_of(message) in self._stuck:
            await self._publish_all_of(client, message)
        elif waits:
            self._held[_id(message)] = message
        else:
            await self._ask(client, message)

    async def _publish_all_of(self, client: Client, message: Message) -> None:
        """Publish what is to be stored of a finding, in its order, and wait for nobody's word.

        Those that were published before, too: the stream may take them by now. They are held for
        as long as they may not be published.
        """
        for one in self.unstored.of(message)[-MOST_REPEATED:]:
            if self.may_tell():
                self._held.pop(_id(one), None)
                await self._publish(client, one)
            else:
                self._held[_id(one)] = one

    async def _ask(self, client: Client, message: Message) -> None:
        """Publish a message, for the stream to acknowledge it."""
        self._held.pop(_id(message), None)
        await self._publish(client, message, acknowledged=await self._room(client))

    async def _room(self, client: Client) -> bool:
        """Whether to wait for an acknowledgement: not for that of a stream in trouble.

        Only so many are waited for at a time, until then this waits.
        """
        while self.stream and not self._trouble and not client.closed.is_set():
            if len(self._in_flight) < IN_FLIGHT:
                return True
            await self._any_answer(client)
        return False

    async def _any_answer(self, client: Client) -> None:
        """Wait for an acknowledgement, or until one is overdue."""
        self._answered.clear()
        _, due = next(iter(self._in_flight.values()), (None, _NEVER))
        await _either(self._answered, client, due)
        self._expire()

    async def _publish(
        self, client: Client, message: Message, *, acknowledged: bool = False
    ) -> None:
        # It may have been frozen meanwhile: then another agent tells what is true.
        if message.subject.startswith(subjects.ADVISORY):
            if not self.may_tell():
                return
            self.published += 1
        reply = ""
        if acknowledged:
            self._in_flight.pop(_id(message), None)
            self._in_flight[_id(message)] = message, _now() + ACK_SECONDS
            reply = f"{self._inbox}.{_id(message)}"
            self._keeper.set()
        await client.publish(message.subject, message.payload, reply, headers=message.headers)

    # --- What becomes of it.

    async def _hear(self, message: Msg) -> None:
        """The word of the stream about one message, or of the server that there is no stream."""
        id = message.subject.rpartition(".")[2]
        published, _ = self._in_flight.get(id, (None, 0.0))
        ack = _decoded(message)
        # Whoever listens may answer what has a reply subject.
        if published is None or ack is None or (not ack.error and ack.stream != self.stream):
            return
        del self._in_flight[id]
        self._tries.pop(id, None)
        if ack.error is None:
            self.dropped += self.unstored.stored(published)
            self._stuck.discard(finding_of(published))
            self._trouble, self._backoff = "", FIRST_RETRY
            self._next.extend(self.unstored.of(published)[:1])
        elif ack.error.err_code == _TOO_LARGE:
            log.error("an advisory on %s is too large for %s", published.subject, self.stream)
            self.unstored.drop(published)
            self.dropped += 1
            self._next.extend(self.unstored.of(published)[:1])
        elif ack.error.err_code == _IN_PROCESS:
            self._stuck.add(finding_of(published))
            self._retry_at = min(self._retry_at, _now() + FIRST_RETRY)
        else:
            self._not_stored(plain(ack.error.description) or f"error {ack.error.err_code}")
        self._answered.set()
        self._keeper.set()

    def _not_stored(self, why: str) -> None:
        self._in_trouble(f"stream {plain(self.stream or '')} does not store advisories: {why}")

    def _in_trouble(self, why: str) -> None:
        self._trouble = why
        self._keeper.set()
        if self._retry_at == _NEVER:
            self._retry_at = _now() + self._backoff

    def _expire(self) -> None:
        """Publish again what is not acknowledged in time, until the stream counts as silent."""
        late = [id for id, (_, due) in self._in_flight.items() if due <= _now()]
        for id in late:
            message, _ = self._in_flight.pop(id)
            self._tries[id] += 1
            if self._tries[id] < TRIES:
                self._next.append(message)
            else:
                del self._tries[id]
                self._not_stored(f"it did not answer within {TRIES * ACK_SECONDS:g} s")
        if late:
            self._answered.set()
            self._keeper.set()

    # --- Until all is stored.

    async def _keep_stored(self, client: Client) -> None:
        """Find the stream, and publish again what it did not store, for as long as that takes."""
        while not client.closed.is_set():
            self._keeper.clear()
            self._expire()
            try:
                await self._go_on(client)
                if _now() >= self._retry_at:
                    self._retry_at = _NEVER
                    await self._retry(client)
                    self._plan_retry()
            except (JetStreamError, ConnectError, nats.errors.Error, OSError) as error:
                self._in_trouble(f"nothing is stored: {error}")
                self._plan_retry()
            self._tell()
            _, due = next(iter(self._in_flight.values()), (None, _NEVER))
            look = _now() + MOMENT if self._held else _NEVER
            await _either(self._keeper, client, min(self._retry_at, due, look))

    async def _go_on(self, client: Client) -> None:
        """Publish what comes next in its finding, and in trouble all that was held."""
        while self._next:
            message = self._next.popleft()
            if message in self.unstored.of(message)[:1] and _id(message) not in self._in_flight:
                await self._ask(client, message)
        for message in list(self._held.values()) if self.may_tell() else ():
            if self._trouble or finding_of(message) in self._stuck:
                await self._publish_all_of(client, message)

    def _plan_retry(self) -> None:
        flying = len(self._in_flight)
        if self._trouble or self.stream is None:
            self._retry_at = _now() + self._backoff
            self._backoff = min(LAST_RETRY, 2 * self._backoff)
        elif self.stream == "":
            self._retry_at = _now() + LOOK_AGAIN
        elif len(self.unstored) > flying:
            self._retry_at = _now() + FIRST_RETRY

    async def _retry(self, client: Client) -> None:
        await self._find_stream(client)
        self._looked.set()
        if self.stream:
            await self._repeat(client)
            if not self.unstored:
                self._trouble, self._backoff = "", FIRST_RETRY
        elif self.stream == "" and self.unstored:
            await _round_trip(client)
            self.unstored.clear()

    async def _repeat(self, client: Client) -> None:
        """Publish again what is not stored: one message, and all others if the stream takes it."""
        missing = [one for one in self.unstored.firsts if _id(one) not in self._in_flight]
        for number, one in enumerate(missing):
            first = await self._next_of(client, one)
            if first is None:
                continue
            self._held.pop(_id(first), None)
            await self._publish(client, first, acknowledged=True)
            while not number and _id(first) in self._in_flight:
                self._tries[_id(first)] = TRIES  # One word is enough.
                await self._any_answer(client)
            if not await self._room(client):
                return

    async def _next_of(self, client: Client, message: Message) -> Message | None:
        """What is to be stored next of a finding, given what the stream has of it.

        In trouble all of them were published. What came before one that is stored was stored with
        it, or can no longer be in its place: that is counted, where it is known.
        """
        some = self.unstored.of(message)
        if len(some) > 1 and self.stream:
            subject = f"{_ADVISORIES[:-1]}*.*.*.*.*.{finding_of(message)}"
            last = await JetStream(client).last(self.stream, subject)
            for one in some:
                if last is not None and last.id == _id(one):
                    lost = self.unstored.stored(one)
                    self.dropped += lost if finding_of(one) in self._stuck else 0
                    self._stuck.discard(finding_of(one))
        return next(iter(self.unstored.of(message)), None)

    async def _find_stream(self, client: Client) -> None:
        """Which stream stores and acknowledges all advisories."""
        found = ""
        try:
            async for stream in JetStream(client).storing(_ADVISORIES):
                if stores(stream.config):
                    found = stream.name
        except JetStreamError as error:
            why = f"no stream can be found that stores advisories: {error}"
            # A stream that there was is not given up for as long as nobody says that it is gone.
            if error.lasting and not self.stream:
                self.stream, self._trouble = "", why
            else:
                self._in_trouble(why)
            return
        if self.stream != found:
            self._tell_of_stream(found)
        self.stream = found
        if not found or not self.unstored:  # Else the stream has the word.
            self._trouble = ""

    def _tell_of_stream(self, found: str) -> None:
        if found:
            log.info("stream %s acknowledges advisories", plain(found))
        else:
            hint = "`nats-insights assets apply` creates one"
            log.warning("no stream stores %s, so nothing is acknowledged; %s", _ADVISORIES, hint)

    def _tell(self) -> None:
        """Log what is wrong, once, and when it is over."""
        problem = self.problem
        if problem == self._logged:
            return
        if problem:
            self._last_problem = problem
            log.warning("%s", problem)
        else:
            log.info("advisories are published again as they should be")
        self._logged = problem


def _id(message: Message) -> str:
    """The id by which the stream tells duplicates."""
    return message.headers["Nats-Msg-Id"]


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _round_trip(client: Client) -> None:
    """Return when the server has read all that was published; no permission is needed for it."""
    reached = asyncio.create_task(client.reach())
    closed = asyncio.create_task(client.closed.wait())
    try:
        # Where the connection breaks, nats-py would wait for ten seconds all the same.
        await asyncio.wait([reached, closed], return_when="FIRST_COMPLETED")
        if not reached.done():
            raise nats.errors.ConnectionClosedError
        await reached
    finally:
        reached.cancel()
        closed.cancel()


async def _either(event: asyncio.Event, client: Client, until: float = _NEVER) -> None:
    """Wait for the event or the end of the connection, at most until a time."""
    waits = [asyncio.create_task(one.wait()) for one in (event, client.closed)]
    seconds = None if until == _NEVER else max(0.0, until - _now())
    try:
        await asyncio.wait(waits, timeout=seconds, return_when="FIRST_COMPLETED")
    finally:
        for wait in waits:
            wait.cancel()


def _decoded(message: Msg) -> _Ack | None:
    """The acknowledgement in a reply; None if it is none."""
    if message.headers and message.headers.get("Status") == "503":
        return _Ack(error=_Problem(description="there is no such stream"))
    try:
        ack = msgspec.json.decode(message.data, type=_Ack)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if ack.duplicate and not ack.seq:
        ack.error = _Problem(err_code=_IN_PROCESS)
    return ack if ack.error or ack.stream else None
