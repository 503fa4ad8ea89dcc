"""What an auditor keeps from epoch to epoch, and tells of itself."""

from __future__ import annotations

import json

import pytest

from kit.fleet.auditing import auditing, sick_and_well
from nats_insights.facts import Access
from nats_insights.tell.advisory import resolved_state
from nats_insights.tell.messages import AgentInfo
from nats_insights.tell.queries import answer
from nats_insights.tell.view import View
from scenario import FOUNDING

pytestmark = pytest.mark.live

AGENT = AgentInfo(id="agent", instance=32 * "f", version="1.0", epoch=1, role="leader")


def view(watch) -> View:
    """What queries are answered from after the last epoch."""
    access = Access(mode="system", account="S", user="u")
    return View.of(watch.auditor, AGENT, access, watch.cost, 2**20)


def findings(watch, state: str) -> list[tuple[str, str, str]]:
    """State, code and name of each finding that is told in this state."""
    body = json.dumps({"state": state}).encode()
    told = json.loads(answer(view(watch), "FINDINGS", body))["findings"]
    return [(one["state"], one["code"], one["entity"]["name"]) for one in told]


async def test_what_resolved_is_told_as_resolved_until_then(host):
    fleet = sick_and_well()
    async with auditing(fleet, host) as watch:
        await watch.epochs(2)
        assert findings(watch, "resolved") == []
        assert ("open", "SERVER_011", "a") in findings(watch, "open")
        fleet.server("a").max_connections = 65_536
        await watch.epochs(2)
        assert findings(watch, "resolved") == [("resolved", "SERVER_011", "a")]
        (told,) = view(watch).resolved
        ended = resolved_state(told, FOUNDING["connection_count_high"])
        assert ended.resolved_at == ended.valid_until == ended.updated_at > ended.opened_at


async def test_connections_are_read_in_one_of_so_many_epochs(host):
    fleet = sick_and_well()
    async with auditing(fleet, host, config='gather.every.CONNZ = "90s"\n') as watch:
        swept, not_due = [], []
        for _ in range(5):
            fleet.churn(0.5, closed=1, opened=1)
            await watch.epochs()
            swept.append(watch.cost.servers_swept > 0)
            outcomes = watch.auditor.outcomes
            not_due.append({code for code, outcome in outcomes.items() if outcome.not_due})
    rest_on_connections = {"OPT_BALANCE_003", "USER_002"}
    assert swept == [True, False, False, True, False]
    assert not_due == [set() if due else rest_on_connections for due in swept]


async def test_what_rests_on_connections_stays_open_while_they_are_not_due(host):
    fleet = sick_and_well()
    config = 'gather.every.CONNZ = "120s"\n'
    async with auditing(fleet, host, config=config) as watch:
        await watch.epochs()
        leaking = {fact for fact in watch.open if fact[0] == "USER_002"}
        fleet.close_some(fleet.server("a"), len(fleet.server("a").cids))
        told = await watch.epochs(3)
        assert len(leaking) == 1
        assert leaking <= watch.open
        assert [one for one in told if one[1][0] == "USER_002"] == []


VALID = {
    "": 2 * (900 + 30),
    "interval = 10\nlifecycle = { remind_every = 60 }\n": 2 * (60 + 10),
    'gather.every.CONNZ = "300s"\n': 2 * (900 + 300),
}


@pytest.mark.parametrize(("config", "seconds"), VALID.items(), ids=["default", "set", "rarely"])
async def test_an_advisory_may_be_believed_for_two_reminders_and_what_an_epoch_waits(
    host, config, seconds
):
    async with auditing(sick_and_well(), host, config=config) as watch:
        await watch.epochs()
        assert view(watch).valid_for == seconds


async def test_keys_that_no_room_was_left_for_are_told_with_the_cost(host):
    fleet = sick_and_well()
    async with auditing(fleet, host) as watch:
        await watch.epochs()
        assert watch.cost.dropped_keys == 0
        for ledger in watch.auditor.sweeps.ledgers.values():
            ledger.cap = 1
        fleet.churn(1.0, closed=1, opened=1)
        await watch.epochs()
        dropped = watch.auditor.sweeps.dropped
        assert watch.cost.dropped_keys == dropped > 0
