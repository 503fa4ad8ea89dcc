"""The archive: transitions that a stream has kept, where a question reaches further than memory.

Whoever may ask for them makes the agent read. So it reads for one question at a time, so many
messages at most and for seconds only, and rests in proportion afterwards.
"""

from __future__ import annotations

import asyncio
import math
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import msgspec
import nats.errors
from msgspec.structs import replace
from nats.aio.msg import Msg

from nats_insights.agent.publisher import Publisher
from nats_insights.connection.client import Client
from nats_insights.connection.jetstream import Consumer, JetStream, Stream
from nats_insights.errors import InsightsError, JetStreamError
from nats_insights.tell.history import Past, Question, Recorded, told_at
from nats_insights.tell.messages import HistoryRequest
from nats_insights.text import plain, shortened

# Messages that are read for one question, most of them reminders, and bytes that are kept of them.
MOST, MOST_BYTES = 10_000, 8 * 1024 * 1024
# Messages that are requested at a time: some milliseconds of work.
BATCH = 200
# Seconds for one question, and for how long its answer is kept for the pages that follow.
PATIENCE, KEPT = 3.0, 30.0
_TIMEOUT = 1.5
# The agent reads for at most this share of the time.
SHARE = 0.1
# Seconds between the clocks of agent and server, and until what was told is stored.
_EARLY, _LATE = 60.0, 3600.0
_INACTIVE = 30 * 10**9
_NOTHING = Past()


