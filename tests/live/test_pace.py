"""Epochs that take too long, or cost too much: fewer of them, and everybody is told."""

from __future__ import annotations

import logging

import pytest

from kit.watching import watching

pytestmark = pytest.mark.live

LATE = ("AGENT_002", "slow")


@pytest.mark.long
async def test_an_agent_that_cannot_keep_its_interval_says_so(start_cluster, caplog):
    caplog.set_level(logging.WARNING, "nats_insights")
    system = start_cluster("n1", "n2", "n3")
    more = 'id = "slow"\ngather.timeout = "1s"\n'
    async with watching(system, more=more, interval="500ms", pace="") as watch:
        await watch.epochs()
        system["n3"].freeze()
        await watch.until(lambda: LATE in watch.open)
        told = watch.open[LATE]
        assert told.value >= told.threshold == 3
        assert told.evidence["took_seconds"] > told.evidence["interval_seconds"] == 0.5
        assert watch.heartbeats[-1].epochs_skipped >= 1
        assert watch.heartbeats[-1].coverage.missing == ["n3"]
        system["n3"].thaw()
        await watch.until(lambda: LATE not in watch.open)
        assert watch.heartbeats[-1].coverage.missing == []
    assert any("skipped" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize(
    ("budget", "interval"),
    [
        ("max_cpu = 0.02", lambda cost: cost.cpu_seconds / 0.02),
        ("max_bytes_per_epoch = 65536", lambda cost: 0.1 * cost.bytes / 65536),
    ],
    ids=["CPU", "bytes"],
)
async def test_epochs_become_rarer_instead_of_dearer_than_allowed(
    start_cluster, crowd, caplog, budget, interval
):
    caplog.set_level(logging.WARNING, "nats_insights")
    system = start_cluster("n1", "n2")
    user, password = system.user("app")
    await crowd.join(system["n2"].url, 4000, user=user, password=password)
    more = 'gather.sweep = "all"\n'
    budget = f"checks.agent_late.enabled = false\ngather.{budget}\n"
    async with watching(system, more=more, interval="100ms", pace=budget) as watch:
        await watch.until(lambda: watch.heartbeats[-1].interval_seconds > 0.1)
        beat = watch.heartbeats[-1]
        assert beat.interval_seconds > interval(beat.cost) - 0.001
    assert any("to stay within the budget" in record.getMessage() for record in caplog.records)
