"""`python -m nats_insights.lab`: real servers or a simulated fleet, until it is stopped."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from contextlib import suppress

from nats_insights.errors import InsightsError
from nats_insights.lab.fleet import command as fleet
from nats_insights.lab.servers import command as servers


def main() -> int:
    """Run until stopped by SIGINT or SIGTERM; 3 with one sentence if it cannot."""
    args = _parser().parse_args()
    try:
        asyncio.run(_until_stopped(args))
    except KeyboardInterrupt:
        pass
    except InsightsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    return 0


async def _until_stopped(args: argparse.Namespace) -> None:
    running = asyncio.current_task()
    assert running is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    with suppress(asyncio.CancelledError):
        await args.run(args)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m nats_insights.lab",
        description="NATS systems on this machine, to try the agent on and to test it.",
    )
    below = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, module in (("servers", servers), ("fleet", fleet)):
        title = (module.__doc__ or "").partition("\n")[0]
        command = below.add_parser(name, help=title, description=module.__doc__)
        module.options(command)
        command.set_defaults(run=module.run)
    return parser


if __name__ == "__main__":
    sys.exit(main())
