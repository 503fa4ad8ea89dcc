"""The checks about balance and idle servers, on real servers."""

from __future__ import annotations

import pytest

from kit.watching import QUICK, watching
from nats_insights import config
from nats_insights.agent.epoch import epoch
from nats_insights.checks.opt_balance.connection_coldspot import connection_coldspot
from nats_insights.checks.opt_idle.server_underused import server_underused
from nats_insights.connection.connect import connect
from nats_insights.gather.small import Gatherer
from nats_insights.gather.window import Window
from nats_insights.judge.auditor import Auditor
from nats_insights.lab.demo.stage import login
from nats_insights.lab.servers import local
from nats_insights.lab.servers.crowd import Crowd, Member

pytestmark = [pytest.mark.live, pytest.mark.long]


async def join(crowd: Crowd, system: local.System, name: str, count: int) -> list[Member]:
    user, password = system.user("app")
    return await crowd.join(system[name].url, count, user=user, password=password)


async def test_a_server_that_its_clients_left_is_cold_until_some_are_back(shared_cluster, crowd):
    members = {name: await join(crowd, shared_cluster, name, 24) for name in ("n1", "n2", "n3")}
    async with watching(shared_cluster, checks=[connection_coldspot]) as watch:
        await watch.epochs(3)
        assert watch.story == []
        await crowd.leave(members["n3"][:12])
        await watch.until(lambda: watch.open)
        assert watch.story == [("opened", "OPT_BALANCE_901", "n3")]
        assert watch.advisories[0].value == 0.5
        await join(crowd, shared_cluster, "n3", 3)
        await watch.until(lambda: not watch.open)
        await watch.epochs(2)
        assert watch.story[-1] == ("resolved", "OPT_BALANCE_901", "n3")


async def test_a_server_without_work_is_idle_after_an_hour_until_clients_come(
    shared_cluster, crowd
):
    for name, count in {"n1": 12, "n2": 12, "n3": 3}.items():
        await join(crowd, shared_cluster, name, count)
    # The machine may be busy with other tests.
    busy = "checks.server_underused.cpu_percent = 100.0\n"
    auditor = Auditor([server_underused], config.parse(QUICK + busy))
    client = await connect(login(shared_cluster, "agent", "n1"), name="an hour")
    gatherer = Gatherer(client, timeout=2.0, window=Window(24 * 1024 * 1024))

    async def look(minute: int) -> list[tuple[str, str]]:
        told = await epoch(auditor, gatherer, 1_800_000_000.0 + 60 * minute)
        return [(item.transition, item.life.key.names[-1]) for item in told]

    try:
        heard = [await look(minute) for minute in range(61)]
        assert heard[:50] == 50 * [[]]
        assert [said for said in heard if said] == [[("opened", "n3")]]
        await join(crowd, shared_cluster, "n3", 12)
        assert await look(61) == [("resolved", "n3")]
    finally:
        await client.close()
