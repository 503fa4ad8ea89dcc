"""Servers that freeze or die while they are watched: named, bounded, and never misjudged."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator

import pytest

from kit.watching import PATIENCE, Watch, anywhere, watching
from nats_insights.check import VARZ
from nats_insights.commands.ask import ask
from nats_insights.connection.connect import connect
from nats_insights.connection.contexts import Settings
from nats_insights.gather.asking import Asker
from nats_insights.gather.small import Gatherer
from nats_insights.lab.demo.stage import login
from nats_insights.lab.servers import local
from nats_insights.lab.servers.crowd import Crowd
from nats_insights.tell.messages import StatusReply

pytestmark = [pytest.mark.live, pytest.mark.long]

PATIENT_FOR_A_MOMENT = 'gather.timeout = "200ms"\n'
BY_ALL_FIVE = {
    ("SERVER_011", "n3"),
    ("USER_002", "big"),
    ("OPT_BALANCE_002", "n3"),
    ("OPT_BALANCE_003", "n3"),
    ("OPT_BALANCE_006", "BIG"),
    ("OPT_BALANCE_006", "APP"),
}


@pytest.fixture
async def crowd() -> AsyncIterator[Crowd]:
    async with Crowd() as crowd:
        yield crowd


@pytest.fixture
def cli_of(tmp_path):
    """`cli_of(login, "forget", "n3")` is the program; awaited, its exit code and last line."""

    def cli_of(settings: Settings, *arguments: str):
        variables = {
            "NATS_URL": settings.servers[0],
            "NATS_USER": settings.user,
            "NATS_PASSWORD": settings.password,
            "XDG_CONFIG_HOME": str(tmp_path),
        }
        env = {k: v for k, v in os.environ.items() if not k.startswith("NATS_")} | variables

        async def run() -> tuple[int, str]:
            program = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "nats_insights", *arguments),
                env=env,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            said, _ = await asyncio.wait_for(program.communicate(), PATIENCE)
            return program.returncode, said.decode().strip().removeprefix("nats-insights: ")

        return run

    return cli_of


async def join(crowd: Crowd, system: local.System, user: str, **on: int) -> None:
    name, password = system.user(user)
    for server, count in on.items():
        await crowd.join(
            system[server].url,
            count,
            user=name,
            password=password,
            subscriptions=5,
            subject=f"{server}.{{i}}",
        )


def missing(watch: Watch) -> list[str]:
    return watch.heartbeats[-1].coverage.missing


async def test_nothing_opens_or_resolves_because_a_server_is_frozen(start_cluster, crowd):
    system = start_cluster("n1", "n2", "n3", options={"n3": "max_connections: 120"})
    await join(crowd, system, "big", n3=101)
    await join(crowd, system, "app", n1=40)
    async with watching(system, more=PATIENT_FOR_A_MOMENT) as watch:
        await watch.until(lambda: watch.open.keys() == BY_ALL_FIVE)
        await watch.epochs(2)
        told = watch.story[:]
        assert len(told) == 6
        system["n3"].freeze()
        await watch.until(lambda: missing(watch) == ["n3"])
        # Without n3, and what it holds, n1 would be a hotspot of connections and subscriptions.
        await watch.epochs(3)
        assert missing(watch) == ["n3"]
        system["n3"].thaw()
        await watch.until(lambda: missing(watch) == [])
        await watch.epochs(3)
        assert watch.heartbeats[-1].coverage.servers_answered == 3
        assert watch.story == [
            *told,
            ("opened", "SERVER_901", "n3"),
            ("resolved", "SERVER_901", "n3"),
        ]


async def test_nobody_waits_for_a_server_that_others_only_remember(start_cluster):
    system = start_cluster("n1", "n2")
    client = await connect(login(system, "agent", "n1"), name="asker")
    asker = Asker(client, timeout=10 * PATIENCE)
    heard = await asker.everybody(VARZ, (), at_least=2)
    async with asyncio.timeout(PATIENCE):
        again = await asker.everybody(VARZ, heard, at_least=3)
    assert again.keys() == heard.keys()
    await client.close()


async def test_the_survivors_of_a_killed_server_are_judged_without_it(start_cluster, crowd):
    system = start_cluster("n1", "n2", "n3")
    await join(crowd, system, "app", n1=30, n3=30)
    listen = login(system, "root", "n2")  # Where the subscriber's connection does not count.
    async with watching(system, listen=listen, more=PATIENT_FOR_A_MOMENT) as watch:
        await watch.epochs(2)
        assert watch.story == []
        system["n3"].kill()
        await watch.until(lambda: missing(watch) == ["n3"])
        await watch.until(lambda: ("OPT_BALANCE_002", "n1") in watch.open)
        opened = watch.open["OPT_BALANCE_002", "n1"]
        assert opened.coverage.missing == ["n3"]
        first = next(beat.agent.epoch for beat in watch.heartbeats if beat.coverage.missing)
        # Dead twice before it leaves the mean, and a hotspot has to be found twice.
        assert opened.agent.epoch >= first + 2
        system["n3"].restart()
        await watch.until(lambda: missing(watch) == [])
        assert watch.heartbeats[-1].coverage.servers_answered == 3


@pytest.mark.parametrize("end", ["freeze", "kill"])
async def test_an_agent_whose_own_server_fails_goes_on_with_another(
    start_cluster, crowd, monkeypatch, end
):
    for name, seconds in (("PROBE_SECONDS", 0.3), ("PROBE_TIMEOUT", 0.3)):
        monkeypatch.setattr(f"nats_insights.connection.connect.{name}", seconds)
    system = start_cluster("n1", "n2", "n3")
    await join(crowd, system, "big", n2=101)
    agent = anywhere(system, "n3", "n1", "n2")
    async with watching(system, agent, more=PATIENT_FOR_A_MOMENT) as watch:
        await watch.until(lambda: len(watch.open) == 4)
        await watch.epochs(1)
        told, before = len(watch.story), dict(watch.open)
        getattr(system["n3"], end)()
        await watch.until(
            lambda: missing(watch) == ["n3"] and watch.heartbeats[-1].coverage.servers_answered == 2
        )
        await watch.until(lambda: ("SERVER_901", "n3") in watch.open)
        await watch.epochs(3)
        opened = [said.code for said in watch.advisories[told:] if said.transition == "opened"]
        assert opened == ["SERVER_901"]
        kept = {key: said for key, said in before.items() if key in watch.open}
        # Two servers are too few for concentration; all else is as it was.
        assert before.keys() - kept.keys() <= {("OPT_BALANCE_006", "BIG")}
        for key, said in kept.items():
            now = watch.open[key]
            assert (now.fingerprint, now.opened_at) == (said.fingerprint, said.opened_at)


async def test_a_server_that_is_gone_for_good_can_be_forgotten(start_cluster, cli_of):
    system = start_cluster("n1", "n2", "n3")
    async with watching(system, more=PATIENT_FOR_A_MOMENT) as watch:
        forget = cli_of(login(system, "ops", "n2"), "forget", "n3")
        assert await forget() == (3, "n3 answers: only a server that is gone can be forgotten")
        system["n3"].kill()
        await watch.until(lambda: ("SERVER_901", "n3") in watch.open)
        assert watch.heartbeats[-1].verdict == "unknown"
        ops = login(system, "ops", "n2")
        code, listed = await cli_of(ops, "servers")()
        counted, *lines, hint = listed.splitlines()
        assert (counted, "forget SERVER" in hint) == ("3 servers: 2 answering, 1 dead", True)
        states = [line.split()[:3] for line in lines]
        assert (code, states) == (
            0,
            [
                ["state", "server", "cluster"],
                ["dead", "n3", "C1"],
                ["answering", "n1", "C1"],
                ["answering", "n2", "C1"],
            ],
        )
        code, said = await cli_of(ops, "evaluate")()
        headline = said.splitlines()[0]
        assert (code, headline.startswith("● unknown  2 of 3 servers answered, not n3; ")) == (
            3,
            True,
        )
        code, said = await forget()
        assert (code, said.partition(";")[0]) == (0, "n3 is forgotten")
        await watch.until(lambda: not watch.open)
        assert watch.advisories[-1].reason == "forgotten"
        await watch.epochs(2)
        coverage = watch.heartbeats[-1].coverage
        assert (coverage.servers_known, coverage.missing) == (2, [])
        assert await forget() == (3, "there is no server 'n3'")


async def test_a_cut_off_agent_is_told_as_such_and_knows_nothing(start_cluster, crowd, monkeypatch):
    system = start_cluster("n1", "n2", "n3", "n4", options={"n4": "max_connections: 20"})
    await join(crowd, system, "app", n4=17)
    status = (login(system, "ops", "n1"), "STATUS", StatusReply)
    async with watching(system, listen="n1", more=PATIENT_FOR_A_MOMENT) as watch:
        await watch.until(lambda: ("SERVER_011", "n4") in watch.open)
        await watch.epochs(2)
        assert (await ask(*status)).verdict != "unknown"
        told = watch.story[:]
        for name in ("n3", "n4"):
            system[name].kill()
        await watch.until(lambda: watch.named("AGENT_007"))
        await watch.epochs(5)
        beat = watch.heartbeats[-1]
        assert (beat.verdict, beat.coverage.missing) == ("unknown", ["n3", "n4"])
        assert beat.checks_not_evaluated >= 5
        assert [code for _, code, _ in watch.story[len(told) :]] == ["AGENT_007"]
        whys = {one.why for one in (await ask(*status)).not_evaluated}
        assert whys == {"the agent is cut off from half of the servers or more"}
        with monkeypatch.context() as patch:
            # What an epoch that fails cannot know stays as it was.
            patch.setattr(Gatherer, "small", None)
            await watch.until(lambda: watch.named("AGENT_008"))
            await watch.epochs(3)
            assert watch.named("AGENT_007")
        system["n3"].restart()
        await watch.until(lambda: not watch.named("AGENT_007"))
        await watch.until(lambda: ("SERVER_901", "n4") in watch.open)
