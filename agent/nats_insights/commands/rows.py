"""Findings as people read them: the same row in every command, and counts in groups."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from rich.console import Console
from rich.text import Text

from nats_insights.commands.table import Row, filled, wrapped
from nats_insights.config import span
from nats_insights.tell.messages import (
    Entity,
    FindingsReply,
    FindingState,
    Group,
    TransitionState,
)
from nats_insights.text import plain

STYLES = {"critical": "bold red", "warning": "yellow", "info": "cyan"}
CLEARING, STALE, MUTED = "magenta", "magenta", "blue"
# Characters of a key that are shown beside its name.
_KEY = 8
_UNITS = (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1))
_BYTES = (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024))
# The view is late if the servers were last asked this many intervals ago, and this many seconds.
_LATE_INTERVALS, _LATE_SECONDS = 2, 5.0


def listed(
    found: Sequence[FindingState], now: datetime, out: Console, *, ages: bool = True
) -> None:
    """Findings below each other, under headings; `now` by the clock of the agent."""
    clusters = {finding.entity.cluster for finding in found} - {""}
    rows = [
        (
            severity(finding.severity),
            plain(finding.code),
            measured(finding),
            age(finding.opened_at, now) if ages and not finding.resolved_at else "",
            clock(finding.resolved_at, now) if finding.resolved_at else "",
            plain(finding.entity.cluster) if len(clusters) > 1 else "",
            _keyed(finding.entity),
            sentence(finding, now),
        )
        for finding in found
    ]
    columns = ("severity", "check", "value", "open for", "resolved", "cluster", "of", "")
    if rows:
        for line in wrapped(filled(columns, rows), out):
            out.print(line)


def sentence(finding: FindingState, now: datetime) -> Text:
    """What is wrong, and whether that is still sure."""
    text = Text(plain(finding.summary))
    if finding.stale:
        text.append(f" (no data for {age(finding.stale, now)})", STALE)
    elif finding.clearing:
        text.append(" (clearing)", CLEARING)
    if finding.muted:
        text.append(f" (muted until {clock(finding.muted, now)})", MUTED)
    return text


def happened(transition: TransitionState, now: datetime) -> Text:
    """The same of a transition, and why, where the sentence does not say it."""
    text = sentence(transition, now)
    if why := _why(transition):
        text.append(f" ({why})", "dim")
    return text


def severity(name: str) -> Text:
    """A severity in its colour."""
    return Text(name.upper(), STYLES[name])


def measured(finding: FindingState) -> str:
    """The value and its limit, such as "105 of 100" or "2.4 of 2 x"."""
    if finding.value is None:
        return ""
    unit = finding.unit
    if not finding.threshold:  # Of nothing, any is too much.
        return amount(finding.value, unit)
    if unit in ("s", "bytes"):
        return f"{amount(finding.value, unit)} of {amount(finding.threshold, unit)}"
    value, threshold = amount(finding.value, ""), amount(finding.threshold, unit)
    return f"{value} of {threshold}"


def amount(value: float, unit: str) -> str:
    """A figure as short as it can be read; of the units only those that are no plain word."""
    if unit == "s" and value >= 0:
        return span(round(value, 3 if value < 1 else 0))
    if unit == "bytes":
        for name, size in _BYTES:
            if abs(value) >= size:
                return f"{value / size:.3g} {name}"
    return f"{value:,.10g}{f' {unit}' if unit in ('%', 'x', 'days') else ''}"


def age(since: datetime, now: datetime) -> str:
    """The time since then in its largest unit, such as 5m or 2d."""
    seconds = max(0, int((now - since).total_seconds()))
    unit, size = next((one for one in _UNITS if seconds >= one[1]), _UNITS[-1])
    return f"{seconds // size}{unit}"


def clock(time: datetime, now: datetime) -> str:
    """A time of day, with its date unless that is today."""
    time, now = time.astimezone(), now.astimezone()
    return f"{time:%H:%M:%S}" if time.date() == now.date() else f"{time:%Y-%m-%d %H:%M:%S}"


def beside(name: str, key: str) -> str:
    """A name and the beginning of the key that has it, since others may have the same name."""
    name, key = plain(name), plain(key)
    return name if name == key else f"{name} {key[:_KEY]}…"


def headline(reply: FindingsReply, state: str) -> Text:
    """How many match, by severity, and what is missing: replies, or time."""
    what = {"open": "open", "resolved": "resolved"}.get(state, "open or resolved")
    line = Text(f"{_number(reply)} {what}" if _number(reply) else f"nothing {what}")
    if counts := reply.counts or None:
        several = [(getattr(counts, name), name) for name in STYLES if getattr(counts, name)]
        for number, (count, name) in enumerate(several):
            line.append(", " if number else ": ").append(f"{count} {name}", STYLES[name])
    if reply.muted:
        line.append(f"; {reply.muted} muted", MUTED)
    coverage = reply.coverage
    if coverage.servers_answered < coverage.servers_known:
        answered = f"{coverage.servers_answered} of {coverage.servers_known} servers answered"
        line.append(f"; {answered}", STALE)
    if epoch := reply.epoch or None:
        late = (reply.timestamp - epoch.started_at).total_seconds()
        if late > max(_LATE_SECONDS, _LATE_INTERVALS * epoch.interval_seconds):
            line.append(f"; as it was {age(epoch.started_at, reply.timestamp)} ago", STALE)
    return line


def grouped(groups: Iterable[Group], by: str, out: Console) -> None:
    """Counts by severity, and what each group has in common."""
    names = {"server": ("cluster", "server"), "user": ("account", "user")}.get(by, (by,))
    rows: list[Row] = [
        (
            *(_count(getattr(group, name), name) for name in STYLES),
            *(_named(group, name) for name in names[:-1]),
            Text(last) if (last := _named(group, names[-1])) else Text(f"no {by}", "dim"),
        )
        for group in groups
    ]
    if rows:
        for line in wrapped(filled((*STYLES, *names), rows), out):
            out.print(line)


def _why(transition: TransitionState) -> str:
    """Why it is no news of the finding itself, "" where it is."""
    if transition.severity_now:
        return f"now {transition.severity_now}"
    if transition.severity_before:
        return f"was {transition.severity_before}"
    if transition.reason in ("condition_met", "value_changed", "condition_cleared", "muted"):
        return ""
    return plain(transition.reason).replace("_", " ")


def _number(reply: FindingsReply) -> int:
    counts = reply.counts or None
    return counts.critical + counts.warning + counts.info if counts else reply.total


def _count(number: int, name: str) -> Text:
    return Text(f"{number:>{len(name)}}", STYLES[name]) if number else Text("")


def _named(group: Group, label: str) -> str:
    key: str = getattr(group, label)
    return beside(getattr(group, f"{label}_name", "") or key, key)


def _keyed(entity: Entity) -> str:
    """A user or an account whose name a JWT gives, with the beginnings of the keys."""
    account = beside(entity.account_name or entity.account, entity.account)
    if entity.kind == "user" and (entity.account_name or entity.name != entity.user):
        return f"{beside(entity.name, entity.user)} ({account})"
    if not entity.account_name:
        return ""
    return f"{account} ({plain(entity.cluster)})" if entity.cluster else account
