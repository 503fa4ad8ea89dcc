"""Answer: the queries as a NATS micro service, from the state after the last epoch."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress

import nats.errors
from nats import micro
from nats.micro.request import ERROR_CODE_HEADER, ERROR_HEADER, Request
from nats.micro.service import EndpointConfig, Service, ServiceConfig

from nats_insights import __version__, subjects
from nats_insights.connection.client import Client
from nats_insights.facts import Coverage
from nats_insights.gather.stepwise import stepwise
from nats_insights.model.roster import Roster
from nats_insights.tell import queries
from nats_insights.tell.messages import AgentInfo
from nats_insights.tell.queries import Refused
from nats_insights.tell.view import View

log = logging.getLogger(__name__)

# Requests for an epoch that may wait at a time; more of them get error 429.
MOST_WAITING = 1000
# A request that waits for the end of an epoch, and its reply, None for STATUS at that time.
Waiting = tuple[Request, bytes | None]
_NOTHING_KNOWN = Coverage(servers_known=0, servers_answered=0, missing=[])


class Answers:
    """The micro service of this agent on one connection, and the requests that wait.

    `view` is what queries are answered from, `roster` what FORGET takes servers out of.
    """

    def __init__(self, roster: Roster) -> None:
        self.roster = roster
        self.view: View | None = None
        self.wanted = asyncio.Event()
        self._for_next: list[Waiting] = []
        self._for_this: list[Waiting] = []
        self._service: Service | None = None
        self._agent: AgentInfo | None = None
        self._group = ""

    async def serve(self, client: Client, agent: AgentInfo) -> None:
        """Register the service: a leader answers queries, a standby only `$SRV` requests."""
        await self.stop()
        self._agent = agent
        config = ServiceConfig(
            name=subjects.SERVICE,
            version=__version__,
            description="Audits this NATS system and publishes findings on $INSIGHTS.>",
            metadata={"id": agent.id, "instance": agent.instance, "role": agent.role},
        )
        self._group = uuid.uuid4().hex
        self._service = await micro.add_service(client, config)
        if agent.role != "leader":
            return
        for name in queries.QUERIES:
            await self._endpoint(name, self._query(name))
        await self._endpoint("EVALUATE", self._evaluate)
        await self._endpoint("FORGET", self._forget)

    async def stop(self) -> None:
        """Stop the service; requests that wait for an epoch get no reply."""
        service, self._service = self._service, None
        self._for_next, self._for_this = [], []
        if service is not None:
            # If the connection has closed, the subscriptions are already gone.
            with suppress(nats.errors.Error):
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
            if reply is None:
                await self._respond(request, "STATUS", b"")
            else:
                await self._send(request, reply, {})

    async def _endpoint(self, name: str, handler: Callable[[Request], Awaitable[None]]) -> None:
        assert self._service is not None
        await self._service.add_endpoint(
            EndpointConfig(
                name=name,
                handler=handler,
                subject=subjects.api(name),
                # New for each connection: a frozen server still has the subscriptions of a closed
                # connection, and in the same group these would get half of the requests.
                queue_group=self._group,
            )
        )

    def _query(self, name: str) -> Callable[[Request], Awaitable[None]]:
        async def handle(request: Request) -> None:
            await self._respond(request, name, request.data)

        return handle

    async def _evaluate(self, request: Request) -> None:
        # The reply is sent when the epoch has ended: waiting here would delay later requests.
        if len(self._for_next) >= MOST_WAITING:
            await self._refuse(request, Refused(429, "too many requests wait for an epoch"))
            return
        self._for_next.append((request, None))
        self.wanted.set()

    async def _forget(self, request: Request) -> None:
        async def forget(view: View) -> bytes:
            return queries.forget(view, self.roster, request.data)

        # The reply is sent after an epoch, too: then STATUS does not name the server any more.
        reply = await self._reply(request, "FORGET", forget)
        if reply is not None:
            self._for_next.append((request, reply))
            self.wanted.set()

    async def _respond(self, request: Request, name: str, body: bytes) -> None:
        reply = await self._reply(
            request, name, lambda view: stepwise(queries.steps(view, name, body))
        )
        if reply is not None:
            await self._send(request, reply, {})

    async def _reply(
        self, request: Request, name: str, make: Callable[[View], Awaitable[bytes]]
    ) -> bytes | None:
        """The reply; None where the request was refused."""
        try:
            if self.view is None:
                raise Refused(503, "the first epoch has not ended yet; ask again in a moment")
            return await make(self.view)
        except Refused as refused:
            await self._refuse(request, refused)
        except Exception:
            log.exception("%s raised", name)
            await self._refuse(request, Refused(500, f"{name} failed; the agent's log says why"))
        return None

    async def _refuse(self, request: Request, refused: Refused) -> None:
        assert self._agent is not None
        agent, coverage = self._agent, _NOTHING_KNOWN
        if self.view is not None:
            agent, coverage = self.view.agent, self.view.coverage
        reply = queries.error(agent, coverage, refused)
        headers = {ERROR_HEADER: str(refused), ERROR_CODE_HEADER: str(refused.code)}
        await self._send(request, reply, headers)

    async def _send(self, request: Request, reply: bytes, headers: dict[str, str]) -> None:
        # A request without a reply subject, and a closed connection, get no reply.
        with suppress(nats.errors.Error, ValueError):
            await request.respond(reply, headers=headers or None)
