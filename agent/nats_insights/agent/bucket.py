"""A bucket as a store: values in parts that fit into messages, each replaced at one stroke.

    NAME.head            which parts are valid: their generation, number, size and hash
    NAME.part.GEN.0 …    the parts, compressed

Parts are written first, under a generation of their own. Then the head is replaced, but only if it
is the one that was there before: an agent that was away cannot overwrite what its successor saved.
Older parts are removed last. A reader that meets parts being removed reads the head again.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import uuid
import zlib
from collections.abc import Callable, Coroutine, Iterable
from itertools import islice
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

from nats_insights import subjects
from nats_insights.connection.client import Client
from nats_insights.connection.jetstream import NOT_ENABLED, STALE, JetStream, Value
from nats_insights.errors import ConnectError, JetStreamError, StateError
from nats_insights.tell.assets import KEPT, stream_of

log = logging.getLogger(__name__)

# Compressed bytes of one value, and of one part unless the server takes less.
MOST_BYTES, PART_BYTES = 64 * 1024 * 1024, 512 * 1024
# Parts that are written or read at a time.
AT_A_TIME = 8
_ATTEMPTS = 5
# Seconds to wait for an answer.
TIMEOUT = 2.0
# What is unpacked is never larger than this.
_MOST_UNPACKED = 1024 * 1024 * 1024
_STREAM = stream_of(KEPT)
_MIB = 1024 * 1024

T = TypeVar("T")


class _Head(Struct, frozen=True, kw_only=True):
    generation: Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]
    parts: Annotated[int, Meta(ge=1, le=100_000)]
    bytes: int
    sha256: str


class Bucket:
    """What the agents of one shard keep in the bucket INSIGHTS_AGENT, under its name.

    `client` returns the connection into the account with the bucket, None while there is none.
    `superseded` says whether the last save failed because another agent has saved meanwhile.
    """

    def __init__(self, client: Callable[[], Client | None], name: str, what: str = "state") -> None:
        self._client = client
        self._key = f"{subjects.key(name)}.{what}"
        # The head as it was read or written last; None before that.
        self._revision: int | None = None
        # The generations of saves of which it is not known whether they succeeded.
        self._unsure: list[str] = []
        self._untidy = False
        self.superseded = False

    @property
    def where(self) -> str:
        return f"bucket {KEPT}, key {self._key}"

    async def exists(self, client: Client | None = None) -> bool:
        """Whether there is a bucket; StateError if that cannot be known now."""
        jetstream = JetStream(client, TIMEOUT) if client else self._jetstream()
        try:
            return await jetstream.stream(_STREAM) is not None
        except JetStreamError as error:
            if error.code in NOT_ENABLED:
                return False
            raise _failed(f"cannot reach {self.where}", error) from None
        except ConnectError as error:
            raise _failed(f"cannot reach {self.where}", error) from None

    async def load(self) -> bytes | None:
        """What was saved last. What cannot be unpacked is returned as it is."""
        jetstream = self._jetstream()
        self.superseded = False
        try:
            head, packed = await self._read(jetstream)
            for _ in range(_ATTEMPTS):
                if head is None or packed is not None:
                    break
                # Its parts were being replaced, or are gone for good.
                head, packed = await self._read(jetstream)
        except (JetStreamError, ConnectError) as error:
            raise _failed(f"cannot read the state in {self.where}", error) from None
        if head is None:
            return None
        if packed is None:
            return head.data
        plain = await asyncio.to_thread(_unpacked, packed)
        return packed if plain is None else plain

    async def save(self, data: bytes) -> None:
        packed = await asyncio.to_thread(zlib.compress, data, 1)
        if len(packed) > MOST_BYTES:
            raise StateError(
                f"the state for {self.where} has {len(packed) // _MIB} MiB compressed, and is not "
                f"kept above {MOST_BYTES // _MIB} MiB: watch a part of the system with each agent"
            )
        jetstream = self._jetstream()
        try:
            await self._save(jetstream, packed)
        except JetStreamError as error:
            if error.code == STALE:
                self.superseded = True
                why = f"another agent has saved the state in {self.where} meanwhile"
                raise StateError(why) from None
            raise StateError(f"cannot save the state in {self.where}: {error}") from None
        except ConnectError as error:
            raise StateError(f"cannot save the state in {self.where}: {error}") from None

    async def set_aside(self) -> str:
        """Move what is there to a key for what is unreadable, which keeps one."""
        aside = Bucket(self._client, "", f"unreadable.{self._key}")
        jetstream = self._jetstream()
        try:
            head, packed = await self._read(jetstream)
            raw = packed or (head.data if head else b"")
            await aside._save(jetstream, raw)
            if head is not None:
                await jetstream.purge(_STREAM, self._subject("head"), head.seq + 1)
        except (JetStreamError, ConnectError) as error:
            raise StateError(f"cannot move the state in {self.where}: {error}") from None
        self._revision = 0
        return aside.where

    def _jetstream(self) -> JetStream:
        client = self._client()
        if client is None:
            raise StateError(f"cannot reach {self.where}: there is no connection to it now")
        return JetStream(client, TIMEOUT)

    def _subject(self, *tokens: str) -> str:
        return ".".join(("$KV", KEPT, self._key, *tokens))

    # --- Reading.

    async def _read(self, jetstream: JetStream) -> tuple[Value | None, bytes | None]:
        """The head, and the parts that it names, None if these are not there; both as they are."""
        found = await jetstream.last(_STREAM, self._subject("head"))
        self._revision = found.seq if found else 0
        if found is None or not found.data:
            return None, None
        head = _decoded(found)
        if head is None:
            return found, found.data
        parts = [self._subject("part", head.generation, str(n)) for n in range(head.parts)]
        values = await _some_at_a_time(jetstream.last(_STREAM, part) for part in parts)
        packed = b"".join(value.data for value in values if value is not None)
        whole = hashlib.sha256(packed).hexdigest() == head.sha256
        return found, packed if whole else None

    # --- Writing.

    async def _save(self, jetstream: JetStream, packed: bytes) -> None:
        if self._revision is None or self._unsure:
            await self._revise(jetstream)
        size = min(PART_BYTES, jetstream.client.max_payload // 2)
        generation, starts = uuid.uuid4().hex, range(0, len(packed), size)
        written = await _some_at_a_time(
            jetstream.put(
                self._subject("part", generation, str(number)), packed[start : start + size]
            )
            for number, start in enumerate(starts)
        )
        head = _Head(
            generation=generation,
            parts=len(starts),
            bytes=len(packed),
            sha256=hashlib.sha256(packed).hexdigest(),
        )
        try:
            await self._replace_head(jetstream, head)
        except JetStreamError as error:
            # A save whose answer was lost may only have been stored after it was looked for.
            if error.code != STALE or not self._unsure:
                raise
            await self._revise(jetstream)
            await self._replace_head(jetstream, head)
        await self._tidy(jetstream, min(written, default=0))

    async def _revise(self, jetstream: JetStream) -> None:
        """Read the revision of the head, where no other agent can have changed it unnoticed."""
        found = await jetstream.last(_STREAM, self._subject("head"))
        head = _decoded(found) if found else None
        if self._revision is None or (head and head.generation in self._unsure):
            self._revision = found.seq if found else 0

    async def _replace_head(self, jetstream: JetStream, head: _Head) -> None:
        data = msgspec.json.encode(head)
        try:
            self._revision = await jetstream.put(self._subject("head"), data, after=self._revision)
        except JetStreamError as error:
            if not error.code:  # Else it was refused.
                self._unsure = [*self._unsure[-_ATTEMPTS:], head.generation]
            raise
        self._unsure = []

    async def _tidy(self, jetstream: JetStream, before: int) -> None:
        """Remove parts that are older than those of the head."""
        if before <= 1:  # There are none; and for servers before 2.11 that would be all of them.
            return
        try:
            await jetstream.purge(_STREAM, self._subject("part", ">"), before)
        except JetStreamError as error:
            if not self._untidy:
                log.warning("old parts of the state in %s are not removed: %s", self.where, error)
            self._untidy = True


async def _some_at_a_time(requests: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """The results of requests in their order; some are under way at a time."""
    results: list[T] = []
    waiting = iter(requests)
    while some := list(islice(waiting, AT_A_TIME)):
        results += await asyncio.gather(*some)
    return results


def _failed(what: str, why: JetStreamError | ConnectError) -> StateError:
    lasting = isinstance(why, JetStreamError) and why.lasting
    return StateError(f"{what}: {why}", lasting=lasting)


def _decoded(found: Value) -> _Head | None:
    try:
        return msgspec.json.decode(found.data, type=_Head)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _unpacked(packed: bytes) -> bytes | None:
    unpacker = zlib.decompressobj()
    try:
        data = unpacker.decompress(packed, _MOST_UNPACKED)
    except zlib.error:
        return None
    return data if unpacker.eof else None
