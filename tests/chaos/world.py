"""The world of the random sequence: servers, who holds what on them, and how they can be seen.

`World` follows what the disturbances do; ten times a second it writes down the moment.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from itertools import combinations
from typing import Literal

from msgspec import Struct
from tests.chaos.model import Load, Moment, Place, User, View

from nats_insights.lab.servers.crowd import Member

SAMPLE_SECONDS = 0.1
# How much sooner than told the grace for the dead may end: it counts from the last answer.
EARLY = 3.0
State = Literal["up", "frozen", "killed", "left", "back"]


class Group(Struct, eq=False):
    """Connections of one user that came together."""

    user: User
    server: str
    subscriptions: int  # Of each connection.
    members: list[Member]

    @property
    def load(self) -> Load:
        connected = sum(member.connected for member in self.members)
        return Load(connected, connected * self.subscriptions)


class Standing(Struct):
    """One server: `held` is what it held when it was last up, `unseen` since when nobody that the
    agent can ask sees it. A server is `back` until it has found its peers."""

    limit: int
    state: State = "up"
    held: dict[User, Load] = {}
    unseen: float | None = None


class World:
    """What the disturbances have done, and the moments so far.

    gone_after: seconds after which the agent may take a dead server, and what it held, for gone.
    agent_at: the server that the agent is connected to, "" for none.
    guests: connections that may be on each server, or not, beside those of the groups.
    """

    def __init__(
        self,
        limits: Mapping[str, int],
        gone_after: float,
        agent_at: Callable[[], str],
        guests: int = 0,
    ) -> None:
        self.servers = {name: Standing(limit) for name, limit in limits.items()}
        self.groups: list[Group] = []
        self.cuts: set[frozenset[str]] = set()
        self.honest = True
        self.moments: list[Moment] = []
        self._gone_after = gone_after
        self._agent_at = agent_at
        self._guests = guests

    def held(self, name: str) -> dict[User, Load]:
        """What clients hold on a server now."""
        held: dict[User, Load] = {}
        for group in self.groups:
            if group.server == name and group.load.connections:
                before, more = held.get(group.user, Load(0, 0)), group.load
                held[group.user] = Load(*map(sum, zip(before, more, strict=True)))
        return held

    def total(self, name: str) -> int:
        """How many connections clients have on a server now."""
        return sum(load.connections for load in self.held(name).values())

    def down(self, name: str, state: State) -> None:
        """From now on a server is frozen, or about to be killed, or to leave in good order."""
        standing = self.servers[name]
        standing.held, standing.state = self.held(name), state

    def back(self, name: str) -> None:
        """A server has been started again; none of its clients has come back."""
        self.groups = [group for group in self.groups if group.server != name]
        self.servers[name].state = "back"

    def up(self, name: str) -> None:
        """A server has its routes."""
        self.servers[name].state = "up"

    def cut(self, pairs: Iterable[tuple[str, str]]) -> None:
        """From now on these have lost each other."""
        self.cuts |= {frozenset(pair) for pair in pairs}
        self.sample()

    def healed(self, pairs: Iterable[tuple[str, str]]) -> None:
        """These have their routes again."""
        self.cuts -= {frozenset(pair) for pair in pairs}

    def sample(self) -> None:
        """Writes the moment down, if it is not as before."""
        now = time.time()
        places = {name: self._place(name, now) for name in self.servers}
        last = self.moments[-1] if self.moments else None
        if last is None or (last.places, last.honest) != (places, self.honest):
            self.moments.append(Moment(now, places, self.honest, self._guests))

    async def keep_sampling(self) -> None:
        """Writes moments down until it is cancelled."""
        while True:
            self.sample()
            await asyncio.sleep(SAMPLE_SECONDS)

    def _place(self, name: str, now: float) -> Place:
        standing = self.servers[name]
        seen = self._is_seen(name)
        if seen:
            standing.unseen = None
        elif standing.unseen is None:
            standing.unseen = now
        held = self.held(name) if standing.state == "up" else standing.held
        return Place(held, standing.limit, frozenset(self._views(standing, now)))

    def _views(self, standing: Standing, now: float) -> set[View]:
        if standing.unseen is None:
            return {"WHOLE"}
        if standing.state == "back":
            return {"WHOLE", "ASIDE", "EMPTY", "ABSENT"}
        views: set[View] = {"WHOLE", "ASIDE"}
        if standing.state == "left" or now - standing.unseen > self._gone_after - EARLY:
            views.add("ABSENT")
        return views

    def _is_seen(self, name: str) -> bool:
        """Whether the agent's server reaches this one, or another that does.

        Each server does where it is not known which one is the agent's.
        """
        up = [other for other, standing in self.servers.items() if standing.state == "up"]
        if name not in up:
            return False
        agent_at = self._agent_at()
        return all(
            any(self._linked(one, other) and self._linked(other, name) for other in up)
            for one in ([agent_at] if agent_at in up else up)
        )

    def _linked(self, one: str, other: str) -> bool:
        return frozenset((one, other)) not in self.cuts


def pairs_between(*groups: Iterable[str]) -> list[tuple[str, str]]:
    """Each member of a group with each of all other groups."""
    return [
        (one, other) for some, others in combinations(groups, 2) for one in some for other in others
    ]
