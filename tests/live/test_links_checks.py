"""Checks about routes and gateways on real servers: causes, findings and cures.

Between two servers is a relay, which delays, holds or cuts what goes over their link.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import nats
import pytest

from kit.between import Between, between, free_ports
from kit.watching import Watch, watching
from nats_insights.checks.cluster.cluster_split import cluster_split
from nats_insights.checks.cluster.gateway_disconnection import gateway_disconnection
from nats_insights.checks.cluster.gateway_mismatch import gateway_mismatch
from nats_insights.checks.cluster.one_way_route import one_way_route
from nats_insights.checks.cluster.route_count_low import route_count_low
from nats_insights.checks.opt_place.gateway_interest_mode import gateway_interest_mode
from nats_insights.checks.opt_sys.gateway_pending_pressure import gateway_pending_pressure
from nats_insights.checks.opt_sys.route_pending_pressure import route_pending_pressure
from nats_insights.checks.server.high_gateway_rtt import high_gateway_rtt
from nats_insights.checks.server.high_route_rtt import high_route_rtt
from nats_insights.lab.servers import local
from nats_insights.lab.servers.conf import LOOPBACK

pytestmark = [pytest.mark.live, pytest.mark.long]

CHECKS = (
    cluster_split,
    gateway_disconnection,
    gateway_interest_mode,
    gateway_mismatch,
    gateway_pending_pressure,
    high_gateway_rtt,
    high_route_rtt,
    one_way_route,
    route_count_low,
    route_pending_pressure,
)
# Else GATEWAYZ is requested every two minutes. A relay adds at least as much as the limit here.
QUICK = """
gather.every.GATEWAYZ = "0s"
gather.every.ROUTEZ_DETAIL = "0s"
checks.high_route_rtt.max_rtt = 80
checks.high_gateway_rtt.max_rtt = 80
checks.route_pending_pressure.max_bytes = 1048576
checks.gateway_pending_pressure.max_bytes = 1048576
"""
# Servers measure round trips when they ping, and do not tire of waiting.
PINGS = 'ping_interval: "200ms", ping_max: 1000, write_deadline: "2m"'
PAYLOAD = bytes(512 * 1024)


def routes(port: int, *to: str, advertise: str = "") -> str:
    """The routes of a server that listens on this port, to these addresses."""
    urls = ", ".join(f"'nats://{address}'" for address in to)
    told = f"advertise: '{advertise}', " if advertise else ""
    return f"cluster {{ name: C1, listen: '{LOOPBACK}:{port}', {told}routes: [{urls}] }}\n{PINGS}"


@pytest.fixture(scope="module")
def joined(binary: Path) -> Iterator[tuple[local.System, Between]]:
    """Servers n1, n2 and n3; the route of n3 to n1 goes through a relay."""
    one, two, three, nowhere = free_ports(4)
    with between(one) as relay:
        options = {
            "n1": routes(one, advertise=relay.address),
            "n2": routes(two, f"{LOOPBACK}:{one}"),
            # Else n1 would open a route to n3, past the relay.
            "n3": routes(
                three, relay.address, f"{LOOPBACK}:{two}", advertise=f"{LOOPBACK}:{nowhere}"
            ),
        }
        with local.cluster("n1", "n2", "n3", binary=binary, options=options) as system:
            yield system, relay


def gateway(name: str, port: int, advertise: str = "", **to: str) -> str:
    remotes = ", ".join(
        f"{{ name: {remote}, url: 'nats://{address}' }}" for remote, address in to.items()
    )
    told = f"advertise: '{advertise}', " if advertise else ""
    listen = f"listen: '{LOOPBACK}:{port}'"
    return f"gateway {{ name: {name}, {listen}, {told}gateways: [{remotes}] }}\n{PINGS}"


@pytest.fixture(scope="module")
def apart(binary: Path) -> Iterator[tuple[local.System, Between]]:
    """Clusters WEST, of w1, and EAST, of e1 and e2; e2 has its gateway through a relay."""
    west, one, two, nowhere = free_ports(4)
    with between(west) as relay:
        options = {
            # Else e1 might take the way through the relay, or e2 the one past it.
            "w1": gateway("WEST", west, f"{LOOPBACK}:{nowhere}", EAST=f"{LOOPBACK}:{one}"),
            "e1": gateway("EAST", one, WEST=f"{LOOPBACK}:{west}"),
            "e2": gateway("EAST", two, WEST=relay.address),
        }
        clusters = {"WEST": ("w1",), "EAST": ("e1", "e2")}
        with local.system(clusters, binary=binary, options=options) as system:
            yield system, relay


@asynccontextmanager
async def watched(system: local.System, agent: str) -> AsyncIterator[Watch]:
    """An agent to which all is well."""
    async with watching(system, agent=agent, listen=agent, more=QUICK, checks=CHECKS) as watch:
        await watch.epochs(3)
        assert watch.story == []
        yield watch


@asynccontextmanager
async def held(relay: Between, sender: local.Server, receiver: local.Server) -> AsyncIterator[None]:
    """The sender gets more for a subscriber of the receiver than sockets take, and it is held."""
    user, password = sender.user("app")
    reading = await nats.connect(receiver.url, user=user, password=password)
    writing = await nats.connect(sender.url, user=user, password=password)
    arrived = asyncio.Event()

    async def take(_: object) -> None:
        arrived.set()

    await reading.subscribe("load", cb=take, pending_bytes_limit=-1)
    await reading.flush()
    while not arrived.is_set():  # Until the sender knows of the subscription.
        await writing.publish("load", b"")
        await writing.flush()
        await reading.flush()
    relay.hold()
    try:
        for _ in range(48):
            await writing.publish("load", PAYLOAD)
        await writing.flush()
        yield
    finally:
        relay.release()
        await writing.close()
        await reading.close()


# --- Routes.


async def test_a_slow_route_is_found_until_it_is_fast_again(joined):
    system, relay = joined
    async with watched(system, "n2") as watch:
        relay.delay = 0.06
        await watch.until(lambda: len(watch.open) == 2)
        assert watch.named("SERVER_010") == {"n1", "n3"}
        opened = watch.open["SERVER_010", "n1"]
        assert opened.value > 80
        assert [name for name, _ in opened.evidence["top"]] == ["n3"]
        relay.delay = 0.0
        await watch.until(lambda: not watch.open)


async def test_what_a_route_holds_back_is_found_until_it_is_sent(joined):
    system, relay = joined
    async with watched(system, "n2") as watch:
        async with held(relay, system["n3"], system["n1"]):
            await watch.until(lambda: ("OPT_SYS_005", "n3") in watch.open)
            opened = watch.open["OPT_SYS_005", "n3"]
            assert opened.value > 1024 * 1024
            assert [name for name, _ in opened.evidence["top"]] == ["n1"]
        await watch.until(lambda: not watch.open)
        codes = [(said, code) for said, code, _ in watch.story if said != "updated"]
        assert ("resolved", "OPT_SYS_005") in codes
        assert {code for _, code in codes} <= {"OPT_SYS_005", "SERVER_010"}


async def test_a_missing_route_is_found_at_both_ends_until_it_is_back(joined):
    system, relay = joined
    async with watched(system, "n2") as watch:
        relay.cut()
        await watch.until(lambda: len(watch.open) == 2)
        await watch.epochs(2)
        assert watch.story == [("opened", "CLUSTER_005", "n1"), ("opened", "CLUSTER_005", "n3")]
        said = watch.open["CLUSTER_005", "n1"].summary
        assert said == "n1 has routes to 1 of 2 other servers of C1, and none to n3"
        relay.heal()
        await watch.until(lambda: not watch.open)


async def test_a_route_that_only_one_end_has_is_found_until_both_have_it(joined):
    system, relay = joined
    async with watched(system, "n2") as watch:
        relay.halve()
        await watch.until(lambda: watch.open)
        await watch.epochs(2)
        assert watch.story == [("opened", "CLUSTER_902", "n3")]
        assert watch.open["CLUSTER_902", "n3"].evidence["without_route"] == ["n1"]
        relay.heal()
        await watch.until(lambda: not watch.open)


# --- Gateways.


async def test_a_slow_gateway_is_found_until_it_is_fast_again(apart):
    system, relay = apart
    async with watched(system, "e1") as watch:
        relay.delay = 0.06
        await watch.until(lambda: watch.open)
        (opened,) = watch.open.values()
        assert (opened.code, opened.entity.server) == ("SERVER_018", "e2")
        assert opened.value > 80
        relay.delay = 0.0
        await watch.until(lambda: not watch.open)
        assert watch.story[1:] == [("resolved", "SERVER_018", "WEST")]


async def test_what_a_gateway_holds_back_is_found_until_it_is_sent(apart):
    system, relay = apart
    async with watched(system, "e1") as watch:
        async with held(relay, system["e2"], system["w1"]):
            await watch.until(lambda: ("OPT_SYS_014", "WEST") in watch.open)
            assert watch.open["OPT_SYS_014", "WEST"].entity.server == "e2"
        await watch.until(lambda: not watch.open)


async def test_a_lost_gateway_is_found_until_it_is_back(apart):
    system, relay = apart
    async with watched(system, "e1") as watch:
        relay.cut()
        await watch.until(lambda: watch.open)
        await watch.epochs(2)
        assert watch.story == [("opened", "CLUSTER_007", "WEST")]
        (opened,) = watch.open.values()
        assert (opened.entity.server, opened.severity) == ("e2", "critical")
        assert opened.evidence["remote_servers_answering"] == 1
        relay.heal()
        await watch.until(lambda: not watch.open)
        await watch.epochs(2)
        assert watch.story[1:] == [("resolved", "CLUSTER_007", "WEST")]


async def test_a_cluster_that_is_shut_down_is_not_missed(apart):
    system, _ = apart
    async with watched(system, "e1") as watch:
        system["w1"].stop()
        await watch.epochs(6)
        assert watch.story == []
        system["w1"].restart()
        await watch.epochs(2)
        assert watch.story == []


async def test_no_account_is_optimistic_between_servers_that_know_interest(apart, sys_request):
    system, _ = apart
    async with watched(system, "e1") as watch:
        assert watch.agent.auditor.outcomes["OPT_PLACE_004"].judged == 3
        told = await sys_request(system["e1"], "GATEWAYZ", {"accounts": True})
    (link,) = told["data"]["outbound_gateways"].values()
    assert {account["interest_mode"] for account in link["accounts"]} == {"Interest-Only"}


# --- A split: the agent reaches both parts through leaf nodes.


async def test_a_split_cluster_of_leaf_nodes_is_one_finding_until_it_is_joined(start_system):
    one, two = free_ports(2)
    alone = routes(two).replace("C1", "EDGE")
    joined = routes(two, f"{LOOPBACK}:{one}").replace("C1", "EDGE")
    system = start_system(
        {"HUB": ("h1",)},
        leaves={"l1": "h1", "l2": "h1"},
        options={"l1": routes(one).replace("C1", "EDGE"), "l2": joined},
    )
    async with watched(system, "h1") as watch:
        system["l2"].reload(alone)
        await watch.until(lambda: watch.open)
        await watch.epochs(3)
        assert watch.story == [("opened", "CLUSTER_903", "EDGE")]
        said = watch.open["CLUSTER_903", "EDGE"].summary
        assert said == "EDGE is split: no route joins l1 with l2"
        system["l2"].reload(joined)
        await watch.until(lambda: not watch.open)
        assert watch.story[1:] == [("resolved", "CLUSTER_903", "EDGE")]
