"""Gather: the small replies of every server, so that who is silent is known.

They come by one fan-out for each endpoint, which ends as soon as every expected server
has answered; where all of them together exceed the window, each server is asked on its own. Who
stays silent is asked once more by its id: nobody takes the request of a dead server, a hung one
lets it time out. A server that a peer still has a link to is not dead: it may be only we who
cannot reach it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Generator, Iterable
from contextlib import suppress

import nats.errors

from nats_insights import subjects
from nats_insights.connection.client import Client
from nats_insights.facts import Cost
from nats_insights.gather.asking import Asker, Heard, each, words
from nats_insights.gather.connections import Pages
from nats_insights.gather.stepwise import stepwise
from nats_insights.gather.window import Window
from nats_insights.model.build import Replies
from nats_insights.model.roster import MOST, Roster
from nats_insights.replies import wire

log = logging.getLogger(__name__)

# The reply by which servers are known to live. The agent cannot do without it, and it is packed,
# which STATSZ is not.
ROLL_CALL = "VARZ"


class Gatherer:
    """Gathers over one connection: `timeout` in seconds per reply, within a window.

    `silent` are the ids of servers that answered VARZ in this epoch and left another request, and
    its retry, without a reply: nothing more is asked of them.
    """

    def __init__(self, client: Client, timeout: float, window: Window) -> None:
        self.client = client
        self.asker = Asker(client, timeout)
        self.window = window
        self.pages = Pages(self.asker, window)
        self.begin()

    @property
    def denied(self) -> set[str]:
        """The endpoints that this user may not ask."""
        return self.asker.denied

    def begin(self) -> None:
        """A new epoch: all costs at zero."""
        self.asker.reset()
        self.silent: set[str] = set()
        self.servers_asked = self.pages.swept = self.window.peak = 0
        self._wall, self._cpu = time.monotonic(), time.process_time()

    @property
    def elapsed(self) -> float:
        """Seconds since the epoch began."""
        return time.monotonic() - self._wall

    def cost(self, dropped_keys: int = 0, oldest_sweep: float = 0.0) -> Cost:
        """What the epoch cost so far."""
        return Cost(
            requests=self.asker.requests,
            replies=self.asker.replies,
            bytes=self.asker.bytes,
            malformed=self.asker.malformed,
            servers_asked=self.servers_asked,
            servers_swept=self.pages.swept,
            oldest_sweep_seconds=round(oldest_sweep, 3),
            wall_seconds=round(self.elapsed, 4),
            cpu_seconds=round(time.process_time() - self._cpu, 4),
            peak_window_bytes=self.window.peak,
            window_bytes=self.window.size,
            dropped_keys=dropped_keys,
            dropped_messages=self.client.slow,
        )

    async def small(self, endpoints: Collection[str], roster: Roster, now: float) -> Replies:
        """The small replies of everybody, and a roster that knows who answered.

        The window then fits what the server that we are connected to may owe us.
        """
        replies = Replies(endpoints)
        expected = {entry.id for entry in roster if entry.state == "answering"}
        heard = await self._all_of(ROLL_CALL, expected, at_least=await self._how_many())
        for server_id, (info, data) in heard.items():
            roster.heard(info, now, heard.keys())
            replies.add(ROLL_CALL, server_id, data)
        silent = roster.expected() - heard.keys()
        wanted = sorted(set(endpoints) - {ROLL_CALL, "CONNZ"} - self.denied)
        unheard: dict[str, Exception] = {}
        await asyncio.gather(
            self._probe(silent, roster, replies, now, unheard),
            *(self._small(endpoint, heard.keys(), replies) for endpoint in wanted),
        )
        strangers = await stepwise(self._named_by_peers(replies, roster, now))
        await self._probe(strangers, roster, replies, now, unheard)
        await self._judge(unheard, replies, roster, now)
        await self._again(wanted, roster, replies)
        roster.close(now)
        roster.forget(now)
        if (own := replies.data["VARZ"].get(self.client.server_id)) is not None:
            self.window.fit(own.max_pending)
        self.servers_asked = len(heard) + len(silent)
        replies.denied = self.denied & set(endpoints)
        return replies

    async def _how_many(self) -> int:
        """How many servers there are, as far as the one that we are connected to knows.

        Where it does not say, as many as there could be: whoever may come is waited for.
        """
        if "STATSZ" not in self.denied:
            with suppress(wire.Malformed, nats.errors.Error):
                _, statsz = await self.asker.one("STATSZ", self.client.server_id)
                return int(statsz.active_servers)
        return MOST

    async def _all_of(
        self, endpoint: str, expected: Collection[str], *, at_least: int = 0
    ) -> dict[str, Heard]:
        """By one fan-out where what all owe then fits the window, else of one after another."""
        weight = self.asker.expect(endpoint, len(expected))
        # Nobody knows the ids of all, or there is no subject per server.
        only = at_least > len(expected) or endpoint == "STATZ"
        if only or weight <= self.window.size:
            async with self.window.take(weight):
                return await self.asker.everybody(endpoint, expected, at_least=at_least)
        heard: dict[str, Heard] = {}

        async def one(server_id: str) -> None:
            # Who does not answer is asked again with those that lose a reply of a fan-out.
            with suppress(wire.Malformed, nats.errors.Error):
                async with self.window.take(self.asker.expect(endpoint, 1)):
                    heard[server_id] = await self.asker.one(endpoint, server_id)

        await each(one, expected)
        return heard

    async def _small(self, endpoint: str, expected: Collection[str], replies: Replies) -> None:
        for server_id, (_, data) in (await self._all_of(endpoint, expected)).items():
            if server_id in expected:
                replies.add(endpoint, server_id, data)
        if not replies.data[endpoint] and subjects.server_request(endpoint) in self.client.denied:
            self.denied.add(endpoint)
            log.warning("not permitted to ask %s: checks that need it are unknown", endpoint)

    async def _probe(
        self,
        ids: Collection[str],
        roster: Roster,
        replies: Replies,
        now: float,
        unheard: dict[str, Exception],
    ) -> None:
        """Ask silent servers by their ids; `unheard` gets what became of the requests in vain."""

        async def one(server_id: str) -> None:
            try:
                info, data = await self.asker.one(ROLL_CALL, server_id)
            except (wire.Malformed, nats.errors.Error) as problem:
                self.asker.complain(ROLL_CALL, server_id, problem)
                unheard[server_id] = problem
            else:
                roster.heard(info, now)
                replies.add(ROLL_CALL, server_id, data)

        await each(one, ids)

    async def _judge(
        self, unheard: dict[str, Exception], replies: Replies, roster: Roster, now: float
    ) -> None:
        """Who is silent hangs, or is dead where nobody takes its requests and no peer names it."""
        untaken = {
            server_id
            for server_id, problem in unheard.items()
            if isinstance(problem, nats.errors.NoRespondersError)
        }
        named = await self._links(replies, roster, unheard) if untaken else {}
        if self.client.closed.is_set():
            return  # It is we that hear nothing.
        for server_id, problem in unheard.items():
            entry = roster.by_id(server_id)
            if entry is None:
                continue
            peer = named.get(server_id) or named.get(entry.name)
            if server_id not in untaken:
                roster.unheard(server_id, "hung", now, words(problem))
            elif peer:
                why = f"nobody takes requests for it, but {peer} has a link to it"
                roster.unheard(server_id, "hung", now, why)
            else:
                roster.unheard(server_id, "dead", now, "nobody takes requests for it")

    async def _links(
        self, replies: Replies, roster: Roster, unheard: Collection[str]
    ) -> dict[str, str]:
        """Ids of servers, names of leaf nodes, and a server that has a link to each.

        Links are asked for only here: while no server is silent, nobody needs to know them all.
        """
        answering = {
            entry.id: entry.name
            for entry in roster
            if entry.state == "answering" and entry.id not in unheard
        }
        named: dict[str, str] = {}
        for endpoint in ("ROUTEZ", "GATEWAYZ", "LEAFZ"):
            links = replies.data[endpoint] if endpoint in replies.asked else {}
            if not links and endpoint not in self.denied:
                heard = await self._all_of(endpoint, answering.keys())
                links = {server_id: data for server_id, (_, data) in heard.items()}
            for server_id, link in links.items():
                named |= dict.fromkeys(link.peers, answering.get(server_id, ""))
        return named

    def _named_by_peers(
        self, replies: Replies, roster: Roster, now: float
    ) -> Generator[None, None, set[str]]:
        """Servers that nobody has heard but a peer holds a route to."""
        named = set()
        for server_id, routez in replies.data["ROUTEZ"].items():
            yield
            peer = roster.by_id(server_id)
            for peer_id, name in routez.peers.items():
                if peer is None or not peer_id or roster.by_id(peer_id) is not None:
                    continue
                known = roster.at((peer.cluster, name))
                if known is not None and known.state == "answering":
                    continue  # It restarted, and its peer still remembers the id of before.
                info = wire.ServerInfo(id=peer_id, name=name, cluster=peer.cluster)
                if roster.meet(info, now):
                    named.add(peer_id)
        return named

    async def _again(self, endpoints: Iterable[str], roster: Roster, replies: Replies) -> None:
        """One retry for each reply that a living server owes."""
        alive = {entry.id for entry in roster if entry.state == "answering"}
        owed = [
            (endpoint, server_id)
            for endpoint in endpoints
            if endpoint not in self.denied
            for server_id in sorted(alive - replies.data[endpoint].keys())
        ]

        async def one(item: tuple[str, str]) -> None:
            endpoint, server_id = item
            try:
                replies.add(endpoint, server_id, (await self.asker.one(endpoint, server_id))[1])
            except (wire.Malformed, nats.errors.Error) as problem:
                entry = roster.by_id(server_id)
                if entry is not None and not self.client.closed.is_set():
                    entry.last_error = f"{endpoint}: {words(problem)}"
                if isinstance(problem, nats.errors.TimeoutError):
                    self.silent.add(server_id)
                self.asker.complain(endpoint, server_id, problem)

        async def statistics(late: set[str]) -> None:
            # They have no subject per server, so everybody answers a second time.
            if late:
                await self._small("STATZ", late, replies)
            for server_id in late - replies.data["STATZ"].keys():
                self.silent.add(server_id)
                if (entry := roster.by_id(server_id)) is not None:
                    entry.last_error = f"STATZ: {words(nats.errors.TimeoutError())}"

        await asyncio.gather(
            statistics({server_id for endpoint, server_id in owed if endpoint == "STATZ"}),
            each(one, [item for item in owed if item[0] != "STATZ"]),
        )
