"""Real servers tell by two counters whether they hold the same connections as before."""

from __future__ import annotations

import asyncio
import json

import nats
import pytest

from kit.watching import watching
from nats_insights.checks.user.excessive_user_connections import excessive_user_connections
from nats_insights.lab.servers import conf

pytestmark = pytest.mark.live

FIVE = "checks.excessive_user_connections.max_connections = 5\n"


def swept(watch) -> int:
    """How many servers listed their connections in the last epoch that was heard of."""
    return watch.heartbeats[-1].cost.servers_swept


async def test_where_nothing_moves_nobody_is_asked_again(shared_cluster, crowd):
    user, password = shared_cluster.user("big")
    members = await crowd.join(shared_cluster["n2"].url, 4, user=user, password=password)
    # Subscriptions move on other servers too, while interest spreads, so they are not looked at.
    async with watching(shared_cluster, more=FIVE, checks=[excessive_user_connections]) as watch:
        await watch.until(lambda: swept(watch) == 0)
        await watch.epochs(3)
        assert {beat.cost.servers_swept for beat in watch.heartbeats[-3:]} == {0}
        heard = len(watch.heartbeats)
        # One leaves and two come: the counters move by less than what is found.
        await crowd.leave(members[:1])
        await crowd.join(shared_cluster["n3"].url, 3, user=user, password=password)
        await watch.until(lambda: watch.named("USER_002") == {"big"})
        assert watch.open["USER_002", "big"].value == 6
        assert {beat.cost.servers_swept for beat in watch.heartbeats[heard:]} <= {0, 1, 2}
        await watch.until(lambda: swept(watch) == 0)
        await crowd.leave(members[1:3])
        await watch.until(lambda: not watch.named("USER_002"))


async def test_who_says_who_it_is_after_a_sweep_is_counted(start_cluster, crowd):
    # Its connection was accepted before the sweep, and no counter moves when it logs in.
    patient = "authorization { timeout: 60 }"
    system = start_cluster("n1", "n2", options={"n2": patient})
    user, password = system.user("big")
    await crowd.join(system["n1"].url, 5, user=user, password=password)
    reader, writer = await asyncio.open_connection(conf.LOOPBACK, system["n2"].port)
    await reader.readline()
    async with watching(system, more=FIVE) as watch:
        await watch.epochs(3)
        assert (watch.named("USER_002"), swept(watch)) == (set(), 1)
        hello = {"user": user, "pass": password, "verbose": False}
        writer.write(f"CONNECT {json.dumps(hello)}\r\nPING\r\n".encode())
        await watch.until(lambda: watch.named("USER_002") == {"big"})
        await watch.until(lambda: swept(watch) == 0)
        writer.close()


async def test_subscriptions_of_old_connections_are_noticed(shared_cluster, crowd):
    user, password = shared_cluster.user("app")
    for name in ("n1", "n2", "n3"):
        await crowd.join(shared_cluster[name].url, 2, user=user, password=password)
    late = await nats.connect(shared_cluster["n2"].url, user=user, password=password)
    async with watching(shared_cluster) as watch:
        await watch.until(lambda: swept(watch) == 0)
        many = [await late.subscribe(f"many.{number}") for number in range(400)]
        await watch.until(lambda: watch.named("OPT_BALANCE_003") == {"n2"})
        assert watch.open["OPT_BALANCE_003", "n2"].evidence["subscriptions"] >= 400
        for one in many:
            await one.unsubscribe()
        await watch.until(lambda: not watch.named("OPT_BALANCE_003"))
        await late.close()
