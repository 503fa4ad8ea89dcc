"""Hung servers are named, and unknown with what depends on them; the rest is judged."""

from __future__ import annotations

from collections import Counter

import pytest

from kit.fleet.auditing import auditing, reconnect, sick_and_well
from nats_insights.lab.fleet.misbehave import Misbehaviour
from nats_insights.lab.fleet.plant import Faults, plant
from nats_insights.lab.fleet.truth import truth
from nats_insights.subjects import server_request

pytestmark = [pytest.mark.live, pytest.mark.long]

FAULTS = Faults(
    connection_hotspots=3,
    subscription_hotspots=3,
    concentrated_accounts=3,
    crowded_servers=30,
    leaking_users=2,
)
SHARE = 0.05
# Seconds for a reply, once some will not come.
TIMEOUT, SHORT = 1.0, 0.5
HUNG = Misbehaviour(hung=True)
ENDPOINTS = ("VARZ", "STATZ", "ROUTEZ", "CONNZ")


@pytest.fixture(params=[2, 9])
def fleet(request):
    return plant(60, 40, clusters=20, faults=FAULTS, seed=request.param)


@pytest.fixture
def hung(fleet):
    return fleet.some(SHARE)


def hung_on(endpoint):
    return Misbehaviour(hung=True, endpoints=frozenset({endpoint}))


def names(servers):
    return sorted(server.name for server in servers)


def knowable(fleet, hung):
    """What is true and can be known: of the others, and of users that hold enough elsewhere."""
    silent = {(server.cluster.name, server.name) for server in hung}
    clusters = {cluster for cluster, _ in silent}
    return {
        (code, name)
        for code, name in truth(fleet)
        if code == "USER_002"
        or (code == "SERVER_011" and name not in silent)
        or (code != "SERVER_011" and name[0] not in clusters)
    }


async def test_the_rest_is_judged_while_some_never_answered(host, fleet, hung):
    async with auditing(fleet, host) as watch:
        watch.service.misbehave(hung, HUNG)
        watch.wait(TIMEOUT)
        await watch.epochs(2)
        assert watch.open == knowable(fleet, hung)
        assert watch.coverage.missing == names(hung)
        assert (watch.coverage.servers_known, watch.coverage.servers_answered) == (61, 58)
        watch.service.misbehave(hung)
        await watch.epochs(2)
        assert watch.open == truth(fleet)
        assert watch.coverage.complete


async def test_nothing_is_told_of_servers_that_hang_later(host, fleet, hung):
    async with auditing(fleet, host) as watch:
        await watch.epochs(2)
        assert watch.open == truth(fleet) > knowable(fleet, hung)
        watch.service.misbehave(hung, HUNG)
        watch.wait(TIMEOUT)
        assert await watch.epochs(2) == []
        assert watch.coverage.missing == names(hung)
        watch.service.misbehave(hung)
        assert await watch.epochs() == []
        assert watch.open == truth(fleet)


async def test_no_server_is_hot_because_its_peer_hangs(host):
    fleet = sick_and_well()
    async with auditing(fleet, host) as watch:
        watch.service.misbehave([fleet.server("d")], HUNG)
        watch.wait(TIMEOUT)
        await watch.epochs(2)
        assert watch.coverage.missing == ["d"]
        assert watch.open == truth(fleet)


async def asked(heard, *clients):
    """How often each subject was asked since the last call."""
    for client in clients:
        await client.flush()
    return Counter([(await heard.next_msg()).subject for _ in range(heard.pending_msgs)])


@pytest.mark.parametrize("endpoint", ["all", *ENDPOINTS])
async def test_no_server_is_asked_more_than_twice_for_a_reply(host, asker, endpoint):
    fleet = plant(60, 10, clusters=20)
    hung = fleet.some(SHARE)
    heard = await asker.client.subscribe("$SYS.REQ.>")
    async with auditing(fleet, host) as watch:
        await watch.epochs()
        watch.service.misbehave(hung, HUNG if endpoint == "all" else hung_on(endpoint))
        watch.wait(SHORT)
        reconnect(fleet, fleet.servers)
        await asked(heard, watch.client, asker.client)
        await watch.epochs()
        times = await asked(heard, watch.client, asker.client)
        if endpoint in ("all", "VARZ"):
            assert set(watch.coverage.missing) >= set(names(hung))
        else:
            assert watch.owing(endpoint) >= set(names(hung))
    if endpoint != "CONNZ":
        # Who owes a small reply is not asked for a large one: it would only be waited for.
        assert [s.name for s in hung if times[server_request("CONNZ", s.id)]] == []
    # Once with everybody, and once more where a reply is owed.
    too_often = {
        (server.name, one): count
        for server in fleet.servers
        for one in ENDPOINTS
        if (count := sum(times[s] for s in {server_request(one), server_request(one, server.id)}))
        > 2
    }
    assert too_often == {}
