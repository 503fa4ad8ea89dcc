"""Simulated servers die, hang, repeat themselves, lie and garble when they are told to."""

from __future__ import annotations

from collections import Counter
from typing import Any

import nats
import pytest
from nats.errors import NoRespondersError

from kit.fleet.asker import ALL, Asker, decoded, login, names
from nats_insights.lab.fleet.misbehave import Misbehaviour
from nats_insights.lab.fleet.model import Fleet, User
from nats_insights.lab.fleet.serve import Service, serve
from nats_insights.lab.servers import local

pytestmark = pytest.mark.live


async def test_a_dead_server_is_known_to_be_dead(service: Service, asker: Asker) -> None:
    server = service.fleet.servers[1]
    service.fleet.kill(server)
    with pytest.raises(NoRespondersError):
        await asker.ask(server.id, "VARZ")
    assert server.name not in names(await asker.gather("VARZ", count=ALL - 1))


async def test_a_restarted_server_answers_to_its_new_id_only(
    service: Service, asker: Asker
) -> None:
    server = service.fleet.servers[1]
    old = server.id
    service.fleet.restart(server)
    with pytest.raises(NoRespondersError):
        await asker.ask(old, "VARZ")
    assert decoded(await asker.ask(server.id, "VARZ"))["server"]["name"] == server.name


async def test_a_hung_server_says_nothing(service: Service, asker: Asker) -> None:
    server = service.fleet.servers[1]
    service.misbehave([server], Misbehaviour(hung=True))
    assert server.name not in names(await asker.gather("VARZ", count=ALL - 1))
    with pytest.raises(nats.errors.TimeoutError):
        await asker.ask(server.id, "VARZ", timeout=0.1)


async def test_a_server_can_hang_on_one_endpoint(service: Service, asker: Asker) -> None:
    server = service.fleet.servers[1]
    service.misbehave([server], Misbehaviour(hung=True, endpoints=frozenset({"CONNZ"})))
    assert server.name in names(await asker.gather("VARZ", count=ALL))
    assert server.name not in names(await asker.gather("CONNZ", count=ALL - 1))


async def test_a_slow_server_answers_last_and_holds_up_no_other(
    service: Service, asker: Asker
) -> None:
    server = service.fleet.servers[0]
    service.misbehave([server], Misbehaviour(delay=0.05))
    replies = await asker.gather("VARZ", count=ALL)
    assert decoded(replies[-1])["server"]["name"] == server.name


async def test_a_slow_server_that_dies_meanwhile_does_not_answer(
    service: Service, asker: Asker
) -> None:
    dying, slower = service.fleet.servers[:2]
    service.misbehave([dying], Misbehaviour(delay=0.05))
    service.misbehave([slower], Misbehaviour(delay=0.1))
    subscription = await asker.client.subscribe(inbox := asker.client.new_inbox())
    for server in (dying, slower):
        await asker.client.publish(f"$SYS.REQ.SERVER.{server.id}.VARZ", b"", reply=inbox)
    await asker.control("KILL", {"servers": [dying.name]})
    first = await subscription.next_msg(timeout=20)
    assert decoded(first)["server"]["name"] == slower.name


async def test_a_server_can_answer_twice(service: Service, asker: Asker) -> None:
    server = service.fleet.servers[1]
    service.misbehave([server], Misbehaviour(duplicates=1))
    told = Counter(names(await asker.gather("CONNZ", count=ALL + 1, encoding="gzip")))
    assert (told[server.name], len(told)) == (2, ALL)


async def test_a_server_can_claim_to_be_another(service: Service, asker: Asker) -> None:
    liar, other = service.fleet.servers[:2]
    service.misbehave([liar], Misbehaviour(claims=other.name))
    reply = decoded(await asker.ask(liar.id, "CONNZ"))
    assert (reply["server"]["id"], reply["data"]["server_id"]) == (other.id, other.id)
    assert reply["data"]["connections"][0]["cid"] == liar.cids[0]


@pytest.mark.parametrize("malformed", ["garbage", "truncated", "cut_off", "null_record"])
async def test_a_reply_can_be_malformed(service: Service, asker: Asker, malformed: Any) -> None:
    server = service.fleet.servers[1]
    service.misbehave([server], Misbehaviour(malformed=malformed))
    reply = await asker.ask(server.id, "CONNZ")
    with pytest.raises((ValueError, TypeError)):
        assert [row["cid"] for row in decoded(reply)["data"]["connections"]]


async def test_connections_can_close_between_two_pages(host: local.Server, asker: Asker) -> None:
    fleet = Fleet({"C1": ["a"]})
    server = fleet.server("a")
    fleet.open(server, User(account="APP", name="app"), 2001)
    before = list(server.cids)
    async with serve(fleet, host.url, **login(host)) as service:
        service.misbehave([server], Misbehaviour(closes_between_pages=300))
        pages = [
            decoded(await asker.ask(server.id, "CONNZ", {"offset": offset, "limit": 1024}))["data"]
            for offset in (0, 1024)
        ]
    seen = [row["cid"] for page in pages for row in page["connections"]]
    # As on real servers: as many that live were never told as were closed before them.
    assert [page["total"] for page in pages] == [2001, 1701]
    assert len(set(server.cids) - set(seen)) == 300
    assert len(set(seen) - set(server.cids)) == 300
    assert set(seen) <= set(before)


async def test_good_behaviour_can_be_restored(service: Service, asker: Asker) -> None:
    server = service.fleet.servers[1]
    service.misbehave([server], Misbehaviour(hung=True))
    service.misbehave([server])
    assert server.name in names(await asker.gather("VARZ", count=ALL))
