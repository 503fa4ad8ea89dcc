"""`python -m tests.bench`: what the agent costs, as ratios measured in one run."""

from __future__ import annotations

import asyncio
import sys
from argparse import ArgumentParser
from collections.abc import Awaitable, Callable
from pathlib import Path
from subprocess import CalledProcessError

from tests.bench.catalogue import catalogue
from tests.bench.crowded import crowded
from tests.bench.disturbance import disturbance
from tests.bench.first_advisory import first_advisory
from tests.bench.fleets import SMALL_PENDING, fleet
from tests.bench.full_house import full_house
from tests.bench.idle import idle
from tests.bench.judging import judging
from tests.bench.peer import CLI, peer
from tests.bench.picture import picture
from tests.bench.rounds import Costs
from tests.bench.streams import streams
from tests.bench.table import aligned, table

from nats_insights.errors import InsightsError
from nats_insights.lab.fleet.size import size

# A process may often open 20,000 files and no more; a server needs some of them for itself.
MOST_CONNECTIONS = 19_900
FULL_HOUSE = 50_000
STREAMS = (100, 1_000)
BESIDE_A_PEER = (1_000, 1_000)
CHECKS, SERVERS, FINDINGS = 150, 1_000, 100_000


async def tell_first_advisory(troubles: list[str]) -> None:
    seconds = await first_advisory(troubles)
    print(f"start to first advisory, epochs every 400 ms: {seconds:.2f} s")


async def tell_idle(troubles: list[str]) -> None:
    cost = await idle(troubles)
    share, memory = cost["cpu_seconds"] / 30, cost["peak_rss_mib"]
    print(f"idle, three servers, an epoch every 30 s: {share:.3%} of one core, {memory:.0f} MiB")


async def tell_crowd(troubles: list[str]) -> None:
    costs = await crowded(10_000, troubles)
    print("10,000 real connections on one of three servers")
    print(*table(costs), sep="\n")


async def tell_small_pending(troubles: list[str]) -> None:
    # Large servers, whose pages are large.
    costs = await fleet(20, 50_000, troubles, SMALL_PENDING)
    print("a fleet of 20x50000, on servers with max_pending: 8MB")
    print(*table(costs), sep="\n")


async def tell_streams(troubles: list[str]) -> None:
    whole, pause = await streams(*STREAMS, troubles)
    told = whole["endpoints"]["JSZ_STREAMS"]
    print("{} servers with {:,} replicas of streams each, max_pending: 8MB".format(*STREAMS))
    print(
        f"  {told['bytes'] / 2**20:.1f} MiB in {told['replies']} replies, "
        f"{whole['peak_window_bytes'] / 2**20:.1f} MiB of them asked for at a time"
    )
    print(
        f"  {whole['wall_seconds']:.1f} s, {whole['cpu_seconds']:.1f} s of CPU, "
        f"{whole['peak_rss_mib']:.0f} MiB, longest pause of the event loop {1000 * pause:.0f} ms"
    )


async def tell_disturbance(troubles: list[str]) -> None:
    measured = await disturbance(MOST_CONNECTIONS, troubles)
    print(f"an echo through one of three servers, with {MOST_CONNECTIONS:,} real connections")
    rows = [("", "median", "", "99th percentile", "")]
    for name, (middle, slow) in measured.items():
        cells = [name]
        for seconds, idle_seconds in zip((middle, slow), measured["idle"], strict=True):
            cells += [f"{1000 * seconds:.2f} ms", f"{seconds / idle_seconds:.2f} x"]
        rows.append(tuple(cells))
    print(*aligned(rows), sep="\n")


async def tell_full_house(troubles: list[str]) -> None:
    measured = await full_house(FULL_HOUSE, troubles)
    memory = measured["peak_rss_mib"]
    print(f"{measured['open']:,} open findings, {memory:.0f} MiB: longest pause of the event loop")
    for name, seconds in measured["longest"].items():
        print(f"  {name}: {1000 * seconds:.0f} ms")


async def tell_judging(troubles: list[str]) -> None:
    measured = await asyncio.to_thread(judging, CHECKS, SERVERS, FINDINGS, troubles)
    print(f"judging alone: {CHECKS} checks over {SERVERS:,} servers; {FINDINGS:,} findings")
    rows = [("", "CPU", "per check and noun", "of the check alone", "pause")]
    for name, cost in measured.items():
        each = 1e6 * cost["cpu_seconds"] / cost["judgements"]
        pause = f"{1000 * cost['longest_pause']:.0f} ms" if "longest_pause" in cost else ""
        ratio = f"{cost['cpu_seconds'] / cost['alone']:.1f} x"
        rows.append((name, f"{1000 * cost['cpu_seconds']:.0f} ms", f"{each:.2f} us", ratio, pause))
    print(*aligned(rows), sep="\n")


