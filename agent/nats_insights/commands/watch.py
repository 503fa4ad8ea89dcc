"""Show what is open, then each advisory as it is published, and whether the agent still runs."""

from __future__ import annotations

import asyncio
import logging
import time
from argparse import ArgumentParser, Namespace
from contextlib import aclosing, nullcontext, suppress
from datetime import UTC, datetime
from typing import Literal, Protocol

import msgspec
import nats.errors
from msgspec import Struct
from msgspec.structs import asdict, replace
from nats.aio.msg import Msg
from rich.text import Text

from nats_insights import config, subjects
from nats_insights.commands import rows, screen, show, wanted
from nats_insights.commands.ask import every_row, query
from nats_insights.commands.leading import Event, Leading, News
from nats_insights.commands.options import format_option
from nats_insights.commands.wanted import Wanted
from nats_insights.connection import contexts
from nats_insights.connection.client import Client
from nats_insights.connection.connect import clients
from nats_insights.errors import ConfigError, ConnectError, RequestError
from nats_insights.facts import Coverage
from nats_insights.tell.messages import (
    Advisory,
    AgentInfo,
    FindingsReply,
    FindingState,
    Heartbeat,
    StatusReply,
    Time,
)
from nats_insights.text import plain

log = logging.getLogger(__name__)

# Messages that were received and not shown yet; beyond that the library keeps them, and drops some
# at last.
MOST_WAITING = 1000
# Seconds between two looks whether heartbeats stopped, or the connection broke.
LOOK = 0.25
HEARTBEATS = f"{subjects.HEARTBEAT}.*"
# Beside msgspec's own errors: bad UTF-8, and deep nesting in a field that is not decoded.
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class OpenLine(FindingState, frozen=True, kw_only=True):
    """A line of `watch --format json`: a finding that is open when watching begins."""

    type: Literal["insights.watch.v1.open"] = "insights.watch.v1.open"
    timestamp: Time
    agent: AgentInfo
    coverage: Coverage


class AgentLine(Struct, frozen=True, kw_only=True):
    """A line of `watch --format json` about the agent, in one sentence.

    The `event` is `listed` when all that is open was listed, `open` findings, and `unanswered` when
    that failed. It is `silent` when no heartbeat came for as long as the last one allows, `stopped`
    when the agent was stopped, `back` when it is there again, `leads` when another agent leads.
    """

    type: Literal["insights.watch.v1.agent"] = "insights.watch.v1.agent"
    timestamp: Time
    event: Event | Literal["listed", "unanswered"]
    agent: str
    summary: str
    open: int | None = None


class Output(Protocol):
    """Where all goes that is watched."""

    def listed(self, found: FindingsReply, status: StatusReply, wants: Wanted) -> None:
        """All that is open, once more where the agent or the connection was lost."""

    def unanswered(self, why: str) -> None:
        """What is open could not be asked for."""

    def advisory(self, advisory: Advisory, message: bytes) -> None:
        """One advisory that passes the filters."""

    def agent(self, news: News) -> None:
        """The agent was lost, is back, or another one leads."""


def options(parser: ArgumentParser) -> None:
    """Flags of `watch`."""
    format_option(parser)
    parser.add_argument(
        "--full",
        action="store_true",
        help="show a screen that refreshes, until Ctrl-C; needs a terminal",
    )
    wanted.options(parser)
    parser.add_argument(
        "--for", dest="seconds", metavar="DURATION", help="exit after this time, such as 20s"
    )
    contexts.add_options(parser)


async def run(args: Namespace) -> int:
    """Watch until interrupted, or for as long as was asked."""
    seconds = config.seconds(args.seconds, "--for") if args.seconds else None
    if args.full and args.format == "json":
        raise ConfigError("--full is for people and --format json for programs: give one of them")
    if args.full and not screen.possible():
        raise ConfigError("--full needs a terminal: leave it out, or give --format json")
    try:
        async with asyncio.timeout(seconds):
            await _watch(args)
    except TimeoutError:
        return 0
    return 0


async def _watch(args: Namespace) -> None:
    leading = Leading()
    full = screen.Screen(leading) if args.full else None
    output: Output = full or (_JsonLines() if args.format == "json" else _TextLines())
    wants: Wanted | None = None
    connections = clients(contexts.from_args(args), name="nats-insights-watch")
    async with aclosing(connections), full.shown() if full else nullcontext():
        async for client in connections:
            if wants is None:
                wants = await wanted.wanted(args, client)
            leading.listen_again(time.monotonic())
            await _follow(client, wants, leading, output)


