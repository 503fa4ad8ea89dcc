"""`python -m tests.chaos`: disturbs a real cluster at random, and judges what an agent tells."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from pathlib import Path

from tests.chaos.network import Unavailable
from tests.chaos.process import HOUSES
from tests.chaos.sequence import run
from tests.kit import servers


def main() -> int:
    """Runs one sequence; 0 without a violation, 1 with one, 2 where it cannot be run."""
    parser = ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="another seed, another sequence")
    parser.add_argument("--disturbances", type=int, default=60, help="how many")
    parser.add_argument(
        "--version", default=servers.CI_VERSIONS[-1], choices=servers.VERSIONS, help="of the server"
    )
    parser.add_argument(
        "--agents", default="forgetful", choices=HOUSES, help="how many, and what they keep"
    )
    parser.add_argument("--logs", type=Path, help="a directory for the logs of the agents")
    args = parser.parse_args()
    try:
        binary = servers.binary(args.version)
        verdict = run(args.seed, args.disturbances, binary, HOUSES[args.agents], _say)
    except Unavailable as why:
        print(why, file=sys.stderr)
        return 2
    if args.logs:
        args.logs.mkdir(exist_ok=True)
        for name, text in verdict.logs.items():
            (args.logs / f"{name}.log").write_text(text)
    for violation in verdict.violations:
        print(f"{violation.at:8.1f} {violation.kind}: {violation.what}")
    print(f"nats-server {args.version}, seed {args.seed}: {verdict}")
    return 1 if verdict.violations else 0


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
