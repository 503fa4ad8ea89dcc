"""A screen that refreshes: the verdict, the agent's last heartbeat, and the worst findings."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from heapq import nsmallest

from msgspec import Struct
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from nats_insights.commands import rows, show
from nats_insights.commands.leading import Leading, News
from nats_insights.commands.wanted import SEVERITIES, Wanted
from nats_insights.config import span
from nats_insights.tell.messages import (
    Advisory,
    FindingsReply,
    FindingState,
    Heartbeat,
    StatusReply,
)
from nats_insights.tell.weight import weight
from nats_insights.text import plain

# Seconds between two pictures: the size of the terminal is looked up for each.
REFRESH = 0.5
# What ends the screen, and the exit code.
ENDS = {signal.SIGINT: 0, signal.SIGTERM: 128 + signal.SIGTERM}
# Where a sentence would get fewer columns than this, it stands below its severity and code.
NARROW = 40
# Findings that are kept: whoever may publish advisories may invent fingerprints.
MOST = 200_000
# Findings that are sorted for one picture: more lines than a terminal has.
MOST_LINES = 500


class Picture(Struct, frozen=True, kw_only=True):
    """What the screen shows at one moment; times are of the wall clock."""

    now: datetime
    status: StatusReply | Heartbeat | None
    silence: str = ""
    heard: str = ""
    filters: str = ""
    note: str = ""
    counts: dict[str, int]
    muted: int = 0
    worst: list[FindingState]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width, height = options.max_width, options.height or console.height
        head = [line for text in self._head() for line in _wrapped(text, console, width)]
        foot = [line for text in self._foot() for line in _wrapped(text, console, width)]
        room = height - len(head) - len(foot) - 2
        body = self._body(console, width, max(0, room))
        blank = [Text("")] * max(0, height - len(head) - len(foot) - len(body) - 1)
        lines = [*head, Text(""), *body, *blank, *foot][:height]
        yield Text("\n").join(lines)

    def _head(self) -> Iterable[Text]:
        if self.status is None:
            yield Text("● unknown  no agent has answered yet", show.STYLES["unknown"])
        elif self.silence:
            yield Text(f"● unknown  {self.silence}", show.STYLES["unknown"])
        else:
            yield show.headline(self.status)
        if self.status is not None:
            agent = self.status.agent
            yield Text(f"agent {plain(agent.id)}, epoch {agent.epoch}{self.heard}", "dim")
        counted = Text(f"{sum(self.counts.values())} open: ")
        counts = (
            Text(f"{count} {name}", show.STYLES[name] if count else "dim")
            for name in reversed(SEVERITIES)
            for count in [self.counts.get(name, 0)]
        )
        counted.append_text(Text(", ").join(counts))
        if self.muted:
            counted.append(f"; {self.muted} muted", rows.MUTED)
        if self.filters:
            counted.append(f"; only {self.filters}", "dim")
        yield counted

    def _body(self, console: Console, width: int, room: int) -> list[Text]:
        """As many of the worst findings as there is room for, and how many are left out."""
        total = sum(self.counts.values()) + self.muted
        lines: list[Text] = []
        for number, finding in enumerate(self.worst):
            own = self._finding(finding, console, width)
            # The last line is needed for what is left out.
            if len(lines) + len(own) > room - (number + 1 < total):
                if room > len(lines):
                    lines.append(Text(f"and {total - number} more", "dim"))
                break
            lines += own
        return lines

    def _finding(self, finding: FindingState, console: Console, width: int) -> list[Text]:
        codes = max(len(plain(one.code)) for one in self.worst)
        start = Text.assemble(
            (f"{finding.severity.upper():<8}", show.STYLES[finding.severity]),
            f"  {plain(finding.code):<{codes}}",
            (f"  {rows.age(finding.opened_at, self.now):>3}  ", "dim"),
        )
        sentence = rows.sentence(finding, self.now)
        indent = len(start)
        if width - indent < NARROW:
            start.rstrip()
            return [start, *_wrapped(sentence, console, width, 2)]
        first, *more = _wrapped(sentence, console, width, indent)
        return [start.append_text(first[indent:]), *more]

    def _foot(self) -> Iterable[Text]:
        if self.note:
            yield Text(self.note, "dim")
        yield Text("Ctrl-C ends", "dim")


class Screen:
    """What was heard so far, and the terminal that shows it."""

    def __init__(self, leading: Leading) -> None:
        self.leading = leading
        self._filters = ""
        self._status: StatusReply | None = None
        self._open: dict[str, FindingState] = {}
        self._silence = ""
        self._note = ""

    def listed(self, found: FindingsReply, status: StatusReply, wants: Wanted) -> None:
        self._filters = wants.words()
        self._status, self._silence = status, ""
        self._open = {finding.fingerprint: finding for finding in found.findings}

    def unanswered(self, why: str) -> None:
        self.note(why)

    def advisory(self, advisory: Advisory, message: bytes) -> None:
        known = self._open.get(advisory.fingerprint)
        # A server that was frozen delivers old messages when it resumes.
        if known and _order(advisory) < _order(known):
            return
        if advisory.state == "resolved":
            self._open.pop(advisory.fingerprint, None)
        elif known or len(self._open) < MOST:
            self._open[advisory.fingerprint] = advisory

    def agent(self, news: News) -> None:
        self._silence = news.sentence if news.event in ("silent", "stopped") else ""
        self.note(news.sentence)

    def note(self, text: str) -> None:
        """A line at the foot, until there is another one."""
        self._note = f"{datetime.now().astimezone():%H:%M:%S} {plain(text)}"

    def picture(self, now: datetime, clock: float) -> Picture:
        """What to show now; `clock` is the monotonic one."""
        beat = self.leading.last
        status = self._status
        newer = beat is not None and (status is None or beat.timestamp >= status.timestamp)
        heard = ""
        if beat is not None:
            age, every = int(clock - self.leading.heard), span(round(beat.interval_seconds, 1))
            heard = f", last heartbeat {span(age)} ago, one every {every}"
        if not self._silence:  # Else nobody is there to publish it again in time.
            self._open = {key: f for key, f in self._open.items() if f.valid_until > now}
        current = self._open.values()
        loud = Counter[str](finding.severity for finding in current if not finding.muted)
        return Picture(
            now=now,
            status=beat if newer else status,
            silence=self._silence,
            heard=heard,
            filters=self._filters,
            note=self._note,
            counts=dict(loud),
            muted=len(current) - loud.total(),
            worst=nsmallest(MOST_LINES, current, key=_worst_first),
        )

    @asynccontextmanager
    async def shown(self) -> AsyncIterator[None]:
        """Show it until the end, and then leave the terminal as it was."""
        console = Console(highlight=False, markup=False)
        notes = _Notes(self)
        live = Live(
            console=console,
            screen=True,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        loop = asyncio.get_running_loop()
        logging.getLogger().addHandler(notes)
        # Ctrl-C is the way to end, hence 0; and no signal may leave the terminal as it is now.
        for number, code in ENDS.items():
            loop.add_signal_handler(number, sys.exit, code)
        try:
            with live:
                drawing = asyncio.create_task(self._draw(live))
                try:
                    yield
                finally:
                    drawing.cancel()
                    with suppress(asyncio.CancelledError):
                        await drawing
        finally:
            for number in ENDS:
                loop.remove_signal_handler(number)
            logging.getLogger().removeHandler(notes)

    async def _draw(self, live: Live) -> None:
        while True:
            live.update(self.picture(datetime.now(UTC), time.monotonic()), refresh=True)
            await asyncio.sleep(REFRESH)


class _Notes(logging.Handler):
    """What would be logged on the terminal goes to the foot of the screen."""

    def __init__(self, screen: Screen) -> None:
        super().__init__(logging.WARNING)
        self._screen = screen

    def emit(self, record: logging.LogRecord) -> None:
        self._screen.note(record.getMessage())


def possible() -> bool:
    """Whether standard output is a terminal on which text can be put anywhere."""
    return sys.stdout.isatty() and not Console().is_dumb_terminal


def _wrapped(text: Text, console: Console, width: int, indent: int = 0) -> list[Text]:
    """A text in lines that are broken between words, each indented by so many columns."""
    lines = text.wrap(console, max(1, width - indent), overflow="fold")
    for line in lines:
        line.rstrip()
    return [Text(" " * indent).append_text(line) for line in lines] or [Text(" " * indent)]


def _order(finding: FindingState) -> tuple[datetime, int]:
    """Later messages about one finding compare greater."""
    return finding.opened_at, finding.revision


def _worst_first(finding: FindingState) -> tuple[bool, int, bool, float, str, str]:
    """The most severe first, then what nothing else explains, then the farthest past its limit.

    Muted ones come after all others.
    """
    beyond = weight(finding.value, finding.threshold, finding.clearing)
    severity = -SEVERITIES.index(finding.severity)
    explained = finding.explained_by is not None
    muted = finding.muted is not None
    return muted, severity, explained, -beyond, finding.code, finding.entity.name
