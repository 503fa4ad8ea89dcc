"""A simulated fleet answers on a real server as if its servers were there."""

from __future__ import annotations

import asyncio
import json
from collections import Counter

import pytest

from kit.fleet.asker import ALL, SERVERS, Asker, decoded, login, names
from nats_insights.lab.fleet.misbehave import Misbehaviour
from nats_insights.lab.fleet.model import Fleet, User
from nats_insights.lab.fleet.plant import HEALTHY, plant
from nats_insights.lab.fleet.serve import Service, serve
from nats_insights.lab.servers import local

pytestmark = pytest.mark.live

APP = User(account="APP", name="app")
GZIP = {"Accept-Encoding": "gzip"}
LINKS = ("ROUTEZ", "LEAFZ", "GATEWAYZ")
JETSTREAM = ("JSZ", "RAFTZ", "HEALTHZ", "IPQUEUESZ")


async def test_every_server_answers_a_ping_once(service: Service, asker: Asker) -> None:
    expected = sorted(["host", *(server.name for server in service.fleet.servers)])
    for endpoint in (*LINKS, "STATSZ", "VARZ", "CONNZ", "SUBSZ", *JETSTREAM):
        assert names(await asker.gather(endpoint, count=ALL)) == expected
    bare = await asker.gather("IDZ", count=ALL)
    unused = await asker.gather("STATZ", {"include_unused": True}, count=ALL)
    assert sorted(decoded(reply)["name"] for reply in bare) == expected
    assert names(unused) == expected


async def test_a_bare_ping_is_answered_with_statsz(service: Service, asker: Asker) -> None:
    subscription = await asker.client.subscribe(inbox := asker.client.new_inbox())
    await asker.client.publish("$SYS.REQ.SERVER.PING", b"", reply=inbox)
    replies = [decoded(await subscription.next_msg(timeout=20)) for _ in range(ALL)]
    assert all("statsz" in reply for reply in replies)


async def test_one_server_answers_alone_to_its_id(service: Service, asker: Asker) -> None:
    server = service.fleet.servers[2]
    reply = decoded(await asker.ask(server.id, "CONNZ"))
    assert reply["server"]["name"] == server.name
    assert [row["cid"] for row in reply["data"]["connections"]] == list(server.cids)


@pytest.mark.parametrize("encoding", [None, "gzip", "br", "GZIP;q=0"])
@pytest.mark.parametrize("endpoint", ["VARZ", "CONNZ", "STATZ", "STATSZ", "IDZ"])
async def test_replies_are_encoded_as_the_real_server_encodes_its_own(
    service: Service, asker: Asker, endpoint: str, encoding: str | None
) -> None:
    body = {"include_unused": True} if endpoint == "STATZ" else {"auth": True}
    replies = await asker.gather(endpoint, body, count=ALL, encoding=encoding)
    said = Counter((reply.headers or {}).get("Content-Encoding") for reply in replies)
    assert list(said.values()) == [ALL]
    assert len([decoded(reply) for reply in replies]) == ALL


@pytest.mark.parametrize("body", [b"{bad", b'{"sort":"size"}', b'{"state":"open"}', b"[]"])
async def test_errors_are_told_as_the_real_server_tells_them(
    service: Service, asker: Asker, body: bytes
) -> None:
    replies = await asker.gather("CONNZ", body, count=ALL, encoding="gzip")
    told = [(reply.headers, decoded(reply)) for reply in replies]
    shapes = {(header is None, *sorted(reply), reply["error"]["code"]) for header, reply in told}
    assert len(shapes) == 1


@pytest.mark.parametrize("limit", [1023, 1024, 1025])
async def test_pages_hold_every_connection_once(
    host: local.Server, asker: Asker, limit: int
) -> None:
    fleet = Fleet({"C1": ["a"]})
    fleet.open(fleet.server("a"), APP, 2 * 1024)
    async with serve(fleet, host.url, **login(host)):
        seen: list[int] = []
        while len(seen) < 2048:
            body = {"offset": len(seen), "limit": limit}
            reply = await asker.ask(fleet.server("a").id, "CONNZ", body)
            seen += [row["cid"] for row in decoded(reply)["data"]["connections"]]
    assert seen == list(fleet.server("a").cids)


async def test_the_load_tells_what_was_asked_of_the_servers(service: Service, asker: Asker) -> None:
    server = service.fleet.servers[0]
    replies = await asker.gather("CONNZ", {"auth": True}, count=ALL, encoding="gzip")
    await asker.ask(server.id, "VARZ")
    held = sum(len(server.cids) for server in service.fleet.servers)
    load = service.load
    assert load.requests == {"CONNZ": SERVERS, "VARZ": 1}
    assert (load.scans, load.scanned, load.overlaps) == (SERVERS, held, 0)
    # What came is larger: the real server's own reply is among it, and no header is.
    assert 0 < load.sent_bytes["CONNZ"] < 2 * sum(len(reply.data) for reply in replies)


