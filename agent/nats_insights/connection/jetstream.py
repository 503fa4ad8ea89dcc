"""JetStream of the account of a connection: one request, one reply, one sentence for a failure."""

from __future__ import annotations

import math
import re
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
import nats.errors
from msgspec import Struct

from nats_insights import subjects
from nats_insights.connection.client import Client
from nats_insights.errors import ConnectError, JetStreamError

_TIMEOUT = 5.0
# The code of a refusal: somebody else stored a message in between.
STALE = 10071
_NO_MESSAGE = 10037
_NO_STREAM, NOT_FOR_ACCOUNT = 10059, 10039
# The account has no JetStream: nobody in it can have any.
NOT_ENABLED = (NOT_FOR_ACCOUNT, 10076)
_NEVER = datetime.fromtimestamp(0, UTC)
# Names come in pages; more streams than this are not looked at.
_MOST_STREAMS = 10_000


class Lag(Struct, frozen=True):
    """How far a mirror is behind, in messages, and since when it heard nothing, in nanoseconds."""

    lag: int = 0
    active: int = -1


class Stored(Struct, frozen=True):
    """What a stream holds."""

    messages: int = 0
    bytes: int = 0
    first_seq: int = 0
    first_ts: datetime = _NEVER
    last_seq: int = 0
    num_subjects: int = 0


class Group(Struct, frozen=True):
    """Who leads the replicas of a stream, "" if nobody does."""

    leader: str = ""


class Stream(Struct, frozen=True):
    """A stream as its server describes it; `config` is as JetStream has it."""

    config: dict[str, Any]
    state: Stored = Stored()
    created: datetime = _NEVER
    cluster: Group | None = None
    mirror: Lag | None = None

    @property
    def name(self) -> str:
        return str(self.config.get("name", ""))

    @property
    def leaderless(self) -> bool:
        """Whether it has replicas and none of them leads."""
        return self.cluster is not None and not self.cluster.leader


class _Delivered(Struct, frozen=True):
    stream_seq: int = 0


class Consumer(Struct, frozen=True):
    """A place in a stream: how many messages of its subject follow, and what came before it."""

    name: str
    num_pending: int = 0
    delivered: _Delivered = _Delivered()


class _Problem(Struct, frozen=True):
    code: int = 0
    err_code: int = 0
    description: str = ""


class _Reply(Struct, frozen=True):
    error: _Problem | None = None


class _Page(Struct, frozen=True):
    total: int = 0
    streams: list[str] | None = None


class Value(Struct, frozen=True):
    """The last message on a subject: its sequence in the stream, its body, and its headers."""

    seq: int
    data: bytes = b""
    hdrs: bytes = b""

    @property
    def id(self) -> str:
        """The id by which the stream tells duplicates, "" if it has none."""
        found = _ID.search(self.hdrs)
        return found[1].decode("ascii", "replace") if found else ""


class _Got(Struct, frozen=True):
    message: Value


class _Acknowledged(Struct, frozen=True):
    seq: int


class Limits(Struct, frozen=True):
    """The most bytes that the account may store; -1 is no limit."""

    max_storage: int = -1


class Tier(Struct, frozen=True):
    """What is stored on disk, and reserved by streams that have a limit, in bytes."""

    storage: int = 0
    reserved_storage: int = 0
    limits: Limits = Limits()

    @property
    def free(self) -> float:
        """How many bytes a new stream may reserve."""
        limit = self.limits.max_storage
        return math.inf if limit < 0 else limit - max(self.storage, self.reserved_storage)


class Account(Tier, frozen=True):
    """What the account uses of JetStream: in all, or in tiers by the number of replicas."""

    streams: int = 0
    tiers: dict[str, Tier] | None = None

    @property
    def roomiest(self) -> Tier:
        """Where most is free."""
        return max((self.tiers or {"": self}).values(), key=lambda tier: tier.free)


T = TypeVar("T", bound=Struct)
_ID = re.compile(rb"\r\nNats-Msg-Id: *([^\r\n]*)\r\n")


