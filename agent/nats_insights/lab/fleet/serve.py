"""Answers on a real server's system account as all servers of a simulated fleet."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any, Literal

from msgspec import Struct, field

from nats_insights.errors import ConnectError
from nats_insights.lab.fleet import control, protocol, replies, request
from nats_insights.lab.fleet.misbehave import OBEDIENT, Misbehaviour, spoil
from nats_insights.lab.fleet.model import Fleet, Server
from nats_insights.lab.fleet.replies import Reply
from nats_insights.lab.fleet.request import ConnzOptions, Request

_HEARTBEAT_SECONDS = 10.0
_HEARTBEATS = 20


class Load(Struct):
    """What was asked of the simulated servers: by endpoint, each server's own count.

    `scans` counts replies of CONNZ, each a walk through all connections of a server, `scanned`
    the connections that were walked through, `overlaps` the requests of CONNZ that came to a
    server while it was busy with another.
    """

    requests: Counter[str] = field(default_factory=Counter)
    replies: Counter[str] = field(default_factory=Counter)
    sent_bytes: Counter[str] = field(default_factory=Counter)
    scans: int = 0
    scanned: int = 0
    overlaps: int = 0


class Service:
    """The servers of a fleet on one connection; made by `serve`.

    `ended` is set when it can answer no more, and `failure` is the reason.
    """

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.load = Load()
        self.misbehaviours: dict[str, Misbehaviour] = {}
        self.ended = asyncio.Event()
        self.failure: BaseException | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._scanning: Counter[str] = Counter()
        self._client: protocol.Client

    def misbehave(self, servers: Iterable[Server], misbehaviour: Misbehaviour = OBEDIENT) -> None:
        """Has these servers misbehave from now on, after restarts too; by default, no more."""
        for server in servers:
            self.misbehaviours[server.name] = misbehaviour

    def heartbeat(self, server: Server) -> None:
        """Says that a server lives, on its STATSZ subject."""
        subject = f"$SYS.SERVER.{server.id}.STATSZ"
        self._client.publish(subject, replies.heartbeat(self.fleet, server))

    def announce(self, server: Server, event: Literal["SHUTDOWN", "LAMEDUCK"]) -> None:
        """Publishes a server's goodbye; ending it is the fleet's affair."""
        subject = f"$SYS.SERVER.{server.id}.{event}"
        self._client.publish(subject, replies.farewell(self.fleet, server))

    async def begin(self, client: protocol.Client, heartbeat_seconds: float | None) -> None:
        """Subscribes; when this returns, every request to the real server is answered."""
        self._client = client
        client.subscribe((*request.SUBJECTS, control.SUBJECT))
        if heartbeat_seconds is not None:
            for server in self.fleet.running:
                self.heartbeat(server)
                await client.writable()
            self._start(self._beat(heartbeat_seconds))
        self._start(self._watch())
        await client.flush()

    async def end(self) -> None:
        """Ends what is under way, says goodbye for every server, and closes the connection."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if not self._client.closed.is_set():
            for server in self.fleet.running:
                self.announce(server, "SHUTDOWN")
            self._client.close()
        await self._client.closed.wait()

    def heard(self, message: protocol.Message) -> None:
        """Takes a message of the subscriptions."""
        if message.subject.startswith(control.PREFIX):
            self._start(self._control(message))
        elif asked := request.read(*message):
            self._start(self._answer(asked))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self.failure = self.failure or error
            self.ended.set()

    async def _watch(self) -> None:
        await self._client.closed.wait()
        raise ConnectError(f"the fleet lost its connection: {self._client.why}")

    async def _beat(self, seconds: float) -> None:
        """Has every server say that it lives once in `seconds`, not all at the same time."""
        while True:
            for turn in range(_HEARTBEATS):
                await asyncio.sleep(seconds / _HEARTBEATS)
                for server in self.fleet.running[turn::_HEARTBEATS]:
                    if not self._behaviour(server, "STATSZ").hung:
                        self.heartbeat(server)
                await self._client.writable()

    async def _control(self, message: protocol.Message) -> None:
        body = control.perform(self, message.subject, message.body)
        if message.reply:
            self._client.publish(message.reply, body)

    async def _answer(self, asked: Request) -> None:
        if asked.target == "PING":
            for server in self.fleet.running:
                await self._ask(server, asked)
        elif asked.target in self.fleet.ids:
            await self._ask(self.fleet.ids[asked.target], asked)
        elif asked.target in self.fleet.dead:
            self._client.publish(asked.reply, b"", protocol.NO_RESPONDERS)

    async def _ask(self, server: Server, asked: Request) -> None:
        """Has one server answer; one that takes its time holds up no other."""
        self.load.requests[asked.endpoint] += 1
        if asked.endpoint == "CONNZ":
            self.load.overlaps += self._scanning[server.id] > 0
            self._scanning[server.id] += 1
        behaviour = self._behaviour(server, asked.endpoint)
        if behaviour.hung:
            return
        if behaviour.delay:
            self._start(self._answer_late(server, asked, behaviour))
        else:
            self._answer_as(server, asked, behaviour)
            await self._client.writable()

    async def _answer_late(self, server: Server, asked: Request, behaviour: Misbehaviour) -> None:
        await asyncio.sleep(behaviour.delay)
        self._answer_as(server, asked, behaviour)

    def _answer_as(self, server: Server, asked: Request, behaviour: Misbehaviour) -> None:
        if isinstance(asked.options, ConnzOptions):
            self._scan(server, asked.options, behaviour)
        # It may have ended while it took its time.
        reply = replies.reply(self.fleet, server, asked) if server.running else None
        if reply is None:
            return
        if behaviour.claims:
            reply = self._lie(reply, server, behaviour.claims)
        header, body = spoil(reply, behaviour.malformed, asked.encoding)
        for _ in range(1 + behaviour.duplicates):
            self._client.publish(asked.reply, body, header)
            self.load.replies[asked.endpoint] += 1
            self.load.sent_bytes[asked.endpoint] += len(header) + len(body)

    def _scan(self, server: Server, options: ConnzOptions, behaviour: Misbehaviour) -> None:
        self._scanning[server.id] -= 1
        if options.admits(server):
            self.load.scans += 1
            self.load.scanned += len(server.cids)
            if count := behaviour.closes_between_pages:
                self.fleet.close_some(server, count, below=options.offset)

    def _lie(self, reply: Reply, server: Server, other: str) -> Reply:
        """The same reply in the name of another server; ids are all of one length."""
        identity = self.fleet.server(other).id.encode()
        beginning = reply.beginning.replace(server.id.encode(), identity)
        return Reply(beginning, reply.rest, reply.compressible)

    def _behaviour(self, server: Server, endpoint: str) -> Misbehaviour:
        behaviour = self.misbehaviours.get(server.name, OBEDIENT)
        return behaviour if behaviour.concerns(endpoint) else OBEDIENT


@asynccontextmanager
async def serve(
    fleet: Fleet,
    url: str,
    *,
    user: str,
    password: str,
    heartbeat_seconds: float | None = _HEARTBEAT_SECONDS,
) -> AsyncIterator[Service]:
    """Answers for the fleet while the body runs, over one connection to the real server at `url`.

    `user` has to be of the system account, and the server's `max_payload` at least the size of
    the largest reply: 64MB is never too small. None for `heartbeat_seconds` means no heartbeats.
    Servers say goodbye at the end. ConnectError if the connection is refused, or was lost; what
    else made the simulator fail is raised at the end of the body.
    """
    service = Service(fleet)
    client = await protocol.connect(url, user, password, "fleet", service.heard)
    try:
        await service.begin(client, heartbeat_seconds)
        yield service
        if service.failure:
            raise service.failure
    finally:
        await service.end()
