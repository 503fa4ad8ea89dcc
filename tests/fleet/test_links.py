"""Who takes no requests is dead, unless a server that answers has a link to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from kit.fleet.auditing import Watch, auditing
from nats_insights.errors import ConnectError
from nats_insights.lab.fleet import links
from nats_insights.lab.fleet.misbehave import Misbehaviour
from nats_insights.lab.fleet.model import Fleet, User
from nats_insights.lab.servers import local

pytestmark = [pytest.mark.live, pytest.mark.long]

# Seconds for a reply, once some will not come.
TIMEOUT = 1.0
HUNG = Misbehaviour(hung=True)
LINKS = ("ROUTEZ", "GATEWAYZ", "LEAFZ")
# Of servers without leaf nodes LEAFZ is not asked.
ASKED = LINKS[:2]
# So no check needs the routes.
NO_ROUTES = "checks.subscription_hotspot.enabled = false\n"


def three_clusters(*last: str) -> Fleet:
    """Five servers in two clusters, and some more: one of them is not half of all."""
    return Fleet({"C1": ["a", "b", "c"], "C2": ["d", "e"], "C3": list(last)})


@asynccontextmanager
async def watching(fleet: Fleet, host: local.Server, config: str = "") -> AsyncIterator[Watch]:
    """An auditor that has looked once, while all answered."""
    async with auditing(fleet, host, config=config) as watch:
        watch.wait(TIMEOUT)
        await watch.epochs()
        yield watch


def unreachable(watch, *names: str) -> None:
    """Nobody takes requests for these servers any more, but their links are as they were."""
    fleet = watch.service.fleet
    servers = [fleet.server(name) for name in names]
    for server in servers:
        del fleet.ids[server.id]
        fleet.dead.add(server.id)
    watch.service.misbehave(servers, HUNG)


def state(watch, name: str) -> tuple[str, str]:
    """What the agent takes this server for, and why."""
    (entry,) = watch.auditor.roster.by_name(name)
    return entry.state, entry.last_error


def linked_to(peer: str) -> str:
    """Why a server that nobody reaches is not dead."""
    return f"no server takes requests for it, but {peer} has a link to it"


def asking(watch, monkeypatch) -> list[tuple[str, set[str]]]:
    """Each request to everybody from now on: its endpoint, and the names of who is waited for."""
    asker, asked = watch.gatherer.asker, []
    everybody = asker.everybody

    async def noted(endpoint, expected, **options):
        fleet = watch.service.fleet
        names = {server.name for server in fleet.servers if server.id in expected}
        asked.append((endpoint.key, names))
        return await everybody(endpoint, expected, **options)

    monkeypatch.setattr(asker, "everybody", noted)
    return asked


def linked(asked) -> list[tuple[str, set[str]]]:
    """The requests for links among these."""
    return sorted((one for one in asked if one[0] in LINKS), key=lambda one: LINKS.index(one[0]))


@pytest.mark.parametrize("config", ["", NO_ROUTES], ids=["routes are known", "routes are asked"])
async def test_who_is_named_by_a_route_hangs(host, monkeypatch, config):
    monkeypatch.setattr(links, "_MESH", 1)  # Else gateways would name it too.
    async with watching(three_clusters("f"), host, config=config) as watch:
        unreachable(watch, "e")
        await watch.epochs()
        assert state(watch, "e") == ("hung", linked_to("d"))


async def test_who_is_named_by_a_gateway_hangs(host):
    async with watching(three_clusters("f"), host) as watch:
        unreachable(watch, "f")
        await watch.epochs()
        assert state(watch, "f") in [("hung", linked_to(peer)) for peer in "abcde"]


async def test_who_is_named_by_a_leaf_node_hangs(host, monkeypatch):
    monkeypatch.setattr(links, "_MESH", 1)  # Else a gateway would name it.
    fleet = three_clusters("far-21")
    fleet.open(fleet.server("a"), User(account="APP", name="leaf", program="far", kind="leaf"))
    (row,) = [row for row in fleet.connections(fleet.server("a")) if row.user.kind == "leaf"]
    assert f"{row.user.program}-{row.cid}" == "far-21"  # As LEAFZ names it.
    async with watching(fleet, host) as watch:
        unreachable(watch, "far-21")
        await watch.epochs()
        assert state(watch, "far-21") == ("hung", linked_to("a"))


async def test_who_is_named_by_nobody_is_dead(host):
    fleet = three_clusters("f")
    async with watching(fleet, host) as watch:
        fleet.kill(fleet.server("e"))
        await watch.epochs()
        assert state(watch, "e") == ("dead", "no server takes requests for it")


async def test_who_hangs_by_its_links_is_dead_when_they_are_gone(host):
    fleet = three_clusters("f")
    async with watching(fleet, host) as watch:
        unreachable(watch, "e")
        await watch.epochs()
        assert state(watch, "e")[0] == "hung"
        fleet.kill(fleet.server("e"))
        await watch.epochs()
        assert state(watch, "e") == ("dead", "no server takes requests for it")


async def test_who_takes_requests_hangs_though_no_link_names_it(host, monkeypatch):
    monkeypatch.setattr(links, "_MESH", 1)
    async with watching(three_clusters("f"), host) as watch:
        watch.service.misbehave([watch.service.fleet.server("f")], HUNG)
        await watch.epochs()
        assert state(watch, "f") == ("hung", "it did not answer in time")


async def test_links_are_asked_only_while_somebody_takes_no_requests(host, monkeypatch):
    fleet = three_clusters("f")
    async with watching(fleet, host, config=NO_ROUTES) as watch:
        asked = asking(watch, monkeypatch)
        await watch.epochs()
        assert linked(asked) == []
        watch.service.misbehave([fleet.server("f")], HUNG)
        await watch.epochs()
        assert linked(asked) == []
        fleet.kill(fleet.server("e"))
        await watch.epochs()
        # Nobody waits for a server that was found silent, now or before.
        assert linked(asked) == [(one, {"a", "b", "c", "d"}) for one in ASKED]


async def test_links_are_not_waited_for_from_who_was_just_found_silent(host, monkeypatch):
    fleet = three_clusters("f")
    async with watching(fleet, host, config=NO_ROUTES) as watch:
        asked = asking(watch, monkeypatch)
        watch.service.misbehave([fleet.server("f")], HUNG)
        fleet.kill(fleet.server("e"))
        await watch.epochs()
        assert linked(asked) == [(one, {"a", "b", "c", "d"}) for one in ASKED]
        assert (state(watch, "e")[0], state(watch, "f")[0]) == ("dead", "hung")


async def test_links_are_not_waited_for_from_who_left(host, monkeypatch):
    fleet = three_clusters("f", "g")
    async with watching(fleet, host, config=NO_ROUTES) as watch:
        fleet.kill(fleet.server("f"))
        watch.auditor.roster.goodbye(fleet.server("f").id, 0.0, gone=True)
        await watch.epochs()
        assert state(watch, "f")[0] == "left"
        asked = asking(watch, monkeypatch)
        fleet.kill(fleet.server("e"))
        await watch.epochs()
        assert linked(asked) == [(one, {"a", "b", "c", "d", "g"}) for one in ASKED]


async def test_who_stays_silent_is_asked_once_in_each_epoch_though_a_peer_names_it(
    host, monkeypatch
):
    fleet = three_clusters("f")
    async with watching(fleet, host) as watch:
        watch.service.misbehave([fleet.server("e")], HUNG)
        await watch.epochs()
        asker, asked = watch.gatherer.asker, []
        one = asker.one

        async def noted(endpoint, server_id):
            asked.append((endpoint.key, server_id))
            return await one(endpoint, server_id)

        monkeypatch.setattr(asker, "one", noted)
        await watch.epochs()
        assert asked.count(("VARZ", fleet.server("e").id)) == 1


async def test_links_that_a_check_needs_are_asked_once(host, monkeypatch):
    fleet = three_clusters("f")
    async with watching(fleet, host) as watch:
        asked = asking(watch, monkeypatch)
        fleet.kill(fleet.server("e"))
        await watch.epochs()
        assert [endpoint for endpoint, _ in linked(asked)] == list(ASKED)


async def test_links_that_the_agent_may_not_ask_are_not_asked(host, monkeypatch):
    fleet = three_clusters("f")
    async with watching(fleet, host, config=NO_ROUTES) as watch:
        asked = asking(watch, monkeypatch)
        watch.gatherer.asker.denied.add("GATEWAYZ")
        fleet.kill(fleet.server("e"))
        await watch.epochs()
        assert [endpoint for endpoint, _ in linked(asked)] == ["ROUTEZ"]
        assert state(watch, "e")[0] == "dead"


async def test_nobody_is_silent_because_the_agent_lost_its_connection(host, monkeypatch):
    fleet = three_clusters("f")
    async with watching(fleet, host) as watch:
        asker = watch.gatherer.asker
        one = asker.one

        async def lost(endpoint, server_id):
            if server_id == fleet.server("f").id:
                await watch.client.close()
            return await one(endpoint, server_id)

        monkeypatch.setattr(asker, "one", lost)
        watch.service.misbehave([fleet.server("f")], HUNG)
        with pytest.raises(ConnectError):
            await watch.epochs()
        assert state(watch, "f")[0] == "answering"


async def test_who_restarted_and_hangs_is_found_under_its_new_id(host):
    fleet = three_clusters("f")
    async with watching(fleet, host) as watch:
        fleet.kill(fleet.server("e"))
        fleet.restart(fleet.server("e"))
        watch.service.misbehave([fleet.server("e")], HUNG)
        await watch.epochs(2)
        assert state(watch, "e") == ("hung", "it did not answer in time")
        assert watch.auditor.roster.by_id(fleet.server("e").id) is not None
        assert watch.coverage.servers_known == 1 + len(fleet.servers)


async def test_an_id_that_a_peer_remembers_is_no_server_where_its_name_answers(host, monkeypatch):
    fleet = three_clusters("f")
    old = fleet.server("e").id
    route = links._route

    def remembered(server, peer, now):
        return route(server, peer, now) | ({"remote_id": old} if peer.name == "e" else {})

    monkeypatch.setattr(links, "_route", remembered)
    async with watching(fleet, host) as watch:
        fleet.kill(fleet.server("e"))
        fleet.restart(fleet.server("e"))
        await watch.epochs()
        assert state(watch, "e") == ("answering", "")
        assert watch.auditor.roster.by_id(old) is None
        assert watch.coverage.complete
