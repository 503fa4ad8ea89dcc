"""The pace: epochs never pile up, and never exceed the budget for long."""

from __future__ import annotations

import pytest

from nats_insights.config import Gather
from nats_insights.facts import Cost
from nats_insights.judge.pace import Pace

BUDGET = Gather(max_bytes_per_epoch=1_000_000, max_cpu=0.1)


@pytest.mark.parametrize(
    ("took", "due", "skipped"), [(0.5, 30, 0), (29.9, 30, 0), (30.5, 60, 1), (95, 120, 3)]
)
def test_an_epoch_that_was_due_meanwhile_is_skipped(took, due, skipped):
    pace = Pace(30.0, BUDGET)
    assert (pace.ended(took, Cost()), pace.skipped) == (due, skipped)


@pytest.mark.parametrize(
    ("interval", "timeout", "silent_after"),
    [(30.0, 2.0, 100.0), (30.0, 5.0, 115.0), (5.0, 2.0, 25.0), (0.1, 0.2, 4.0)],
)
def test_three_intervals_and_five_request_timeouts_are_silence(interval, timeout, silent_after):
    pace = Pace(interval, Gather(timeout=timeout))
    assert pace.silent_after == silent_after


def test_silence_is_told_by_the_interval_as_it_is_stretched():
    pace = Pace(30.0, BUDGET)
    pace.ended(0.5, Cost(bytes=2_000_000))
    assert pace.silent_after == 190.0


def test_late_epochs_are_counted_as_long_as_they_follow_each_other():
    pace = Pace(30.0, BUDGET)
    late = []
    for took in (31, 40, 99, 1, 31):
        pace.ended(took, Cost())
        late.append(pace.late)
    assert late == [1, 2, 3, 0, 1]


@pytest.mark.parametrize(
    ("cost", "interval"),
    [
        (Cost(bytes=1_000_000, cpu_seconds=3.0), 30),
        (Cost(bytes=2_500_000, cpu_seconds=3.0), 75),
        (Cost(bytes=0, cpu_seconds=6.0), 60),
        (Cost(bytes=4_000_000, cpu_seconds=6.0), 120),
    ],
)
def test_the_interval_is_stretched_so_that_the_budget_is_kept(cost, interval):
    pace = Pace(30.0, BUDGET)
    assert pace.ended(1.0, cost) == pytest.approx(interval)
    assert pace.interval == pytest.approx(interval)
    assert pace.stretched == (interval > 30)
    assert pace.ended(1.0, Cost()) == 30


def test_a_stretched_interval_is_what_epochs_are_late_for():
    pace = Pace(30.0, BUDGET)
    assert pace.ended(50.0, Cost(cpu_seconds=6.0)) == 60
    assert pace.late == 0


def test_the_last_epoch_is_told_with_what_it_took():
    pace = Pace(30.0, BUDGET)
    told = [pace.took]
    for took in (40.5, 0.25):
        pace.ended(took, Cost())
        told.append(pace.took)
    assert told == [0.0, 40.5, 0.25]
