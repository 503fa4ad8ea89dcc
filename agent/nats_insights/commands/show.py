"""Show replies to people: aligned, short, and coloured on a terminal only."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from json import dumps
from typing import Any

import msgspec
from msgspec import Struct
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from nats_insights.commands import lines
from nats_insights.facts import Access
from nats_insights.tell.messages import (
    Advisory,
    CheckInfo,
    ChecksReply,
    Entity,
    ExplainReply,
    FindingsReply,
    FindingState,
    Heartbeat,
    NotEvaluated,
    ParameterInfo,
    ServersReply,
    StatusReply,
)
from nats_insights.tell.parameters import about, allowed, amount, written
from nats_insights.text import plain

# The exit code of each verdict, as monitoring plugins have them.
EXIT = {"ok": 0, "info": 0, "warning": 1, "critical": 2, "unknown": 3}
STYLES = {
    "critical": "bold red",
    "warning": "yellow",
    "info": "cyan",
    "ok": "green",
    "unknown": "magenta",
    "opened": "bold",
    "resolved": "green",
    "silent": "magenta",
    "stopped": "magenta",
    "back": "green",
}
# Characters of a key that are shown beside its name.
_KEY = 8


class _Output(Console):
    def on_broken_pipe(self) -> None:
        raise  # It is called where the error was caught; rich would exit with 1.


def console() -> Console:
    """Standard output, coloured on a terminal only; lines are broken by the terminal alone."""
    return _Output(highlight=False, soft_wrap=True, markup=False)


def aligned(rows: Iterable[Sequence[str | Text]], indent: int = 0) -> Iterator[Text]:
    """Rows of cells as lines whose columns stand below each other."""
    table = [[cell if isinstance(cell, Text) else Text(cell) for cell in row] for row in rows]
    widths = [max(cell_len(cell.plain) for cell in column) for column in zip(*table, strict=True)]
    for row in table:
        line = Text(" " * indent)
        for cell, width in zip(row, widths, strict=True):
            line.append_text(cell)
            line.append(" " * (width - cell_len(cell.plain) + 2))
        line.rstrip()
        yield line


def progress(text: str) -> AbstractContextManager[Any]:
    """A line on standard error while something takes its time, on a terminal only."""
    return Console(stderr=True).status(f"{text} …")


def json(reply: Struct) -> None:
    """A reply as JSON, for scripts."""
    print(escaped(msgspec.json.format(msgspec.json.encode(reply), indent=2).decode()))


def escaped(text: str) -> str:
    """JSON that is safe to print and equal when it is read: what does not print is \\uXXXX."""
    return "".join(c if c.isprintable() or c == "\n" else dumps(c)[1:-1] for c in text)


def word(name: str) -> Text:
    """A verdict, a severity or a transition in its colour."""
    loud = name in ("critical", "warning", "info")
    return Text(name.upper() if loud else name, STYLES.get(name, ""))


def whose(entity: Entity) -> str:
    """An entity in one short phrase."""
    name = plain(entity.name)
    if entity.kind in ("server", "account_in_cluster") and entity.cluster:
        key = entity.account if entity.kind == "account_in_cluster" else entity.name
        return f"{_beside(name, key)} ({plain(entity.cluster)})"
    if entity.kind in ("route", "gateway", "leaf", "listener"):
        return f"{name} ({plain(entity.server)})"
    if entity.kind == "user":
        account = _beside(entity.account_name or entity.account, entity.account)
        return f"{_beside(name, entity.id)} ({account})"
    if entity.kind == "account":
        return _beside(name, entity.id)
    return name


def _access(access: Access) -> str:
    user = _beside(access.user_name or access.user, access.user)
    return (
        f"user {user} of account {_beside(access.account_name or access.account, access.account)}"
    )


def _beside(name: str, key: str) -> str:
    """A name and the beginning of the key that has it, since others may have the same name."""
    name, key = plain(name), plain(key)
    return name if name == key else f"{name} {key[:_KEY]}…"


def check(reply: FindingsReply, headline: str) -> None:
    """What `check` saw."""
    out = console()
    assert isinstance(reply.status, StatusReply)
    out.print(Text(headline, STYLES[reply.status.verdict]))
    _rows(out, reply.findings)
    _not_evaluated(out, reply.status.not_evaluated)
    if reply.findings:
        out.print(Text("\n`nats-insights explain CODE` says what to do.", "dim"))


def status(reply: StatusReply) -> None:
    """STATUS."""
    out = console()
    out.print(headline(reply))
    counts = (("critical", reply.open.critical), ("warning", reply.open.warning))
    open_now = [Text(f"{n} {name}", STYLES[name] if n else "dim") for name, n in counts]
    open_now.append(Text(f"{reply.open.info} info", STYLES["info"] if reply.open.info else "dim"))
    rows: list[tuple[str, str | Text]] = [("open", Text(", ").join(open_now))]
    agent, epoch, cost = reply.agent, reply.epoch, reply.cost
    every = f"every {epoch.interval_seconds:g} s, last at {_clock(epoch.started_at)}"
    spent = f"{cost.cpu_seconds * 1000:.0f} ms of CPU in {cost.wall_seconds * 1000:.0f} ms"
    rows += [
        ("agent", f"{plain(agent.id)} {agent.version}, {agent.role}"),
        ("access", _access(reply.access)),
        ("epoch", f"{epoch.number}, {every}"),
        ("cost", f"{cost.requests} requests, {cost.bytes / 1024:,.0f} KiB, {spent}"),
    ]
    if cost.dropped_messages or cost.dropped_advisories:
        what = f"{cost.dropped_messages} messages, {cost.dropped_advisories} advisories"
        rows.append(("lost", Text(what, STYLES["warning"])))
    if epoch.failed:
        what = f"{epoch.failed} epochs, the last by {plain(epoch.last_failure)}"
        rows.append(("failed", Text(what, STYLES["warning"])))
    for line in aligned(rows, 2):
        out.print(line)
    _not_evaluated(out, reply.not_evaluated)


def findings(reply: FindingsReply) -> None:
    """FINDINGS."""
    out = console()
    if not reply.findings:
        out.print("no findings")
    _rows(out, reply.findings)


def servers(reply: ServersReply) -> None:
    """SERVERS, those that do not answer first."""
    out = console()
    rows = [
        (
            Text(row.state, "" if row.state == "answering" else STYLES["unknown"]),
            plain(row.name),
            plain(row.cluster),
            plain(row.version),
            f"{row.last_seen.astimezone():%Y-%m-%d %H:%M:%S}",
            plain(row.last_error),
        )
        for row in sorted(reply.servers, key=lambda row: row.state == "answering")
    ]
    heading = tuple(Text(word, "dim") for word in ("state", "server", "cluster", "version"))
    heading += (Text("last answered", "dim"), Text(""))
    for line in aligned([heading, *rows]):
        out.print(line)


def checks(reply: ChecksReply) -> None:
    """CHECKS."""
    out = console()
    rows = [
        (
            row.code,
            word(row.severity),
            Text(row.name, "" if row.enabled else "dim strike"),
            _parameters(row),
            Text(_last(row), "dim"),
        )
        for row in reply.checks
    ]
    for line in aligned(rows):
        out.print(line)


def explain(reply: ExplainReply) -> None:
    """EXPLAIN."""
    out, found = console(), reply.check
    out.print(Text(f"{found.code} {found.name}", "bold"), word(found.severity))
    out.print(f"{found.title}.\n")
    for heading, text in (("Finds", reply.finds), ("Why", reply.why), ("Do", reply.do)):
        out.print(Text(heading, "bold"))
        out.print(textwrap.fill(text, 88, initial_indent="  ", subsequent_indent="  ") + "\n")
    if found.parameters:
        out.print(Text("Parameters", "bold"))
        for line in aligned(map(_parameter, found.parameters), 2):
            out.print(line)
    opens, resolves = _evaluations(found.open_after), _evaluations(found.resolve_after)
    out.print(f"\n{reads(found.needs)} Opens after {opens}, resolves after {resolves}.")


def reads(needs: Sequence[str]) -> str:
    """Which replies a check needs, as a sentence."""
    return f"Reads {', '.join(needs)}." if needs else "Sends no request of its own."


def transition(advisory: Advisory, out: Console) -> None:
    """One advisory as one line, or as several where the terminal is narrow."""
    cells = (
        Text(_clock(advisory.timestamp), "dim"),
        Text(f"{advisory.transition:<8}", STYLES.get(advisory.transition, "")),
        Text(f"{advisory.severity.upper():<8}", STYLES[advisory.severity]),
        Text(f"{plain(advisory.code):<15}"),
    )
    out.print(lines.row(Text(" ").join(cells), plain(advisory.summary), out))


def agent(event: str, sentence: str, out: Console) -> None:
    """What happened to the agent, as one line."""
    out.print(
        Text(_clock(datetime.now(UTC)), "dim"),
        Text(f"{event:<8}", STYLES.get(event, "")),
        sentence,
    )


def headline(status: StatusReply | Heartbeat) -> Text:
    """The verdict, and what it is based on."""
    coverage = status.coverage
    line = Text.assemble((f"● {status.verdict}", STYLES[status.verdict]))
    line.append(f"  {coverage.servers_answered} of {coverage.servers_known} servers answered")
    if coverage.missing:
        line.append(f", not {', '.join(map(plain, coverage.missing))}", STYLES["unknown"])
    if waiting := status.checks_not_evaluated:
        checks = "check" if waiting == 1 else "checks"
        line.append(f"; {waiting} {checks} could not be evaluated", STYLES["unknown"])
    return line


def _rows(out: Console, found: Iterable[FindingState]) -> None:
    rows = [
        (
            word(finding.severity),
            plain(finding.code),
            whose(finding.entity),
            plain(finding.summary),
            _state(finding),
        )
        for finding in found
    ]
    if rows:
        out.print()
    for line in aligned(rows):
        out.print(line)


def _state(finding: FindingState) -> Text:
    if finding.state == "resolved":
        return Text("resolved", STYLES["resolved"])
    return Text("stale", STYLES["unknown"]) if finding.stale else Text("")


def _not_evaluated(out: Console, unknown: list[NotEvaluated]) -> None:
    if not unknown:
        return
    out.print(Text("\nnot evaluated, or only in part", STYLES["unknown"]))
    rows = (
        (
            row.code,
            row.name,
            plain(row.why) + (", which does not count" if row.excused else ""),
            also,
        )
        for row in unknown
        for also in [_also(row)]
    )
    for line in aligned(rows, 2):
        out.print(line)


def _also(row: NotEvaluated) -> str:
    """Further checks that lack the same."""
    if row.checks == 1:
        return ""
    unnamed = row.checks - 1 - len(row.others)
    more = f" and {unnamed} more" if unnamed else ""
    return f"also {', '.join(row.others)}{more}"


def _parameter(parameter: ParameterInfo) -> tuple[str, str, Text]:
    first, *more = about(parameter)
    told = f"{first} ({ends})" if (ends := allowed(parameter)) else first
    return parameter.name, amount(parameter), Text("; ".join([told, *more]), "dim")


def _parameters(row: CheckInfo) -> str:
    shown = [
        f"{parameter.name}={written(parameter, parameter.value)}" for parameter in row.parameters
    ]
    return " ".join(shown) + (f" +{row.overrides} overrides" if row.overrides else "")


def _last(row: CheckInfo) -> str:
    if not row.enabled:
        return "disabled"
    if row.last is None:
        return ""
    if row.last.not_due:
        return "not due"
    unknown = f", {row.last.unknown} unknown" if row.last.unknown else ""
    return f"{row.last.found} of {row.last.judged} found{unknown}"


def _evaluations(number: int) -> str:
    return "one evaluation" if number == 1 else f"{number} evaluations"


def _clock(time: datetime) -> str:
    return f"{time.astimezone():%H:%M:%S}"
