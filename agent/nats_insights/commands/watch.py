"""Show what is open, then each advisory as it is published."""

from __future__ import annotations

import asyncio
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Awaitable, Callable
from contextlib import aclosing

import msgspec
from nats.aio.msg import Msg

from nats_insights import config, subjects
from nats_insights.commands import show
from nats_insights.commands.ask import query
from nats_insights.commands.options import format_option
from nats_insights.connection import contexts
from nats_insights.connection.client import Client
from nats_insights.connection.connect import clients
from nats_insights.errors import ConnectError, RequestError
from nats_insights.tell.messages import Advisory, FindingsReply
from nats_insights.text import plain


def options(parser: ArgumentParser) -> None:
    """Flags of `watch`."""
    format_option(parser)
    parser.add_argument(
        "--severity", choices=("critical", "warning", "info"), help="only this severity"
    )
    parser.add_argument("--cluster", metavar="NAME", help="only this cluster")
    parser.add_argument("--code", metavar="CODE", help="only this check")
    parser.add_argument("--for", dest="seconds", metavar="20s", help="exit after this time")
    contexts.add_options(parser)


async def run(args: Namespace) -> int:
    """Watch until interrupted, or for as long as was asked."""
    seconds = config.seconds(args.seconds, "--for") if args.seconds else None
    try:
        async with asyncio.timeout(seconds):
            await _watch(args)
    except TimeoutError:
        return 0
    return 0


async def _watch(args: Namespace) -> None:
    connections = clients(contexts.from_args(args), name="nats-insights-watch")
    async with aclosing(connections):
        async for client in connections:
            await client.subscribe(_subject(args), cb=_printer(args))
            if args.format == "text":
                await _open_now(client)
            await client.closed.wait()


def _subject(args: Namespace) -> str:
    severity = args.severity.upper() if args.severity else "*"
    cluster = subjects.token(args.cluster) if args.cluster else "*"
    code = args.code.upper() if args.code else "*"
    return f"{subjects.ADVISORY}.{severity}.*.{cluster}.*.{code}.*"


def _printer(args: Namespace) -> Callable[[Msg], Awaitable[None]]:
    out = show.console()

    async def show_one(message: Msg) -> None:
        try:
            if args.format == "json":
                line = msgspec.json.format(message.data, indent=-1).decode()
                print(show.escaped(line), flush=True)
            else:
                show.transition(msgspec.json.decode(message.data, type=Advisory), out)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            said = f"received a message on {plain(message.subject)} that is not an advisory"
            print(said, file=sys.stderr, flush=True)

    return show_one


async def _open_now(client: Client) -> None:
    try:
        found = await query(client, "FINDINGS", FindingsReply, timeout=2.0)
    except (ConnectError, RequestError) as error:
        show.console().print(f"waiting for advisories; {error}", style="dim")
        return
    show.console().print(f"{found.total} open; waiting for advisories", style="dim")
    if found.total:
        show.findings(found)
