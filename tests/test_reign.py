"""A leader knows by its own clock when another one may lead."""

from __future__ import annotations

import pytest

from nats_insights.agent.reign import Reign


class Clock:
    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_it_holds_for_as_long_as_the_last_heartbeat_said(clock):
    reign = Reign(clock)
    reign.begin(1.8e9)
    assert not reign.holds
    reign.said(10.0, at=clock.now)
    for now, holds in [(50.0, True), (59.9, True), (60.0, False), (1000.0, False)]:
        clock.now = now
        assert reign.holds == holds


def test_it_counts_from_when_a_heartbeat_was_sent_and_not_from_when_it_arrived(clock):
    reign = Reign(clock)
    reign.begin(1.8e9)
    sent = clock.now
    clock.now += 8.0
    reign.said(10.0, at=sent)
    clock.now += 2.0
    assert not reign.holds


def test_a_standby_has_none_whatever_it_says(clock):
    reign = Reign(clock)
    reign.said(10.0, at=clock.now)
    assert (reign.holds, reign.since) == (False, None)


@pytest.mark.parametrize("over", ["end", "lapse"])
def test_it_can_end_before_its_time(clock, over):
    reign = Reign(clock)
    reign.begin(1.8e9)
    reign.said(10.0, at=clock.now)
    getattr(reign, over)()
    assert not reign.holds
    assert reign.since == (1.8e9 if over == "lapse" else None)


def test_its_clock_runs():
    reign = Reign()
    assert reign.clock() <= reign.clock()
    reign.begin(1.8e9)
    reign.said(3600.0, at=reign.clock())
    assert reign.holds