async def tell_peer(troubles: list[str]) -> None:
    costs, there = await peer(*BESIDE_A_PEER, troubles)
    print("a fleet of {}x{}, each command as a whole".format(*BESIDE_A_PEER))
    rows = [("", "wall", "CPU", "", "peak RSS", "cut off", "connections seen")]
    least = min(cost["cpu_seconds"] for cost in costs.values())
    for name, cost in costs.items():
        share = f"{cost['seen']:,} of {there:,}"
        ratio = f"{cost['cpu_seconds'] / least:.1f} x"
        cells = (f"{cost['wall_seconds']:.1f} s", f"{cost['cpu_seconds']:.1f} s", ratio)
        cells += (f"{cost['peak_rss_mib']:,.0f} MiB", f"{cost['cut_off']} x", share)
        rows.append((name, *cells))
    print(*aligned(rows), sep="\n")


async def tell_catalogue(troubles: list[str]) -> None:
    measured = await catalogue(*BESIDE_A_PEER, troubles)
    print("a fleet of {}x{}, CPU of all checks and of five of them".format(*BESIDE_A_PEER))
    print("hollow checks ask for what all checks need, and do not look at it")
    rows = [("", "first epochs", "", "later epochs", "", "peak RSS")]
    least = measured["founding five"]
    for checks, costs in measured.items():
        cells = [checks]
        for epoch in ("first", "later"):
            seconds = costs[epoch]["cpu_seconds"]
            cells += [f"{seconds:.2f} s", f"{seconds / least[epoch]['cpu_seconds']:.2f} x"]
        rows.append((*cells, f"{costs['later']['peak_rss_mib']:.0f} MiB"))
    print(*aligned(rows), sep="\n")


async def tell_fleet(name: str, troubles: list[str]) -> Costs:
    costs = await fleet(*size(name), troubles)
    print(f"a fleet of {name}")
    print(*table(costs), sep="\n")
    return costs


OTHERS: dict[str, Callable[[list[str]], Awaitable[None]]] = {
    "first-advisory": tell_first_advisory,
    "idle": tell_idle,
    "crowd": tell_crowd,
    "small-pending": tell_small_pending,
    "streams": tell_streams,
    "disturbance": tell_disturbance,
    "full-house": tell_full_house,
    "judging": tell_judging,
    "catalogue": tell_catalogue,
    "peer": tell_peer,
}
USUAL = ("first-advisory", "idle", "crowd", "100x100", "100x1000", "1000x1000")
REST = (
    "20x50000",
    "10000x100",
    "small-pending",
    "streams",
    "disturbance",
    "full-house",
    "judging",
    "catalogue",
)


async def measure(wanted: list[str], fleets: dict[str, Costs]) -> list[str]:
    """Measures and prints one after another; returns what went wrong."""
    wrong = []
    for name in wanted:
        troubles: list[str] = []
        print(f"measuring {name}", file=sys.stderr)
        try:
            if name in OTHERS:
                await OTHERS[name](troubles)
            else:
                fleets[name] = await tell_fleet(name, troubles)
        except (InsightsError, CalledProcessError, TimeoutError) as error:
            troubles.append(f"not measured: {error or type(error).__name__}")
        wrong += [f"{name}: {trouble}" for trouble in troubles]
        sys.stdout.flush()
    return wrong


def known(name: str) -> str:
    """The name of a measurement, or the size of a fleet; ArgumentTypeError if it is neither."""
    if name not in OTHERS:
        size(name)
    return name


def main() -> int:
    """Measure, print and draw; 1 if something was wrong."""
    parser = ArgumentParser(prog="python -m tests.bench", description=__doc__)
    names = f"{', '.join((*USUAL, *REST))}, peer (with {CLI})"
    parser.add_argument("only", nargs="*", type=known, help=f"of {names}, or any size of a fleet")
    parser.add_argument("--all", action="store_true", help=f"also {', '.join(REST)}")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw the usual fleets")
    args = parser.parse_args()
    fleets: dict[str, Costs] = {}
    wrong = asyncio.run(measure(args.only or [*USUAL, *(REST if args.all else ())], fleets))
    drawn = {name: fleets[name] for name in args.only or USUAL if name in fleets}
    if args.picture and drawn:
        args.picture.write_text(picture(drawn), "utf-8")
    for trouble in wrong:
        print(f"WRONG: {trouble}")
    if not wrong:
        print("nothing wrong: no server silent, no finding untrue, no slow consumer in any log")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
