"""Disturbances of what agents publish into: the stream is full, loses its leader, and no server
lets the agents in."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tests.chaos.disturbances import Disturbance, Kind, Stage, killed, victim
from tests.chaos.process import KEEPER

from nats_insights.lab.servers.conf import quote
from nats_insights.lab.servers.local import Server

# What is held while nobody lets the agents in, and while the stream takes nothing.
ACCESS, FULL = "access", "full"
AGENT = "agent"


def kill_the_leader_of_the_stream(stage: Stage) -> Disturbance | None:
    """The server dies that leads the replicas of the history."""
    leader = stage.keeping.leader
    found = killed(stage, victim(stage, leader)) if leader else None
    return found and found._replace(what=f"{found.what}; it leads the stream")


def fill_the_stream(stage: Stage) -> Disturbance | None:
    """The history takes no message for some time."""
    if FULL in stage.held:
        return None
    seconds = stage.rng.choice([2.0, 5.0, 10.0])

    async def act() -> None:
        await stage.keeping.fill()
        await asyncio.sleep(seconds)
        await stage.keeping.empty()

    return Disturbance(f"the stream is full for {seconds} s", act, frozenset({FULL}))


def refuse_the_agents(stage: Stage) -> Disturbance | None:
    """All servers hang up on the agents, and let them in again: as when credentials expire, and
    are renewed."""
    held = frozenset({ACCESS, "relay", "network", *stage.names, *(a.name for a in stage.agents)})
    if held & stage.held:
        return None
    users = stage.rng.choice([(KEEPER,), (KEEPER,), (AGENT, KEEPER), (AGENT,)])
    seconds = stage.rng.choice([1.0, 3.0, 6.0])

    async def act() -> None:
        changes = {_password(stage, user): f'"refused-{user}"' for user in users}
        await asyncio.to_thread(_reload, list(stage.system), changes)
        await asyncio.sleep(seconds)
        back = {new: old for old, new in changes.items()}
        await asyncio.to_thread(_reload, list(stage.system), back)
        await stage.well()

    what = f"no server lets {' and '.join(users)} in for {seconds} s"
    return Disturbance(what, act, held)


OF_STREAMS: Sequence[tuple[Kind, int]] = (
    (kill_the_leader_of_the_stream, 3),
    (fill_the_stream, 3),
    (refuse_the_agents, 3),
)


def _password(stage: Stage, user: str) -> str:
    """As it stands in the configuration."""
    return quote(stage.system.user(user)[1])


def _reload(servers: Sequence[Server], changes: dict[str, str]) -> None:
    """Gives each server other passwords: what its peers must agree on, save for this."""
    for server in servers:
        for old, new in changes.items():
            server._system_conf = server._system_conf.replace(old, new)
        server.reload(server.options)
