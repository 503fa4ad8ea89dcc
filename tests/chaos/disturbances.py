"""The disturbances: each changes the system, and tells the world what it did.

A disturbance is chosen with all its figures, or says that it cannot be had now. Those of crowds
are over when they return; those of servers and of the network run on while others come, and hold
what they concern until it is well again, so that one server always is.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from math import ceil
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from tests.chaos.apart import Apart
from tests.chaos.keeping import Keeping
from tests.chaos.model import User
from tests.chaos.process import House, Process
from tests.chaos.recorder import Recorder
from tests.chaos.relay import Relay, Trick
from tests.chaos.world import SAMPLE_SECONDS, Group, World, pairs_between

from nats_insights.errors import ConnectError
from nats_insights.lab.servers.crowd import Crowd

BASE = ("APP", "app")
BASE_CONNECTIONS, BASE_SUBSCRIPTIONS = 12, 3
MOST_GROUPS = 6
ROUTES_PER_PEER = 4
# Room for whoever watches, and for whoever is still on his way out.
SPARE = 10
WELL_SECONDS = 30.0
TRICKS: Sequence[Trick] = ("drop", "cut", "double", "delay")

Act = Callable[[], Coroutine[Any, Any, None]]


class Disturbance(NamedTuple):
    """What is done in words, what does it, and what it holds until it is over (empty: nothing,
    and others wait for it)."""

    what: str
    act: Act
    holds: frozenset[str] = frozenset()


class Stage:
    """What disturbances act on. `held` is what those that run on hold."""

    def __init__(
        self,
        apart: Apart,
        world: World,
        crowd: Crowd,
        recorder: Recorder,
        relays: dict[str, Relay],
        rng: random.Random,
        house: House,
        keeping: Keeping,
    ) -> None:
        self.system, self.network = apart
        self.world, self.crowd, self.recorder = world, crowd, recorder
        self.relays, self.rng, self.house, self.keeping = relays, rng, house, keeping
        self.agents: Sequence[Process] = ()
        self.names = [server.name for server in self.system]
        self.held: set[str] = set()

    @property
    def agent_at(self) -> str:
        """The server that the only agent is connected to, "" for none, or where there are more."""
        if self.house.agents > 1:
            return ""
        return next((name for name, relay in self.relays.items() if relay.connected), "")

    def calm(self) -> list[str]:
        """Servers that are up, and that no cut concerns."""
        cut = {name for pair in self.world.cuts for name in pair}
        return [name for name in self.names if name not in self.held and name not in cut]

    def room(self, name: str) -> int:
        """How many connections a server can still take."""
        return self.world.servers[name].limit - self.world.total(name) - SPARE

    async def join(self, user: User, server: str, count: int, subscriptions: int = 1) -> None:
        """Clients come; none of them if the server has no room."""
        if count < 1 or count > self.room(server):
            return
        name, password = self.system.user(user[1])
        before, url = set(self.crowd), self.system[server].url
        coming = Group(user, server, subscriptions, [])
        self.world.groups.append(coming)
        joining = asyncio.create_task(
            self.crowd.join(
                url,
                count,
                user=name,
                password=password,
                subscriptions=subscriptions,
                subject=f"{server}.{name}.{self.rng.randrange(10**9)}.{{i}}",
            )
        )
        try:
            while not joining.done():  # Those that are there already count.
                await asyncio.wait([joining], timeout=SAMPLE_SECONDS / 2)
                port = urlsplit(url).port
                new = set(self.crowd) - before
                coming.members = [one for one in new if one.address[1] == port]
            coming.members = joining.result()
        except ConnectError:
            self.world.groups.remove(coming)
            raise

    async def settle_down(self, server: str) -> None:
        """The clients that every server has."""
        await self.join(BASE, server, BASE_CONNECTIONS, BASE_SUBSCRIPTIONS)

    async def leave(self, group: Group) -> None:
        """A group goes, and its server has seen it off."""
        await self.crowd.leave(group.members)
        self.world.groups.remove(group)

    def awake(self) -> list[str]:
        """Servers that run and are not frozen."""
        return [s.name for s in self.system if s.running and not s.frozen]

    async def well(self) -> None:
        """Until each server that is awake has its routes to all that it can reach."""
        for _ in range(ceil(WELL_SECONDS / 0.1)):
            if await self._is_well():
                return
            await asyncio.sleep(0.1)
        raise TimeoutError(f"the servers have not found one another in {WELL_SECONDS:.0f} s")

    async def _is_well(self) -> bool:
        awake = self.awake()
        for name in awake:
            routes = await self.recorder.routes(name)
            peers = [p for p in awake if p != name and self.network.linked(name, p)]
            if any(routes[peer] < ROUTES_PER_PEER for peer in peers):
                return False
        return True


Kind = Callable[[Stage], Disturbance | None]


def storm_of_a_user(stage: Stage) -> Disturbance | None:
    """USER_002: one user comes to hold more than 100 connections, spread over the calm servers."""
    user = stage.rng.choice([("APP", "billing"), ("BIG", "big")])
    servers = stage.calm()
    if not servers or _too_many(stage):
        return None
    each = ceil(stage.rng.randint(102, 130) / len(servers))

    async def act() -> None:
        for server in servers:
            await stage.join(user, server, each)

    return Disturbance(f"{each} connections of {user[1]} on each of {', '.join(servers)}", act)


def storm_to_the_limit(stage: Stage) -> Disturbance | None:
    """SERVER_011: a server comes to have 85 or 97 per cent of the connections that it accepts."""
    server = _one(stage, stage.calm())
    if server is None or _too_many(stage):
        return None
    share = stage.rng.choice([0.85, 0.85, 0.97])
    limit = stage.world.servers[server].limit
    count = min(ceil(share * limit) - stage.world.total(server), stage.room(server))
    if count < 1:
        return None
    user = stage.rng.choice([("APP", "worker"), ("BIG", "batch")])
    return Disturbance(
        f"{count} connections of {user[1]} on {server}, which accepts {limit}",
        lambda: stage.join(user, server, count),
    )


def storm_of_connections(stage: Stage) -> Disturbance | None:
    """OPT_BALANCE_002: connections pile up on one server."""
    return _storm(stage, ("APP", "worker"), (60, 80), subscriptions=0)


def storm_of_subscriptions(stage: Stage) -> Disturbance | None:
    """OPT_BALANCE_003: subscriptions pile up on one server."""
    return _storm(stage, ("APP", "worker"), (3, 6), subscriptions=150)


def storm_of_an_account(stage: Stage) -> Disturbance | None:
    """OPT_BALANCE_006: an account comes to be on one server nearly alone."""
    return _storm(stage, ("BIG", "batch"), (15, 40), subscriptions=1)


def cure(stage: Stage) -> Disturbance | None:
    """A group that came goes again."""
    calm = stage.calm()
    groups = [g for g in stage.world.groups if g.user != BASE and g.server in calm]
    if not groups:
        return None
    chosen = stage.rng.choice(groups)
    # A user that came to many servers at once goes from all of them.
    going = [g for g in groups if g.user == chosen.user and stage.rng.random() < 0.8] or [chosen]

    async def act() -> None:
        for group in going:
            await stage.leave(group)

    servers = ", ".join(group.server for group in going)
    return Disturbance(f"{chosen.user[1]} leaves {servers}", act)


def move(stage: Stage) -> Disturbance | None:
    """A user moves from one server to another: it goes first, or it comes first."""
    calm = stage.calm()
    groups = [g for g in stage.world.groups if g.user != BASE and g.server in calm]
    if not groups or len(calm) < 2:
        return None
    group = stage.rng.choice(groups)
    target = stage.rng.choice([name for name in calm if name != group.server])
    count, comes_first = group.load.connections, stage.rng.random() < 0.5
    if count > stage.room(target):
        return None

    async def act() -> None:
        if not comes_first:
            await stage.leave(group)
        await stage.join(group.user, target, count, group.subscriptions)
        if comes_first:
            stage.world.sample()
            await stage.leave(group)

    order = "comes first" if comes_first else "goes first"
    return Disturbance(
        f"{count} of {group.user[1]} move from {group.server} to {target}, and it {order}", act
    )


def kill(stage: Stage) -> Disturbance | None:
    """A server dies without a goodbye, and comes back."""
    return killed(stage, victim(stage))


def killed(stage: Stage, server: str | None) -> Disturbance | None:
    """This server dies, if it may."""
    if server is None:
        return None
    seconds = stage.rng.choice([0.3, 1.0, 2.0, 2.0, 4.0, 4.0, 8.0, 15.0])

    async def act() -> None:
        stage.world.down(server, "killed")
        stage.system[server].kill()
        await asyncio.sleep(seconds)
        await _start_again(stage, server)

    return Disturbance(f"{server} is killed for {seconds} s", act, frozenset({server}))


def restart(stage: Stage) -> Disturbance | None:
    """A server ends in good order, and starts again."""
    server = victim(stage)
    if server is None:
        return None
    seconds = stage.rng.choice([0.0, 0.0, 2.0, 5.0])

    async def act() -> None:
        stage.world.down(server, "left")
        await asyncio.to_thread(stage.system[server].stop)
        await asyncio.sleep(seconds)
        await _start_again(stage, server)

    return Disturbance(f"{server} is restarted, {seconds} s later", act, frozenset({server}))


def lame_duck(stage: Stage) -> Disturbance | None:
    """A server sends its clients away one by one, is killed before it has done so, and comes back.

    Until it has sent all of them away, which may take half a minute, it heeds no other signal.
    """
    server = victim(stage)
    if server is None:
        return None
    seconds = stage.rng.choice([2.0, 4.0])

    async def act() -> None:
        stage.system[server].lame_duck()
        await asyncio.sleep(seconds)
        stage.world.down(server, "left")
        stage.system[server].kill()
        await _start_again(stage, server)

    what = f"{server} is a lame duck for {seconds} s, is killed, and comes back"
    return Disturbance(what, act, frozenset({server}))


def freeze(stage: Stage) -> Disturbance | None:
    """A server hangs, and goes on."""
    server = victim(stage)
    if server is None:
        return None
    seconds = stage.rng.choice([1.5, 1.5, 1.5, 2.0, 2.0, 3.0, 3.0, 4.0, 6.0, 9.0, 20.0])

    async def act() -> None:
        stage.world.down(server, "frozen")
        stage.system[server].freeze()
        await asyncio.sleep(seconds)
        stage.system[server].thaw()
        await stage.well()
        stage.world.up(server)

    return Disturbance(f"{server} is frozen for {seconds} s", act, frozenset({server}))


def reload(stage: Stage) -> Disturbance | None:
    """A server is told another limit of connections, often one that it is near to."""
    server = _one(stage, stage.calm())
    if server is None:
        return None
    total = stage.world.total(server)
    near = ceil(total / stage.rng.uniform(0.83, 0.9))
    limit = max(stage.rng.choice([150, 200, 300, near, near]), total + SPARE)

    async def act() -> None:
        options = stage.system[server].options.splitlines()
        kept = [line for line in options if not line.startswith("max_connections")]
        said = "\n".join([*kept, f"max_connections: {limit}"])
        await asyncio.to_thread(stage.system[server].reload, said)
        stage.world.servers[server].limit = limit

    return Disturbance(f"{server} accepts {limit} connections, and has {total}", act)


def cut_a_pair(stage: Stage) -> Disturbance | None:
    """Two servers lose each other; the third reaches both."""
    pair = stage.rng.sample(stage.names, 2)
    return _cut(stage, [(pair[0], pair[1])], f"{pair[0]} and {pair[1]} lose each other")


def isolate_one(stage: Stage) -> Disturbance | None:
    """One server loses all others."""
    name = stage.rng.choice(stage.names)
    others = [other for other in stage.names if other != name]
    return _cut(stage, pairs_between([name], others), f"{name} loses all others")


def isolate_the_agent(stage: Stage) -> Disturbance | None:
    """The agent's server loses all others, and the agent with it."""
    name = stage.agent_at
    if not name:
        return None
    others = [other for other in stage.names if other != name]
    return _cut(stage, pairs_between([name], others), f"{name}, with the agent, loses all others")


