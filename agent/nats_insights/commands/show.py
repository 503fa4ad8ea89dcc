"""Show replies to people: aligned, short, and coloured on a terminal only."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from json import dumps
from typing import Any

import msgspec
from msgspec import Struct
from rich.console import Console
from rich.text import Text

from nats_insights.commands import lines, rows
from nats_insights.commands.table import aligned as aligned
from nats_insights.commands.table import filled, folded, wrapped
from nats_insights.facts import Access, Cost
from nats_insights.tell.messages import (
    Advisory,
    CheckInfo,
    ChecksReply,
    ExplainReply,
    FindingsReply,
    Heartbeat,
    HistoryReply,
    MutesReply,
    MuteState,
    NotEvaluated,
    ParameterInfo,
    PublishingState,
    ServersReply,
    ShardState,
    StatusReply,
)
from nats_insights.tell.parameters import about, allowed, amount, written
from nats_insights.text import plain, shortened

# The exit code of each verdict, as monitoring plugins have them.
EXIT = {"ok": 0, "info": 0, "warning": 1, "critical": 2, "unknown": 3}
STYLES = rows.STYLES | {
    "ok": "green",
    "unknown": "magenta",
    "opened": "bold",
    "resolved": "green",
    "silent": "magenta",
    "stopped": "magenta",
    "back": "green",
}
# Columns of prose.
_WIDEST = 88


class _Output(Console):
    def on_broken_pipe(self) -> None:
        raise  # It is called where the error was caught; rich would exit with 1.


def console() -> Console:
    """Standard output, coloured on a terminal only; lines are broken by the terminal alone."""
    return _Output(highlight=False, soft_wrap=True, markup=False)


def progress(text: str) -> AbstractContextManager[Any]:
    """A line on standard error while something takes its time, on a terminal only."""
    return Console(stderr=True).status(f"{text} …")


def json(reply: Struct) -> None:
    """A reply as JSON, for scripts."""
    print(escaped(msgspec.json.format(msgspec.json.encode(reply), indent=2).decode()))


def escaped(text: str) -> str:
    """JSON that is safe to print and equal when it is read: what does not print is \\uXXXX."""
    return "".join(c if c.isprintable() or c == "\n" else dumps(c)[1:-1] for c in text)


def _access(access: Access) -> str:
    account = rows.beside(access.account_name or access.account, access.account)
    user = rows.beside(access.user_name or access.user, access.user)
    through = f", which imports requests as {plain(access.prefix)}" if access.prefix else ""
    return f"user {user} of account {account}{through}"


def check(reply: FindingsReply, headline: str) -> None:
    """What `check` saw."""
    out = console()
    assert isinstance(reply.status, StatusReply)
    _say(Text(headline, STYLES[reply.status.verdict]), out)
    if reply.findings:
        out.print()
        rows.listed(reply.findings, reply.timestamp, out, ages=False)
    _not_evaluated(out, reply.status.not_evaluated)
    if reply.findings:
        out.print(Text("\n`nats-insights explain CODE` says what to do.", "dim"))


def status(reply: StatusReply) -> None:
    """STATUS."""
    out = console()
    _say(headline(reply), out)
    counts = (("critical", reply.open.critical), ("warning", reply.open.warning))
    open_now = [Text(f"{n} {name}", STYLES[name] if n else "dim") for name, n in counts]
    open_now.append(Text(f"{reply.open.info} info", STYLES["info"] if reply.open.info else "dim"))
    table: list[tuple[str, str | Text]] = [("open", Text(", ").join(open_now))]
    if reply.mutes:
        table.append(("muted", Text(_muted(reply), rows.MUTED)))
    agent, epoch = reply.agent, reply.epoch
    every = f"every {epoch.interval_seconds:g} s, last at {_clock(epoch.started_at)}"
    table.append(("agent", f"{plain(agent.id)} {agent.version}, {agent.role}"))
    if isinstance(reply.access, Access):
        table.append(("access", _access(reply.access)))
    table.append(("epoch", f"{epoch.number}, {every}"))
    if isinstance(reply.cost, Cost):
        table += _cost(reply.cost)
    if isinstance(reply.publishing, PublishingState):
        table.append(("publishing", _publishing(reply.publishing)))
    table += [(f"shard {plain(shard.name)}", _shard(shard)) for shard in reply.shards]
    if epoch.failed:
        what = f"{epoch.failed} epochs, the last by {plain(epoch.last_failure)}"
        table.append(("failed", Text(what, STYLES["warning"])))
    for line in wrapped(table, out, 2):
        out.print(line)
    _not_evaluated(out, reply.not_evaluated)


def _publishing(now: PublishingState) -> Text:
    """Where to, what is not stored, and what is or was wrong."""
    stored = f"stream {plain(now.stream)}" if now.stream else "no stream"
    parts = [f"on {plain(now.server)}, {stored}"] if now.server else []
    counts = ((now.waiting, "wait"), (now.unstored, "not stored"), (now.dropped, "lost"))
    parts += [f"{count} {what}" for count, what in counts if count]
    text = Text(", ".join(parts))
    if said := plain(now.problem):
        return Text(": ").join([*filter(None, (text,)), Text(said, STYLES["warning"])])
    if now.last_problem:
        text.append(f" (it was: {plain(now.last_problem)})", "dim")
    return text


def _shard(shard: ShardState) -> Text:
    if shard.why:
        return Text(f"unknown: {plain(shard.why)}", STYLES["unknown"])
    answered = f"{shard.servers_answered} of {shard.servers_known} servers answered"
    return Text(f"{shard.verdict}, {answered}, agent {plain(shard.agent)}", STYLES[shard.verdict])


def findings(reply: FindingsReply, state: str = "open") -> None:
    """FINDINGS: how many there are, and those of this page."""
    out = console()
    _say(rows.headline(reply, state), out)
    for name in reply.silent_shards:
        _say(Text(f"without those of shard {plain(name)}, which is silent", STYLES["unknown"]), out)
    rows.listed(reply.findings, reply.timestamp, out)
    if left := reply.total - len(reply.findings):
        how = "`nats-insights findings --limit 0` lists all, `--by code` counts them"
        _say(Text(f"{left} more; {how}", "dim"), out)


def groups(reply: FindingsReply, state: str, by: str) -> None:
    """FINDINGS in groups."""
    out = console()
    _say(rows.headline(reply, state), out)
    rows.grouped(reply.groups, by, out)
    if left := reply.total - len(reply.groups):
        _say(Text(f"{left} more; `--limit 0` lists all", "dim"), out)


def history(reply: HistoryReply) -> None:
    """HISTORY: how much happened, then that, the last below."""
    out, now = console(), reply.timestamp
    known = f"known since {rows.clock(reply.known_since, now)}"
    known += f", with stream {plain(reply.stream)}" if reply.stream else ""
    count = f"{reply.total} transition{'s' * (reply.total != 1)}"
    _say(Text(f"{count if reply.total else 'nothing happened'}; {known}"), out)
    if left := reply.total - len(reply.transitions):
        _say(Text(f"{left} more before these; `--limit 0` lists all", "dim"), out)
    if reply.problem:
        _say(Text(plain(reply.problem), STYLES["warning"]), out)
    clusters = {one.entity.cluster for one in reply.transitions} - {""}
    table = [
        (
            Text(rows.clock(one.timestamp, now), "dim"),
            Text(one.transition, STYLES.get(one.transition, "")),
            rows.severity(one.severity),
            plain(one.code),
            plain(one.entity.cluster) if len(clusters) > 1 else "",
            rows.happened(one, now),
        )
        for one in reversed(reply.transitions)
    ]
    columns = ("at", "", "severity", "check", "cluster", "")
    if table:
        for line in wrapped(filled(columns, table), out):
            out.print(line)


def mutes(reply: MutesReply) -> None:
    """MUTES: each until when, how many open findings it mutes, who made it and why."""
    out, now = console(), reply.timestamp
    count = f"{reply.total} mute{'s' * (reply.total != 1)}"
    _say(Text(count if reply.total else "nothing is muted"), out)
    table = [
        (
            rows.clock(one.until, now),
            f"{one.findings:>8}",
            plain(one.code),
            _muting(one),
        )
        for one in reply.mutes
    ]
    columns = ("until", "findings", "check", "")
    if table:
        for line in wrapped(filled(columns, table), out):
            out.print(line)


def _muting(mute: MuteState) -> Text:
    """What a mute names beside a check, who made it, and why."""
    names = ("cluster", "server", "account", "user")
    values = [("finding", mute.fingerprint), *((name, getattr(mute, name)) for name in names)]
    text = Text(", ".join(f"{name} {shortened(value)}" for name, value in values if value))
    if said := ": ".join(filter(None, (plain(mute.who), plain(mute.why)))):
        text.append(f" ({said})" if text else f"({said})", "dim")
    return text


def servers(reply: ServersReply) -> None:
    """SERVERS: how many there are in each state, then each, those that do not answer first."""
    out, now = console(), reply.timestamp
    states = Counter(server.state for server in reply.servers)
    told = [Text(f"{n} {state}", _state(state)) for state, n in sorted(states.items())]
    _say(Text(f"{reply.total} server{'s' * (reply.total != 1)}: ") + Text(", ").join(told), out)
    table = [
        (
            Text(server.state, _state(server.state)),
            plain(server.name),
            plain(server.cluster),
            plain(server.version),
            f"{rows.age(server.last_seen, now)} ago",
            plain(server.last_error),
        )
        for server in sorted(reply.servers, key=lambda server: server.state == "answering")
    ]
    columns = ("state", "server", "cluster", "version", "last answered", "")
    if table:
        for line in wrapped(filled(columns, table), out):
            out.print(line)
    if "dead" in states:
        how = "`nats-insights forget SERVER` removes one that will not come back"
        _say(Text(how, "dim"), out)


def _say(text: Text, out: Console) -> None:
    for line in folded(text, out):
        out.print(line)


def _state(name: str) -> str:
    return STYLES["ok" if name == "answering" else "unknown"]


def checks(reply: ChecksReply) -> None:
    """CHECKS."""
    out = console()
    table = [
        (
            row.code,
            rows.severity(row.severity),
            Text(row.name, "" if row.enabled else "dim strike"),
            Text("; ").join(filter(None, (Text(_parameters(row)), Text(_last(row), "dim")))),
        )
        for row in reply.checks
    ]
    columns = ("check", "severity", "name", "parameters; last outcome")
    for line in wrapped(filled(columns, table), out):
        out.print(line)


def explain(reply: ExplainReply) -> None:
    """EXPLAIN."""
    out, found = console(), reply.check
    out.print(Text(f"{found.code} {found.name}", "bold"), rows.severity(found.severity))
    width = min(_WIDEST, out.width) if out.is_terminal else _WIDEST
    out.print(textwrap.fill(f"{found.title}.", width) + "\n")
    parts = (
        ("What it finds", reply.finds),
        ("Why it matters", reply.why),
        ("What to do", reply.do),
        ("Why these defaults", reply.default),
        ("The public catalogue", reply.catalogue),
    )
    for heading, text in parts:
        if not text:
            continue
        out.print(Text(heading, "bold"))
        out.print(textwrap.fill(text, width, initial_indent="  ", subsequent_indent="  ") + "\n")
    if found.parameters:
        out.print(Text("Parameters", "bold"))
        for line in wrapped(map(_parameter, found.parameters), out, 2):
            out.print(line)
        out.print()
    opens, resolves = _evaluations(found.open_after), _evaluations(found.resolve_after)
    sentence = f"{reads(found.needs)} Opens after {opens}, resolves after {resolves}."
    out.print(textwrap.fill(sentence, width))


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
    text = rows.happened(advisory, advisory.timestamp).plain
    out.print(lines.row(Text(" ").join(cells), text, out))


def agent(event: str, sentence: str, out: Console) -> None:
    """What happened to the agent, as one line."""
    out.print(
        Text(_clock(datetime.now(UTC)), "dim"),
        Text(f"{event:<8}", STYLES.get(event, "")),
        sentence,
    )


def _cost(cost: Cost) -> list[tuple[str, str | Text]]:
    spent = f"{cost.cpu_seconds * 1000:.0f} ms of CPU in {cost.wall_seconds * 1000:.0f} ms"
    table: list[tuple[str, str | Text]] = [
        ("cost", f"{cost.requests} requests, {cost.bytes / 1024:,.0f} KiB, {spent}")
    ]
    if cost.dropped_messages or cost.dropped_advisories:
        what = f"{cost.dropped_messages} messages, {cost.dropped_advisories} advisories"
        table.append(("lost", Text(what, STYLES["warning"])))
    return table


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
    if muted := sum(getattr(status.muted, name) for name in rows.STYLES):
        line.append(f"; {muted} muted", rows.MUTED)
    return line


def _muted(status: StatusReply) -> str:
    muted = {name: getattr(status.muted, name) for name in rows.STYLES}
    told = ", ".join(f"{n} {name}" for name, n in muted.items() if n) or "nothing that is open"
    return f"{told}, by {status.mutes} mute{'s' * (status.mutes != 1)}"


def _not_evaluated(out: Console, unknown: list[NotEvaluated]) -> None:
    if not unknown:
        return
    out.print(Text("\nnot evaluated, or only in part", STYLES["unknown"]))
    table = [
        (
            row.code,
            row.name,
            plain(row.why) + (" (expected)" if row.excused else ""),
            also,
        )
        for row in unknown
        for also in [_also(row)]
    ]
    for line in wrapped(table, out, 2):
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
