"""What `check` found as monitoring plugins say it: a status line, and the output for Nagios."""

from __future__ import annotations

from collections.abc import Iterator

from nats_insights.commands.show import EXIT
from nats_insights.facts import Cost
from nats_insights.tell.messages import FindingsReply, StatusReply
from nats_insights.text import plain, shortened

# The words of the exit codes.
_WORDS = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
# Nagios reads 8 KiB of output: so many findings fit, of so many characters.
_MOST_FINDINGS = 40
_LONGEST = 150
# Names and reasons in the status line.
_MOST_NAMES = 5
_MOST_REASONS = 2


def headline(status: StatusReply) -> str:
    """One line: the word of the exit code, what is open, who answered, and why it is unknown."""
    counts = (
        (status.open.critical, "critical", "critical"),
        (status.open.warning, "warning", "warnings"),
        (status.open.info, "info", "info"),
    )
    told = [f"{n} {one if n == 1 else many}" for n, one, many in counts if n] or ["no findings"]
    coverage = status.coverage
    told.append(f"{coverage.servers_answered} of {coverage.servers_known} servers answered")
    if coverage.missing:
        told.append(f"not {_some(coverage.missing, _MOST_NAMES)}")
    if waiting := status.checks_not_evaluated:
        why = [row.why for row in status.not_evaluated if not row.excused]
        checks = "check" if waiting == 1 else "checks"
        told.append(f"{waiting} {checks} not evaluated ({_some(why, _MOST_REASONS)})")
    return f"{_WORDS[EXIT[status.verdict]]}: {', '.join(told)}"


def nagios(reply: FindingsReply) -> str:
    """The status line with performance data, then a line for each finding and what is unknown."""
    status = reply.status
    assert isinstance(status, StatusReply)
    first, *more = _lines(reply, status)
    return "\n".join([f"{first} | {_performance(status)}", *more])


def failed(reason: str) -> str:
    """The output for Nagios where nothing could be audited."""
    return _without_pipes(f"UNKNOWN: {plain(reason)}")


def _lines(reply: FindingsReply, status: StatusReply) -> Iterator[str]:
    yield _without_pipes(headline(status))
    for finding in reply.findings[:_MOST_FINDINGS]:
        line = f"{finding.severity.upper()} {finding.code} {finding.summary}"
        yield _without_pipes(shortened(line, _LONGEST))
    if (rest := len(reply.findings) - _MOST_FINDINGS) > 0:
        yield f"and {rest} more findings"
    for row in status.not_evaluated:
        accepted = " (expected)" if row.excused else ""
        line = f"not evaluated: {', '.join([row.code, *row.others])}: {row.why}"
        yield _without_pipes(shortened(line, _LONGEST) + accepted)


def _performance(status: StatusReply) -> str:
    """Performance data: label=value[unit];warning;critical;minimum;maximum."""
    known = status.coverage.servers_known
    assert isinstance(status.cost, Cost)
    return " ".join(
        (
            f"critical={status.open.critical};;;0",
            f"warning={status.open.warning};;;0",
            f"info={status.open.info};;;0",
            f"servers_answered={status.coverage.servers_answered};;;0;{known}",
            f"checks_not_evaluated={status.checks_not_evaluated};;;0",
            f"time={status.cost.wall_seconds:.3f}s;;;0",
        )
    )


def _some(names: list[str], most: int) -> str:
    shown = [plain(name) for name in names[:most]]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{'; '.join(shown)}{more}"


def _without_pipes(line: str) -> str:
    """What follows a pipe would be read as performance data."""
    return line.replace("|", "\\x7c")
