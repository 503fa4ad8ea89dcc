"""Judges what a stream holds by what a subscriber heard; pure.

The subscriber is judged by what was true: see `judge`. A stream must hold the same story. It may
lack a message of a finding that a later one has replaced, because a server that came to lead it may
refuse a message for minutes; it never lacks the last one, and has those of one agent in their
order. What a server took and did not pass on until it hung no more may come after what a successor
told, in the history only. And what an agent told that could save nothing may be lost with it.
Servers before 2.12 refuse what did not fit into a full stream for as long, and then take it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from msgspec import Struct
from tests.chaos.judge import Said, Violation, unsaved


class Held(Struct, frozen=True):
    """What FINDINGS says of an open finding."""

    opened_at: float
    revision: int


def by_finding(story: Iterable[Said]) -> dict[str, list[Said]]:
    """The advisories of each finding in their order, each once."""
    found: dict[str, dict[str, Said]] = {}
    for said in story:
        found.setdefault(said.finding, {}).setdefault(said.id, said)
    return {finding: list(some.values()) for finding, some in found.items()}


def as_told(story: Iterable[Said]) -> dict[str, list[Said]]:
    """The same, in the order in which they were told, in whatever order they were heard."""
    return by_finding(sorted(story, key=lambda said: (said.at, said.revision)))


def history(
    heard: Iterable[Said], stored: Sequence[Said], *, in_order: bool = True
) -> Iterator[Violation]:
    """What the history of all advisories holds that was not heard, lacks, or has in another
    order, if it must be `in_order`."""
    heard = list(heard)
    forgotten = unsaved(heard)
    told, kept = as_told(heard), by_finding(stored) if in_order else as_told(stored)
    for finding, some in sorted(kept.items()):
        known = {said.id: number for number, said in enumerate(told.get(finding, ()))}
        for said in some:
            if said.id not in known:
                yield _violation(said, "is stored, and nobody heard it")
        order = [known[said.id] for said in some if said.id in known]
        ours = told.get(finding, ())
        for before, after in pairwise(order):
            if after < before and ours[before].agent == ours[after].agent:
                yield _violation(ours[after], "is stored behind what came after it")
    for finding, some in sorted(told.items()):
        at_hand = {said.id for said in kept.get(finding, ())} | forgotten
        if some[-1].id not in at_hand:
            yield _violation(some[-1], "was the last word, and is not stored")


def lacking(heard: Iterable[Said], stored: Iterable[Said]) -> int:
    """How many were heard and are not stored."""
    return len({said.id for said in heard} - {said.id for said in stored})


def current(
    heard: Iterable[Said], stored: Iterable[Said], findings: Mapping[str, Held]
) -> Iterator[Violation]:
    """Where the current state is not the last word on each finding, or FINDINGS says otherwise.

    The last word on what is over may have been removed: it is old.
    """
    last = {finding: some[-1] for finding, some in as_told(heard).items()}
    kept = {said.finding: said for said in stored}
    for finding, said in sorted(kept.items()):
        if finding not in last or last[finding].id != said.id:
            yield _violation(said, "is the current state, and was not the last word")
        if said.transition != "resolved" and finding not in findings:
            yield _violation(said, "is the current state, and FINDINGS does not have it")
    for finding, held in sorted(findings.items()):
        one = kept.get(finding)
        if one is None or one.transition == "resolved":
            text = f"FINDINGS has {finding}, and the current state {one and one.transition}"
            yield Violation(held.opened_at, "stream", text)
        elif Held(one.opened_at, one.revision) != held:
            yield _violation(one, f"is the current state, and FINDINGS has {held}")


def _violation(said: Said, what: str) -> Violation:
    text = f"{said.transition} {said.code} {said.name}, revision {said.revision}: {what}"
    return Violation(said.at, "stream", text)
