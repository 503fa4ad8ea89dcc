"""nats-py's client, changed so that every failure closes it at once, with the reason."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import nats.errors
from nats.aio.client import Client as NatsClient
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.aio.transport import TcpTransport

from nats_insights import subjects
from nats_insights.facts import Expiry

if TYPE_CHECKING:
    from nats_insights.connection.connect import UserInfo

log = logging.getLogger("nats_insights.connect")

_GREETING_BYTES = 256 * 1024  # INFO names every URL of the cluster, some 45 bytes each
_CLOSE_SECONDS = 2.0
_FAREWELL_SECONDS = 1.0
_DENIED_MAX = 1000
_REQUESTS_MAX = 10_000  # that wait at one endpoint; nats-py lets half a million wait
_HEADERS_MAX = 16  # different headers remembered; replies have two or three
_DENIED = re.compile(r'Permissions Violation for (\w+) to "([^"]+)"', re.IGNORECASE)
# What we publish begins with one of these. Everything else that we publish are replies, on subjects
# that the requester has chosen.
_OWN = ("$SYS.", "$INSIGHTS.", "$SRV.", "INSIGHTS.", "$JS.", "$KV.")
_MEANINGS = {
    "user authentication expired": "the user JWT has expired",
    "authorization violation": "the server no longer accepts the credentials",
    "stale connection": "the server closed the connection as stale",
}


def spoken(line: bytes) -> str:
    """The message of a server in the first of these lines, safe to print."""
    text = line.partition(b"\r\n")[0].decode(errors="replace").removeprefix("-ERR")
    return "".join(filter(str.isprintable, text)).strip(" '")[:200]


class Client(NatsClient):
    """A connection that never reconnects: when `closed` is set, create a new client.

    denied: subjects on which the server refused to let us publish or subscribe, at most 1,000.
        Replies are not among them: a second one to the same request is refused as a rule.
    slow: messages dropped because one of our subscriptions did not keep up.
    reached: whether anything at all accepted the connection.
    verifies: whether the server wants to see a client certificate.
    user: our user, as the server last described it.
    expiries: what another log-in would use, with dates; ConnectError if it would fail.
    sys_req: the prefix with which our account imports the requests to servers, else `$SYS.REQ`.
    js_api: the prefix of requests to JetStream, `$JS.API` where it is in no other domain.
    imports: these requests as servers know them, with wildcards; None if all can be sent.
    """

    def __init__(
        self,
        url: str,
        *,
        secure: bool,
        sys_req: str = subjects.SYS_REQ,
        js_api: str = subjects.JS_API,
    ) -> None:
        super().__init__()
        self.url = url
        self.closed = asyncio.Event()
        self.denied: set[str] = set()
        self.slow = 0
        self.reached = False
        self.verifies = False
        self.user: UserInfo | None = None
        self.expiries: Callable[[], Sequence[Expiry]] = tuple
        self._wire = _Wire()
        self.sys_req = sys_req
        self.js_api = js_api
        self.imports: Sequence[str] | None = None
        self._ours = (*_OWN, f"{sys_req}.", f"{js_api}.")
        self._secure = secure
        self._why = ""
        self._parsed: dict[bytes, dict[str, str] | None] = {}

    @property
    def heard(self) -> bytes | None:
        """The last line of a log-in that failed, b"" for its end, None before the first line."""
        return self._wire.heard

    @property
    def last_error(self) -> str:  # type: ignore[override]
        """Why the connection closed, in a few words; "" while it is open and when we closed it."""
        return self._why

    @property
    def server_version(self) -> str:
        """The version of the server that this client is connected to."""
        return str(self._server_info.get("version", ""))

    @property
    def server_id(self) -> str:
        """The id of the server that this client is connected to."""
        return str(self._server_info.get("server_id", ""))

    @property
    def cid(self) -> int:
        """The number that this server gave the connection, 0 if none."""
        return int(self._server_info.get("client_id", 0))

    def fits(self, payload: bytes, headers: Mapping[str, str] | None = None) -> bool:
        """Whether the server takes a message of this size: it counts the headers, nats-py not.

        The server cuts the connection over one message too large.
        """
        size = len(payload)
        if headers is not None:
            size += len(b"NATS/1.0\r\n\r\n")
            size += sum(len(f"{key}: {value}\r\n".encode()) for key, value in headers.items())
        return size <= self.max_payload

    @property
    def lacks(self) -> set[str]:
        """What to allow the user, with the wildcards that it takes: `denied` is why."""
        return {self._permission(subject) for subject in self.denied}

    def forbidden(self, subject: str) -> str:
        """What to allow for a request on `subject` to get its reply, "" if nothing is denied."""
        inbox = f"{self._inbox_prefix.decode()}."
        denied = (s for s in self.denied if s == subject or s.startswith(inbox))
        return next(map(self._permission, denied), "")

    def takes(self, subject: str) -> bool:
        """Whether our account can send this request to servers, as far as it is known."""
        return self.imports is None or any(subjects.covers(one, subject) for one in self.imports)

    def sent_as(self, subject: str) -> str:
        """The subject under which our account sends a request to servers."""
        return subjects.requests_of(self.sys_req, subject)

    async def subscribe(
        self, subject: str, queue: str = "", *args: Any, **kwargs: Any
    ) -> Subscription:
        """Subscribes; of requests, which come in a queue group, only so many wait here."""
        if queue:
            kwargs.setdefault("pending_msgs_limit", _REQUESTS_MAX)
        return await super().subscribe(subject, queue, *args, **kwargs)

    async def publish(self, subject: str, *args: Any, **kwargs: Any) -> None:
        """Publishes; requests to servers under the name that our account has for them."""
        await super().publish(self.sent_as(subject), *args, **kwargs)

    async def close(self) -> None:
        """Closes when the server has read all that was published; it is given a second for that.

        A socket that is closed over unread bytes is reset. The server then fails to write to it,
        and drops what it has not read of it, our last message for example.
        """
        try:
            if self.is_connected:
                with suppress(nats.errors.Error, OSError):
                    async with asyncio.timeout(_FAREWELL_SECONDS):
                        await self.reach()
        finally:
            await self._close(self.CLOSED)

    async def reach(self, timeout: float = 10.0) -> None:
        """Returns when the server has read all that was published; nats.errors.Error if not."""
        try:
            async with asyncio.timeout(timeout):
                # One PING overtakes what waits to be written, a second one does not.
                await self.flush()
                await self.flush()
        except TimeoutError:
            raise nats.errors.TimeoutError from None

    async def give_up(self, why: str) -> None:
        """Closes a connection that is of no use any more, at once."""
        self._why = self._why or why
        await self._close(self.CLOSED)

    async def record(self, error: Exception) -> None:
        """The error callback. It only takes notes, since what it raised would end the reading."""
        if isinstance(error, nats.errors.SlowConsumerError):
            self.slow += 1
        elif not isinstance(error, nats.errors.Error | OSError):
            log.error("a subscription's callback failed", exc_info=error)

    def _permission(self, subject: str) -> str:
        inbox = f"{self._inbox_prefix.decode()}."
        if subject.startswith(inbox):
            return f"{inbox}>"
        return self.sent_as(subjects.permission(subject))

    async def _select_next_server(self) -> None:
        """One attempt at one server. nats-py goes on for minutes at a dead port."""
        self._current_server = self._server_pool[0]
        self._transport = self._wire
        seconds = self.options["connect_timeout"]
        await self._wire.connect(self._current_server.uri, _GREETING_BYTES, seconds)
        self.reached = True

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        """No log-in without TLS where TLS is wanted. nats-py believes a greeting without it."""
        if initial_connection:
            self.verifies = bool(info.get("tls_verify"))
        if initial_connection and self._secure and not self.options["tls_handshake_first"]:
            if not (info.get("tls_required") or info.get("tls_available")):
                raise nats.errors.SecureConnWantedError
            info["tls_required"] = True
        await super()._process_info(info, initial_connection)

    async def _process_err(self, err_msg: str) -> None:
        """Notes a denial, and closes for all else. nats-py forgets the case, and the task."""
        said = spoken(bytes(self._ps.buf[:4096]))
        if denied := _DENIED.search(said):
            subscribing, subject = denied[1].lower() != "publish", denied[2]
            if subject.startswith(f"{self.sys_req}."):
                subject = f"{subjects.SYS_REQ}{subject.removeprefix(self.sys_req)}"
            ours = subscribing or subject.startswith(self._ours)
            if ours and len(self.denied) < _DENIED_MAX:
                self.denied.add(subject)
        elif "permissions violation" not in err_msg:
            self._why = self._why or _MEANINGS.get(said.lower(), f"the server said: {said}")
            await self._process_op_err(nats.errors.Error(f"nats: {said}"))

    async def _process_headers(self, headers: bytes | None) -> dict[str, str] | None:
        """Thousands of replies bear the same headers; nats-py parses each for 40 microseconds."""
        if headers is None:
            return None
        if headers not in self._parsed:
            if len(self._parsed) >= _HEADERS_MAX:
                self._parsed.clear()
            self._parsed[headers] = await super()._process_headers(headers)
        parsed = self._parsed[headers]
        return dict(parsed) if parsed else None

    def _build_message(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: dict[str, str] | None
    ) -> Msg:
        """Never reply on subjects that we publish on: others could publish there through us."""
        message: Msg = super()._build_message(sid, subject, reply, data, headers)
        if message.reply.startswith(self._ours):
            message.reply = ""
        return message

    async def _process_pong(self) -> None:
        """A PONG for a flush that was given up. nats-py would stop reading over it."""
        if self._pongs and self._pongs[0].done():
            self._pongs[0] = asyncio.get_running_loop().create_future()
        await super()._process_pong()

    async def _read_loop(self) -> None:
        """When reading ends, the connection is closed. nats-py would stay connected for minutes."""
        await super()._read_loop()
        await self._process_op_err(nats.errors.ProtocolError())

    async def _process_op_err(self, e: Exception) -> None:
        if not self.closed.is_set():
            self._why = self._why or _broken(e)
        await super()._process_op_err(e)

    async def _close(self, status: int, do_cbs: bool = True) -> None:
        """Sets `closed` first, cannot hang, and leaves no task behind.

        nats-py waits for a frozen peer, and stops half-way where it cannot send what is left:
        asyncio then raises OSError, uvloop RuntimeError.
        """
        self.closed.set()
        with suppress(OSError, RuntimeError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await super()._close(status, do_cbs)
        self._wire.drop()
        for subscription in self._subs.values():
            if subscription._wait_for_msgs_task is not None:
                subscription._wait_for_msgs_task.cancel()
        self._subs.clear()


class _Wire(TcpTransport):
    """A TCP transport that keeps the last line of the log-in, and that can be aborted."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._line: bytes | None = None

    @property
    def heard(self) -> bytes | None:
        # A server says why it hangs up, but our next write fails before that line is read.
        unread = getattr(self._io_reader, "_buffer", b"")
        return bytes(unread) or self._line

    async def connect_tls(self, *args: Any, **kwargs: Any) -> None:
        try:
            await super().connect_tls(*args, **kwargs)
        except BaseException:
            # Nothing else would close the plain stream.
            self.drop()
            self._io_writer = None
            raise
        # nats-py does not tell the stream that it is encrypted, and asyncio then logs at its end.
        if self._io_writer:
            self._io_writer.transport.get_protocol()._over_ssl = True  # type: ignore[attr-defined]

    async def readline(self) -> bytes:
        self._line = await super().readline()  # type: ignore[no-untyped-call]
        return self._line

    def drop(self) -> None:
        # asyncio fails to abort what had unsent bytes and then ended by itself.
        with suppress(AttributeError):
            if self._io_writer:
                self._io_writer.transport.abort()


def _broken(error: Exception) -> str:
    if isinstance(error, nats.errors.UnexpectedEOF):
        return "the server closed the connection without an error message"
    if isinstance(error, nats.errors.StaleConnectionError):
        return "the server stopped answering"
    if isinstance(error, nats.errors.ProtocolError):
        return "the server sent data that is not NATS"
    return f"the connection broke: {error}"
