"""`check` as a monitoring plugin, on real servers: its formats, and waiting until all is well."""

from __future__ import annotations

import asyncio
import sys
from asyncio import create_subprocess_exec
from asyncio.subprocess import PIPE
from typing import Any
from xml.etree import ElementTree as xml

import pytest
from prometheus_client.parser import text_string_to_metric_families

from kit.programs import PATIENCE, connected, environment
from nats_insights.lab.servers import local
from nats_insights.subjects import USER_INFO

pytestmark = pytest.mark.live

HOSTILE = "n|1\"<&>']]>"
# A server is full where 95 % of its connections are taken, that of `check` not counted.
FULL, CLIENTS = "max_connections: 40", 38
QUICK = ("--interval", "200ms")


async def check(server: local.Server, *arguments: str, user: str = "agent") -> tuple[int, str, str]:
    """The exit code of `check`, what it prints, and what it complains of."""
    command = [sys.executable, "-m", "nats_insights", "check", *arguments]
    env = environment(server, server.user(user))
    program = await create_subprocess_exec(*command, env=env, stdout=PIPE, stderr=PIPE)
    try:
        said, complaints = await asyncio.wait_for(program.communicate(), PATIENCE)
    finally:
        if program.returncode is None:
            program.kill()
    assert program.returncode is not None
    return program.returncode, said.decode(), complaints.decode()


@pytest.fixture
async def full(start_server: Any, crowd: Any) -> local.Server:
    """A server with a hostile name, that accepts hardly any more clients."""
    server = start_server(HOSTILE, options=FULL)[HOSTILE]
    user, password = server.user("app")
    await crowd.join(server.url, CLIENTS, user=user, password=password)
    return server


async def test_nagios_gets_one_pipe_and_a_line_for_each_finding(full):
    code, said, complaints = await check(full, "--format", "nagios")
    first, finding, *_ = said.splitlines()
    assert (code, complaints, said.count("|")) == (2, "", 1)
    line, _, performance = first.partition(" | ")
    assert line == "CRITICAL: 1 critical, 1 of 1 servers answered"
    assert performance.startswith(
        "critical=1;;;0 warning=0;;;0 info=0;;;0 servers_answered=1;;;0;1"
    )
    assert finding.startswith("CRITICAL SERVER_011 n\\x7c1\"<&>']]> has 38 of 40 connections")


async def test_prometheus_reads_the_name_of_the_server_as_it_is(full):
    code, said, complaints = await check(full, "--format", "prometheus")
    read = {family.name: family.samples for family in text_string_to_metric_families(said)}
    (finding,) = read["nats_insights_finding"]
    assert (code, complaints, finding.labels["entity"]) == (2, "", HOSTILE)
    assert read["nats_insights_servers_answered"][0].value == 1


async def test_junit_has_a_failure_with_the_name_of_the_server(full):
    code, said, complaints = await check(full, "--format", "junit")
    (failure,) = xml.fromstring(said).iter("failure")
    assert (code, complaints, failure.get("type")) == (2, "", "critical")
    assert failure.get("message").startswith(f"{HOSTILE} has 38 of 40 connections")


async def test_the_text_begins_with_the_same_line(full):
    code, said, complaints = await check(full)
    assert (code, complaints) == (2, "")
    assert said.splitlines()[0] == "CRITICAL: 1 critical, 1 of 1 servers answered"


async def test_nagios_is_told_on_standard_output_why_nothing_could_be_audited(full):
    code, said, complaints = await check(full, "--format", "nagios", user="app")
    assert (code, complaints, len(said.splitlines())) == (3, "", 1)
    assert said.startswith("UNKNOWN: logged in as user app of account APP, which is not")


@pytest.mark.parametrize("epochs", ["0", "-1"])
async def test_fewer_epochs_than_one_are_refused(full, epochs):
    refusal = "nats-insights: --epochs is refused: expected 1 or more\n"
    assert await check(full, f"--epochs={epochs}") == (3, "", refusal)