class Archive:
    """What the stream of a publisher has kept."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._is_reading = False
        self._rests_until = 0.0
        self._last: tuple[HistoryRequest, Past] | None = None

    async def about(self, question: Question) -> Past:
        """What it has about a question; nothing where the agent itself remembers enough."""
        if not question.reaches_back:
            return _NOTHING
        if self._last and self._last[0] == question.key:
            return self._last[1]
        client, stream = self._publisher.client, self._publisher.stream
        if client is None or not stream:
            return replace(_NOTHING, problem=self._publisher.problem)
        if self._is_reading or _now() < self._rests_until:
            why = f"stream {plain(stream)} was read a moment ago: ask again in some seconds"
            return replace(_NOTHING, problem=why)
        return await self._read_once(client, stream, question)

    async def _read_once(self, client: Client, stream: str, question: Question) -> Past:
        self._is_reading, began = True, _now()
        try:
            async with asyncio.timeout(PATIENCE):
                past = await _Reader(client, stream, question).past()
            self._last = question.key, past
            asyncio.get_running_loop().call_later(KEPT, self._forget, past)
            return past
        except TimeoutError:
            why = f"it took longer than {PATIENCE:g} s: ask for less"
        except (InsightsError, nats.errors.Error, OSError) as error:
            why = str(error)
        finally:
            self._is_reading = False
            self._rests_until = _now() + (_now() - began) / SHARE
        return replace(_NOTHING, problem=f"stream {plain(stream)} could not be read: {plain(why)}")

    def _forget(self, past: Past) -> None:
        """It may be megabytes."""
        if self._last and self._last[1] is past:
            self._last = None


class _Reader:
    """Reads one stream for one question."""

    def __init__(self, client: Client, stream: str, question: Question) -> None:
        self._client = client
        self._jetstream = JetStream(client, _TIMEOUT)
        self._name = stream
        self._question = question
        self._rows: deque[Recorded] = deque()
        self._bytes = 0
        # Before this time something was not read, or not kept.
        self._from = -math.inf

    async def past(self) -> Past:
        """What the stream has about the question, the last transition first."""
        stream = await self._jetstream.stream(self._name)
        if stream is None:
            raise JetStreamError("there is no such stream any more")
        end, behind = await self._end(stream)
        start = await self._start(stream, end, behind)
        async with self._place(start) as place:
            await self._read(place, min(MOST, place.num_pending - behind))
        problem = ""
        if self._from > -math.inf:
            problem = f"only the end of stream {plain(self._name)} was read: ask about less"
        since = max(self._question.since, _complete_after(stream), self._from)
        rows = list(reversed(self._rows))
        return Past(rows=rows, since=since, stream=shortened(self._name), problem=problem)

    async def _end(self, stream: Stream) -> tuple[int, int]:
        """The last message of which the question may ask, and how many of its subject follow."""
        late = max(self._question.until + _LATE, stream.created.timestamp())
        if late >= time.time():
            return stream.state.last_seq, 0
        async with self._place({"opt_start_time": _written(late)}) as place:
            return place.delivered.stream_seq, place.num_pending

    async def _start(self, stream: Stream, end: int, behind: int) -> dict[str, Any]:
        """Where to begin: as far back as the question asks, or so many messages before the end."""
        start: dict[str, Any] = {"opt_start_seq": max(1, stream.state.first_seq)}
        if (asked := self._question.since - _EARLY) > stream.created.timestamp():
            start = {"opt_start_time": _written(asked)}
        if await self._has_room(start, behind):
            return start
        self._from = math.inf  # Until the first message is there.
        span = MOST
        while await self._has_room(_before(end, 2 * span), behind):
            span *= 2
        return _before(end, span)

    async def _has_room(self, start: Mapping[str, Any], behind: int) -> bool:
        async with self._place(start) as place:
            return place.num_pending - behind <= MOST

    async def _read(self, place: Consumer, count: int) -> None:
        inbox = self._client.new_inbox()
        heard: asyncio.Queue[Msg] = asyncio.Queue()
        subscription = await self._client.subscribe(inbox, cb=heard.put)
        subject = self._jetstream.subject(f"CONSUMER.MSG.NEXT.{self._name}.{place.name}")
        try:
            while count > 0:
                batch = min(BATCH, count)
                body = msgspec.json.encode({"batch": batch, "expires": 10**9})
                await self._client.publish(subject, body, reply=inbox)
                for _ in range(batch):
                    message = await heard.get()
                    if message.headers and "Status" in message.headers:
                        return  # Some are gone meanwhile: they were too old.
                    self._take(message.data)
                count -= batch
        finally:
            await subscription.unsubscribe()

    def _take(self, payload: bytes) -> None:
        if self._from == math.inf:
            self._from = told_at(payload)
        if (row := self._question.recorded(payload)) is None:
            return
        self._rows.append(row)
        self._bytes += len(payload)
        while self._bytes > MOST_BYTES:
            oldest = self._rows.popleft()
            self._bytes -= len(oldest.payload)
            self._from = oldest.at

    @asynccontextmanager
    async def _place(self, start: Mapping[str, Any]) -> AsyncIterator[Consumer]:
        """A place in the stream, which its server forgets afterwards."""
        name = f"insights-{uuid.uuid4().hex}"
        by = "time" if "opt_start_time" in start else "sequence"
        config = {
            "name": name,
            "filter_subject": self._question.subject,
            "deliver_policy": f"by_start_{by}",
            "ack_policy": "none",
            "mem_storage": True,
            "num_replicas": 1,
            "inactive_threshold": _INACTIVE,
        }
        place = await self._jetstream.consumer(self._name, {**config, **start})
        try:
            yield place
        finally:
            with suppress(nats.errors.Error, OSError):
                subject = self._jetstream.subject(f"CONSUMER.DELETE.{self._name}.{name}")
                await self._client.publish(subject, b"", reply=self._client.new_inbox())


def _before(end: int, span: int) -> dict[str, Any]:
    return {"opt_start_seq": max(1, end - span + 1)}


def _complete_after(stream: Stream) -> float:
    """Since when, in Unix seconds, a stream has lost nothing to its limits."""
    state = stream.state
    if state.first_seq <= 1:
        return stream.created.timestamp()
    return state.first_ts.timestamp() if state.messages else math.inf


def _written(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat()


def _now() -> float:
    return asyncio.get_running_loop().time()