class JetStream:
    """Requests to JetStream on one connection. Each raises JetStreamError, or ConnectError."""

    def __init__(self, client: Client, timeout: float = _TIMEOUT) -> None:
        self.client = client
        self.timeout = timeout

    def subject(self, what: str) -> str:
        """Where a request is sent, such as STREAM.NAMES."""
        return f"{self.client.js_api}.{what}"

    async def account(self) -> Account:
        """What the account may use and uses; an error if it has no JetStream."""
        return await self._ask("INFO", {}, Account)

    async def stream(self, name: str) -> Stream | None:
        """The stream of this name, None if there is none."""
        try:
            return await self._ask(f"STREAM.INFO.{name}", {}, Stream)
        except JetStreamError as error:
            if error.code == _NO_STREAM:
                return None
            raise

    async def create(self, config: Mapping[str, Any]) -> Stream:
        """Create a stream."""
        return await self._ask(f"STREAM.CREATE.{config['name']}", config, Stream)

    async def update(self, config: Mapping[str, Any]) -> Stream:
        """Change a stream."""
        return await self._ask(f"STREAM.UPDATE.{config['name']}", config, Stream)

    async def storing(self, subject: str) -> AsyncIterator[Stream]:
        """The streams that store anything on a subject, which may have wildcards.

        Their names come first: a list of them lacks the streams that have no leader now.
        """
        offset = 0
        while offset < _MOST_STREAMS:
            body = {"subject": subject, "offset": offset}
            page = await self._ask("STREAM.NAMES", body, _Page)
            for name in page.streams or ():
                if (stream := await self.stream(name)) is not None:
                    yield stream
            offset += len(page.streams or ())
            if not page.streams or offset >= page.total:
                return

    async def last(self, stream: str, subject: str) -> Value | None:
        """The last message on a subject, which may have wildcards, as the leader has it."""
        try:
            body = {"last_by_subj": subject}
            return (await self._ask(f"STREAM.MSG.GET.{stream}", body, _Got)).message
        except JetStreamError as error:
            if error.code == _NO_MESSAGE:
                return None
            raise

    @property
    def _nobody(self) -> str:
        api = self.client.js_api
        if api == subjects.JS_API:
            return "JetStream is not enabled on the servers"
        return f"nothing answers on {api}.>: give another JetStream domain, or API prefix"

    async def consumer(self, stream: str, config: Mapping[str, Any]) -> Consumer:
        """Create a consumer of one subject."""
        what = f"CONSUMER.CREATE.{stream}.{config['name']}.{config['filter_subject']}"
        return await self._ask(what, {"stream_name": stream, "config": config}, Consumer)

    async def put(self, subject: str, data: bytes, *, after: int | None = None) -> int:
        """Store a value on the subject of a key, and return its sequence.

        If `after` is given, it must be that of the last message on the subject, 0 for none;
        JetStreamError with the code STALE otherwise. A JetStreamError without a code leaves open
        whether it is stored.
        """
        headers = None if after is None else {"Nats-Expected-Last-Subject-Sequence": str(after)}
        return (await self._request(self.written(subject), data, _Acknowledged, headers)).seq

    def written(self, subject: str) -> str:
        """Where a key is written, or else a request is sent.

        Keys of another domain are written under its prefix: the link to it carries no others.
        """
        own = self.client.js_api == subjects.JS_API and subject.startswith("$KV.")
        return subject if own else self.subject(subject)

    async def purge(self, stream: str, subject: str, before: int) -> None:
        """Remove the messages on a subject, which may have wildcards, before a sequence."""
        await self._ask(f"STREAM.PURGE.{stream}", {"filter": subject, "seq": before}, _Reply)

    async def _ask(self, what: str, body: Mapping[str, Any], into: type[T]) -> T:
        return await self._request(self.subject(what), msgspec.json.encode(body), into)

    async def _request(
        self, subject: str, data: bytes, into: type[T], headers: dict[str, str] | None = None
    ) -> T:
        try:
            reply = await self.client.request(subject, data, timeout=self.timeout, headers=headers)
        except nats.errors.NoRespondersError:
            if "$KV." in subject:
                raise JetStreamError(f"no stream stores {subject}", _NO_STREAM) from None
            raise JetStreamError(self._nobody, lasting=True) from None
        except (nats.errors.Error, OSError) as error:
            if self.client.closed.is_set():
                raise ConnectError(f"the connection broke: {self.client.last_error}") from None
            if denied := self.client.forbidden(subject):
                sentence = f"the user may not use {denied}: allow it"
                raise JetStreamError(sentence, lasting=True) from None
            raise JetStreamError(
                f"no answer on {subject} within {self.timeout:g} s: JetStream may have no leader "
                f"({error or type(error).__name__})"
            ) from None
        try:
            if problem := msgspec.json.decode(reply.data, type=_Reply).error:
                raise _refused(problem)
            return msgspec.json.decode(reply.data, type=into)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise JetStreamError(f"the reply on {subject} cannot be read") from None


def _refused(problem: _Problem) -> JetStreamError:
    if problem.err_code in NOT_ENABLED:
        sentence = "JetStream is not enabled for the account of this connection: enable it there"
        return JetStreamError(sentence, problem.err_code, lasting=True)
    return JetStreamError(problem.description or f"error {problem.code}", problem.err_code)