async def test_a_time_that_is_no_duration_is_refused(full):
    code, said, complaints = await check(full, "--wait-healthy", "soon")
    assert (code, said) == (3, "")
    assert complaints.startswith("nats-insights: --wait-healthy is refused: 'soon' is not")


async def asked(server: local.Server, times: int) -> None:
    """Until a server was asked for VARZ so many times from now on."""
    async with connected(server, server.user("root")) as witness:
        heard = await witness.subscribe("$SYS.REQ.SERVER.*.VARZ")
        await witness.request(USER_INFO)  # By now the server has subscribed it.
        for _ in range(times):
            await heard.next_msg(timeout=PATIENCE)


async def test_it_waits_until_the_cause_is_gone(start_server, crowd):
    server = start_server("n1", options=FULL)["n1"]
    user, password = server.user("app")
    clients = await crowd.join(server.url, CLIENTS, user=user, password=password)
    waiting = asyncio.create_task(check(server, "--wait-healthy", "1h", *QUICK))
    await asked(server, 3)
    assert not waiting.done()
    await crowd.leave(clients)
    code, said, _ = await waiting
    assert (code, said.splitlines()[0].endswith(", 1 of 1 servers answered")) == (0, True)


async def test_when_the_time_is_over_it_says_what_is_still_wrong(full):
    code, said, _ = await check(full, "--wait-healthy", "1s", *QUICK)
    assert (code, said.splitlines()[0]) == (2, "CRITICAL: 1 critical, 1 of 1 servers answered")


async def test_it_waits_for_a_server_that_does_not_listen_yet(start_server):
    server = start_server("n1")["n1"]
    server.kill()
    waiting = asyncio.create_task(check(server, "--wait-healthy", "1h", *QUICK))
    code, _, complaints = await check(server, "--wait-healthy", "500ms", *QUICK)
    assert (code, waiting.done()) == (3, False)
    assert "Connection refused" in complaints
    server.restart()
    code, said, _ = await waiting
    assert (code, said.splitlines()[0].endswith(", 1 of 1 servers answered")) == (0, True)


async def test_a_server_that_restarts_meanwhile_is_waited_for(start_cluster, crowd):
    system = start_cluster("n1", "n2", options=FULL)
    user, password = system.user("app")
    clients = await crowd.join(system["n2"].url, CLIENTS, user=user, password=password)
    waiting = asyncio.create_task(check(system["n1"], "--wait-healthy", "1h", *QUICK))
    await asked(system["n2"], 3)
    system["n1"].restart()  # In good order: a crash would be a finding for an hour.
    await asked(system["n2"], 2)
    assert not waiting.done()
    await crowd.leave(clients)
    code, said, _ = await waiting
    assert (code, said.splitlines()[0].endswith(", 2 of 2 servers answered")) == (0, True)


async def test_a_server_that_hangs_is_waited_for(start_cluster):
    system = start_cluster("n1", "n2", "n3")
    system["n3"].freeze()
    code, said, _ = await check(system["n1"], "--wait-healthy", "1s", *QUICK)
    assert (code, said.splitlines()[0].partition(":")[0]) == (3, "UNKNOWN")
    assert "2 of 3 servers answered" in said.splitlines()[0]
    waiting = asyncio.create_task(check(system["n1"], "--wait-healthy", "1h", *QUICK))
    await asked(system["n1"], 3)
    assert not waiting.done()
    system["n3"].thaw()
    code, said, _ = await waiting
    assert (code, said.splitlines()[0].endswith(", 3 of 3 servers answered")) == (0, True)


async def test_a_user_that_cannot_audit_is_not_waited_for(start_server):
    code, _, complaints = await check(start_server("n1")["n1"], "--wait-healthy", "1h", user="app")
    assert (code, "not the system account" in complaints) == (3, True)
