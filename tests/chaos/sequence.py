"""A random sequence of disturbances, and the verdict on what an agent told meanwhile."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

from msgspec import Struct
from tests.chaos import judge, keeping, stored
from tests.chaos.apart import ROUTING, Apart, apart
from tests.chaos.disturbances import Disturbance, Stage, choose
from tests.chaos.ends import kinds
from tests.chaos.judge import GRACE, Truth, Violation
from tests.chaos.keeping import LISTENER, Keeping
from tests.chaos.network import HUB
from tests.chaos.process import (
    GONE_AFTER,
    INTERVAL,
    SETTLE,
    House,
    Process,
    agents,
    configuration,
)
from tests.chaos.recorder import Recorder
from tests.chaos.relay import relayed
from tests.chaos.world import World

from nats_insights.lab.servers.crowd import Crowd
from nats_insights.tell.assets import CURRENT, HISTORY
from nats_insights.tell.messages import Heartbeat

SERVERS = ("n1", "n2", "n3")
LIMIT = 200
# `settle`, and the epochs in a row that checks ask for, twice over.
CALM_SECONDS = SETTLE + 6 * INTERVAL
RECOVER_SECONDS = 60.0
SILENT_SECONDS = 3.0
# What was refused is published again after half a minute at last.
STORED_SECONDS = 90.0
# After so many disturbances, those that run on are waited for, and all must be well and told.
PER_CHECKPOINT = 8
PAUSES = (0.2, 1.5)
# A lame duck takes its time, as far as the server's configuration lets it.
OPTIONS = f'lame_duck_grace_period: "1s"\nlame_duck_duration: "30s"\nmax_connections: {LIMIT}'

Say = Callable[[str], None]


class Verdict(Struct):
    """What came out of a sequence."""

    disturbances: int = 0
    checkpoints: int = 0
    told: Counter[str] = Counter()
    epochs: int = 0
    tampered: int = 0
    lost: int = 0
    stored: int = 0
    lacking: int = 0
    violations: list[Violation] = []
    logs: dict[str, str] = {}

    def __str__(self) -> str:
        told = ", ".join(f"{count} {what}" for what, count in sorted(self.told.items()))
        kinds = Counter(violation.kind for violation in self.violations)
        found = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) or "none"
        return (
            f"{self.disturbances} disturbances, {self.checkpoints} checkpoints, "
            f"{self.epochs} epochs; {told or 'nothing told'}; {self.tampered} replies tampered "
            f"with, {self.lost} advisories lost, {self.stored} stored, {self.lacking} not; "
            f"violations: {found}"
        )


def run(seed: int, disturbances: int, binary: Path, house: House, say: Say) -> Verdict:
    """Disturbs a cluster of three servers and its agents so many times.

    Unavailable where that cannot be had.
    """
    routing = f"{ROUTING}, no_advertise: true"  # The agent knows servers by their relays only.
    keeps = keeping.SETTINGS if house.jetstream else {}
    with apart(
        {"C1": SERVERS}, binary=binary, options=OPTIONS, routing=routing, **keeps
    ) as cluster:
        return asyncio.run(_Sequence(cluster, seed, house, say).run(disturbances))


class _Sequence:
    def __init__(self, cluster: Apart, seed: int, house: House, say: Say) -> None:
        self._apart = cluster
        self._house = house
        self._seed = seed
        self._say = say
        self._begin = time.time()
        self._verdict = Verdict()
        self._judged: set[str] = set()
        self._lines: list[tuple[float, str]] = []
        self._running: set[asyncio.Task[None]] = set()
        self._recorder = Recorder(cluster.system, LISTENER if house.jetstream else "")
        self._keeping = Keeping(self._recorder)
        self._world: World
        self._truth: Truth
        self._stage: Stage
        self._agents: list[Process] = []

    async def run(self, disturbances: int) -> Verdict:
        """The whole sequence."""
        system, network = self._apart
        async with AsyncExitStack() as stack:
            crowd = await stack.enter_async_context(Crowd())
            address = network.addresses[HUB]
            relays = {
                server.name: await stack.enter_async_context(relayed(server, address, self._seed))
                for server in system
            }
            limits = dict.fromkeys(SERVERS, LIMIT)
            self._world = World(
                limits, GONE_AFTER, lambda: self._stage.agent_at, self._house.guests
            )
            self._truth = Truth(self._world.moments)
            rng = random.Random(self._seed)
            self._stage = Stage(
                self._apart,
                self._world,
                crowd,
                self._recorder,
                relays,
                rng,
                self._house,
                self._keeping,
            )
            async with asyncio.TaskGroup() as group:
                watching = [
                    group.create_task(self._recorder.listen()),
                    group.create_task(self._world.keep_sampling()),
                ]
                await self._stage.well()
                urls = [relay.url for relay in relays.values()]
                if self._house.jetstream:
                    config = configuration(system, self._house, "operator")
                    await self._keeping.make(system, config, urls)
                    watching.append(group.create_task(self._keeping.keep_looking()))
                self._agents = await stack.enter_async_context(agents(system, urls, self._house))
                self._stage.agents = self._agents
                try:
                    await self._disturb(disturbances)
                finally:
                    for task in (*watching, *self._running):
                        task.cancel()
                    self._say_all()
            self._verdict.tampered = sum(relay.tampered for relay in relays.values())
        return self._verdict

    async def _disturb(self, disturbances: int) -> None:
        for name in SERVERS:
            await self._stage.settle_down(name)
        await self._checkpoint()
        for number in range(1, disturbances + 1):
            disturbance = await choose(self._stage, kinds(self._house))
            self._tell(f"{number}: {disturbance.what}")
            if disturbance.holds:
                self._run_on(disturbance)
            else:
                await disturbance.act()
            await asyncio.sleep(self._stage.rng.uniform(*PAUSES))
            self._verdict.disturbances = number
            if number % PER_CHECKPOINT == 0 or number == disturbances:
                await self._checkpoint()
            if self._ended():
                break
        if self._house.jetstream:
            await self._judge_stored()
        self._judge_all()

    def _run_on(self, disturbance: Disturbance) -> None:
        """Begins what runs on while others come."""

        async def act() -> None:
            try:
                await disturbance.act()
            finally:
                self._stage.held.difference_update(disturbance.holds)

        self._stage.held.update(disturbance.holds)
        task = asyncio.create_task(act())
        self._running.add(task)

    async def _checkpoint(self) -> None:
        """When all is well again: was everything told, and does the agent see everything?"""
        await asyncio.gather(*self._running)
        self._running.clear()
        await self._stage.well()
        calm = time.time()
        if not await self._recorder.until(lambda: self._sees_all_since(calm), RECOVER_SECONDS):
            self._accuse(
                "recovery", f"not all servers answer the agent {RECOVER_SECONDS:.0f} s after"
            )
            return
        if self._house.jetstream:  # What cannot be saved is told later.
            await self._keeping.until_saved()
        calm = time.time()
        await asyncio.sleep(CALM_SECONDS)
        now = time.time()
        heard, beat = self._leads()[-1]
        if now - heard > SILENT_SECONDS:
            self._accuse("silent", f"no heartbeat for {now - heard:.1f} s")
        if beat.coverage.missing:
            self._accuse("coverage", f"{', '.join(beat.coverage.missing)} missing, and all is well")
        await self._compare()
        self._world.sample()
        story = self._recorder.story.values()
        for violation in judge.untold(story, self._truth, calm + GRACE, now):
            self._accuse(violation.kind, violation.what, violation.at)
            code = violation.what.split()[1]
            self._tell(f"    of {code} the agent says: {await self._recorder.outcome(code)}")
        self._verdict.checkpoints += 1
        self._judge_told()

    def _sees_all_since(self, since: float) -> bool:
        beats = [beat for _, beat in self._leads()[-1:]]
        return any(
            not beat.coverage.missing
            and beat.coverage.servers_known == len(SERVERS)
            and beat.timestamp.timestamp() > since
            for beat in beats
        )

    def _leads(self) -> list[tuple[float, Heartbeat]]:
        """When the last heartbeats of leaders were heard, the latest last."""
        last = self._recorder.beats[-20:]
        return [(heard, beat) for heard, beat in last if beat.agent.role == "leader"]

    async def _compare(self) -> None:
        """The servers themselves must say what we take for the truth."""
        for name in SERVERS:
            said = await self._recorder.held(name)
            if said is not None and said != self._world.held(name):
                raise AssertionError(
                    f"{name} holds {said}, and the model {self._world.held(name)}: not the "
                    "agent's fault"
                )

    def _judge_told(self) -> None:
        """What was told since the last time."""
        new = {
            number: said
            for number, said in self._recorder.story.items()
            if number not in self._judged
        }
        self._judged |= new.keys()
        for violation in judge.lies(new.values(), self._truth):
            self._accuse(violation.kind, violation.what, violation.at)
        for said in new.values():
            stale = f" (stale since {said.stale - self._begin:.1f})" if said.stale else ""
            what = f"{said.transition} {said.severity} {said.code} ({said.reason})"
            self._tell(f"    told {what}: {said.summary}{stale}", said.at)
        self._say_all()

    def _ended(self) -> list[Process]:
        """The agents that ended by themselves."""
        return [one for one in self._agents if one.ended and one.name not in self._stage.held]

    async def _judge_stored(self) -> None:
        """Soon after all is well, the streams hold what was heard, and what FINDINGS has."""
        deadline = time.monotonic() + STORED_SECONDS
        before = found = await self._not_as_stored()
        while found and time.monotonic() < deadline:
            await asyncio.sleep(INTERVAL)
            before, found = found, await self._not_as_stored()
        for violation in found:
            if violation in before:  # Else something was told between two questions.
                self._accuse(violation.kind, violation.what, violation.at)

    async def _not_as_stored(self) -> list[Violation]:
        findings = await self._keeping.findings()
        past = await self._keeping.stored(HISTORY)
        now = await self._keeping.stored(CURRENT)
        heard = list(self._recorder.story.values())
        self._verdict.stored = len({said.id for said in past})
        self._verdict.lacking = stored.lacking(heard, past)
        in_order = not self._keeping.version.startswith(("2.10.", "2.11."))
        return [
            *stored.history(heard, past, in_order=in_order),
            *stored.current(heard, now, findings),
        ]

    def _judge_all(self) -> None:
        story = self._recorder.story.values()
        self._judge_told()
        for violation in judge.broken_stories(story):
            self._accuse(violation.kind, violation.what, violation.at)
        for violation in judge.rivals(self._recorder.beats):
            self._accuse(violation.kind, violation.what, violation.at)
        for one in self._agents:
            self._verdict.logs[one.name] = one.log
            for fault in one.faults:
                self._accuse("log", fault)
        for one in self._ended():
            last = one.log.splitlines()[-1:]
            self._accuse("ended", f"{one.name} ended by itself: {last}")
        self._verdict.told = Counter(said.transition for said in story)
        self._verdict.lost = judge.lost(story)
        self._verdict.epochs = len(self._recorder.beats)

    def _accuse(self, kind: str, what: str, at: float | None = None) -> None:
        at = time.time() if at is None else at
        self._verdict.violations.append(Violation(at - self._begin, kind, what))
        self._tell(f"VIOLATION {kind}: {what}", at)

    def _tell(self, what: str, at: float | None = None) -> None:
        """Takes down what happened, now or at another time."""
        self._lines.append((time.time() if at is None else at, what))

    def _say_all(self) -> None:
        """Says what happened and what was told of it in the order of time."""
        for at, what in sorted(self._lines):
            self._say(f"{at - self._begin:8.1f} {what}")
        self._lines.clear()
