"""Servers that cannot reach one another: what is not seen is unknown, and changes no finding."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec
import pytest

from kit.watching import Watch, watching
from nats_insights.lab.servers import local
from nats_insights.lab.servers.crowd import Crowd
from nats_insights.tell.messages import StatusReply

pytestmark = [pytest.mark.live, pytest.mark.chaos]

PATIENT_FOR_A_MOMENT = 'gather.timeout = "200ms"\n'
# In a super-cluster, where links between clusters have no other ping than that of clients.
SOON = 'ping_interval: "1s"\nping_max: 2\n'
ROOM = "max_connections: 240\n"
Join = Callable[..., Awaitable[None]]


@pytest.fixture
def join(crowd: Crowd) -> Join:
    """`await join(server, app=3)`: so many connections of each user, with 5 subscriptions each."""

    async def join(server: local.Server, **counts: int) -> None:
        for user, count in counts.items():
            name, password = server.user(user)
            subject = f"{server.name}.{user}.{{i}}"
            await crowd.join(
                server.url, count, user=name, password=password, subscriptions=5, subject=subject
            )

    return join


async def crowd_of_three(system: local.System, join: Join) -> set[tuple[str, str]]:
    """Findings of all five checks in a cluster of three, nearly all by what n2 holds."""
    await join(system["n1"], batch=7, app=1)
    await join(system["n2"], batch=95, big=101)
    return {
        ("SERVER_011", "n2"),
        ("USER_002", "big"),
        ("USER_002", "batch"),
        ("OPT_BALANCE_002", "n2"),
        ("OPT_BALANCE_003", "n2"),
        ("OPT_BALANCE_006", "BIG"),
    }


async def crowd_of_three_with_more_on_n1(system: local.System, join: Join) -> set[tuple[str, str]]:
    """The same, and n1 would be a hotspot without n2."""
    await join(system["n1"], app=40)
    return await crowd_of_three(system, join) | {("OPT_BALANCE_006", "APP")}


async def crowd_of_two_clusters(system: local.System, join: Join) -> set[tuple[str, str]]:
    """Findings in a super-cluster, which rest on all of its clusters."""
    await join(system["a1"], batch=20)
    await join(system["a2"], batch=20, app=10)
    await join(system["b1"], batch=95, big=101)
    await join(system["l1"], app=10)
    return {
        ("SERVER_011", "b1"),
        ("USER_002", "big"),
        ("USER_002", "batch"),
        ("OPT_BALANCE_002", "b1"),
        ("OPT_BALANCE_003", "b1"),
    }


def of_the_system(watch: Watch) -> list[tuple[str, str, str]]:
    """The story, without what is told of the agent itself and of servers that do not answer."""
    return [
        said for said in watch.story if said[1] != "SERVER_901" and not said[1].startswith("AGENT_")
    ]


def missing(watch: Watch) -> list[str]:
    return watch.heartbeats[-1].coverage.missing


async def status(watch: Watch) -> StatusReply:
    reply = await watch.client.request("INSIGHTS.API.STATUS")
    return msgspec.json.decode(reply.data, type=StatusReply)


async def all_are_told(watch: Watch, findings: set[tuple[str, str]]) -> list[tuple[str, str, str]]:
    """The story, when it tells of exactly these findings."""
    await watch.until(lambda: watch.open.keys() == findings)
    await watch.epochs(2)
    assert sorted(of_the_system(watch)) == sorted(("opened", *finding) for finding in findings)
    return of_the_system(watch)


async def all_answer(watch: Watch) -> None:
    """Until nobody is missing any more, and what that changes has been told."""
    await watch.until(lambda: not missing(watch))
    await watch.epochs(4)


async def test_a_server_that_only_the_agents_server_has_lost_changes_no_finding(
    start_apart, peers_are, join
):
    system, network = start_apart({"C1": ["n1", "n2", "n3"]}, options={"n2": ROOM})
    findings = await crowd_of_three_with_more_on_n1(system, join)
    async with watching(system, listen="n1", more=PATIENT_FOR_A_MOMENT) as watch:
        told = await all_are_told(watch, findings)
        network.cut("n1", "n2")
        await peers_are(system["n1"], {"n3"})
        await watch.epochs(8)
        assert missing(watch) == ["n2"]
        assert of_the_system(watch) == told
        network.heal("n1", "n2")
        await all_answer(watch)
        assert of_the_system(watch) == told


async def test_an_agent_that_is_cut_off_with_its_server_knows_that_it_knows_nothing(
    start_apart, peers_are, join
):
    system, network = start_apart({"C1": ["n1", "n2", "n3"]}, options={"n2": ROOM})
    findings = await crowd_of_three_with_more_on_n1(system, join)
    async with watching(system, listen="n1", more=PATIENT_FOR_A_MOMENT) as watch:
        told = await all_are_told(watch, findings)
        assert (await status(watch)).verdict == "warning"
        network.part(["n1"], ["n2", "n3"])
        await peers_are(system["n1"], set())
        await watch.epochs(8)
        assert missing(watch) == ["n2", "n3"]
        assert (await status(watch)).verdict == "unknown"
        assert of_the_system(watch) == told
        network.heal_all()
        await all_answer(watch)
        assert of_the_system(watch) == told


async def test_a_cluster_that_all_of_another_has_lost_changes_no_finding(
    start_apart, sys_request, join
):
    clusters, leaves = {"A": ["a1", "a2"], "B": ["b1", "b2"]}, {"l1": "b1"}
    system, network = start_apart(clusters, leaves=leaves, options=SOON + ROOM)
    findings = await crowd_of_two_clusters(system, join)
    async with watching(system, "a1", listen="a1", more=PATIENT_FOR_A_MOMENT) as watch:
        told = await all_are_told(watch, findings)
        network.part(["a1", "a2"], ["b1", "b2", "l1"])
        async with asyncio.timeout(20):
            while (await sys_request(system["a1"], "GATEWAYZ"))["data"]["outbound_gateways"]:
                await watch.epochs(1)
        await watch.epochs(8)
        assert missing(watch) == ["b1", "b2", "l1"]
        assert (await status(watch)).verdict == "unknown"
        assert of_the_system(watch) == told
        network.heal_all()
        await all_answer(watch)
        assert of_the_system(watch) == told


@pytest.mark.parametrize("lost", ["a2", "b1", "b2"])
async def test_a_server_of_a_super_cluster_that_the_agents_server_has_lost_changes_no_finding(
    start_apart, sys_request, join, lost
):
    clusters, leaves = {"A": ["a1", "a2"], "B": ["b1", "b2"]}, {"l1": "b1"}
    system, network = start_apart(clusters, leaves=leaves, options=SOON + ROOM)
    findings = await crowd_of_two_clusters(system, join)

    async def linked() -> bool:
        replies = [await sys_request(system["a1"], name) for name in ("ROUTEZ", "GATEWAYZ")]
        lost_id = (await sys_request(system[lost], "IDZ"))["id"]
        return lost_id in json.dumps([reply["data"] for reply in replies])

    async with watching(system, "a1", listen="a1", more=PATIENT_FOR_A_MOMENT) as watch:
        told = await all_are_told(watch, findings)
        # Its gateways end at one server of each cluster, of the servers' own choice.
        network.cut("a1", lost)
        async with asyncio.timeout(20):
            while await linked():
                await watch.epochs(1)
        await watch.epochs(8)
        assert of_the_system(watch) == told
        network.heal("a1", lost)
        await all_answer(watch)
        assert of_the_system(watch) == told


@pytest.mark.parametrize("again", ["n3", "b2"])
async def test_a_frozen_server_that_nobody_has_a_route_to_changes_no_finding(
    start_apart, peers_are, join, again
):
    if again == "n3":
        system, _ = start_apart({"C1": ["n1", "n2", "n3"]}, options={"n2": ROOM})
        findings, near, frozen = await crowd_of_three(system, join), "n1", "n2"
    else:
        clusters, leaves = {"A": ["a1", "a2"], "B": ["b1", "b2"]}, {"l1": "b2"}
        system, _ = start_apart(clusters, leaves=leaves, options=SOON + ROOM)
        findings, near, frozen = await crowd_of_two_clusters(system, join), "a1", "b1"
    async with watching(system, near, listen=near, more=PATIENT_FOR_A_MOMENT) as watch:
        told = await all_are_told(watch, findings)
        system[frozen].freeze()
        # The gateways of the others may end at the frozen one: until they give it up, nobody that
        # asks them hears of the server that is back.
        await asyncio.to_thread(partial(system[again].restart, settle=False))
        await peers_are(system[near], {"n3"} if again == "n3" else {"a2"})
        await watch.until(lambda: missing(watch) == [frozen])
        await watch.epochs(8)
        assert missing(watch) == [frozen]
        assert of_the_system(watch) == told
        system[frozen].thaw()
        await all_answer(watch)
        assert of_the_system(watch) == told