def tamper(stage: Stage) -> Disturbance | None:
    """Replies to the agent get lost, shortened, doubled or late."""
    if "relay" in stage.held:
        return None
    trick, seconds = stage.rng.choice(TRICKS), stage.rng.uniform(2.0, 6.0)

    async def act() -> None:
        stage.world.honest = False
        for relay in stage.relays.values():
            relay.trick = trick
        await asyncio.sleep(seconds)
        for relay in stage.relays.values():
            relay.trick = None
        stage.world.honest = True

    what = f"replies to the agent: {trick} for {seconds:.1f} s"
    return Disturbance(what, act, frozenset({"relay"}))


KINDS: Sequence[tuple[Kind, int]] = (
    (storm_of_a_user, 3),
    (storm_to_the_limit, 3),
    (storm_of_connections, 3),
    (storm_of_subscriptions, 3),
    (storm_of_an_account, 3),
    (cure, 10),
    (move, 4),
    (reload, 3),
    (kill, 4),
    (freeze, 6),
    (restart, 3),
    (lame_duck, 2),
    (cut_a_pair, 4),
    (isolate_one, 2),
    (isolate_the_agent, 2),
    (tamper, 4),
)


async def choose(stage: Stage, among: Sequence[tuple[Kind, int]]) -> Disturbance:
    """One disturbance that can be had now; waits while there is none."""
    kinds, weights = zip(*among, strict=True)
    while True:
        (kind,) = stage.rng.choices(kinds, weights)
        disturbance = kind(stage)
        if disturbance is not None:
            return disturbance
        await asyncio.sleep(0.02)


