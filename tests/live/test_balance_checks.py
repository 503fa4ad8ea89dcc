"""The checks about balance and idle servers, on real servers."""

from __future__ import annotations

import pytest

from kit.watching import watching
from nats_insights.checks.opt_balance.connection_coldspot import connection_coldspot
from nats_insights.lab.servers import local
from nats_insights.lab.servers.crowd import Crowd, Member

pytestmark = pytest.mark.live


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
