"""The checks about changes, on real servers."""

from __future__ import annotations

import pytest

from kit.watching import watching
from nats_insights.checks.change.config_reloaded import config_reloaded

pytestmark = [pytest.mark.live, pytest.mark.long]

BRIEF = 'checks.config_reloaded.within = "2s"\n'


async def test_a_reload_is_told_for_a_time_and_a_restart_is_none(start_cluster):
    system = start_cluster("n1", "n2", "n3")
    async with watching(system, more=BRIEF, checks=[config_reloaded]) as watch:
        await watch.epochs(2)
        system["n3"].restart()
        await watch.epochs(2)
        assert watch.story == []
        system["n3"].reload("max_payload: 500000")
        await watch.until(lambda: watch.open)
        await watch.until(lambda: not watch.open)
        opened, resolved = [("opened", "CHANGE_001", "n3"), ("resolved", "CHANGE_001", "n3")]
        assert watch.story == [opened, resolved]
        assert watch.advisories[0].value < 2 <= watch.advisories[1].value
        system["n3"].reload("max_payload: 500000")  # The same again is a reload, too.
        await watch.until(lambda: watch.open)
        assert watch.story == [opened, resolved, opened]


async def test_a_reload_of_all_servers_is_one_finding(start_cluster):
    system = start_cluster("n1", "n2", "n3", "n4", "n5")
    async with watching(system, checks=[config_reloaded]) as watch:
        # On a busy machine the first epoch may not reach all of a young cluster.
        await watch.until(lambda: watch.heartbeats[-1].coverage.servers_answered == 5)
    for server in system:
        server.reload("max_payload: 500000")
    # On a busy machine the first reload is some seconds old when the agent looks first.
    longer = BRIEF.replace("2s", "8s")
    async with watching(system, more=longer, checks=[config_reloaded]) as watch:
        await watch.until(lambda: watch.open)
        assert watch.story == [("opened", "CHANGE_001", "system")]
        await watch.until(lambda: not watch.open)
        assert watch.story[1:] == [("resolved", "CHANGE_001", "system")]