def _storm(
    stage: Stage, user: User, count: tuple[int, int], subscriptions: int
) -> Disturbance | None:
    server = _one(stage, stage.calm())
    if server is None or _too_many(stage):
        return None
    connections = min(stage.rng.randint(*count), stage.room(server))
    if connections < 1:
        return None
    return Disturbance(
        f"{connections} connections of {user[1]} on {server}, {subscriptions} subscriptions each",
        lambda: stage.join(user, server, connections, subscriptions),
    )


def _cut(stage: Stage, pairs: Sequence[tuple[str, str]], what: str) -> Disturbance | None:
    if "network" in stage.held:
        return None
    seconds = stage.rng.choice([2.5, 2.5, 4.0, 4.0, 6.0, 6.0, 8.0, 16.0])

    async def act() -> None:
        stage.world.cut(pairs)
        for pair in pairs:
            stage.network.cut(*pair)
        await asyncio.sleep(seconds)
        for pair in pairs:
            stage.network.heal(*pair)
        await stage.well()
        stage.world.healed(pairs)

    return Disturbance(f"{what} for {seconds} s", act, frozenset({"network"}))


async def _start_again(stage: Stage, server: str) -> None:
    stage.world.back(server)
    await asyncio.to_thread(stage.system[server].restart, settle=False)
    await stage.well()
    stage.world.up(server)
    with suppress(ConnectError):
        await stage.settle_down(server)


def victim(stage: Stage, wanted: str = "") -> str | None:
    """A server that may fail, the wanted one if there is one: two at a time are enough."""
    free = [name for name in stage.names if name not in stage.held]
    if len(free) < 2 or (wanted and wanted not in free):
        return None
    return wanted or stage.rng.choice(free)


def _one(stage: Stage, names: Sequence[str]) -> str | None:
    return stage.rng.choice(names) if names else None


def _too_many(stage: Stage) -> bool:
    return sum(group.user != BASE for group in stage.world.groups) >= MOST_GROUPS
