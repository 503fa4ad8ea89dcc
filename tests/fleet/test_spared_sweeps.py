"""Connections are asked for only where something moved, and all is found that asking all finds."""

from __future__ import annotations

import random

import pytest

from kit.fleet.auditing import SWEEP_ALL, auditing, held
from nats_insights.lab.fleet.model import User
from nats_insights.lab.fleet.plant import Faults, plant
from nats_insights.lab.fleet.truth import truth

pytestmark = pytest.mark.live

STEPS = 12
# Seconds for a reply, once a server is gone: it is waited for before it is asked by its id.
TIMEOUT = 1.0


def close(fleet, user, count):
    """So many connections of a user close, wherever they are."""
    for server in fleet.servers:
        for cid in [row.cid for row in fleet.connections(server) if row.user == user][:count]:
            fleet.close(server, cid)
            count -= 1


def happen(fleet, rng):
    """Something happens between two epochs: often it is little, at times it will be found."""
    server, user = rng.choice(fleet.servers), rng.choice(fleet.users)
    match rng.randrange(6):
        case 0:
            fleet.open(server, user, rng.choice((30, 60)), subscriptions=2)
        case 1:
            fleet.open(server, user, subscriptions=rng.choice((400, 2000)))
        case 2:
            for turn in range(60):
                late = User(account="LATE", name=f"late-{turn % 2}")
                fleet.open(fleet.servers[turn % len(fleet.servers)], late)
        case 3:
            close(fleet, user, 80)
        case 4:
            fleet.close_some(server, len(server.cids) // 2)
        case _:
            fleet.churn(0.3, closed=rng.randint(0, 3), opened=rng.randint(0, 3))


class Both:
    """Two auditors of one fleet: one asks where something moved, the other asks all."""

    def __init__(self, spared):
        self.spared, self.whole = spared, spared.beside(SWEEP_ALL)
        self.all = len(spared.service.fleet.servers) + 1
        self.least = self.all

    async def agree(self, epochs):
        for _ in range(epochs):
            told = await self.whole.epochs()
            assert await self.spared.epochs() == told
            assert self.spared.open == self.whole.open
            assert self.whole.users == held(self.whole.service.fleet)
            assert self.whole.cost.servers_swept == self.all
            self.least = min(self.least, self.spared.cost.servers_swept)


@pytest.mark.parametrize("seed", range(6))
async def test_what_is_found_is_the_same_as_if_all_were_asked(host, seed):
    rng = random.Random(seed)
    faults = Faults(leaking_users=rng.randint(0, 1), connection_hotspots=rng.randint(0, 1))
    fleet = plant(rng.randint(6, 15), rng.randint(10, 50), clusters=3, faults=faults, seed=seed)
    async with auditing(fleet, host) as spared:
        both = Both(spared)
        await both.agree(2)
        for _ in range(STEPS):
            happen(fleet, rng)
            await both.agree(rng.randint(1, 3))
        assert both.least == 0


async def test_a_restart_is_no_difference(host):
    fleet = plant(9, 40, faults=Faults())
    async with auditing(fleet, host) as spared:
        both = Both(spared)
        await both.agree(2)
        for auditor in (both.spared, both.whole):
            auditor.wait(TIMEOUT)
        for server in fleet.servers[:2]:
            fleet.restart(server)
        await both.agree(2)
        assert both.spared.open == truth(fleet)
