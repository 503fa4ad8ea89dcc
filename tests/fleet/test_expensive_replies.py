"""What is expensive to answer: asked last, of a few servers at a time, and never twice."""

from __future__ import annotations

from collections import Counter

import pytest

from kit.fleet.auditing import auditing
from nats_insights.check import HEALTHZ, ROUTEZ, STATZ, VARZ, Endpoint
from nats_insights.gather.small import ONE_BY_ONE
from nats_insights.lab.fleet.misbehave import Misbehaviour
from nats_insights.lab.fleet.plant import plant
from nats_insights.replies.varz import Varz
from nats_insights.subjects import server_request

pytestmark = pytest.mark.live

# Servers of the fleet, and the real one that it is connected to.
SERVERS, ALL = 60, 61
CHEAP = (VARZ, ROUTEZ, STATZ)
# Seconds for a reply.
SHORT = 0.5


@pytest.fixture
def fleet():
    return plant(SERVERS, 5, clusters=20)


def hung_on(*endpoints):
    return Misbehaviour(hung=True, endpoints=frozenset(one.key for one in endpoints))


async def heard_by(watch, *endpoints):
    return await watch.gatherer.small(endpoints, watch.auditor.roster.expected())


async def subjects(client, subscription, asking):
    """Every subject that was asked, in order."""
    for one in (asking, client):
        await one.flush()
    return [(await subscription.next_msg()).subject for _ in range(subscription.pending_msgs)]


def asked(subjects, endpoint):
    return [subject for subject in subjects if subject.endswith(f".{endpoint.name}")]


async def test_every_server_is_asked_by_its_id_after_all_else(host, asker, fleet):
    heard_subjects = await asker.client.subscribe("$SYS.REQ.>")
    async with auditing(fleet, host) as watch:
        await watch.epochs()
        await subjects(asker.client, heard_subjects, watch.client)
        heard = await heard_by(watch, *CHEAP, HEALTHZ)
        order = await subjects(asker.client, heard_subjects, watch.client)
    assert {len(heard.replies[one.key]) for one in (*CHEAP, HEALTHZ)} == {ALL}
    expensive = asked(order, HEALTHZ)
    assert set(expensive) == {server_request("HEALTHZ", one) for one in heard.infos}
    assert order[-ALL:] == expensive


async def test_few_are_asked_at_a_time(host, fleet, monkeypatch):
    async with auditing(fleet, host) as watch:
        await watch.epochs()
        under_way, most, one = Counter(), Counter(), watch.gatherer.asker.one

        async def counted(endpoint, server_id):
            under_way[endpoint] += 1
            most[endpoint] = max(most[endpoint], under_way[endpoint])
            try:
                return await one(endpoint, server_id)
            finally:
                under_way[endpoint] -= 1

        monkeypatch.setattr(watch.gatherer.asker, "one", counted)
        heard = await heard_by(watch, *CHEAP, HEALTHZ)
    assert len(heard.replies["HEALTHZ"]) == ALL
    assert most[HEALTHZ] == ONE_BY_ONE


async def test_a_server_that_hangs_on_it_loses_no_other_reply(host, asker, fleet):
    hung = fleet.some(0.05)
    ids = {server.id for server in hung}
    heard_subjects = await asker.client.subscribe("$SYS.REQ.>")
    async with auditing(fleet, host) as watch:
        await watch.epochs()
        watch.service.misbehave(hung, hung_on(HEALTHZ))
        watch.wait(SHORT)
        await subjects(asker.client, heard_subjects, watch.client)
        heard = await heard_by(watch, *CHEAP, HEALTHZ)
        order = await subjects(asker.client, heard_subjects, watch.client)
    assert {len(heard.replies[one.key]) for one in CHEAP} == {ALL}
    assert heard.infos.keys() - heard.replies["HEALTHZ"].keys() == ids
    assert heard.errors == dict.fromkeys(ids, "HEALTHZ: it did not answer in time")
    # Its connections are read all the same, and nobody asks a second time.
    assert heard.unresponsive == set()
    assert set(Counter(asked(order, HEALTHZ)).values()) == {1}


async def test_where_all_hang_on_it_not_all_are_waited_for(host, asker, fleet):
    heard_subjects = await asker.client.subscribe("$SYS.REQ.>")
    async with auditing(fleet, host) as watch:
        await watch.epochs()
        watch.service.misbehave(fleet.servers, hung_on(HEALTHZ))
        watch.wait(SHORT)
        await subjects(asker.client, heard_subjects, watch.client)
        heard = await heard_by(watch, *CHEAP, HEALTHZ)
        order = await subjects(asker.client, heard_subjects, watch.client)
    assert {len(heard.replies[one.key]) for one in CHEAP} == {ALL}
    # The real server may be one of those that are asked.
    assert ONE_BY_ONE <= len(asked(order, HEALTHZ)) <= 2 * ONE_BY_ONE + 1
    assert heard.errors.keys() == heard.infos.keys() - heard.replies["HEALTHZ"].keys()


async def test_who_owes_a_cheap_reply_is_not_asked_for_an_expensive_one(host, asker, fleet):
    hung = fleet.some(0.05)
    heard_subjects = await asker.client.subscribe("$SYS.REQ.>")
    async with auditing(fleet, host) as watch:
        await watch.epochs()
        watch.service.misbehave(hung, hung_on(ROUTEZ, HEALTHZ))
        watch.wait(SHORT)
        await subjects(asker.client, heard_subjects, watch.client)
        heard = await heard_by(watch, *CHEAP, HEALTHZ)
        order = await subjects(asker.client, heard_subjects, watch.client)
    assert heard.unresponsive == {server.id for server in hung}
    assert set(asked(order, HEALTHZ)) == {
        server_request("HEALTHZ", one) for one in heard.infos.keys() - heard.unresponsive
    }


@pytest.mark.parametrize("fans_out", [True, False])
async def test_servers_that_are_too_old_are_not_asked(host, asker, fleet, fans_out):
    future = Endpoint("IDZ", Varz, key="FUTUREZ", since="99.0.0", fans_out=fans_out)
    heard_subjects = await asker.client.subscribe("$SYS.REQ.>")
    async with auditing(fleet, host) as watch:
        heard = await heard_by(watch, *CHEAP, future)
        order = await subjects(asker.client, heard_subjects, watch.client)
    assert asked(order, future) == []
    assert heard.replies["FUTUREZ"] == {}
    assert (heard.errors, heard.unresponsive) == ({}, set())
