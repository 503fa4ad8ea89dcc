"""A screen of `watch --full` on which nothing changes, for tests of how it looks."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from kit.told import FINDINGS, NOW, heartbeat, listing, status
from nats_insights.commands.leading import Leading
from nats_insights.commands.screen import Screen
from nats_insights.commands.wanted import Wanted


def screen(made: type[Screen] = Screen) -> Screen:
    """A screen that has heard all of this."""
    leading = Leading()
    of = made(leading)
    of.listed(listing(*FINDINGS), status(), Wanted(cluster="EU"))
    leading.hear(heartbeat(), 100.0)
    return of


class _Standing(Screen):
    """A screen for which no time goes by."""

    def picture(self, now: datetime, clock: float) -> Any:
        return replace(super().picture(NOW, 112.0), note="12:00:00 connection to n1 closed")


async def main() -> None:
    """Show it until interrupted."""
    async with screen(_Standing).shown():
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
