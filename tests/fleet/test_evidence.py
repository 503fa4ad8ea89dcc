"""Evidence of many findings at once: asked of all together, within bounds, of nobody who hangs."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import pytest
from msgspec.structs import replace

from kit.fleet.asking import reply
from kit.fleet.auditing import auditing, sick_and_well
from nats_insights.agent.epoch import epoch
from nats_insights.judge.clients import MOST_FINDINGS
from nats_insights.lab.fleet.misbehave import Misbehaviour
from nats_insights.lab.fleet.model import SYSTEM_ACCOUNT
from nats_insights.lab.fleet.plant import Faults, plant
from nats_insights.subjects import server_request

pytestmark = pytest.mark.live

HUNG = Misbehaviour(hung=True)
CONNZ = frozenset({"CONNZ"})
HUNG_ON_CONNZ = Misbehaviour(hung=True, endpoints=CONNZ)
LATE_WITH_CONNZ = Misbehaviour(delay=0.05, endpoints=CONNZ)
TIMEOUT, SHORT = 3.0, 0.5
EVERY_CONNZ = server_request("CONNZ", "*")


@pytest.fixture
def fleet():
    """Three servers more than findings that may be explained are crowded, and nothing else."""
    crowded = MOST_FINDINGS + 3
    faults = Faults(
        connection_hotspots=0,
        subscription_hotspots=0,
        concentrated_accounts=0,
        crowded_servers=crowded,
        leaking_users=0,
    )
    return plant(60, 40, clusters=6, faults=faults, seed=2)


def crowded(fleet, watch):
    """The servers that have a finding."""
    names = {names[-1] for _, names in watch.open}
    return [server for server in fleet.servers if server.name in names]


def asked_of(fleet, request):
    """The simulated server that a request is for, None if it is for the real one."""
    return fleet.ids.get(request.subject.split(".")[3])


def forget_clients(watch):
    """From now on no finding names a client."""
    lives = watch.auditor.lives
    watch.auditor.lives = {key: replace(life, clients={}) for key, life in lives.items()}


async def reminded(watch):
    """An epoch a day later, in which each finding is told again."""
    return await epoch(watch.auditor, watch.gatherer, time.time() + 86_400, settle=0)


def clients(fleet, server):
    """How many clients a server has, counted one by one."""
    users = [row.user for row in fleet.connections(server)]
    return sum(user.kind != "leaf" and user.account != SYSTEM_ACCOUNT for user in users)


async def test_all_are_asked_at_once_and_nobody_who_hangs(host, asker, fleet):
    held_back = []

    async def hear(request):
        # Nobody answers before all have been asked.
        held_back.extend([request] if asked_of(fleet, request) else [])
        if len(held_back) == MOST_FINDINGS:
            for one in held_back:
                await one.respond(reply(fleet, asked_of(fleet, one), "CONNZ", one.data).plain())

    async with auditing(fleet, host) as watch:
        await watch.epochs(2)
        hung, well = crowded(fleet, watch)[:3], crowded(fleet, watch)[3:]
        forget_clients(watch)
        watch.service.misbehave(hung, HUNG)
        watch.service.misbehave(well, HUNG_ON_CONNZ)
        watch.wait(TIMEOUT)
        await asker.client.subscribe(EVERY_CONNZ, cb=hear)
        await asker.client.flush()
        told = await reminded(watch)
        asked = Counter(request.subject for request in held_back)
        assert asked == Counter(server_request("CONNZ", server.id) for server in well)
        assert {item.life.servers[0]: item.life.stale for item in told if item.life.stale} == {
            server.name: f"VARZ of {server.name}" for server in hung
        }
        named = {item.life.servers[0]: item.life.clients for item in told if item.life.clients}
        assert {name: who["sampled"] for name, who in named.items()} == {
            server.name: clients(fleet, server) for server in well
        }


async def test_what_does_not_come_in_time_leaves_the_clients_as_they_were(host, fleet):
    async with auditing(fleet, host) as watch:
        await watch.epochs(2)
        watch.wait(SHORT)
        await watch.epochs()
        before = {key: life.clients for key, life in watch.auditor.lives.items()}
        watch.service.misbehave(fleet.servers, HUNG_ON_CONNZ)
        running = asyncio.all_tasks()
        told = await reminded(watch)
        assert asyncio.all_tasks() == running
        assert watch.gatherer.window.taken == 0
        assert len(told) == len(before) == MOST_FINDINGS + 3
        assert {item.life.key: item.life.clients for item in told} == before
        assert {key: life.clients for key, life in watch.auditor.lives.items()} == before


async def test_what_cannot_be_read_names_nobody_and_keeps_nobody_else_from_it(host, fleet):
    async with auditing(fleet, host) as watch:
        await watch.epochs(2)
        garbled, liar, victim = crowded(fleet, watch)[:3]
        forget_clients(watch)
        watch.service.misbehave([garbled], Misbehaviour(malformed="garbage", endpoints=CONNZ))
        watch.service.misbehave([liar], Misbehaviour(claims=victim.name, endpoints=CONNZ))
        told = await reminded(watch)
        named = {item.life.servers[0] for item in told if item.life.clients}
        assert len(named) == MOST_FINDINGS - 2
        assert named.isdisjoint({garbled.name, liar.name})


async def test_those_that_named_nobody_come_first(host, fleet):
    async with auditing(fleet, host) as watch:
        await watch.epochs(2)
        lives = watch.auditor.lives
        unnamed = {key for key, life in lives.items() if not life.clients}
        assert len(unnamed) == 3
        await reminded(watch)
        assert [key for key, life in watch.auditor.lives.items() if not life.clients] == []


async def test_a_server_reads_for_one_finding_after_another(host):
    fleet = sick_and_well()
    async with auditing(fleet, host) as watch:
        await watch.epochs(2)
        on_a = {code for code, names in watch.open if "a" in names or code == "USER_002"}
        assert len(on_a) > 3
        watch.service.misbehave(fleet.servers, LATE_WITH_CONNZ)
        before = watch.service.load.requests["CONNZ"]
        told = await reminded(watch)
        assert all(item.life.clients for item in told)
        assert watch.service.load.requests["CONNZ"] > before + 3
        assert watch.service.load.overlaps == 0


async def test_all_findings_of_a_server_share_one_deadline(host, asker):
    fleet = sick_and_well()
    async with auditing(fleet, host) as watch:
        await watch.epochs(2)
        hung = fleet.server("a")
        watch.service.misbehave([hung], HUNG_ON_CONNZ)
        watch.wait(SHORT)
        heard = await asker.client.subscribe(server_request("CONNZ", hung.id))
        await asker.client.flush()
        await reminded(watch)
        await watch.client.flush()
        await asker.client.flush()
        assert heard.pending_msgs == 1


async def test_evidence_keeps_within_the_window(host, asker, fleet):
    unanswered = []

    async def hear(request):
        if server := asked_of(fleet, request):
            # Whatever is asked before this one is answered has come when the flush is over.
            await asker.client.flush()
            unanswered.append(1 + subscription.pending_msgs)
            await request.respond(reply(fleet, server, "CONNZ", request.data).plain())

    async with auditing(fleet, host, config="gather.window = 65536\n") as watch:
        await watch.epochs(2)
        watch.service.misbehave(fleet.servers, HUNG_ON_CONNZ)
        subscription = await asker.client.subscribe(EVERY_CONNZ, cb=hear)
        await asker.client.flush()
        await reminded(watch)
        assert unanswered == MOST_FINDINGS * [1]
