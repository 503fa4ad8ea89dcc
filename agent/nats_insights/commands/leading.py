"""Which agent leads, by its heartbeats, and whether it stopped sending them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from nats_insights.config import span
from nats_insights.tell.messages import AgentInfo, Heartbeat
from nats_insights.text import plain

Event = Literal["leads", "silent", "stopped", "back"]

# Agents that are remembered; the one that was silent for longest makes room.
MOST = 100
# An agent that answered, and of which no heartbeat has come yet, is given three intervals, of at
# least a second each, and this many seconds: its heartbeats say how long it may be silent.
INTERVALS, SPARE = 3, 10.0
_EVER = datetime.min.replace(tzinfo=UTC)


class News(Struct, frozen=True):
    """What happened to the agent that led, or leads now, in one sentence."""

    event: Event
    agent: str
    sentence: str


class _Beat(Struct, frozen=True):
    """The last that is known of one agent; `heard` is of the monotonic clock."""

    agent: AgentInfo
    since: datetime
    silent_after: float
    order: tuple[int, datetime]
    heard: float


class Leading:
    """The agents by their last heartbeats. `last` is that of the one that leads or led last."""

    def __init__(self) -> None:
        self.last: Heartbeat | None = None
        self.heard = 0.0
        self._beats: dict[str, _Beat] = {}
        self._leader: AgentInfo | None = None
        self._lost = ""

    @property
    def silent(self) -> bool:
        """Whether an agent led, and none does."""
        return self._leader is None and self._lost != ""

    def answered(self, agent: AgentInfo, interval: float, now: float) -> None:
        """This agent answered a query, so it leads: heartbeats must follow."""
        if agent.instance not in self._beats:
            patience = INTERVALS * max(interval, 1.0) + SPARE
            self._remember(_Beat(agent, _EVER, patience, (-1, _EVER), now))
        self._leader, self._lost = agent, ""

    def hear(self, heartbeat: Heartbeat, now: float) -> None:
        """Store a heartbeat; one that is older than the last of its instance is dropped."""
        agent = heartbeat.agent
        before = self._beats.get(agent.instance)
        order = (agent.epoch, heartbeat.timestamp)
        # A server that was frozen delivers old messages when it resumes.
        if before is not None and order <= before.order:
            return
        since = heartbeat.leading_since or _EVER
        self._remember(_Beat(agent, since, heartbeat.silent_after_seconds, order, now))
        leader = self._find(now)
        if leader is not None and leader.agent.instance == agent.instance:
            self.last, self.heard = heartbeat, now

    def listen_again(self, now: float) -> None:
        """The connection is new: what was sent meanwhile could not be heard."""
        self._beats = {name: replace(beat, heard=now) for name, beat in self._beats.items()}

    def news(self, now: float) -> News | None:
        """What changed since this was called last."""
        found = self._find(now)
        before, after = self._leader, found.agent if found else None
        self._leader = after
        if after is None:
            return self._ended(before, now) if before else None
        name = plain(after.id)
        if before is None:
            back, self._lost = self._lost == after.id, ""
            return (
                News("back", after.id, f"agent {name} is back")
                if back
                else News("leads", after.id, f"agent {name} leads")
            )
        if before.instance == after.instance:
            return None
        if before.id == after.id:
            return News("back", after.id, f"agent {name} was restarted")
        return News("leads", after.id, f"agent {name} leads instead of {plain(before.id)}")

    def _ended(self, before: AgentInfo, now: float) -> News:
        self._lost = before.id
        beat = self._beats.get(before.instance)
        if beat is not None and beat.agent.role == "stopped":
            return News("stopped", before.id, f"agent {plain(before.id)} was stopped")
        silence = span(round(now - beat.heard)) if beat else "long"
        lost = "it stopped, or lost its connection"
        return News(
            "silent", before.id, f"no heartbeat of agent {plain(before.id)} for {silence}: {lost}"
        )

    def _find(self, now: float) -> _Beat | None:
        """The leader, of several the one that has led for longest, as agents agree on it.

        Of one id the last that started counts: the others were restarted.
        """
        leading = sorted(
            (
                beat
                for beat in self._beats.values()
                if beat.agent.role == "leader" and now - beat.heard < beat.silent_after
            ),
            key=lambda beat: (beat.since, beat.agent.instance),
        )
        by_id = {beat.agent.id: beat for beat in leading}
        return min(by_id.values(), key=lambda beat: (beat.since, beat.agent.instance), default=None)

    def _remember(self, beat: _Beat) -> None:
        if len(self._beats) >= MOST and beat.agent.instance not in self._beats:
            del self._beats[min(self._beats, key=lambda name: self._beats[name].heard)]
        self._beats[beat.agent.instance] = beat
