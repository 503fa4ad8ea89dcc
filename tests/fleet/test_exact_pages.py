"""Rows are counted once each, whatever the pages, and while connections come and go."""

from __future__ import annotations

import pytest

from kit.fleet.auditing import SWEEP_ALL, auditing, held, subscribed
from nats_insights.gather import connections as pages
from nats_insights.lab.fleet.misbehave import Misbehaviour
from nats_insights.lab.fleet.model import Fleet, User
from nats_insights.lab.fleet.plant import plant
from nats_insights.model.fold import TOLERANCE

pytestmark = pytest.mark.live

SMALL = 1024
SIZES = (1023, 1024, 1025, 8191, 8192, 8193, 16_385)
PAGED = [rows for rows in SIZES if rows > SMALL]


@pytest.fixture
def small_pages(monkeypatch):
    monkeypatch.setattr(pages, "PAGE", SMALL)
    monkeypatch.setattr(pages, "WHOLE", SMALL)


def full(rows):
    """One server with so many rows: some are a leaf node's and the system account's."""
    fleet = plant(1, rows * 5 // 4)
    server = fleet.servers[0]
    fleet.close_some(server, len(server.cids) - rows)
    assert len(server.cids) == rows
    return fleet


def crowd(rows):
    """One server with so many rows, each of a user of its own: two of a user are one too many."""
    fleet = Fleet({"C1": ["a"]})
    for number in range(rows):
        fleet.open(fleet.servers[0], User(account=f"{number % 7}", name=f"user-{number}"))
    return fleet


def apart(counted, true):
    """How many connections were counted and are not there, or are there and were not counted."""
    return (counted - true).total() + (true - counted).total()


async def scans_of(fleet, host):
    """How many scans an exact count takes, which a second one may not add to the first."""
    async with auditing(fleet, host, config=SWEEP_ALL) as watch:
        for _ in range(2):
            await watch.epochs()
            assert watch.owing("CONNZ") == set()
            assert watch.users == held(fleet)
            assert watch.subscriptions == subscribed(fleet)
        return watch.service.load.scans / 2


@pytest.mark.parametrize("rows", SIZES)
async def test_each_row_is_counted_once(host, rows):
    fewest = 1 if rows <= pages.WHOLE else -(-rows // pages.PAGE)
    assert await scans_of(full(rows), host) >= fewest


@pytest.mark.parametrize("rows", SIZES)
async def test_each_row_is_counted_once_in_small_pages(host, small_pages, rows):
    assert await scans_of(full(rows), host) >= -(-rows // SMALL)


@pytest.mark.parametrize("closed", [1, 5])
@pytest.mark.parametrize("rows", PAGED)
async def test_what_closes_between_pages_is_all_that_can_be_wrong(host, small_pages, rows, closed):
    fleet = crowd(rows)
    before = held(fleet)
    async with auditing(fleet, host) as watch:
        watch.service.misbehave(fleet.servers, Misbehaviour(closes_between_pages=closed))
        await watch.epochs()
        gone = rows - len(fleet.servers[0].cids)
        assert gone >= closed
        assert watch.owing("CONNZ") == set()
        assert watch.users.keys() <= before.keys()
        assert set(watch.users.values()) == {1}
        assert apart(watch.users, held(fleet)) <= 2 * gone


@pytest.mark.parametrize("rows", PAGED)
async def test_what_comes_and_goes_between_pages_is_all_that_can_be_wrong(
    host, asker, small_pages, rows
):
    fleet = crowd(rows)
    server = fleet.servers[0]
    ever = held(fleet)
    moved = 0

    async def move(message):
        """Whenever a page is asked for, two connections close and three open."""
        nonlocal moved
        fleet.close_some(server, 2)
        for _ in range(3):
            user = User(account="LATE", name=f"late-{len(ever)}")
            fleet.open(server, user)
            ever[user.account, user.name] += 1
        moved += 5

    await asker.client.subscribe(f"$SYS.REQ.SERVER.{server.id}.CONNZ", cb=move)
    await asker.client.flush()
    async with auditing(fleet, host) as watch:
        await watch.epochs()
        assert moved > 0
        assert watch.owing("CONNZ") == set()
        assert watch.users.keys() <= ever.keys()
        assert set(watch.users.values()) == {1}
        assert apart(watch.users, held(fleet)) <= 2 * moved


@pytest.mark.parametrize("rows", PAGED)
async def test_too_much_that_closes_between_pages_makes_the_figures_unknown(
    host, small_pages, rows
):
    fleet = crowd(rows)
    async with auditing(fleet, host) as watch:
        watch.service.misbehave(fleet.servers, Misbehaviour(closes_between_pages=rows // 20))
        await watch.epochs()
        assert len(fleet.servers[0].cids) < 0.96 * rows
        assert watch.owing("CONNZ") == {"a"}
        assert watch.users.total() == watch.subscriptions == 0
        watch.service.misbehave(fleet.servers)
        await watch.epochs()
        assert watch.owing("CONNZ") == set()
        assert watch.users == held(fleet)


@pytest.mark.parametrize("closed", [10, 50, 100, 200, 400])
async def test_figures_are_right_to_within_two_in_a_hundred_or_unknown(host, small_pages, closed):
    fleet = crowd(rows := 8193)
    async with auditing(fleet, host) as watch:
        watch.service.misbehave(fleet.servers, Misbehaviour(closes_between_pages=closed))
        await watch.epochs()
        counted = watch.users.total()
        wrong = apart(watch.users, held(fleet)) if counted else 0
        assert (counted == 0) == (watch.owing("CONNZ") == {"a"})
        # A row that went was counted, and one that moved to where it had been was not.
        assert wrong <= 2 * TOLERANCE * rows