async def test_requests_that_overlap_on_one_server_are_counted(
    service: Service, asker: Asker
) -> None:
    one, other = service.fleet.servers[:2]
    service.misbehave([one, other], Misbehaviour(delay=0.05))
    asks = [asker.ask(server.id, "CONNZ") for server in (one, other, one, one)]
    await asyncio.gather(*asks)
    await asker.ask(one.id, "CONNZ")
    assert service.load.overlaps == 2


async def test_servers_say_that_they_live_and_goodbye(host: local.Server, asker: Asker) -> None:
    fleet = plant(3, 5)
    beats = await asker.client.subscribe("$SYS.SERVER.*.STATSZ")
    goodbyes = await asker.client.subscribe("$SYS.SERVER.*.SHUTDOWN")
    await asker.client.request("$SYS.REQ.USER.INFO", b"")
    async with serve(fleet, host.url, **login(host), heartbeat_seconds=0.05):
        heard: Counter[str] = Counter()
        while any(heard[server.id] < 3 for server in fleet.servers):
            message = await beats.next_msg(timeout=20)
            heard[json.loads(message.data)["server"]["id"]] += 1
    left = {json.loads((await goodbyes.next_msg(timeout=20)).data)["name"] for _ in range(3)}
    assert left == {server.name for server in fleet.servers}


async def test_the_real_server_believes_the_heartbeats(service: Service, asker: Asker) -> None:
    replies = [decoded(reply) for reply in await asker.gather("STATSZ", count=ALL)]
    active = {reply["server"]["name"]: reply["statsz"]["active_servers"] for reply in replies}
    assert active["host"] >= ALL


async def test_another_process_can_control_the_fleet(service: Service, asker: Asker) -> None:
    fleet = service.fleet
    name, other = fleet.servers[0].name, fleet.servers[1].name
    held = (await asker.control("SIZE"))["connections"]
    touched = (await asker.control("CHURN", {"share": 0.5, "opened": 4}))["servers"]
    assert (await asker.control("SIZE"))["connections"] == held + 3 * (4 - 1)
    leak = User(account="APP", name="leak")
    fleet.open(fleet.servers[2], leak, 101)
    truth = await asker.control("TRUTH")
    order = {"servers": [name], "misbehaviour": {"hung": True}}
    hung = await asker.control("MISBEHAVE", order)
    killed = await asker.control("KILL", {"servers": [other]})
    assert (len(touched), hung, killed) == (3, {"servers": [name]}, {"servers": [other]})
    assert ["USER_002", ["APP", "leak"]] in truth
    assert (await asker.control("SIZE"))["servers"] == SERVERS - 1
    assert len(await asker.gather("VARZ", count=ALL - 2)) == ALL - 2
    assert await asker.control("RESTART", {"servers": [other]}) == {"servers": [other]}
    assert len(await asker.gather("VARZ", count=ALL - 1)) == ALL - 1
    assert (await asker.control("LOAD"))["requests"] == service.load.requests


async def test_another_process_can_let_streams_go_wrong_and_recover(
    host: local.Server, asker: Asker
) -> None:
    fleet = plant(3, 5, streams=10, faults=HEALTHY)
    details = {"accounts": True, "streams": True}
    async with serve(fleet, host.url, **login(host)):
        wrong = await asker.control("TROUBLE", {"leaderless_streams": 1})
        assert await asker.control("STREAM_TRUTH") == wrong
        ill = decoded(await asker.ask(fleet.servers[0].id, "JSZ", details, headers=GZIP))
        assert await asker.control("RECOVER") == []
        well = decoded(await asker.ask(fleet.servers[0].id, "JSZ", details))
    assert [code for code, _ in wrong] == ["OPT_SYS_009"] * 3
    led = [
        ["leader" in stream["cluster"] for of in accounts for stream in of.get("stream_detail", [])]
        for accounts in (ill["data"]["account_details"], well["data"]["account_details"])
    ]
    assert [sorted(one) for one in led] == [[False] + 9 * [True], 10 * [True]]


@pytest.mark.parametrize(
    ("verb", "body", "error"),
    [
        ("KILL", {"servers": ["nobody"]}, "no such server: nobody"),
        ("KILL", {"server": []}, "Object contains unknown field `server`"),
        ("FIX", {}, "no such request; there are SIZE, LOAD, TRUTH, CHURN, "),
    ],
)
async def test_orders_that_cannot_be_done_are_refused(
    service: Service, asker: Asker, verb: str, body: object, error: str
) -> None:
    assert (await asker.control(verb, body))["error"].startswith(error)
