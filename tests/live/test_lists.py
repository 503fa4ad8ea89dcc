"""The lists of a running agent, as commands print them: of servers that are gone, and of many."""

from __future__ import annotations

import json

import pytest

from kit.watching import PATIENCE, watching
from nats_insights.lab.demo.stage import login

pytestmark = pytest.mark.live

BRISK = 'gather.timeout = "300ms"\n'
LOW = "checks.excessive_user_connections.max_connections = 4\n"


async def test_findings_are_listed_with_the_worst_first_counted_and_limited(
    start_cluster, crowd, cli_of
):
    system = start_cluster("n1", "n2", "n3")
    for name, count in (("big", 9), ("app", 5)):
        user, password = system.user(name)
        await crowd.join(system["n1"].url, count, user=user, password=password)
    async with watching(system, more=LOW) as watch:
        await watch.until(lambda: watch.named("USER_002") >= {"big", "app"})
        cli = cli_of(login(system, "ops", "n1"))
        code, said = await cli("findings", "--code", "USER_002")
        first, heading, *rows = said.splitlines()
        assert (code, heading.split()) == (0, ["severity", "check", "value", "open", "for"])
        assert first == f"{len(rows)} open: {len(rows)} warning"
        values = [int(row.split()[2]) for row in rows]
        assert values == sorted(values, reverse=True)
        assert rows[0].endswith("user big of account BIG holds 9 connections")
        _, said = await cli(
            "findings", "--code", "USER_002", "--severity", "WARNING", "--limit", "1"
        )
        assert [line.partition(" more; ")[0].split()[-1] for line in said.splitlines()[2:]] == [
            "connections",
            f"{len(rows) - 1}",
        ]
        _, said = await cli("findings", "--user-name", "app", "--format", "json")
        reply = json.loads(said)
        assert [one["value"] for one in reply["findings"]] == [5]
        _, said = await cli("findings", "--by", "account", "--code", "USER_002")
        assert [line.split() for line in said.splitlines()[2:]][:2] == [["1", "APP"], ["1", "BIG"]]


async def test_servers_that_hang_died_and_left_are_listed_before_the_others(start_cluster, cli_of):
    system = start_cluster("n1", "n2", "n3", "n4")
    async with watching(system, listen="n1", more=BRISK) as watch:
        system["n2"].kill()
        system["n3"].freeze()
        system["n4"].stop()
        states = {"n2": "dead", "n3": "hung", "n4": "left", "n1": "answering"}
        roster = watch.agent.auditor.roster
        await watch.until(lambda: {one.name: one.state for one in roster} == states)
        await watch.epochs(1)
        cli = cli_of(login(system, "ops", "n1"))
        code, said = await cli("servers")
        first, heading, *rows, hint = said.splitlines()
        assert (code, first) == (0, "4 servers: 1 answering, 1 dead, 1 hung, 1 left")
        assert heading.split() == ["state", "server", "cluster", "version", "last", "answered"]
        assert {row.split()[1]: row.split()[0] for row in rows} == states
        assert rows[-1].split()[0] == "answering"
        assert hint == "`nats-insights forget SERVER` removes one that will not come back"
        code, said = await cli("evaluate")
        assert (code, said.splitlines()[0].partition(";")[0]) == (
            3,
            "● unknown  1 of 3 servers answered, not n2, n3",
        )
        _, said = await cli("findings")
        assert said.splitlines()[0].endswith("; 1 of 3 servers answered")
        system["n3"].thaw()


async def test_requests_by_hand_are_refused_in_our_words(start_cluster, cli_of):
    system = start_cluster("n1")
    async with watching(system, listen="n1") as watch:
        said = {}
        for name, body in (("EXPLAIN", b""), ("FINDINGS", b'{"severty": "info"}')):
            reply = await watch.client.request(f"INSIGHTS.API.{name}", body, timeout=PATIENCE)
            problem = json.loads(reply.data)
            assert problem["agent"]["epoch"] > 0
            assert (reply.headers or {})["Nats-Service-Error"] == problem["error"]["description"]
            said[name] = problem["error"]["description"]
        assert said == {
            "EXPLAIN": 'name a check by code or name, such as {"code": "SERVER_011"}',
            "FINDINGS": "there is no field severty; did you mean severity?",
        }
