"""The queries of an agent, asked by an ordinary account on another server of the cluster."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import jsonschema_rs
import nats
import pytest
from nats.aio.msg import Msg
from nats.micro.request import Request

from kit.watching import Watch, watching
from nats_insights.commands.ask import ask
from nats_insights.errors import RequestError
from nats_insights.lab.demo.stage import login
from nats_insights.lab.servers import local
from nats_insights.tell import queries
from nats_insights.tell.messages import StatusReply
from nats_insights.tell.schemas import schemas

pytestmark = pytest.mark.live

SCHEMAS = schemas()
MANY = 4000
QUERIES = (*queries.QUERIES, "EVALUATE")


@pytest.fixture
def system(shared_cluster: local.System) -> local.System:
    return shared_cluster


@pytest.fixture
async def watch(system: local.System) -> AsyncIterator[Watch]:
    async with watching(system) as watch:
        await watch.epochs(1)
        yield watch


async def query(watch: Watch, name: str, body: object = None) -> dict[str, Any]:
    """The reply to one query, which must be as its schema says."""
    request = b"" if body is None else json.dumps(body).encode()
    message = await watch.client.request(f"INSIGHTS.API.{name}", request, timeout=10)
    reply = json.loads(message.data)
    jsonschema_rs.validate(SCHEMAS[reply["type"]], reply)
    return reply | {"headers": dict(message.headers or {})}


async def test_others_have_their_turn_while_many_requests_are_answered(watch):
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    client, inbox = watch.client, watch.client.new_inbox()
    replies = await client.subscribe(inbox)
    (handle,) = [
        one._handler for one in watch.agent.answers._service._endpoints if one._name == "STATUS"
    ]
    waiting = asyncio.create_task(other())
    for _ in range(MANY):
        await handle(Request(Msg(client, subject="INSIGHTS.API.STATUS", reply=inbox)))
    waiting.cancel()
    assert turns > 3
    for _ in range(MANY):
        assert json.loads((await replies.next_msg(timeout=10)).data)["verdict"]


async def test_it_is_found_as_a_micro_service(watch):
    replies = {}
    for verb in ("PING", "INFO", "STATS"):
        reply = await watch.client.request(f"insights.srv.{verb}.insights-agent", timeout=10)
        replies[verb] = json.loads(reply.data)
    assert {verb: reply["type"] for verb, reply in replies.items()} == {
        "PING": "io.nats.micro.v1.ping_response",
        "INFO": "io.nats.micro.v1.info_response",
        "STATS": "io.nats.micro.v1.stats_response",
    }
    assert {reply["name"] for reply in replies.values()} == {"insights-agent"}
    assert replies["PING"]["metadata"]["role"] == "leader"
    for verb in ("INFO", "STATS"):
        subjects = {endpoint["subject"] for endpoint in replies[verb]["endpoints"]}
        assert subjects == {f"INSIGHTS.API.{name}" for name in (*queries.QUERIES, *queries.CHANGES)}


async def test_every_query_is_answered_across_accounts(watch, system, crowd):
    user, password = system.user("big")
    await crowd.join(system["n3"].url, 10, user=user, password=password)
    await watch.until(lambda: ("OPT_BALANCE_006", "BIG") in watch.open)
    replies = {
        name: await query(watch, name, {"code": "USER_002"} if name == "EXPLAIN" else None)
        for name in QUERIES
    }
    assert {name: reply["type"] for name, reply in replies.items()} == {
        name: f"insights.api.v1.{'status' if name == 'EVALUATE' else name.lower()}_response"
        for name in QUERIES
    }
    assert {reply["coverage"]["servers_answered"] for reply in replies.values()} == {3}
    assert [server["name"] for server in replies["SERVERS"]["servers"]] == ["n1", "n2", "n3"]
    assert replies["CHECKS"]["total"] == len(watch.agent.auditor.checks)
    assert replies["EXPLAIN"]["check"]["name"] == "excessive_user_connections"
    assert replies["STATUS"]["verdict"] == "info"
    told = watch.open["OPT_BALANCE_006", "BIG"]
    found = {one["fingerprint"] for one in replies["FINDINGS"]["findings"]}
    assert told.fingerprint in found


async def test_who_asks_at_once_after_an_advisory_finds_it(watch, system, crowd, monkeypatch):
    agent = watch.agent
    heartbeat, asked = agent._heartbeat, asyncio.Event()
    verdicts = []

    async def then_ask(client):
        # The advisories are out and the epoch has not ended: the earliest that anybody can ask.
        await heartbeat(client)
        if any(life.is_open for life in agent.auditor.lives.values()) and not asked.is_set():
            asked.set()
            verdicts.append((await query(watch, "STATUS"))["verdict"])

    monkeypatch.setattr(agent, "_heartbeat", then_ask)
    user, password = system.user("big")
    await crowd.join(system["n3"].url, 10, user=user, password=password)
    await watch.until(lambda: verdicts)
    assert verdicts == ["info"]


async def test_findings_are_filtered_and_paged(watch, system, crowd):
    user, password = system.user("big")
    await crowd.join(system["n3"].url, 10, user=user, password=password)
    await watch.until(lambda: len(watch.open) == 2)
    await watch.epochs(1)
    filtered = await query(watch, "FINDINGS", {"scope": "SERVER"})
    assert [one["code"] for one in filtered["findings"]] == ["OPT_BALANCE_002"]
    pages = [await query(watch, "FINDINGS", {"limit": 1, "offset": n}) for n in (0, 1)]
    assert [page["more"] for page in pages] == [True, False]
    assert {page["findings"][0]["code"] for page in pages} == {"OPT_BALANCE_002", "OPT_BALANCE_006"}


@pytest.mark.parametrize(
    ("name", "body", "code"),
    [
        ("EXPLAIN", {"code": "USER_02"}, "404"),
        ("FINDINGS", {"limit": 0}, "400"),
        ("FINDINGS", {"colour": "red"}, "400"),
        ("STATUS", [1], "400"),
    ],
)
async def test_what_cannot_be_answered_says_so_in_the_headers(watch, name, body, code):
    reply = await query(watch, name, body)
    assert reply["type"] == "insights.api.v1.error_response"
    assert reply["headers"]["Nats-Service-Error-Code"] == code
    assert reply["headers"]["Nats-Service-Error"] == reply["error"]["description"]


async def test_requests_for_an_epoch_share_one(system):
    async with watching(system, more='id = "slow"\n', interval="1h") as watch:
        before = watch.agent.auditor.number
        replies = await asyncio.gather(*(query(watch, "EVALUATE") for _ in range(20)))
        numbers = {reply["epoch"]["number"] for reply in replies}
        # Who asks while an epoch runs gets the next: two at most, whenever the requests arrive.
        assert numbers <= {before + 1, before + 2}
        assert watch.agent.auditor.number == max(numbers)


async def test_an_epoch_too_soon_moves_no_counter(system, crowd):
    user, password = system.user("big")
    async with watching(system, interval="1h") as watch:
        await crowd.join(system["n3"].url, 101, user=user, password=password)
        for _ in range(3):
            await query(watch, "EVALUATE")
        assert (await query(watch, "FINDINGS"))["total"] == 0
        assert watch.story == []
        watch.agent._counted_at = float("-inf")  # As if half an interval had passed.
        await query(watch, "EVALUATE")
        assert (await query(watch, "FINDINGS"))["total"] == 1


async def test_a_stream_that_takes_the_requests_is_told_of(start_server):
    system = start_server("n1", jetstream=True)
    settings = login(system, "ops", "n1")
    client = await nats.connect(settings.servers[0], user=settings.user, password=settings.password)
    try:
        await client.jetstream().add_stream(name="EVERYTHING", subjects=["INSIGHTS.>"])
        with pytest.raises(RequestError, match="stream EVERYTHING captures"):
            await ask(settings, "STATUS", StatusReply)
    finally:
        await client.close()
