"""The steps of the demo: five causes, each found by one check, and their fixes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from msgspec import Struct

from nats_insights.lab.servers.crowd import Crowd, Member
from nats_insights.lab.servers.local import System

SERVERS = ("n1", "n2", "n3")
# Small enough that a few connections bring n3 near its limit.
OPTIONS = {"n3": "max_connections: 30"}


class Chapter(Struct, frozen=True):
    """One cause, in words and as a function, and the check that must find it."""

    code: str
    cause: str
    cure: str
    begin: Callable[[], Awaitable[list[Member]]]


async def calm(crowd: Crowd, system: System) -> None:
    """A few clients on each server, evenly."""
    user, password = system.user("app")
    for server in system:
        await crowd.join(
            server.url, 6, user=user, password=password, name="web-{i}", subscriptions=2
        )


def chapters(crowd: Crowd, system: System) -> list[Chapter]:
    """The causes in their order. The numbers keep each from setting off another's check."""

    async def join(user: str, name: str, subscriptions: int = 0, **on: int) -> list[Member]:
        login, password = system.user(user)
        members = []
        for server, count in on.items():
            members += await crowd.join(
                system[server].url,
                count,
                user=login,
                password=password,
                name=name,
                subscriptions=subscriptions,
                subject=f"demo.{name}.{server}.{{i}}",
            )
        return members

    return [
        Chapter(
            "USER_002",
            "a service leaks: user billing opens 105 connections on all servers",
            "the service is fixed and closes them",
            lambda: join("billing", "invoices", n1=60, n2=40, n3=5),
        ),
        Chapter(
            "SERVER_011",
            "14 more devices connect to n3, which accepts 30 connections",
            "the devices connect to other servers",
            lambda: join("worker", "device-{i}", n3=14),
        ),
        Chapter(
            "OPT_BALANCE_006",
            "all 20 clients of account BIG know only the address of n1",
            "the clients get the addresses of all servers",
            lambda: join("big", "batch-{i}", n1=20),
        ),
        Chapter(
            "OPT_BALANCE_002",
            "a sticky load balancer sends 70 more clients to n1",
            "the load balancer is removed",
            lambda: join("app", "orders-{i}", n1=70),
        ),
        Chapter(
            "OPT_BALANCE_003",
            "one client on n2 subscribes to 900 subjects, one by one",
            "one wildcard replaces them",
            lambda: join("worker", "tracker", 900, n2=1),
        ),
    ]
