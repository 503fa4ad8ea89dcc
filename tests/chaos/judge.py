"""Judges what was told by what was true; pure.

Each advisory says when its epoch began, and we know when it was heard. Whatever it rests on was
asked after the one and answered before the other, so it must have been true at some moment
between them. That window is widened by GRACE at either end: the truth is sampled ten times a
second, clients and servers do not learn of a change at the same moment, and servers of one epoch
are read one after another. It ends EPOCH after its beginning even when the advisory was heard
later: what the agent could not publish at once it publishes again. Hysteresis (`settle`, epochs in
a row) delays what is told; it is no reason to tell what is not true, so it has no part in windows,
only in how long something may remain untold. A finding whose source has not answered says since
when: its window begins there, and a little earlier, because the last answer came earlier.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations

from msgspec import Struct
from tests.chaos.model import NOTHING, Key, Moment, Reading, Severity, readings

from nats_insights.tell.messages import Heartbeat

GRACE = 0.5
EPOCH = 6.0
# What is open holds on until its figure falls below this.
LEAST = {
    ("SERVER_011", "warning"): 80 * 0.94,
    ("SERVER_011", "critical"): 95 * 0.97,
    ("USER_002", "warning"): 100 * 0.9,
    ("OPT_BALANCE_002", "info"): 2 * 0.9,
    ("OPT_BALANCE_003", "info"): 2 * 0.9,
    ("OPT_BALANCE_006", "info"): 70 * 0.93,
}
CODES = {code for code, _ in LEAST}
UNSAVED = "AGENT_009"
# Figures are rounded, to the second decimal at worst.
ROUNDING = 0.05
Entity = tuple[str, str]


class Said(Struct, frozen=True, kw_only=True):
    """One advisory. `at` is when its epoch began, `heard` when we first heard it, `finding` the
    fingerprint."""

    at: float
    heard: float
    transition: str
    code: str
    name: str
    severity: Severity
    revision: int = 1
    reason: str = ""
    value: float | None = None
    stale: float | None = None
    missing: tuple[str, ...] = ()
    summary: str = ""
    id: str = ""
    finding: str = ""
    agent: str = ""
    opened_at: float = 0.0

    @property
    def key(self) -> Key:
        return Key(self.code, self.name, self.severity)


class Violation(Struct, frozen=True):
    """Something that must not be: when, what kind of, and what exactly."""

    at: float
    kind: str
    what: str


class Reign(Struct):
    """An agent led from `begin` to `end`, as one process."""

    id: str
    instance: str
    begin: float
    end: float = 0.0


class Truth:
    """What was true when: moments, each of which lasts until the next one."""

    def __init__(self, moments: Sequence[Moment]) -> None:
        """`moments` in order; they may grow."""
        self._moments = moments
        self._readings: dict[int, Mapping[Key, Reading]] = {}

    def within(self, begin: float, end: float) -> list[int]:
        """The numbers of the moments that lasted at some time between these."""
        first = max(0, bisect_right(self._moments, begin, key=_at) - 1)
        return list(range(first, max(first + 1, bisect_right(self._moments, end, key=_at))))

    def during(self, begin: float, end: float, key: Key) -> list[Reading]:
        """The readings of a condition between these times."""
        return [self._of(number).get(key, NOTHING) for number in self.within(begin, end)]

    def torn(self, begin: float, end: float, key: Key) -> list[Reading]:
        """What a user holds if each server was read at another moment, as clients that move are."""
        if key.code != "USER_002":
            return []
        held: dict[str, list[int]] = {}
        for number in self.within(begin, end):
            for name, place in self._moments[number].places.items():
                loads = [load for user, load in place.held.items() if user[1] == key.name]
                held.setdefault(name, []).append(sum(load.connections for load in loads))
        least, most = sum(map(min, held.values())), sum(map(max, held.values()))
        return [
            Reading(
                least,
                most,
                may_be_met=most > 100,
                may_be_over=least <= 90,
                is_met=least > 100,
                is_over=most <= 90,
            )
        ]

    def keys(self, begin: float, end: float) -> set[Key]:
        """All conditions of which there are readings."""
        return {key for number in self.within(begin, end) for key in self._of(number)}

    def honest(self, begin: float, end: float) -> bool:
        """Whether the agent heard all that was said to it."""
        return all(self._moments[number].honest for number in self.within(begin, end))

    def _of(self, number: int) -> Mapping[Key, Reading]:
        if number not in self._readings:
            self._readings[number] = readings(self._moments[number])
        return self._readings[number]


def _at(moment: Moment) -> float:
    return moment.at


def in_order(story: Iterable[Said]) -> list[Said]:
    """As the agent told it, in whatever order it was heard."""
    return sorted(
        (said for said in story if said.code in CODES), key=lambda said: (said.at, said.revision)
    )


def lies(story: Iterable[Said], truth: Truth) -> Iterator[Violation]:
    """Advisories that were not true at any moment that they can be about."""
    for said in in_order(story):
        begin = said.at if said.stale is None else min(said.at, said.stale - EPOCH)
        begin, end = begin - GRACE, min(said.heard, said.at + EPOCH) + GRACE
        seen = [*truth.during(begin, end, said.key), *truth.torn(begin, end, said.key)]
        whole = said.stale is None and not said.missing and truth.honest(begin, end)
        if why := _wrong(said, seen) or _wrong_value(said, seen, whole):
            yield _lie(said, why, seen)


def _wrong(said: Said, seen: Sequence[Reading]) -> str:
    """Why it cannot have been true; "" if it can."""
    changes = said.reason == "severity_changed"
    if said.transition == "resolved":
        if not changes and not any(reading.may_be_over for reading in seen):
            return "it was true throughout"
    elif said.transition == "opened" and not changes:
        if not any(reading.may_be_met for reading in seen):
            return "it was not true at any moment"
    elif all(reading.is_over for reading in seen):
        return "it was over throughout"
    return ""


def _wrong_value(said: Said, seen: Sequence[Reading], whole: bool) -> str:
    """What is wrong with its figure, which may be too low where a reply lacked."""
    if said.value is None or said.transition == "resolved":
        return ""
    least, most = min(r.least for r in seen), max(r.most for r in seen)
    # One that was about to resolve keeps its last figure while its source does not answer.
    if said.stale is None and said.value < LEAST[said.code, said.severity] - ROUNDING:
        return "its own figure says that it is over"
    if said.value > most + ROUNDING:
        return "it tells more than there ever was"
    if whole and said.value < least - ROUNDING:
        return "it tells less than there ever was"
    return ""


def _lie(said: Said, why: str, seen: Sequence[Reading]) -> Violation:
    least, most = min(r.least for r in seen), max(r.most for r in seen)
    text = f"{said.transition} {said.severity} {said.code} {said.name} ({said.reason}): {why}"
    return Violation(
        said.at, "lie", f"{text}; it told {said.value}, there were {least:g} to {most:g}"
    )


def broken_stories(story: Iterable[Said]) -> Iterator[Violation]:
    """Findings whose life makes no sense. A revision that is missing was lost on its way: that is
    no fault of the story. Nor is it that a successor does not know what an agent told that could
    not save it."""
    story = list(story)
    forgotten = unsaved(story)
    last: dict[Entity, Said] = {}
    for said in in_order(story):
        entity = (said.code, said.name)
        before = last.get(entity)
        if before is not None and before.agent != said.agent and before.id in forgotten:
            last[entity] = said
            continue
        is_open = before is not None and before.transition != "resolved"
        changes = before is not None and before.reason == said.reason == "severity_changed"
        text = f"{said.transition} {said.code} {said.name}, revision {said.revision}"
        if said.transition == "opened" and not changes:
            if is_open and before is not None and said.revision <= before.revision:
                yield Violation(said.at, "story", f"{text}: it was open already")
            if said.revision != 1 and not is_open and said.reason != "severity_changed":
                yield Violation(said.at, "story", f"{text}: it begins in the middle")
        elif said.transition != "opened" and not is_open and said.revision == 1:
            yield Violation(said.at, "story", f"{text}: it was not open")
        elif before is not None and is_open and said.revision <= before.revision:
            yield Violation(said.at, "story", f"{text}: after revision {before.revision}")
        elif before is not None and not is_open and said.transition != "opened":
            if said.opened_at == before.opened_at:  # Else its opening was lost on its way.
                yield Violation(said.at, "story", f"{text}: it had resolved")
        elif before is not None and is_open and said.opened_at != before.opened_at:
            yield Violation(said.at, "story", f"{text}: it had been opened at another time")
        last[entity] = said


def unsaved(story: Sequence[Said]) -> set[str]:
    """The ids of what agents told while AGENT_009 said of them that they could not save it."""
    found: set[str] = set()
    failing: set[str] = set()
    for said in sorted(story, key=lambda said: (said.at, said.revision, said.code != UNSAVED)):
        if said.code == UNSAVED and said.transition == "resolved":
            failing.discard(said.name)
        elif said.code == UNSAVED:
            failing.add(said.name)
        if said.agent in failing:
            found.add(said.id)
    return found


def rivals(beats: Iterable[tuple[float, Heartbeat]]) -> Iterator[Violation]:
    """Agents that both led at a time: each leads from its first heartbeat as a leader to its last
    one before it says something else, or another process of it does."""
    reigns: dict[str, Reign] = {}
    over: list[Reign] = []
    for _, beat in beats:
        at, agent = beat.timestamp.timestamp(), beat.agent
        reign = reigns.get(agent.id)
        if reign is not None and (agent.role != "leader" or agent.instance != reign.instance):
            over.append(reigns.pop(agent.id))
        if agent.role == "leader":
            reigns.setdefault(agent.id, Reign(agent.id, agent.instance, at)).end = at
    over = sorted([*over, *reigns.values()], key=lambda reign: reign.begin)
    for one, other in combinations(over, 2):
        if one.id != other.id and other.begin < one.end:
            text = f"{one.id} still led {one.end - other.begin:.1f} s after {other.id} had begun to"
            yield Violation(other.begin, "rivals", text)


def lost(story: Iterable[Said]) -> int:
    """How many advisories nobody heard, by the gaps between revisions."""
    count = 0
    last: dict[Entity, int] = {}
    for said in in_order(story):
        entity = (said.code, said.name)
        expected = 1 if said.revision == 1 else last.get(entity, 0) + 1
        count += max(0, said.revision - expected)
        last[entity] = said.revision
    return count


def open_at(story: Iterable[Said], at: float) -> dict[Entity, Severity]:
    """What was told to be open by then."""
    found: dict[Entity, Severity] = {}
    for said in in_order(said for said in story if said.heard <= at):
        if said.transition == "resolved":
            found.pop((said.code, said.name), None)
        else:
            found[said.code, said.name] = said.severity
    return found


def untold(story: Iterable[Said], truth: Truth, calm: float, at: float) -> Iterator[Violation]:
    """What was so since `calm`, and is not told by `at`, long enough after it."""
    told = open_at(story, at)
    conditions = {key: truth.during(calm, at, key) for key in truth.keys(calm, at)}
    conditions |= {
        Key(*entity, severity): truth.during(calm, at, Key(*entity, severity))
        for entity, severity in told.items()
    }
    for key, seen in sorted(conditions.items()):
        entity = (key.code, key.name)
        least, most = min(r.least for r in seen), max(r.most for r in seen)
        text = f"{key.severity} {key.code} {key.name} is {least:g} to {most:g}"
        if all(reading.is_met for reading in seen) and not _told(told, key):
            yield Violation(at, "missed", f"{text} for {at - calm:.1f} s, and not told")
        if all(reading.is_over for reading in seen) and told.get(entity) == key.severity:
            yield Violation(at, "kept", f"{text} for {at - calm:.1f} s, and still told")


def _told(told: Mapping[Entity, Severity], key: Key) -> bool:
    severity = told.get((key.code, key.name))
    return severity is not None and (severity == key.severity or severity == "critical")
