"""The five checks on real servers: what they find, what they leave alone, and their cures."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.watching import KNOWN, QUICK, watching
from nats_insights import config
from nats_insights.agent.epoch import epoch
from nats_insights.connection.connect import connect
from nats_insights.connection.contexts import Settings
from nats_insights.gather.small import Gatherer
from nats_insights.gather.window import Window
from nats_insights.judge.auditor import Auditor
from nats_insights.lab.demo.stage import login
from nats_insights.lab.servers import local
from nats_insights.lab.servers.crowd import Crowd, Member

pytestmark = pytest.mark.live

Group = tuple[str, dict[str, int]]

# User and connections by server, on top of a few everywhere. Each sets off one check and no other.
CAUSES: dict[tuple[str, str], list[Group]] = {
    ("USER_002", "billing"): [("billing", {"n1": 34, "n2": 34, "n3": 33})],
    ("SERVER_011", "n3"): [
        ("worker", {"n1": 25, "n2": 25, "n3": 45}),
        ("billing", {"n3": 10}),
    ],
    ("OPT_BALANCE_006", "BIG"): [("big", {"n1": 12})],
    ("OPT_BALANCE_002", "n1"): [("app", {"n1": 22}), ("big", {"n1": 9})],
    ("OPT_BALANCE_003", "n2"): [("worker", {"n2": 1})],
}


@pytest.fixture(scope="module")
def system(binary: Path) -> Iterator[local.System]:
    limit = {"n3": "max_connections: 75"}
    with local.cluster("n1", "n2", "n3", binary=binary, options=limit) as system:
        yield system


async def join(
    crowd: Crowd, system: local.System, user: str, on: dict[str, int], subscriptions: int = 0
) -> list[Member]:
    name, password = system.user(user)
    members = []
    for server, count in on.items():
        members += await crowd.join(
            system[server].url,
            count,
            user=name,
            password=password,
            subscriptions=subscriptions,
            subject=f"{server}.{{i}}",
        )
    return members


@pytest.mark.parametrize(("code", "name"), CAUSES)
async def test_a_cause_is_found_and_its_cure_too_and_nothing_else(system, crowd, code, name):
    await join(crowd, system, "app", {"n1": 6, "n2": 6, "n3": 6}, subscriptions=2)
    async with watching(system) as watch:
        await watch.epochs(2)
        assert watch.story == []
        subscriptions = 900 if code == "OPT_BALANCE_003" else 0
        causes = CAUSES[code, name]
        members = [
            member
            for user, on in causes
            for member in await join(crowd, system, user, on, subscriptions)
        ]
        await watch.until(lambda: watch.open)
        await watch.epochs(2)
        assert watch.story == [("opened", code, name)]
        await crowd.leave(members)
        await watch.until(lambda: not watch.open)
        await watch.epochs(2)
        assert watch.story == [("opened", code, name), ("resolved", code, name)]
        opened, resolved = watch.advisories
        assert (resolved.fingerprint, resolved.opened_at) == (opened.fingerprint, opened.opened_at)
        assert resolved.reason in ("condition_cleared", "entity_gone")


async def test_a_hotspot_of_subscriptions_is_seen_where_totals_are_alike(
    system, crowd, sys_request
):
    await join(crowd, system, "worker", {"n2": 1}, subscriptions=900)

    async def totals() -> list[int]:
        replies = [await sys_request(server, "VARZ") for server in system]
        return [reply["data"]["subscriptions"] for reply in replies]

    # Routes spread the interest, and that takes a moment; so does each look.
    while max(now := await totals()) >= 1.1 * min(now) or min(now) < 900:
        pass
    async with watching(system, listen=login(system, "root", "n2")) as watch:
        await watch.until(lambda: watch.open)
        assert watch.named("OPT_BALANCE_003") == {"n2"}
        assert watch.open["OPT_BALANCE_003", "n2"].evidence["subscriptions"] == 900


@pytest.mark.parametrize(
    ("code", "user", "on", "found"),
    [
        ("OPT_BALANCE_002", "app", (60, 15, 15), {"n1"}),
        ("OPT_BALANCE_002", "app", (59, 16, 15), set()),
        ("OPT_BALANCE_006", "big", (8, 2, 0), {"BIG"}),
        ("OPT_BALANCE_006", "big", (7, 3, 0), set()),
        ("OPT_BALANCE_006", "big", (10, 0, 0), {"BIG"}),
        ("USER_002", "app", (34, 34, 33), {"app"}),
        ("USER_002", "app", (33, 33, 33), set()),
    ],
)
async def test_the_bounds_are_exact(system, crowd, code, user, on, found):
    await join(crowd, system, user, dict(zip(("n1", "n2", "n3"), on, strict=True)))
    # The subscriber is in the system account here, where its connection does not count either.
    async with watching(system, listen=login(system, "root", "n2")) as watch:
        await watch.epochs(2)
        assert watch.named(code) == found


async def test_clusters_are_judged_apart(start_system, crowd):
    system = start_system({"EAST": ("e1", "e2"), "WEST": ("w1", "w2", "w3")})
    even = {"e1": 30, "e2": 30, "w1": 2, "w2": 2, "w3": 2}
    members = await join(crowd, system, "app", even)
    async with watching(system, agent="w1", listen="w2") as watch:
        await watch.epochs(2)
        assert watch.heartbeats[-1].coverage.servers_answered == 5
        assert watch.story == []
        await crowd.leave(members[30:60])
        await watch.until(lambda: watch.open)
        await watch.epochs(2)
        assert watch.story == [("opened", "OPT_BALANCE_002", "e1")]
        (opened,) = watch.advisories
        assert (opened.entity.cluster, opened.value) == ("EAST", 2.0)


async def test_a_server_without_a_cluster_is_never_a_hotspot(start_server, crowd):
    system = start_server("n1")
    await join(crowd, system, "app", {"n1": 60}, subscriptions=10)
    async with watching(system, listen="n1") as watch:
        await watch.epochs(2)
        assert watch.story == []


async def test_clients_without_a_name_are_not_one_user(start_server, crowd):
    accounts = (
        "accounts { SYS: { users: [{ user: agent, password: alone }] } }\nsystem_account: SYS"
    )
    system = start_server("n1", authorization=accounts)
    await crowd.join(system["n1"].url, 101)
    agent = Settings(servers=(system["n1"].url,), user="agent", password="alone")
    async with watching(system, agent=agent, listen=agent) as watch:
        await watch.epochs(2)
        assert watch.story == []
        # Between two epochs: while one is under way there are no nouns.
        await watch.until(lambda: watch.agent.auditor.snapshot.servers)
        (server,) = watch.agent.auditor.snapshot.servers.values()
        assert server.connections == 101


async def test_the_connection_of_the_agent_does_not_count(start_cluster, crowd):
    system = start_cluster("n1", "n2", options={"n1": "max_connections: 10"})
    await join(crowd, system, "app", {"n1": 7, "n2": 7})
    async with watching(system) as watch:
        await watch.epochs(2)
        assert watch.story == []
        await join(crowd, system, "app", {"n1": 1})
        await watch.until(lambda: watch.open)
        assert watch.open["SERVER_011", "n1"].evidence["connections"] == 8


async def test_a_hundred_epochs_of_an_unchanged_system_tell_once(system, crowd):
    await join(crowd, system, "big", {"n1": 9})
    await join(crowd, system, "app", {"n1": 22, "n2": 6, "n3": 6})
    auditor = Auditor(KNOWN, config.parse(QUICK))
    client = await connect(login(system, "agent", "n1"), name="hundred")
    try:
        gatherer = Gatherer(client, timeout=2.0, window=Window(24 * 1024 * 1024))
        told = [item for _ in range(100) for item in await epoch(auditor, gatherer, time.time())]
    finally:
        await client.close()
    assert [(item.transition, item.life.key.code) for item in told] == [
        ("opened", "OPT_BALANCE_002")
    ]
