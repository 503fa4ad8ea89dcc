"""Requests to the servers of some clusters, on a real super-cluster."""

from __future__ import annotations

import pytest

from nats_insights.connection.connect import connect
from nats_insights.gather.asking import Asker
from nats_insights.gather.small import Gatherer
from nats_insights.gather.window import Window
from nats_insights.gather.within import Within
from nats_insights.lab.demo.stage import login
from nats_insights.replies.endpoint import endpoints
from nats_insights.replies.heard import Expected
from nats_insights.replies.statz import STATZ
from nats_insights.replies.varz import VARZ

pytestmark = pytest.mark.live

CLUSTERS = {"EU": ("e1", "e2"), "AP-EU": ("f1",), "US": ("u1", "u2")}
EVERY = ("e1", "e2", "f1", "u1", "u2")
# Real servers reply at once.
PATIENT = 5.0


@pytest.fixture
async def client(start_system):
    client = await connect(login(start_system(CLUSTERS), "agent", "u1"), name="test")
    yield client
    await client.close()


async def ids(client, *names: str) -> dict[str, str]:
    heard = await Asker(client, PATIENT).everybody(VARZ, (), at_least=5)
    return {info.name: info.id for info, _ in heard.values() if info.name in names}


async def test_servers_of_other_clusters_do_not_reply_to_any_endpoint(client, version):
    expected = set((await ids(client, "u1", "u2")).values())
    asker = Asker(client, PATIENT, Within(["US"]))
    for endpoint in endpoints().values():
        if not (endpoint.known_to(version) and endpoint.fans_out):
            continue
        asker.reset()
        assert (await asker.everybody(endpoint, expected)).keys() == expected, endpoint
        # By the time that all servers have replied to a later request, none is left that would.
        await Asker(client, PATIENT).everybody(STATZ, set((await ids(client, *EVERY)).values()))
        assert asker.replies == len(expected), endpoint


async def test_several_clusters_are_asked_by_one_request_each(client):
    expected = set((await ids(client, "f1", "u1", "u2")).values())
    asker = Asker(client, PATIENT, Within(["AP-EU", "US", "AP-EU"]))
    assert (await asker.everybody(VARZ, expected)).keys() == expected
    assert (asker.requests, asker.replies) == (2, 3)


async def test_a_server_whose_cluster_contains_the_name_of_another_is_heard_once(client):
    """Before 2.11 it would reply to both requests, and two replies are none."""
    expected = set((await ids(client, "e1", "e2", "f1")).values())
    asker = Asker(client, PATIENT, Within(["EU", "AP-EU"]))
    assert (await asker.everybody(VARZ, expected)).keys() == expected
    assert asker.requests == 1
    alone = Asker(client, PATIENT, Within(["EU"]))
    heard = await alone.everybody(VARZ, set((await ids(client, "e1", "e2")).values()))
    assert {info.name for info, _ in heard.values()} == {"e1", "e2"}


async def test_servers_know_no_globs_so_others_are_not_heard(client):
    expected = set((await ids(client, "e1", "e2", "f1")).values())
    asker = Asker(client, PATIENT, Within(["*EU"]))
    assert (await asker.everybody(VARZ, expected)).keys() == expected
    assert asker.requests == 1


async def test_an_epoch_hears_of_one_cluster_alone(client):
    gatherer = Gatherer(client, 1.0, Window(2**20), Within(["EU"]))
    heard = await gatherer.small([VARZ, STATZ], Expected())
    assert {info.name for info in heard.infos.values()} == {"e1", "e2"}
    assert heard.replies[STATZ.key].keys() == heard.infos.keys()
    assert (heard.silent, heard.named) == ({}, {})
