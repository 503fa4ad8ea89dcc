"""A restart: what a process takes up of the state that another one left, and what it cannot.

    open                            goes on, with its identity, opening time and revision
    pending or clearing             goes on if the agent was away for less than the time after which
                                    it counts as silent, else counts from the beginning
    away for `forget_after`         every open finding ends; what is still true opens as a new one
    its check is not known here     ends

What ends is told once, with the reason AGENT_RESTARTED: nobody knows any more whether it is true.
An open finding about something that is gone needs no rule: the next epoch judges it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from nats_insights.config import span
from nats_insights.judge.audit import NOTHING
from nats_insights.judge.auditor import Known
from nats_insights.judge.declare import Check
from nats_insights.judge.lifecycle import Life, Told, ended
from nats_insights.model.roster import Entry

AGENT_RESTARTED = "agent_restarted"


class TakenUp(NamedTuple):
    """The state to go on from, and the findings that ended with the last process."""

    known: Known
    over: list[Told]


class Retired(Struct, frozen=True, kw_only=True):
    """What messages about findings say of a check that this program may no longer have."""

    code: str
    name: str
    title: str
    category: str

    def remediation(self, labels: dict[str, str]) -> str:
        """Nothing: only the end of a finding is told without its check."""
        return ""


def retired(check: Check | Retired) -> Retired:
    """What is kept of a check."""
    return Retired(code=check.code, name=check.name, title=check.title, category=check.category)


def taken_up(
    known: Known,
    codes: Collection[str],
    *,
    now: float,
    away: float,
    silent_after: float,
    forget_after: float,
) -> TakenUp:
    """The state as a new process goes on from it, `away` seconds after it was saved.

    `codes` are the checks that there are, enabled or not. `away` is negative if the clock was set
    back: that says nothing about how long it was.
    """
    lives, over = [], []
    for life in known.lives:
        if life.key.code not in codes:
            over += _over(life, now, "the agent that was started does not have its check")
        elif away >= forget_after:
            over += _over(life, now, f"no agent watched for {span(round(away))}")
        elif away < silent_after:
            lives.append(life)
        elif life.is_open:
            lives.append(replace(life, cleared=0))
    return TakenUp(
        replace(
            known,
            lives=lives,
            transitions=[told for told in known.transitions if told.life.key.code in codes],
            roster=list(_not_ahead(known.roster, now)),
        ),
        over,
    )


def _over(life: Life, now: float, why: str) -> list[Told]:
    summary = f"{why}: {life.summary}"
    life = replace(life, summary=summary, value=None, evidence=NOTHING, partial="")
    return ended(life, now, AGENT_RESTARTED)


def _not_ahead(entries: Iterable[Entry], now: float) -> Iterable[Entry]:
    """No time of a server is later than now: else it would wait until the clock is there again."""
    for entry in entries:
        yield replace(
            entry,
            first_seen=min(entry.first_seen, now),
            last_seen=min(entry.last_seen, now),
            silent_since=_at_most(entry.silent_since, now),
            dead_since=_at_most(entry.dead_since, now),
            goodbye_at=min(entry.goodbye_at, now),
            before_at=min(entry.before_at, now),
            shared_at=_at_most(entry.shared_at, now),
            changed_at=min(entry.changed_at, now),
        )


def _at_most(at: float | None, now: float) -> float | None:
    return None if at is None else min(at, now)
