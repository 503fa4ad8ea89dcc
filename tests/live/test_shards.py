"""Two agents on a real super-cluster: each looks at one cluster, and they answer for both."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kit.agents import Start, starting
from kit.watching import Watch, watching
from nats_insights.lab.servers import local

pytestmark = pytest.mark.live

OVER = ("USER_002", "app")
# A shard counts as silent after three seconds and five of these timeouts.
QUICK = 'gather.timeout = "300ms"\n'


def shard(name: str, cluster: str, other: str) -> str:
    return f'shard = {{ name = "{name}", clusters = ["{cluster}"], others = ["{other}"] }}\n{QUICK}'


EU, US = shard("eu", "EU", "us"), shard("us", "US", "eu")


@pytest.fixture
def system(start_system) -> local.System:
    return start_system({"EU": ("e1", "e2"), "US": ("u1", "u2")})


@pytest.fixture
def run(system, tmp_path: Path) -> Iterator[Start]:
    """An agent of shard `us` in a process of its own."""
    settings = f'interval = "150ms"\n{US}lifecycle.settle = "0s"\n'
    with starting(system["u1"], tmp_path, settings) as run:
        yield run


async def ask(watch: Watch, query: str, **body: object) -> Any:
    reply = await watch.client.request(
        f"INSIGHTS.API.{query}", json.dumps(body).encode(), timeout=10
    )
    return json.loads(reply.data)


def of_users(watch: Watch) -> list[tuple[str, str, str]]:
    return [told for told in watch.story if told[1] == OVER[0]]


def last(watch: Watch, name: str) -> Any:
    """The last ledger of a shard, None before the first."""
    said = [ledger for ledger in watch.ledgers if ledger.shard == name]
    return said[-1] if said else None


@pytest.mark.long
async def test_a_user_of_both_clusters_is_found_once_and_stays_while_a_shard_is_silent(
    system, run, crowd
):
    user, password = system.user("app")
    for server in ("e1", "u1"):
        members = await crowd.join(system[server].url, 60, user=user, password=password)
    us = run("us-1")
    async with watching(system, "e1", "e2", more=f'id = "eu-1"\n{EU}') as watch:
        await watch.until(lambda: OVER in watch.open)
        assert watch.open[OVER].value == 120
        assert ["shard us", 60] in watch.open[OVER].evidence["by_server"]["top"]
        assert watch.open[OVER].agent.shard == "eu"
        assert last(watch, "us").clusters == ["US"]
        assert set(watch.agent.auditor.sweeps.last) == {("EU", "e1"), ("EU", "e2")}

        status = await ask(watch, "STATUS")
        assert status["coverage"] == {"servers_known": 4, "servers_answered": 4, "missing": []}
        for shard in ("eu", "us"):
            status = await ask(watch, f"STATUS@{shard}")
            assert (status["agent"]["shard"], status["coverage"]["servers_known"]) == (shard, 2)
            assert status["shards"] == []

        us.kill()
        us.wait()
        await crowd.leave(members)
        await watch.until(lambda: watch.agent.auditor.shards.troubles)
        await watch.epochs(3)
        assert of_users(watch) == [("opened", *OVER)]
        status = await ask(watch, "STATUS")
        assert (status["verdict"], status["agent"]["id"]) == ("unknown", "eu-1")
        (silent,) = status["shards"]
        assert (silent["name"], silent["agent"]) == ("us", "us-1")
        assert (silent["verdict"], silent["why"]) == ("unknown", "shard us is silent")
        assert status["coverage"]["missing"] == ["all of shard us"]
        listed = await ask(watch, "FINDINGS", code=OVER[0])
        assert (listed["silent_shards"], listed["findings"][0]["stale"] is None) == (["us"], False)

        run("us-1")
        await watch.until(lambda: OVER not in watch.open)
        assert of_users(watch) == [("opened", *OVER), ("resolved", *OVER)]


async def test_a_standby_of_a_shard_goes_on_with_what_its_leader_found(system, crowd):
    user, password = system.user("app")
    for server in ("e1", "u1"):
        members = await crowd.join(system[server].url, 60, user=user, password=password)
    async with (
        watching(system, "u1", "u2", more=f'id = "us-1"\n{US}'),
        watching(system, "e1", "e2", more=f'id = "eu-1"\n{EU}') as first,
    ):
        await first.until(lambda: OVER in first.open)
        async with watching(system, "e2", "e2", more=f'id = "eu-2"\n{EU}') as second:
            assert (first.agent.election.role, second.agent.election.role) == ("leader", "standby")
            await second.until(lambda: second.agent.heir.warm)
            first.running.remove_done_callback(first.wake)
            first.running.cancel()
            await asyncio.wait([first.running])
            first.running = asyncio.create_task(asyncio.Event().wait())
            await second.until(lambda: second.agent.election.role == "leader")
            await second.epochs(4)
            assert of_users(first) == [("opened", *OVER)]
            await crowd.leave(members)
            await first.until(lambda: OVER not in first.open)
            assert of_users(first) == [("opened", *OVER), ("resolved", *OVER)]


async def test_agents_of_two_shards_lead_both_and_answer_for_both(system, crowd):
    async with (
        watching(system, "e1", "e1", more=f'id = "eu-1"\n{EU}') as eu,
        watching(system, "u1", "u2", more=f'id = "us-1"\n{US}') as us,
    ):
        assert [watch.agent.election.role for watch in (eu, us)] == ["leader", "leader"]
        user, password = system.user("app")
        # Of both servers of each cluster only one has clients.
        await crowd.join(system["e1"].url, 12, user=user, password=password)
        await crowd.join(system["u2"].url, 14, user=user, password=password)
        hot = {("OPT_BALANCE_002", "e1"), ("OPT_BALANCE_002", "u2")}
        await eu.until(lambda: hot <= set(eu.open))
        assert {eu.open[key].agent.shard for key in hot} == {"eu", "us"}
        for watch in (eu, us):
            await watch.epochs(2)
            own = watch.agent.answers
            whole = json.loads(await own.others.findings(own.view, b'{"code": "OPT_BALANCE_002"}'))
            assert [found["entity"]["name"] for found in whole["findings"]] == ["e1", "u2"]
            assert (whole["total"], whole["more"], whole["silent_shards"]) == (2, False, [])
            assert whole["counts"]["info"] == 2
        # Whoever answers first.
        page = await ask(eu, "FINDINGS", code="OPT_BALANCE_002", offset=1, limit=1)
        assert [found["entity"]["name"] for found in page["findings"]] == ["u2"]
        assert (page["total"], page["offset"], page["more"]) == (2, 1, False)
        groups = await ask(eu, "FINDINGS", code="OPT_BALANCE_002", by="code")
        assert groups["groups"] == [{"code": "OPT_BALANCE_002", "info": 2}]
        here = await ask(eu, "FINDINGS@us", code="OPT_BALANCE_002")
        assert [found["entity"]["name"] for found in here["findings"]] == ["u2"]
        # The other one does not know u1, and keeps silent.
        forgotten = await ask(eu, "FORGET", server="u1")
        assert (forgotten["agent"]["shard"], forgotten["error"]["code"]) == ("us", 409)
        status = await ask(eu, "STATUS")
        assert status["open"]["info"] == len(eu.open) == len(us.open)
        assert len(status["shards"]) == 1
