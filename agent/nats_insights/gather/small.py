"""Gather the small replies of every server, and find out which are silent and why.

Each endpoint gets one fan-out request, which ends as soon as every expected server has replied;
if all replies together exceed the window, each server gets its own request. A server that did not
reply gets one retry by its id: a dead one has no responders, a hung one lets the request time out.
A server that a peer still has a link to is not dead: perhaps only the agent cannot reach it.

Expensive endpoints are requested last, from a few servers at a time: servers handle one request
after another, so a slow one would delay all other replies.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import defaultdict
from collections.abc import Collection, Generator, Iterable
from contextlib import suppress
from typing import Any

import nats.errors

from nats_insights.connection.client import Client
from nats_insights.facts import Cost
from nats_insights.gather.asking import Asker, Reply, each, words
from nats_insights.gather.connections import Pages
from nats_insights.gather.services import Services
from nats_insights.gather.stepwise import stepwise
from nats_insights.gather.streams import Streams
from nats_insights.gather.window import Window
from nats_insights.gather.within import EVERYWHERE, Within
from nats_insights.replies.endpoint import Endpoint
from nats_insights.replies.fields import Malformed, ServerInfo
from nats_insights.replies.gatewayz import GATEWAYZ
from nats_insights.replies.heard import Expected, Heard, Silence
from nats_insights.replies.leafz import LEAFZ
from nats_insights.replies.routez import ROUTEZ
from nats_insights.replies.statsz import STATSZ
from nats_insights.replies.varz import VARZ

log = logging.getLogger(__name__)

# The reply that shows which servers are alive: the agent requires it.
ROLL_CALL = VARZ
# The largest number of servers.
MOST = 20_000
# For expensive endpoints: requests in flight, and timeouts after which no more are sent.
ONE_BY_ONE = 8
# If fewer than one in FEW servers have data, only these get a request.
FEW = 4
LINKS: tuple[Endpoint[Any], ...] = (ROUTEZ, GATEWAYZ, LEAFZ)
Endpoints = Collection[Endpoint[Any]]
_DENIED = "not permitted to ask %s: checks that need it are unknown"


class Gatherer:
    """Gathers over one connection: `timeout` in seconds per reply, within a window.

    It hears of the servers `within` some clusters only.
    """

    def __init__(
        self, client: Client, timeout: float, window: Window, within: Within = EVERYWHERE
    ) -> None:
        self.client = client
        self.asker = Asker(client, timeout, within)
        self.window = window
        self.pages = Pages(self.asker, window)
        self.streams = Streams(self.asker, window)
        self.services = Services(self.asker, window)
        self.begin()

    @property
    def denied(self) -> set[str]:
        """The endpoints that this user may not request."""
        return self.asker.denied

    def begin(self) -> None:
        """A new epoch: set all costs to zero."""
        self.asker.reset()
        self.servers_asked = self.pages.swept = self.window.peak = 0
        self._wall, self._cpu = time.monotonic(), time.process_time()

    @property
    def elapsed(self) -> float:
        """Seconds since the epoch began."""
        return time.monotonic() - self._wall

    def cost(self) -> Cost:
        """The cost of the epoch so far."""
        return Cost(
            requests=self.asker.requests,
            replies=self.asker.replies,
            bytes=self.asker.received,
            malformed=self.asker.malformed,
            servers_asked=self.servers_asked,
            servers_swept=self.pages.swept,
            wall_seconds=round(self.elapsed, 4),
            cpu_seconds=round(time.process_time() - self._cpu, 4),
            peak_window_bytes=self.window.peak,
            window_bytes=self.window.size,
            dropped_messages=self.client.slow,
            endpoints=self.asker.costs(),
        )

    async def small(self, endpoints: Endpoints, expected: Expected) -> Heard:
        """The small replies of every server, and the state of those that did not answer.

        Then the window is fitted to `max_pending` of the server that the agent is connected to.
        """
        small = [endpoint.key for endpoint in endpoints if not endpoint.paged]
        heard = Heard(small, self.client.server_id)
        roll = await self._all_of(ROLL_CALL, expected.answering, at_least=await self._how_many())
        for server_id, (info, reply) in roll.items():
            heard.infos[server_id] = info
            heard.add(ROLL_CALL.key, server_id, reply)
        silent = expected.missing(heard.infos)
        wanted = [
            endpoint
            for endpoint in sorted(endpoints, key=lambda endpoint: endpoint.key)
            if not (endpoint is ROLL_CALL or endpoint.paged or endpoint.key in self.denied)
        ]
        unheard: dict[str, Exception] = {}
        await asyncio.gather(
            self._probe(silent, heard, unheard),
            *(self._small(endpoint, set(roll), heard) for endpoint in wanted if endpoint.fans_out),
        )
        strangers = await stepwise(_named_by_peers(heard, expected))
        heard.named |= strangers
        await self._probe(strangers, heard, unheard)
        await self._judge(unheard, heard, expected)
        heard.roll_call_took = self.elapsed
        await self._again([endpoint for endpoint in wanted if endpoint.fans_out], heard)
        for endpoint in wanted:
            if not endpoint.fans_out:
                await self._one_by_one(endpoint, heard)
        if (own := heard.replies[ROLL_CALL.key].get(heard.own)) is not None:
            self.window.fit(own.max_pending)
        self.servers_asked = len(roll) + len(silent)
        heard.denied = self.denied & heard.asked
        return heard

    async def _how_many(self) -> int:
        """The number of servers, as the one that we are connected to reports it.

        MOST if it does not report it, or if only some of them are heard: then no number of replies
        ends the fan-out early.
        """
        if STATSZ.key not in self.denied and self.asker.within is EVERYWHERE:
            with suppress(Malformed, nats.errors.Error):
                _, statsz = await self.asker.one(STATSZ, self.client.server_id)
                return int(statsz.active_servers)
        return MOST

    async def _all_of(
        self, endpoint: Endpoint[Any], expected: Collection[str], *, at_least: int = 0
    ) -> dict[str, Reply]:
        """Replies by one fan-out if they fit the window, else by one request per server."""
        weight = self.asker.expect(endpoint, len(expected))
        # The ids of some are not known, or there is no subject per server.
        only = at_least > len(expected) or not endpoint.addressable
        if only or weight <= self.window.size:
            async with self.window.take(weight):
                return await self.asker.everybody(endpoint, expected, at_least=at_least)
        return await self._each_of(endpoint, expected)

    async def _each_of(
        self, endpoint: Endpoint[Any], expected: Collection[str]
    ) -> dict[str, Reply]:
        """Replies by one request per server, bounded in number and in bytes."""
        replies: dict[str, Reply] = {}

        async def one(server_id: str) -> None:
            # A missing reply is requested again with those that a fan-out lost.
            with suppress(Malformed, nats.errors.Error):
                async with self.window.take(self.asker.expect(endpoint, 1)):
                    replies[server_id] = await self.asker.one(endpoint, server_id)

        await each(one, expected)
        return replies

    async def _one_by_one(self, endpoint: Endpoint[Any], heard: Heard) -> None:
        """Request an expensive endpoint from servers that have replied to all else.

        There is no retry. After some timeouts no more requests are sent in this epoch: perhaps all
        servers hang. The order is random, so other servers come first in the next epoch.
        """
        late = 0
        left = sorted(_to_ask(endpoint, heard.infos, heard) - heard.unresponsive)

        async def one(server_id: str) -> None:
            nonlocal late
            if endpoint.key in self.denied:
                return
            if late >= ONE_BY_ONE:
                heard.errors.setdefault(server_id, f"{endpoint}: {late} others did not answer")
                return
            async with self.window.take(self.asker.expect(endpoint, 1)):
                timed_out = await self._ask(endpoint, server_id, heard)
            late += timed_out

        await each(one, random.sample(left, len(left)), ONE_BY_ONE)
        if endpoint.key in self.denied:
            log.warning(_DENIED, endpoint)

    async def _ask(self, endpoint: Endpoint[Any], server_id: str, heard: Heard) -> bool:
        """Ask one server; `heard` gets its reply or the error. True if it timed out."""
        try:
            _, reply = await self.asker.one(endpoint, server_id)
        except (Malformed, nats.errors.Error) as problem:
            if not self.client.closed.is_set():
                heard.errors[server_id] = f"{endpoint}: {words(problem)}"
            self.asker.complain(endpoint, server_id, problem)
            return isinstance(problem, nats.errors.TimeoutError)
        heard.add(endpoint.key, server_id, reply)
        return False

    async def _small(
        self, endpoint: Endpoint[Any], expected: Collection[str], heard: Heard
    ) -> None:
        left = _to_ask(endpoint, expected, heard)
        if not left:
            return
        few = endpoint.addressable and FEW * len(left) < len(expected)
        ask = self._each_of if few else self._all_of
        replies = await ask(endpoint, left)
        for server_id, (_, reply) in replies.items():
            if server_id in left:
                heard.add(endpoint.key, server_id, reply)
        denied = endpoint.subject() in self.client.denied
        if not heard.replies[endpoint.key] and denied:
            self.denied.add(endpoint.key)
            log.warning(_DENIED, endpoint)

    async def _probe(
        self, ids: Collection[str], heard: Heard, unheard: dict[str, Exception]
    ) -> None:
        """Ask silent servers by their ids; `unheard` gets the errors of failed requests."""

        async def one(server_id: str) -> None:
            try:
                info, reply = await self.asker.one(ROLL_CALL, server_id)
            except (Malformed, nats.errors.Error) as problem:
                self.asker.complain(ROLL_CALL, server_id, problem)
                unheard[server_id] = problem
            else:
                heard.infos[server_id] = info
                heard.add(ROLL_CALL.key, server_id, reply)

        await each(one, ids)

    async def _judge(self, unheard: dict[str, Exception], heard: Heard, expected: Expected) -> None:
        """A silent server hangs, or is dead if it has no responders and no peer links to it."""
        untaken = {
            server_id
            for server_id, problem in unheard.items()
            if isinstance(problem, nats.errors.NoRespondersError)
        }
        named = await self._links(heard) if untaken else {}
        if self.client.closed.is_set():
            return  # Our own connection is closed.
        for server_id, problem in unheard.items():
            key = expected.keys.get(server_id)
            name = key[-1] if key else heard.named[server_id].name
            peer = named.get(server_id) or named.get(name)
            if server_id not in untaken:
                heard.silent[server_id] = Silence("hung", words(problem))
            elif peer:
                why = f"no server takes requests for it, but {peer} has a link to it"
                heard.silent[server_id] = Silence("hung", why, linked=True)
            else:
                heard.silent[server_id] = Silence("dead", "no server takes requests for it")

    async def _links(self, heard: Heard) -> dict[str, str]:
        """Ids of servers, names of leaf nodes, and a server that has a link to each.

        Links are requested only here: they are needed only when a server is silent.
        """
        named: dict[str, str] = {}
        for endpoint in LINKS:
            if not heard.replies[endpoint.key] and endpoint.key not in self.denied:
                await self._small(endpoint, set(heard.infos), heard)
            for server_id, link in heard.replies[endpoint.key].items():
                if (info := heard.infos.get(server_id)) is not None:
                    named |= dict.fromkeys(link.peers, info.name)
        return named

    async def _again(self, endpoints: Iterable[Endpoint[Any]], heard: Heard) -> None:
        """Retry once each missing reply of a server that is alive."""
        owed = [
            (endpoint, server_id)
            for endpoint in endpoints
            if endpoint.key not in self.denied
            for server_id in sorted(
                _to_ask(endpoint, heard.infos, heard) - heard.replies[endpoint.key].keys()
            )
        ]

        async def one(item: tuple[Endpoint[Any], str]) -> None:
            endpoint, server_id = item
            if await self._ask(endpoint, server_id, heard):
                heard.unresponsive.add(server_id)

        async def together(endpoint: Endpoint[Any], late: set[str]) -> None:
            # It has no subject per server, so every server replies a second time.
            await self._small(endpoint, late, heard)
            for server_id in late - heard.replies[endpoint.key].keys():
                heard.unresponsive.add(server_id)
                heard.errors[server_id] = f"{endpoint}: {words(nats.errors.TimeoutError())}"

        late: dict[Endpoint[Any], set[str]] = defaultdict(set)
        for endpoint, server_id in owed:
            if not endpoint.addressable:
                late[endpoint].add(server_id)
        await asyncio.gather(
            *(together(endpoint, servers) for endpoint, servers in late.items()),
            each(one, [item for item in owed if item[0].addressable]),
        )


def _to_ask(endpoint: Endpoint[Any], expected: Iterable[str], heard: Heard) -> set[str]:
    """The servers to ask: others lack the endpoint, or VARZ shows that the reply is empty."""
    left = {one for one in expected if endpoint.known_to(heard.infos[one].ver)}
    if endpoint.without is None:
        return left
    for server_id in list(left):
        varz = heard.replies[ROLL_CALL.key].get(server_id)
        reply = None if varz is None else endpoint.without(varz)
        if reply is not None:
            heard.add(endpoint.key, server_id, reply)
            left.discard(server_id)
    return left


def _named_by_peers(
    heard: Heard, expected: Expected
) -> Generator[None, None, dict[str, ServerInfo]]:
    """Servers that did not answer and are not known, but to which a peer has a route."""
    named: dict[str, ServerInfo] = {}
    there = {(info.cluster, info.name) for info in heard.infos.values()}
    for server_id, routez in heard.replies[ROUTEZ.key].items():
        yield
        cluster = heard.infos[server_id].cluster
        for peer_id, name in routez.peers.items():
            if not peer_id or peer_id in expected.keys or peer_id in heard.infos:
                continue
            # A server that restarted: its peer still reports the old id.
            if (cluster, name) not in there:
                named[peer_id] = ServerInfo(name=name, id=peer_id, cluster=cluster)
    return named
