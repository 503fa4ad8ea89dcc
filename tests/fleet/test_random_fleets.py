"""Of any fleet the agent finds what is true of it, all of it and nothing else."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from kit.fleet.auditing import CHECKS, auditing, held, subscribed
from kit.fleet.everything import CARRIERS, LOOKS, STEP, any_fleet, watching_all
from nats_insights.lab.fleet.faults import FAULTS, Look, all_truth
from nats_insights.lab.fleet.plant import Faults, plant
from nats_insights.lab.fleet.truth import truth
from nats_insights.lab.servers import local

pytestmark = [pytest.mark.live, pytest.mark.long]

SEEDS = range(50)


def of_connections(seed):
    """A fleet of which nothing is wrong but what its connections show."""
    rng = random.Random(seed)
    return plant(
        rng.randint(6, 60),
        rng.randint(5, 120),
        clusters=rng.randint(1, 6),
        accounts=rng.randint(2, 30),
        faults=Faults(**{kind: rng.randint(0, 2) for kind in Faults.__struct_fields__}),
        seed=seed,
    )


@pytest.fixture(scope="module")
def relay():
    """Two servers: the simulated ones answer on `far`, and the agent asks on `near`."""
    carriers = local.cluster("near", "far", cluster_name=CARRIERS, options="max_payload: 64MB")
    with carriers as system:
        yield system


@pytest.mark.parametrize("seed", SEEDS)
async def test_what_is_true_of_connections_is_found_once_and_nothing_else(relay, seed):
    fleet = of_connections(seed)
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


@pytest.mark.parametrize("seed", SEEDS)
async def test_what_is_true_of_a_fleet_is_found_and_nothing_else(relay, seed):
    fleet, _ = any_fleet(seed)
    async with watching_all(fleet, relay["far"], relay["near"]) as watch:
        told = []
        for _ in range(LOOKS):
            told += await watch.epochs()
            true = all_truth(Look(fleet, STEP))
            assert watch.open <= true  # Not all is known before a whole window was seen.
        assert watch.open == true
        assert {what for how, what in told if how == "opened"} >= true
        assert watch.users <= held(fleet)  # Whom nothing can be found of was not counted.
        assert watch.coverage.servers_answered == len(fleet.servers) + len(relay.servers)
        assert watch.coverage.missing == []
        whole = watch.beside('[gather]\nsweep = "all"')
        await whole.epochs()
        assert whole.users == held(fleet)
        assert whole.subscriptions == subscribed(fleet)


def test_the_fleets_have_every_fault_and_what_just_is_none():
    planted: Counter[tuple[str, bool]] = Counter()
    for seed in SEEDS:
        planted.update(any_fleet(seed)[1].items())
    assert set(planted) == {(code, over) for code in FAULTS for over in (True, False)}


def test_the_fleets_have_everything_that_is_found_by_their_connections():
    for any_of_them in (of_connections, lambda seed: any_fleet(seed)[0]):
        found = [truth(any_of_them(seed)) for seed in SEEDS]
        assert {code for facts in found for code, _ in facts} == set(CHECKS)
        assert min(map(len, found)) == 0


@pytest.mark.parametrize("seed", SEEDS[:3])
async def test_when_everybody_leaves_what_is_found_by_connections_resolves(relay, seed):
    fleet = of_connections(seed)
    async with auditing(fleet, relay["far"], relay["near"]) as watch:
        await watch.epochs(2)
        found = watch.open
        for server in fleet.servers:
            for cid in list(server.cids):
                fleet.close(server, cid)
        told = await watch.epochs(4)
        assert sorted(told) == sorted(("resolved", fact) for fact in found)
        assert watch.open == set()
