"""The steps of the demo: five causes, each found by one check, and the fixes of four."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from msgspec import Struct

from nats_insights.lab.servers.crowd import Crowd, Member
from nats_insights.lab.servers.local import System

SERVERS = ("n1", "n2", "n3")
# Small enough that a few connections bring n3 near its limit.
OPTIONS = {"n3": "max_connections: 60"}

Begin = Callable[[], Awaitable[list[Member]]]
End = Callable[[Sequence[Member]], Awaitable[object]]


class Chapter(Struct, frozen=True):
    """One cause, in words and as a function, and the check that must find it.

    `begin` returns the clients that are the cause, and `end` takes them; without a cure they stay.
    """

    code: str
    cause: str
    begin: Begin
    cure: str = ""
    end: End | None = None


async def calm(crowd: Crowd, system: System) -> None:
    """A few clients on each server, evenly."""
    for server in system:
        await crowd.join(server.url, 3, login=system.login("app"), name="web-{i}", subscriptions=2)


def chapters(crowd: Crowd, system: System) -> list[Chapter]:
    """The causes in their order. The numbers keep each from setting off another's check."""

    async def join(user: str, name: str, subscriptions: int = 0, **on: int) -> list[Member]:
        members = []
        for server, count in on.items():
            members += await crowd.join(
                system[server].url,
                count,
                login=system.login(user),
                name=name,
                subscriptions=subscriptions,
                subject=f"demo.{name}.{server}.{{i}}",
            )
        return members

    return [
        Chapter(
            "USER_002",
            "A service leaks: user billing opens 105 connections.",
            partial(join, "billing", "invoices", n1=35, n2=35, n3=35),
        ),
        Chapter(
            "SERVER_011",
            "14 more devices connect to n3, which accepts 60 connections.",
            partial(join, "worker", "device-{i}", n3=14),
            "The 14 devices leave n3.",
            crowd.leave,
        ),
        Chapter(
            "OPT_BALANCE_006",
            "All 60 clients of account BIG know only the address of n1.",
            partial(join, "big", "batch-{i}", n1=60),
            "Half of the clients of account BIG move to n2.",
            lambda members: _move(crowd, members[::2], partial(join, "big", "batch-{i}", n2=30)),
        ),
        Chapter(
            "OPT_BALANCE_002",
            "A sticky load balancer sends 90 more clients to n1.",
            partial(join, "app", "orders-{i}", n1=90),
            "The load balancer is removed, and its 90 clients leave n1.",
            crowd.leave,
        ),
        Chapter(
            "OPT_BALANCE_003",
            "One client on n2 subscribes to 900 subjects, one by one.",
            partial(join, "worker", "tracker", 900, n2=1),
            "The client subscribes to one wildcard instead.",
            lambda members: _move(crowd, members, partial(join, "worker", "tracker", 1, n2=1)),
        ),
    ]


async def _move(crowd: Crowd, members: Sequence[Member], join: Begin) -> None:
    """As clients do: these leave, then others connect in their place."""
    await crowd.leave(members)
    await join()
