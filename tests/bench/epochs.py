"""Runs epochs of the agent in a process of its own, and tells what each cost."""

from __future__ import annotations

import json
import os
import time
from argparse import ArgumentParser, Namespace
from contextlib import AsyncExitStack
from typing import Any

import msgspec
import uvloop
from msgspec.structs import replace
from tests.bench.pauses import pauses
from tests.bench.processes import forget_peak, peak_rss_mib

from nats_insights import checks
from nats_insights.agent import garbage
from nats_insights.agent.epoch import cost, epoch
from nats_insights.config import parse
from nats_insights.connection.connect import connect
from nats_insights.connection.contexts import Settings
from nats_insights.gather.access import recognise
from nats_insights.gather.small import Gatherer
from nats_insights.gather.window import Window
from nats_insights.judge.auditor import Auditor
from nats_insights.judge.declare import discover

# A simulated fleet answers from one process, so it is given time.
CONFIG = "[gather]\ntimeout = '20s'\nsweep = '{sweep}'"
# Where epochs only pretend to be apart, the clocks of the servers do not go along.
CLOCKS = "\n[checks.clock_offset]\nseconds = 86400"
# On this share of a simulated fleet's servers one connection closes and another one opens.
CHURN = b'{"share": 0.02}'
FOUNDING = {"OPT_BALANCE_002", "OPT_BALANCE_003", "OPT_BALANCE_006", "SERVER_011", "USER_002"}


async def measure(args: Namespace, password: str) -> list[dict[str, Any]]:
    """The cost of each epoch of the plan, what it found, and when it began and ended.

    All by one auditor; churn is not measured, nor are `turns`: epochs in which each endpoint that
    is not requested in every epoch was requested once.
    """
    settings = Settings(servers=(args.url,), user=args.user, password=password)
    client = await connect(settings, name="bench")
    wanted = FOUNDING if args.checks == "founding" else set(args.checks.split(","))
    known = [one for one in discover(checks) if args.checks == "all" or one.code in wanted]
    if args.hollow:
        known = [replace(one, judge=_nothing) for one in known]
    has_clocks = any(one.name == "clock_offset" for one in known)
    config = CONFIG.format(sweep=args.sweep) + (CLOCKS if has_clocks else "")
    auditor = Auditor(known, parse(config))
    auditor.postpone(time.time())
    auditor.system_accounts |= {(await recognise(client)).account}
    gatherer = Gatherer(client, auditor.config.gather.timeout, Window(auditor.config.gather.window))
    measured: list[dict[str, Any]] = []
    now = time.time()
    for step in args.plan:
        if step == "churn":
            await client.request("FLEET.CHURN", CHURN, timeout=20)
        elif step == "turns":
            for _ in auditor.every:
                garbage.collect()
                await epoch(auditor, gatherer, now, settle=0)
        else:
            measured.append(await _epoch(auditor, gatherer, now, args.pauses))
            now += args.apart
    await client.close()
    return measured


def _nothing(noun: object, params: object) -> None:
    """A check that finds nothing, without a look."""


async def _epoch(auditor: Auditor, gatherer: Gatherer, now: float, watched: bool) -> dict[str, Any]:
    garbage.collect()
    forget_peak()
    async with AsyncExitStack() as stack:
        seen = await stack.enter_async_context(pauses()) if watched else None
        began = time.monotonic()
        await epoch(auditor, gatherer, now, settle=0)
        ended = time.monotonic()
    lives = [life for life in auditor.lives.values() if life.is_open]
    return msgspec.to_builtins(cost(auditor, gatherer)) | {
        "began": began,
        "ended": ended,
        "longest_pause": seen.longest if seen else None,
        "peak_rss_mib": peak_rss_mib(),
        "answered": auditor.snapshot.coverage.servers_answered,
        "owing": {key: len(late) for key, late in auditor.snapshot.lacking.owed.items() if late},
        "open": [[*life.key, msgspec.json.decode(life.evidence)] for life in lives],
    }


def main() -> None:
    """Print one line of JSON."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("user")
    parser.add_argument("plan", nargs="+", choices=("epoch", "turns", "churn"))
    parser.add_argument("--sweep", choices=("all", "moved"), default="moved")
    parser.add_argument("--checks", default="all", help="founding, all, or codes with commas")
    parser.add_argument("--hollow", action="store_true", help="checks ask, and do not look")
    parser.add_argument("--apart", type=float, default=1, help="seconds between epochs, pretended")
    parser.add_argument("--pauses", action="store_true", help="watch the event loop")
    args = parser.parse_args()
    garbage.keep_out_of_epochs()  # As `nats-insights run` does.
    print(json.dumps(uvloop.run(measure(args, os.environ["NATS_PASSWORD"]))), flush=True)


if __name__ == "__main__":
    main()
