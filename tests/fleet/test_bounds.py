"""A window too small for what is asked: asked in smaller parts, and all is found."""

from __future__ import annotations

import pytest

from kit.fleet.auditing import auditing, held
from nats_insights.gather import connections as pages
from nats_insights.lab.fleet.plant import Faults, plant
from nats_insights.lab.fleet.truth import truth

pytestmark = pytest.mark.live

SMALL = 64 * 1024


def narrow(watch):
    """The smallest window, which does not grow."""
    window = watch.gatherer.window
    window.wanted = window.full = window.size = SMALL


async def test_where_a_fan_out_would_exceed_it_servers_are_asked_one_by_one(host):
    fleet = plant(60, 40, clusters=6, faults=Faults(), seed=3)
    async with auditing(fleet, host) as watch:
        await watch.epochs(1)
        at_once = watch.cost.requests
        narrow(watch)
        await watch.epochs(1)
        assert watch.open == truth(fleet)
        assert watch.coverage.missing == []
        assert watch.cost.requests > at_once
        assert 0 < watch.cost.peak_window_bytes <= SMALL


async def test_a_page_never_fills_more_than_half_of_it(host, monkeypatch):
    monkeypatch.setattr(pages, "LEAST", 16)
    fleet = plant(1, 2000, seed=4)
    async with auditing(fleet, host) as watch:
        narrow(watch)
        await watch.epochs(1)
        assert watch.users == held(fleet)
        assert watch.service.load.scans > 2000 * 50 // SMALL
        assert watch.cost.peak_window_bytes <= SMALL
