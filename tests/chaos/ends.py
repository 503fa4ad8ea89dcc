"""Disturbances of the agents themselves: they die, hang, and are stopped, and come back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from tests.chaos.disturbances import KINDS, Disturbance, Kind, Stage, isolate_one
from tests.chaos.disturbances import isolate_the_agent as isolate_it
from tests.chaos.process import INTERVAL, House, Process
from tests.chaos.streams import ACCESS, OF_STREAMS

# Whoever comes back is waited for until it says how it is, and the others may have heard it.
_BACK_SECONDS = 30.0
_SETTLED_SECONDS = 2 * INTERVAL
_TIMEOUTS = (('"300ms"', '"250ms"'), ('"250ms"', '"300ms"'))


def kill_an_agent(stage: Stage) -> Disturbance | None:
    """An agent dies without a word, and is started again."""
    seconds = stage.rng.choice([0.0, 0.5, 2.0, 6.0])
    return _gone(stage, "is killed", seconds, _killed)


def stop_an_agent(stage: Stage) -> Disturbance | None:
    """An agent is told to stop, and is started again."""
    seconds = stage.rng.choice([0.0, 1.0, 4.0])
    return _gone(stage, "is stopped", seconds, Process.stop)


def freeze_an_agent(stage: Stage) -> Disturbance | None:
    """An agent hangs, and goes on as if nothing had been."""
    one = _victim(stage)
    if one is None:
        return None
    seconds = stage.rng.choice([1.0, 3.0, 6.0, 10.0])

    async def act() -> None:
        one.freeze()
        await asyncio.sleep(seconds)
        one.thaw()
        await _back(stage, one)

    return Disturbance(f"{one.name} is frozen for {seconds} s", act, _held(stage, one))


def reload_an_agent(stage: Stage) -> Disturbance | None:
    """An agent is told to read its configuration, in which something else stands."""
    awake = [one for one in stage.agents if one.awake and one.name not in stage.held]
    if not awake:
        return None
    one, (old, new) = stage.rng.choice(awake), stage.rng.choice(_TIMEOUTS)

    async def act() -> None:
        one.reload(old, new)

    return Disturbance(f"{one.name} reads its configuration: {new}", act)


def kinds(house: House) -> Sequence[tuple[Kind, int]]:
    """The disturbances that a house must survive, and how often each comes."""
    known = [one for one in KINDS if house.isolated or one[0] not in (isolate_one, isolate_it)]
    if house.mortal:
        known += [(kill_an_agent, 6), (stop_an_agent, 4), (freeze_an_agent, 5)]
        known += [(reload_an_agent, 2)]
    return [*known, *OF_STREAMS] if house.jetstream else known


async def _killed(one: Process) -> None:
    one.kill()


def _gone(
    stage: Stage, what: str, seconds: float, end: Callable[[Process], Awaitable[None]]
) -> Disturbance | None:
    one = _victim(stage)
    if one is None:
        return None

    async def act() -> None:
        await end(one)
        await asyncio.sleep(seconds)
        one.start()
        await _back(stage, one)

    what = f"{one.name} {what}, and started {seconds} s later"
    return Disturbance(what, act, _held(stage, one))


def _victim(stage: Stage) -> Process | None:
    """An agent that may fail, if nothing is held that it holds, and the others are heard."""
    lately = time.time() - _SETTLED_SECONDS
    heard = {beat.agent.id for at, beat in stage.recorder.beats[-20:] if at > lately}
    free = [
        one
        for one in stage.agents
        if not _held(stage, one) & stage.held
        and (_keeps(stage) or all(other is one or other.name in heard for other in stage.agents))
    ]
    return stage.rng.choice(free) if free else None


def _keeps(stage: Stage) -> bool:
    """Whether what an agent knew is known elsewhere than by the other agents."""
    return stage.house.state or stage.house.jetstream


def _held(stage: Stage, one: Process) -> frozenset[str]:
    """What fails or is tampered with at no time at which this agent ends and begins.

    One that starts while its replies are tampered with, or its log-in is refused, ends, and would
    be started again. Where only the other agents know what it knew, these must be there.
    """
    if _keeps(stage):
        return frozenset({one.name, "relay", ACCESS})
    return frozenset({"agents", "relay", "network", *stage.names, one.name})


async def _back(stage: Stage, one: Process) -> None:
    """Until an agent says how it is, and the others may have heard it."""
    since = time.time()

    def told() -> bool:
        return any(
            beat.agent.id == one.name and heard > since
            for heard, beat in reversed(stage.recorder.beats)
        )

    await stage.recorder.until(told, _BACK_SECONDS)
    await asyncio.sleep(_SETTLED_SECONDS)
