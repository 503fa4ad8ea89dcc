"""Of any fleet the agent finds what is true of it, all of it and nothing else."""

from __future__ import annotations

import random

import pytest

from kit.fleet.auditing import CHECKS, auditing, held, subscribed
from nats_insights.lab.fleet.plant import Faults, plant
from nats_insights.lab.fleet.truth import truth
from nats_insights.lab.servers import local

pytestmark = pytest.mark.live

SEEDS = range(50)


@pytest.fixture(scope="module")
def relay():
    """Two servers: the simulated ones answer on `far`, and the agent asks on `near`."""
    with local.cluster("near", "far", options="max_payload: 64MB") as system:
        yield system


def any_fleet(seed):
    rng = random.Random(seed)
    return plant(
        rng.randint(6, 60),
        rng.randint(5, 120),
        clusters=rng.randint(1, 6),
        accounts=rng.randint(2, 30),
        faults=Faults(**{kind: rng.randint(0, 2) for kind in Faults.__struct_fields__}),
        seed=seed,
    )


@pytest.mark.parametrize("seed", SEEDS)
async def test_what_is_true_of_a_fleet_is_found_and_nothing_else(relay, seed):
    fleet = any_fleet(seed)
    true = truth(fleet)
    async with auditing(fleet, relay["far"], relay["near"]) as watch:
        opened = await watch.epochs(2)
        assert watch.open == true
        assert sorted(opened) == sorted(("opened", fact) for fact in true)
        assert watch.users <= held(fleet)  # Whom nothing can be found of was not counted.
        whole = watch.beside('[gather]\nsweep = "all"')
        await whole.epochs()
        assert whole.users == held(fleet)
        assert whole.subscriptions == subscribed(fleet)
        assert watch.coverage.servers_answered == len(fleet.servers) + len(relay.servers)
        assert watch.coverage.missing == []
        assert await watch.epochs() == []


def test_the_fleets_have_everything_that_can_be_found():
    found = [truth(any_fleet(seed)) for seed in SEEDS]
    assert {code for facts in found for code, _ in facts} == set(CHECKS)
    assert min(map(len, found)) == 0


@pytest.mark.parametrize("seed", SEEDS[:3])
async def test_when_everybody_leaves_all_of_it_resolves(relay, seed):
    fleet = any_fleet(seed)
    async with auditing(fleet, relay["far"], relay["near"]) as watch:
        await watch.epochs(2)
        found = watch.open
        for server in fleet.servers:
            for cid in list(server.cids):
                fleet.close(server, cid)
        told = await watch.epochs(4)
        assert sorted(told) == sorted(("resolved", fact) for fact in found)
        assert watch.open == set()
