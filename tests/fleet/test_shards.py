"""Several agents that look at a part of a fleet each find together what one finds."""

from __future__ import annotations

import random

import pytest
from msgspec.structs import replace

from kit.fleet.auditing import auditing, sick_and_well
from kit.fleet.dividing import Divided
from nats_insights.gather import asking
from nats_insights.lab.fleet.model import Fleet, User
from nats_insights.lab.fleet.plant import Faults, plant
from nats_insights.lab.fleet.truth import truth

pytestmark = pytest.mark.live


@pytest.fixture(autouse=True)
def no_newcomers(monkeypatch):
    """No server joins after the first epoch, so none waits for any."""
    monkeypatch.setattr(asking, "GRACE", 0.01)


TEAM = User(account="APP", name="team")
OVER = ("USER_002", ("APP", "team"))


def two_clusters(here: int = 60, there: int = 60) -> Fleet:
    """One user has so many connections in each of two clusters."""
    fleet = Fleet({"EU": ["e1", "e2"], "US": ["u1", "u2"]})
    for name, count in (("e1", here // 2), ("e2", here - here // 2), ("u1", there // 2)):
        fleet.open(fleet.server(name), TEAM, count)
    fleet.open(fleet.server("u2"), TEAM, there - there // 2)
    return fleet


HALVES = {"eu": ["EU"], "us": ["US", "C1"]}


def divided_at_random(fleet: Fleet, rng: random.Random) -> dict[str, list[str]]:
    """Each cluster in one of two to four shards, and each shard with one at least."""
    clusters = [cluster.name for cluster in fleet.clusters]
    rng.shuffle(clusters)
    number = rng.randint(2, min(4, len(clusters)))
    return {name: clusters[n::number] for n, name in enumerate("abcd"[:number])}


def of_connections(rng: random.Random) -> Fleet:
    """A fleet of several clusters, of which is wrong what its connections show."""
    return plant(
        rng.randint(6, 40),
        rng.randint(5, 120),
        clusters=rng.randint(2, 6),
        accounts=rng.randint(2, 30),
        faults=Faults(**{kind: rng.randint(0, 2) for kind in Faults.__struct_fields__}),
        seed=rng.randint(0, 1000),
    )


async def compare(host, seed: int) -> None:
    """All that is true is found by one shard or another, once, and follows what changes."""
    rng = random.Random(seed)
    fleet = of_connections(rng)
    async with auditing(fleet, host) as watch:
        divided = Divided(watch, divided_at_random(fleet, rng))
        opened = await divided.epochs(8)
        assert divided.open == sorted(truth(fleet))
        assert sorted(opened) == sorted(("opened", fact) for fact in truth(fleet))
        for server in rng.sample(fleet.servers, len(fleet.servers) // 2):
            for cid in list(server.cids):
                fleet.close(server, cid)
        for _ in range(3):
            user = User(account="NEW", name=f"new-{rng.randint(0, 1)}")
            fleet.open(rng.choice(fleet.servers), user, rng.randint(20, 70))
        await divided.epochs(8)
        assert divided.open == sorted(truth(fleet))
        assert await divided.epochs(2) == []


@pytest.mark.parametrize("seed", range(1))
async def test_shards_find_together_what_is_true(host, seed):
    await compare(host, seed)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1, 60))
async def test_shards_of_any_fleet_find_together_what_is_true(host, seed):
    await compare(host, seed)


async def test_a_user_over_the_limit_only_in_sum_is_found_once_and_resolves_once(host):
    fleet = two_clusters()
    async with auditing(fleet, host) as watch:
        divided = Divided(watch, HALVES)
        assert await divided.epochs(6) == [("opened", OVER)]
        assert divided.watches["eu"].open == {OVER}
        (life,) = divided.watches["eu"].auditor.lives.values()
        assert life.value == 120
        assert b'"shard us",60' in bytes(life.evidence)
        # It is open until it is clearly below the limit: 95 is not.
        leave(fleet, "u1", 25)
        assert await divided.epochs(6) == [("updated", OVER)]
        leave(fleet, "u2", 10)
        assert await divided.epochs(6) == [("resolved", OVER)]


def leave(fleet: Fleet, name: str, count: int) -> None:
    server = fleet.server(name)
    for cid in list(server.cids)[:count]:
        fleet.close(server, cid)


async def test_a_silent_shard_resolves_nothing_and_is_named(host):
    fleet = two_clusters()
    async with auditing(fleet, host) as watch:
        divided = Divided(watch, HALVES)
        await divided.epochs(6)
        divided.silent = {"us"}
        leave(fleet, "u1", 30)
        leave(fleet, "u2", 30)
        eu = divided.watches["eu"]
        eu.auditor.shards.hear(replace(eu.auditor.shards.shares["us"], until=0.0))
        assert await divided.epochs(6) == []
        assert eu.open == {OVER}
        outcome = eu.auditor.outcomes["USER_002"]
        assert (outcome.unknown, outcome.why, outcome.excused) == (1, "CONNZ of shard us", False)
        assert eu.auditor.outcomes["OPT_BALANCE_003"].why == ""
        assert eu.auditor.shards.troubles == {"us": "shard us is silent"}
        divided.silent = set()
        assert await divided.epochs(6) == [("resolved", OVER)]


async def test_one_shard_alone_can_open_a_finding_and_says_that_it_is_the_least(host):
    fleet = two_clusters(here=110, there=0)
    async with auditing(fleet, host) as watch:
        divided = Divided(watch, HALVES)
        divided.silent = {"us"}
        assert await divided.epochs(4) == [("opened", OVER)]
        (life,) = divided.watches["eu"].auditor.lives.values()
        assert life.partial == "CONNZ of shard us"
        assert divided.watches["eu"].auditor.shards.troubles == {"us": "shard us was never heard"}


@pytest.mark.long
async def test_only_what_is_large_somewhere_is_shared(host):
    fleet = two_clusters(here=55, there=3)
    for number in range(200):
        fleet.open(fleet.server("e1"), User(account="APP", name=f"small-{number}"), 2)
    async with auditing(fleet, host) as watch:
        divided = Divided(watch, HALVES)
        assert await divided.epochs(6) == []
        eu, us = (divided.watches[name].auditor.share.folds["by_user"] for name in ("eu", "us"))
        assert (eu.counts, eu.floor, eu.exact) == ([(("APP", "team"), 55)], 45, True)
        # An open finding stays open down to 90 connections, so 45 is half of what matters.
        assert (us.counts, us.asked) == ([(("APP", "team"), 3)], [])
        leave(fleet, "e2", 28)
        await divided.epochs(3)
        eu, us = (divided.watches[name].auditor.share.folds["by_user"] for name in ("eu", "us"))
        assert (eu.counts, us.counts) == ([], [])


async def test_what_is_in_one_shard_is_judged_by_that_shard(host):
    fleet = sick_and_well()
    clusters = {"x": ["C1"], "y": ["C2", "C3"]}
    async with auditing(fleet, host) as watch:
        divided = Divided(watch, clusters)
        await divided.epochs(6)
        assert divided.open == sorted(truth(fleet))
        known = {name: {e.cluster for e in w.auditor.roster} for name, w in divided.watches.items()}
        assert known == {"x": {"C1"}, "y": {"C2", "C3"}}
        assert divided.watches["y"].coverage.servers_known == 5
        assert divided.watches["y"].auditor.outcomes["USER_002"].why == (
            "shard x judges it for all shards"
        )


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_two_agents_find_on_2000_servers_what_one_finds(host):
    planted = Faults(**dict.fromkeys(Faults.__struct_fields__, 3))
    fleet = plant(2000, 15, clusters=40, accounts=300, faults=planted, seed=12)
    clusters = [cluster.name for cluster in fleet.clusters]
    async with auditing(fleet, host) as watch:
        await watch.epochs(2)
        divided = Divided(watch, {"a": clusters[:20], "b": clusters[20:]}, first=9)
        # The fourth tells nothing any more.
        told = await divided.epochs(3)
        assert await divided.epochs(1) == []
        assert divided.open == sorted(watch.open) == sorted(truth(fleet))
        assert len(told) == len(watch.open)
        assert divided.shared < 64 * 1024