async def _follow(client: Client, wants: Wanted, leading: Leading, output: Output) -> None:
    """Show what comes over one connection, until it is closed."""
    inbox: asyncio.Queue[Msg] = asyncio.Queue(MOST_WAITING)
    await client.subscribe(wants.subject, cb=inbox.put)
    await client.subscribe(HEARTBEATS, cb=inbox.put)
    with suppress(nats.errors.Error):
        # One PING overtakes what waits to be written, a second one does not: then we know what the
        # server refuses.
        await client.flush()
        await client.flush()
    if wants.subject in client.denied:
        raise RequestError("the user may not subscribe to $INSIGHTS.ADVISORY.>: allow it")
    if HEARTBEATS in client.denied:
        log.warning("the user may not subscribe to %s: a silent agent is not noticed", HEARTBEATS)
    await _list_open(client, wants, leading, output)
    while not (client.closed.is_set() and inbox.empty()):
        message = await _next(inbox)
        if message is not None:
            _take(message, wants, leading, output)
        news = leading.news(time.monotonic())
        if news is not None:
            output.agent(news)
            if news.event in ("leads", "back"):
                await _list_open(client, wants, leading, output)


async def _next(inbox: asyncio.Queue[Msg]) -> Msg | None:
    """The next message, None after a moment without one."""
    if not inbox.empty():
        return inbox.get_nowait()
    try:
        async with asyncio.timeout(LOOK):
            return await inbox.get()
    except TimeoutError:
        return None


def _take(message: Msg, wants: Wanted, leading: Leading, output: Output) -> None:
    beat = message.subject.startswith(subjects.HEARTBEAT)
    what = "a heartbeat" if beat else "an advisory"
    try:
        if beat:
            heartbeat = msgspec.json.decode(message.data, type=Heartbeat)
            leading.hear(heartbeat, time.monotonic())
            return
        advisory = msgspec.json.decode(message.data, type=Advisory)
    except UNREADABLE:
        log.warning("received a message on %s that is not %s", plain(message.subject), what)
        return
    if wants.admits(advisory):
        output.advisory(advisory, message.data)


async def _list_open(client: Client, wants: Wanted, leading: Leading, output: Output) -> None:
    try:
        status = await query(client, "STATUS", StatusReply)
        found = await every_row(client, "FINDINGS", FindingsReply, "findings", **wants.request)
    except (ConnectError, RequestError) as error:
        output.unanswered(str(error))
        return
    if HEARTBEATS not in client.denied:
        leading.answered(status.agent, status.epoch.interval_seconds, time.monotonic())
    admitted = [finding for finding in found.findings if wants.admits(finding)]
    output.listed(replace(found, findings=admitted, total=len(admitted)), status, wants)


class _TextLines:
    """Lines for people."""

    def __init__(self) -> None:
        self._out = show.console()

    def listed(self, found: FindingsReply, status: StatusReply, wants: Wanted) -> None:
        self._out.print(show.headline(status))
        rows.listed(found.findings, found.timestamp, self._out)
        only = f" ({words})" if (words := wants.words()) else ""
        self._out.print(Text(f"{found.total} open{only}; waiting for advisories", "dim"))

    def unanswered(self, why: str) -> None:
        self._out.print(Text(f"waiting for advisories; {plain(why)}", "dim"))

    def advisory(self, advisory: Advisory, message: bytes) -> None:
        show.transition(advisory, self._out)

    def agent(self, news: News) -> None:
        show.agent(news.event, news.sentence, self._out)


class _JsonLines:
    """One JSON object on each line, for programs."""

    def listed(self, found: FindingsReply, status: StatusReply, wants: Wanted) -> None:
        head = {name: getattr(found, name) for name in ("timestamp", "agent", "coverage")}
        for finding in found.findings:
            self._print(OpenLine(**asdict(finding), **head))
        self._agent("listed", found.agent.id, f"{found.total} open", found.total)

    def unanswered(self, why: str) -> None:
        self._agent("unanswered", "", why)

    def advisory(self, advisory: Advisory, message: bytes) -> None:
        line = msgspec.json.format(message, indent=-1).decode()
        print(show.escaped(line), flush=True)

    def agent(self, news: News) -> None:
        self._agent(news.event, news.agent, news.sentence)

    def _agent(
        self,
        event: Event | Literal["listed", "unanswered"],
        agent: str,
        summary: str,
        count: int | None = None,
    ) -> None:
        now = datetime.now(UTC)
        self._print(AgentLine(timestamp=now, event=event, agent=agent, summary=summary, open=count))

    def _print(self, line: Struct) -> None:
        print(show.escaped(msgspec.json.encode(line).decode()), flush=True)
