"""The checks about leaf nodes, subscriptions and the traffic of accounts, on real servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client

from kit.watching import QUICK, Watch, watching
from nats_insights import config
from nats_insights.agent.epoch import epoch
from nats_insights.checks.change.accounts_changed import accounts_changed
from nats_insights.checks.leaf.high_leaf_rtt import high_leaf_rtt
from nats_insights.checks.leaf.leafnode_name_whitespace import leafnode_name_whitespace
from nats_insights.checks.leaf.leafnode_subscription_count_high import (
    leafnode_subscription_count_high,
)
from nats_insights.checks.opt_balance.leafnode_hotspot import leafnode_hotspot
from nats_insights.checks.opt_idle.inactive_account import inactive_account
from nats_insights.checks.opt_place.high_gateway_traffic_ratio import high_gateway_traffic_ratio
from nats_insights.checks.opt_sys.costly_leaf_compression import costly_leaf_compression
from nats_insights.checks.opt_sys.leaf_compression_disabled import leaf_compression_disabled
from nats_insights.checks.opt_sys.subscription_churn import subscription_churn
from nats_insights.checks.opt_sys.subscription_count_growth import subscription_count_growth
from nats_insights.checks.opt_sys.subscription_fanout_anomaly import subscription_fanout_anomaly
from nats_insights.connection.connect import connect
from nats_insights.gather.small import Gatherer
from nats_insights.gather.window import Window
from nats_insights.judge.auditor import Auditor
from nats_insights.lab.demo.stage import login
from nats_insights.lab.servers import conf, local
from nats_insights.lab.servers.crowd import Member
from nats_insights.replies.accountz import ACCOUNTZ

pytestmark = [pytest.mark.live, pytest.mark.long]

# The system account is joined as this user, an application's account as one of its own.
USERS = {"SYS": "root", "APP": "app", "BIG": "big"}


def opened(watch: Watch) -> set[tuple[str, str]]:
    """What is open: the code, and the server that has it."""
    lives = watch.agent.auditor.lives.items()
    return {(key.code, key.names[1]) for key, life in lives if life.is_open}


# --- Leaf nodes.


@pytest.fixture(scope="module")
def hubs(binary: Path) -> Iterator[local.System]:
    """A cluster whose servers all listen for leaf nodes."""
    listen = f"leafnodes {{ listen: '{conf.LOOPBACK}:-1' }}"
    with local.cluster("n1", "n2", options=listen, binary=binary) as system:
        yield system


@pytest.fixture
async def ports(hubs, sys_request) -> dict[str, int]:
    """Where each of them listens for leaf nodes."""
    return {hub.name: (await sys_request(hub, "VARZ"))["data"]["leaf"]["port"] for hub in hubs}


def joins(hubs: local.System, where: Mapping[str, int], more: str = "") -> str:
    """The configuration of a leaf node that joins in these accounts, each at a port."""
    remotes = []
    for account, port in where.items():
        user, password = hubs.user(USERS[account])
        url = conf.quote(f"nats://{user}:{password}@{conf.LOOPBACK}:{port}")
        remotes.append(f"{{ url: {url}, account: {account}, {more} }}")
    return (
        f"ping_interval: '500ms'\nleafnodes {{ reconnect: '1s', remotes: [{', '.join(remotes)}] }}"
    )


class Line:
    """Passes on what leaf nodes and their hub say, each way after `seconds`."""

    def __init__(self, hub: int) -> None:
        self.hub, self.seconds = hub, 0.0
        self.connections: set[asyncio.Task[None]] = set()

    def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One more connection."""
        self.connections.add(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Until either end closes it."""
        above, below = await asyncio.open_connection(conf.LOOPBACK, self.hub)
        ways = [self._carry(reader, below), self._carry(above, writer)]
        tasks = [asyncio.create_task(way) for way in ways]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            below.transport.abort()
            writer.transport.abort()

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        now, waiting = asyncio.get_running_loop().time, asyncio.Queue[tuple[float, bytes]]()

        async def deliver() -> None:
            while True:
                due, said = await waiting.get()
                await asyncio.sleep(due - now())
                sink.write(said)

        async with asyncio.TaskGroup() as group:
            delivering = group.create_task(deliver())
            while said := await source.read(65_536):
                waiting.put_nowait((now() + self.seconds, said))
            delivering.cancel()


@asynccontextmanager
async def line(hub: int) -> AsyncIterator[tuple[Line, int]]:
    """A line to this port, and the port where it begins."""
    line = Line(hub)
    server = await asyncio.start_server(line.connected, conf.LOOPBACK, 0)
    try:
        yield line, server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for connection in line.connections:
            connection.cancel()
        await asyncio.wait(line.connections)


FAR = """
checks.high_leaf_rtt = { max_ms = 100, open_after = 2 }
checks.leaf_compression_disabled = { open_after = 2 }
checks.costly_leaf_compression = { min_leafs = 1, cpu_percent = 0, open_after = 2 }
"""


async def test_a_long_line_is_found_with_what_it_makes_of_compression_until_it_is_short(
    hubs, ports, start_server
):
    async with line(ports["n1"]) as (carries, port):
        for name, more in {"edge": "", "plain": "compression: off"}.items():
            start_server(name, options=joins(hubs, {"SYS": port}, more))
        checks = [high_leaf_rtt, leaf_compression_disabled, costly_leaf_compression]
        async with watching(hubs, interval="200ms", more=FAR, checks=checks) as watch:
            await watch.until(lambda: watch.heartbeats[-1].coverage.servers_answered == 4)
            await watch.epochs(3)
            assert watch.story == []
            carries.seconds = 0.06
            far = {("LEAF_002", "edge"), ("LEAF_002", "plain")}
            far |= {("OPT_SYS_006", "plain"), ("OPT_SYS_017", "edge")}
            await watch.until(lambda: opened(watch) == far)
            rtts = [said.value for said in watch.advisories if said.code == "LEAF_002"]
            assert min(rtts) > 100  # The relay may be a little early.
            carries.seconds = 0.0
            await watch.until(lambda: not opened(watch))


SMALL = """
checks.leafnode_subscription_count_high = { warning = 100, critical = 1000 }
checks.leafnode_hotspot = { min_leafs = 2 }
"""


async def test_a_leaf_node_is_found_by_its_name_its_interest_and_where_it_is(
    hubs, ports, start_server, crowd
):
    checks = [leafnode_name_whitespace, leafnode_subscription_count_high, leafnode_hotspot]
    async with watching(hubs, more=SMALL, checks=checks) as watch:
        good = start_server("good", options=joins(hubs, {"APP": ports["n1"]}))
        await watch.epochs(3)
        assert watch.story == []
        # Without a cluster, servers of 2.10 take its name for that of one, and refuse it.
        of_a_cluster = f"cluster {{ name: EDGE, listen: '{conf.LOOPBACK}:-1' }}\n"
        bad = start_server("bad\tname", options=of_a_cluster + joins(hubs, {"BIG": ports["n1"]}))
        both = {("LEAF_001", "n1"), ("OPT_BALANCE_902", "n1")}
        await watch.until(lambda: opened(watch) == both)
        user, password = good.user("app")
        url = good["good"].url
        many = await crowd.join(url, 1, user=user, password=password, subscriptions=120)
        await watch.until(lambda: opened(watch) == both | {("LEAF_003", "n1")})
        assert watch.named("LEAF_003") == {"good"}
        assert 120 <= watch.open["LEAF_003", "good"].value < 150
        await crowd.leave(many)
        bad.kill()
        await watch.until(lambda: not opened(watch))


# --- Subscriptions.

OFTEN = "gather.every = { SUBSZ = 0.0 }\n"


@pytest.fixture
async def client(shared_cluster) -> AsyncIterator[Client]:
    """A client of account APP on n3."""
    user, password = shared_cluster.user("app")
    client = await nats.connect(shared_cluster["n3"].url, user=user, password=password)
    yield client
    await client.close()


async def test_a_subject_that_many_clients_subscribe_to_is_found_until_they_leave(
    shared_cluster, client, crowd
):
    user, password = shared_cluster.user("app")
    few = "checks.subscription_fanout_anomaly = { min_fanout = 50 }\n"
    checks = [subscription_fanout_anomaly]
    async with watching(shared_cluster, more=OFTEN + few, checks=checks) as watch:
        await watch.epochs(3)
        assert watch.story == []
        url = shared_cluster["n3"].url
        members = await crowd.join(
            url, 60, user=user, password=password, subscriptions=1, subject="news"
        )
        await watch.epochs(3)
        assert watch.story == []  # Nobody publishes.
        await client.publish("news", b"so")
        await client.flush()
        await watch.until(lambda: watch.open)
        assert watch.story == [("opened", "OPT_SYS_011", "n3")]
        await crowd.leave(members)
        await watch.until(lambda: not watch.open)


async def test_subscriptions_that_come_and_go_are_found_until_they_stay(shared_cluster, client):
    quick = 'checks.subscription_churn = { window = "1s", per_second = 500, open_after = 2 }\n'
    checks = [subscription_churn]
    async with watching(shared_cluster, more=OFTEN + quick, checks=checks) as watch:
        for number in range(200):  # Which stay.
            await client.subscribe(f"steady.{number}")
        await watch.until(lambda: watch.agent.auditor.outcomes["OPT_SYS_012"].why == "")
        await watch.epochs(3)
        assert watch.story == []
        while "n3" not in watch.named("OPT_SYS_012"):
            for number in range(500):
                await (await client.subscribe(f"inbox.{number}")).unsubscribe()
            await client.flush()
        await watch.until(lambda: not watch.open)


async def test_subscriptions_that_grow_for_a_day_are_found_on_their_own_server(
    shared_cluster, client
):
    few = "checks.subscription_count_growth = { min_growth = 100 }\n"
    auditor = Auditor([subscription_count_growth], config.parse(QUICK + few))
    agent = await connect(login(shared_cluster, "agent", "n1"), name="a day")
    gatherer = Gatherer(agent, timeout=2.0, window=Window(24 * 1024 * 1024))

    async def look(quarter: int, more: int) -> list[tuple[str, str]]:
        for number in range(more):
            await client.subscribe(f"leak.{quarter}.{number}")
        await client.flush()
        told = await epoch(auditor, gatherer, 1_800_000_000.0 + 6 * 3600 * quarter)
        return [(item.transition, item.life.key.names[-1]) for item in told]

    try:
        assert [await look(quarter, 40) for quarter in range(4)] == 4 * [[]]
        assert await look(4, 40) == [("opened", "n3")]
        assert await look(5, 0) == []  # In one quarter none came.
        assert await look(6, 0) == [("resolved", "n3")]
    finally:
        await agent.close()


# --- Accounts.


def with_one_more(system: local.System) -> str:
    """The accounts of a system as they are, and another one."""
    accounts = {**conf.APPLICATIONS, "NEW": ("new",)}
    users = [*conf.OPERATORS, *(user for users in conf.APPLICATIONS.values() for user in users)]
    passwords = {user: system.user(user)[1] for user in users}
    return conf.accounts(passwords | {"new": "new"}, accounts, {})


BRIEF = 'gather.every = { ACCOUNTZ = 0.0 }\nchecks.accounts_changed.within = "2s"\n'


async def test_an_account_that_a_reload_adds_or_removes_is_told_for_a_time(start_cluster):
    system = start_cluster("n1", "n2")
    async with watching(system, listen="n1", more=BRIEF, checks=[accounts_changed]) as watch:
        await watch.epochs(3)
        system["n2"].restart()
        await watch.epochs(2)
        assert watch.story == []
        for options, added, removed in ((with_one_more(system), ["NEW"], []), ("", [], ["NEW"])):
            system["n2"].reload(options)
            await watch.until(lambda: watch.open)
            said = watch.open["CHANGE_003", "n2"]
            assert (said.evidence["added"], said.evidence["removed"]) == (added, removed)
            await watch.until(lambda: not watch.open)
        assert {name for _, _, name in watch.story} == {"n2"}


async def test_an_account_with_a_jwt_is_not_new_when_it_is_first_used(
    start_cluster, crowd, sys_request
):
    system = start_cluster("n1", "n2", operator=True)
    async with watching(system, more=BRIEF, checks=[accounts_changed]) as watch:
        await watch.epochs(3)
        before = await loaded(watch)
        await crowd.join(system["n2"].url, 1, login=system.login("app"))
        await watch.epochs(3)
        assert len(await loaded(watch)) > len(before)
        assert watch.story == []


async def loaded(watch: Watch) -> list[str]:
    """The accounts that n2 has loaded."""
    server = watch.agent.auditor.snapshot.servers["C1", "n2"]
    return list(server.reply(ACCOUNTZ).accounts or ())


async def test_an_account_that_nobody_uses_is_found_until_somebody_does(shared_cluster, crowd):
    quick = "gather.every = { JSZ_STREAMS = 0.0, STATZ_TRAFFIC = 0.0 }\n"
    quick += 'checks.inactive_account.window = "1s"\n'

    async def join(account: str) -> list[Member]:
        user, password = shared_cluster.user(USERS[account])
        return await crowd.join(shared_cluster["n3"].url, 1, user=user, password=password)

    await join("APP")
    members = await join("BIG")
    async with watching(shared_cluster, more=quick, checks=[inactive_account]) as watch:
        await watch.epochs(15)
        assert watch.story == []
        await crowd.leave(members)
        await watch.until(lambda: watch.open)
        assert watch.story == [("opened", "OPT_IDLE_005", "BIG")]
        await join("BIG")
        await watch.until(lambda: not watch.open)
        assert watch.story[1:] == [("resolved", "OPT_IDLE_005", "BIG")]


@pytest.fixture
async def two_clusters(start_system) -> AsyncIterator[tuple[local.System, Client, Client]]:
    """Two clusters of one server each, and a client of account APP on either."""
    system = start_system({"EAST": ("e1",), "WEST": ("w1",)})
    user, password = system.user("app")
    clients = [await nats.connect(one.url, user=user, password=password) for one in system]
    yield system, *clients
    for client in clients:
        await client.close()


async def test_traffic_between_clusters_is_found_until_more_stays_within(two_clusters, version):
    system, east, west = two_clusters
    low = "gather.every.STATZ_TRAFFIC = 0.0\n"
    low += 'checks.high_gateway_traffic_ratio = { min_mib = 1, window = "1s" }\n'
    checks = [high_gateway_traffic_ratio]
    for reader, subject in ((west, "far"), (east, "near")):
        await reader.subscribe(subject)
        await reader.flush()
    async with watching(system, "e1", "w1", more=low, checks=checks) as watch:
        # What is counted begins with the first message that crosses.
        await publish(east, "far", 1)
        await watch.epochs(15)
        assert watch.story == []
        await publish(east, "far", 40)
        if version == "2.10.26":  # Which does not tell what crosses.
            await watch.epochs(3)
            outcome = watch.agent.auditor.outcomes["OPT_PLACE_003"]
            assert (watch.story, outcome.excused) == ([], True)
            return
        await watch.until(lambda: watch.open)
        assert watch.story == [("opened", "OPT_PLACE_003", "APP")]
        assert 40 < watch.advisories[0].value < 60
        await publish(east, "near", 120)
        await watch.until(lambda: not watch.open)


async def publish(client: Client, subject: str, messages: int) -> None:
    """So many messages of 64 KiB."""
    for _ in range(messages):
        await client.publish(subject, bytes(65_536))
    await client.flush()
