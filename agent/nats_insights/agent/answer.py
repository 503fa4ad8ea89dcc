"""Answer: the queries as a NATS micro service, from the state after the last epoch."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

import msgspec
import nats.errors
from msgspec.structs import replace
from nats import micro
from nats.micro.request import ERROR_CODE_HEADER, ERROR_HEADER, Request
from nats.micro.service import EndpointConfig, Service, ServiceConfig

from nats_insights import __version__, subjects
from nats_insights.agent.archive import Archive
from nats_insights.agent.publisher import Publisher
from nats_insights.agent.shards import Others
from nats_insights.connection.client import Client
from nats_insights.facts import Coverage
from nats_insights.gather.stepwise import BREATH, stepwise
from nats_insights.judge.auditor import Auditor
from nats_insights.tell import advisory, muting, queries, tenants
from nats_insights.tell.history import Question, merged
from nats_insights.tell.messages import AgentInfo
from nats_insights.tell.queries import Refused
from nats_insights.tell.view import View, of_tenant
from nats_insights.text import shortened

log = logging.getLogger(__name__)

R = TypeVar("R")

# Requests for an epoch that may wait at a time; more of them get error 429.
MOST_WAITING = 1000
# A request that waits for the end of an epoch, and its reply, or the query that it is answered as.
Waiting = tuple[Request, bytes | str]
# The header in which the server names the account of a requester; characters of it in the log.
_REQUESTER, _LONGEST = "Nats-Request-Info", 512
_NOTHING_KNOWN = Coverage(servers_known=0, servers_answered=0, missing=[])


class Answers:
    """The micro service of this agent on one connection, and the requests that wait.

    `view` is what queries are answered from, `auditor` what requests change, and `others` are the
    other shards, of which some queries tell too. Where there is a `publisher`, STATUS tells of it,
    and HISTORY has what its stream keeps, from the `archive`.
    """

    def __init__(self, auditor: Auditor, others: Others) -> None:
        self.auditor = auditor
        self.others = others
        self.view: View | None = None
        self.publisher: Publisher | None = None
        self.archive: Archive | None = None
        self.wanted = asyncio.Event()
        self._for_next: list[Waiting] = []
        self._for_this: list[Waiting] = []
        self._service: Service | None = None
        self._agent: AgentInfo | None = None
        self._group = ""
        self._has_tenants = False
        self._turn = 0.0

    async def serve(self, client: Client, agent: AgentInfo) -> None:
        """Register the service: a leader answers queries, a standby only `$SRV` requests."""
        await self.stop()
        self._agent = agent
        config = ServiceConfig(
            name=subjects.SERVICE,
            version=__version__,
            description="Audits this NATS system and publishes findings on $INSIGHTS.>",
            metadata={
                **{"id": agent.id, "instance": agent.instance, "role": agent.role},
                **({"shard": agent.shard} if agent.shard else {}),
            },
        )
        self._group, self._has_tenants = uuid.uuid4().hex, False
        self._service = await micro.add_service(client, config)
        if agent.role != "leader":
            return
        for name in queries.QUERIES:
            await self._endpoint(name, self._query(name))
            if agent.shard:
                subject = subjects.api(name, agent.shard)
                await self._endpoint(f"{name}-{agent.shard}", self._query(name, here=True), subject)
        await self._endpoint("EVALUATE", self._evaluate)
        for name, change in self._changes.items():
            await self._endpoint(name, self._change(name, change))

    async def serve_tenants(self) -> None:
        """From now on answer the queries of tenants too, if this agent answers any."""
        if self._service is None or self._has_tenants:
            return
        self._has_tenants = True
        for name in tenants.QUERIES:
            await self._endpoint(name, self._query(name), subjects.tenant_api(name))

    async def stop(self) -> None:
        """Stop the service; requests that wait for an epoch get no reply."""
        service, self._service = self._service, None
        self._for_next, self._for_this = [], []
        if service is not None:
            # If the connection has closed, the subscriptions are already gone.
            with suppress(nats.errors.Error):
                # `stop` would take a round trip for each, and a successor waits for our last word.
                for subscription in service._subscriptions.values():
                    await subscription.unsubscribe()
                service._subscriptions.clear()
                await service.stop()

    def begin(self) -> None:
        """An epoch begins; later requests wait for the next one."""
        self.wanted.clear()
        self._for_this += self._for_next
        self._for_next = []

    async def end(self) -> None:
        """The epoch has ended and its advisories are published: reply to the waiting requests."""
        waiting, self._for_this = self._for_this, []
        for request, reply in waiting:
            if isinstance(reply, str):
                await self._respond(request, reply, b"")
            else:
                await self._send(request, reply, {})

    async def _endpoint(
        self, name: str, handler: Callable[[Request], Awaitable[None]], subject: str = ""
    ) -> None:
        assert self._service is not None
        await self._service.add_endpoint(
            EndpointConfig(
                name=name,
                handler=handler,
                subject=subject or subjects.api(name),
                # New for each connection: a frozen server still has the subscriptions of a closed
                # connection, and in the same group these would get half of the requests.
                queue_group=self._group,
            )
        )

    def _query(self, name: str, *, here: bool = False) -> Callable[[Request], Awaitable[None]]:
        async def handle(request: Request) -> None:
            await self._respond(request, name, request.data, here=here)

        return handle

    async def _evaluate(self, request: Request) -> None:
        # The reply is sent when the epoch has ended: waiting here would delay later requests.
        if await self._has_room(request):
            self._wait(request, "STATUS")

    def _change(
        self, name: str, make: Callable[[View, bytes], bytes | str]
    ) -> Callable[[Request], Awaitable[None]]:
        """A handler that changes something, and replies when an epoch has ended that shows it."""

        async def handle(request: Request) -> None:
            async def change(view: View) -> bytes | str:
                return make(view, request.data)

            if await self._has_room(request):
                reply = await self._reply(request, name, change)
                if reply is not None:
                    self._wait(request, reply)

        return handle

    @property
    def _changes(self) -> dict[str, Callable[[View, bytes], bytes | str]]:
        return {"FORGET": self._forget, "MUTE": self._mute, "UNMUTE": self._unmute}

    def _forget(self, view: View, body: bytes) -> bytes:
        return queries.forget(view, self.auditor.roster, body)

    def _mute(self, view: View, body: bytes) -> str:
        made = muting.mute(view, self.auditor.mutes, body, time.time())
        what, until, why = muting.words(made), advisory.at(made.until), made.why or "no reason"
        log.info("%s muted %s until %s: %s", made.who or "somebody", what, until, why)
        return "MUTES"

    def _unmute(self, view: View, body: bytes) -> str:
        ended = muting.unmute(view, self.auditor.mutes, body)
        log.info("%s unmuted %s", ended.who or "somebody", muting.words(ended))
        return "MUTES"

    async def _has_room(self, request: Request) -> bool:
        """Whether one more request may wait for an epoch; refuses it if not."""
        if len(self._for_next) < MOST_WAITING:
            return True
        await self._refuse(request, Refused(429, "too many requests wait for an epoch"))
        return False

    def _wait(self, request: Request, reply: bytes | str) -> None:
        self._for_next.append((request, reply))
        self.wanted.set()

    async def _respond(
        self, request: Request, name: str, body: bytes, *, here: bool = False
    ) -> None:
        async def make(view: View) -> bytes:
            if here:  # What another shard asks, or somebody who wants this one alone.
                view = replace(view, shards=[])
            if name == "STATUS" and self.publisher and not view.account:
                view.publishing = self.publisher.state
            if name == "FINDINGS" and view.shards:
                return await self.others.findings(view, body)
            if name == "HISTORY" and self.archive:
                question = Question(view, body)
                return msgspec.json.encode(
                    merged(view, question, await self.archive.about(question))
                )
            return await stepwise(queries.steps(view, name, body))

        reply = await self._reply(request, name, make)
        if reply is not None:
            await self._send(request, reply, {})

    async def _reply(
        self, request: Request, name: str, make: Callable[[View], Awaitable[R]]
    ) -> R | None:
        """The reply; None where the request was refused."""
        if log.isEnabledFor(logging.DEBUG):
            who = shortened((request.headers or {}).get(_REQUESTER, "a user of ours"), _LONGEST)
            log.debug("a request on %s by %s", shortened(request.subject), who)
        await self._breathe()
        try:
            if self.view is None:
                raise Refused(503, "the first epoch has not ended yet; ask again in a moment")
            return await make(await self._seen_through(self.view, request))
        except Refused as refused:
            if name == "FORGET" and refused.code == 404 and self.view and self.view.shards:
                return None  # The server may be one of another shard, which replies.
            await self._refuse(request, refused)
        except Exception:
            log.exception("%s raised", name)
            await self._refuse(request, Refused(500, f"{name} failed; the agent's log says why"))
        return None

    async def _breathe(self) -> None:
        """Let other tasks run every few milliseconds, above all an epoch: requests that have
        already come are handled one after another, and none of that waits for anything."""
        if time.monotonic() >= self._turn:
            await asyncio.sleep(0)
            self._turn = time.monotonic() + BREATH

    async def _seen_through(self, view: View, request: Request) -> View:
        """What a request may see. Its subject decides, which servers enforce; a header never."""
        account = subjects.account_of(request.subject)
        return await stepwise(of_tenant(view, account)) if account else view

    async def _refuse(self, request: Request, refused: Refused) -> None:
        assert self._agent is not None
        agent, coverage = self._agent, _NOTHING_KNOWN
        if self.view is not None:
            agent, coverage = self.view.agent, self.view.coverage
        if subjects.account_of(request.subject):
            coverage = tenants.unnamed(coverage)
        reply = queries.error(agent, coverage, refused)
        headers = {ERROR_HEADER: str(refused), ERROR_CODE_HEADER: str(refused.code)}
        await self._send(request, reply, headers)

    async def _send(self, request: Request, reply: bytes, headers: dict[str, str]) -> None:
        # A request without a reply subject, and a closed connection, get no reply.
        with suppress(nats.errors.Error, ValueError):
            await request.respond(reply, headers=headers or None)
