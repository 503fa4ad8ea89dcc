"""Two agents on one system: one leads, the other stands by and takes over."""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kit.agents import Process, Start, listening, starting
from kit.stories import is_one_story
from kit.watching import Watch, watching
from nats_insights import subjects
from nats_insights.connection.client import Client
from nats_insights.connection.connect import connect
from nats_insights.lab.demo.stage import login
from nats_insights.lab.servers import local
from nats_insights.lab.servers.crowd import Crowd
from nats_insights.tell.messages import Heartbeat

pytestmark = pytest.mark.live

FULL = {"n1": "max_connections: 20"}


@pytest.fixture(scope="module")
def system(binary: Path) -> Iterator[local.System]:
    with local.cluster("n1", "n2", binary=binary, options=FULL) as system:
        yield system


@pytest.fixture
def run(system: local.System, tmp_path: Path) -> Iterator[Start]:
    """`run("other")`: an agent of that id on n2, in a process of its own."""
    # It counts as gone after three seconds and five of these timeouts.
    quick = 'interval = "150ms"\ngather.timeout = "200ms"\nlifecycle.settle = "0s"\n'
    with starting(system["n2"], tmp_path, quick) as run:
        yield run


def role(watch: Watch, name: str) -> str:
    """What an agent last said of itself."""
    said = [beat.agent.role for beat in watch.heartbeats if beat.agent.id == name]
    return said[-1] if said else ""


async def services(watch: Watch, count: int) -> dict[str, str]:
    """The role of each agent that is seen as a micro service, `count` of them."""
    found: dict[str, str] = {}
    inbox = watch.client.new_inbox()
    subscription = await watch.client.subscribe(inbox)
    await watch.client.publish("insights.srv.PING.insights-agent", b"", reply=inbox)
    while len(found) < count:
        metadata = json.loads((await subscription.next_msg(timeout=10)).data)["metadata"]
        found[metadata["id"]] = metadata["role"]
    await subscription.unsubscribe()
    return found


async def answering(watch: Watch) -> set[str]:
    """Who answers queries, asked several times."""

    async def one(_: int) -> Any:
        reply = await watch.client.request("INSIGHTS.API.STATUS", timeout=10)
        return json.loads(reply.data)["agent"]["id"]

    return set(await asyncio.gather(*map(one, range(20))))


def leader(watch: Watch) -> str:
    """Who leads, by the last heartbeat of each agent."""
    last = {beat.agent.instance: beat.agent for beat in watch.heartbeats}
    leading = [agent.id for agent in last.values() if agent.role == "leader"]
    assert len(leading) < 2, f"{leading} lead at a time: {told_of(watch)}"
    return "".join(leading)


def told_of(watch: Watch) -> str:
    """The last heartbeats, for people."""
    beats = sorted([*watch.heartbeats[-20:], *watch.claims[-5:]], key=lambda beat: beat.timestamp)
    return "\n".join(
        f"{beat.timestamp:%S.%f} {beat.agent.id} {beat.agent.role} {beat.agent.epoch} "
        f"claims={beat.claims} warm={beat.warm} {beat.leading_since or '':%S.%f}"
        for beat in beats
    )


def is_warm(watch: Watch, name: str) -> bool:
    """Whether an agent stands by, and knows all findings."""
    last = [beat for beat in watch.heartbeats if beat.agent.id == name][-1:]
    return any(beat.warm and beat.agent.role == "standby" for beat in last)


def reigns(watch: Watch) -> list[str]:
    """The instances that led, one after another; each once, or two have led at a time."""
    led = [beat.agent.instance for beat in watch.heartbeats if beat.agent.role == "leader"]
    return [instance for instance, _ in itertools.groupby(led)]


def has_one_leader_at_a_time(watch: Watch) -> bool:
    """Whether nobody led while another one did, and who led told one story."""
    led = reigns(watch)
    assert len(led) == len(set(led)), f"two have led at a time: {told_of(watch)}"
    return is_one_story(watch.advisories)


async def filled(system: local.System, crowd: Crowd) -> None:
    """n1 is nearly full."""
    user, password = system.user("app")
    await crowd.join(system["n1"].url, 17, user=user, password=password)


HOT = ("SERVER_011", "n1")


async def two_with_a_finding(watch: Watch, run: Start) -> dict[str, Process]:
    """A leader that has told of n1, and a standby that knows that."""
    running = {"a": run("a")}
    await watch.until(lambda: HOT in watch.open)
    running["b"] = run("b")
    await watch.until(lambda: is_warm(watch, "b"))
    assert role(watch, "a") == "leader"
    return running


ENDS = {
    "kill": signal.SIGKILL,
    "kill and start": signal.SIGKILL,
    "stop": signal.SIGTERM,
    "freeze": signal.SIGSTOP,
}


ALSO = pytest.mark.long


@pytest.mark.parametrize(
    ("end", "cured"),
    [
        ("kill", "while nobody leads"),
        ("stop", "later"),
        ("freeze", "later"),
        ("kill and start", "later"),
        pytest.param("kill", "later", marks=ALSO),
        pytest.param("stop", "while nobody leads", marks=ALSO),
        pytest.param("freeze", "while nobody leads", marks=ALSO),
        pytest.param("kill and start", "while nobody leads", marks=ALSO),
    ],
)
async def test_a_successor_goes_on_with_what_its_predecessor_told(system, run, crowd, end, cured):
    await filled(system, crowd)
    async with listening(system) as watch:
        running = await two_with_a_finding(watch, run)
        opened_at = watch.open[HOT].opened_at
        running["a"].send_signal(ENDS[end])
        if end == "kill and start":
            run("a")
        if cured == "while nobody leads":
            await crowd.leave(list(crowd))
        await watch.until(lambda: role(watch, "b") == "leader")
        if cured == "later":
            seen = watch.heartbeats[-1].agent.epoch
            await watch.until(lambda: watch.heartbeats[-1].agent.epoch > seen + 3)
            assert HOT in watch.open
            await crowd.leave(list(crowd))
        if end == "freeze":
            running["a"].send_signal(signal.SIGCONT)
            await watch.until(lambda: role(watch, "a") == "standby")
        await watch.until(lambda: HOT not in watch.open)
        told = [said for said in watch.advisories if (said.code, said.entity.name) == HOT]
        assert [told[0].transition, told[-1].transition] == ["opened", "resolved"]
        assert (told[0].agent.id, told[-1].agent.id) == ("a", "b")
        assert {said.opened_at for said in told} == {opened_at}
        assert has_one_leader_at_a_time(watch)


async def asked(watch: Watch, name: str, **body: str) -> Any:
    """The reply to a query."""
    payload = json.dumps(body).encode()
    return json.loads((await watch.client.request(subjects.api(name), payload, timeout=20)).data)


async def times_asked(watch: Watch, agent: str, name: str) -> int:
    """How often a query was sent to an agent."""
    inbox = watch.client.new_inbox()
    subscription = await watch.client.subscribe(inbox)
    await watch.client.publish("insights.srv.STATS.insights-agent", b"", reply=inbox)
    while told := json.loads((await subscription.next_msg(timeout=10)).data):
        if told["metadata"]["id"] == agent:
            break
    await subscription.unsubscribe()
    (count,) = [one["num_requests"] for one in told["endpoints"] if one["name"] == name]
    return count


async def beats_of(watch: Watch, agent: str, count: int) -> None:
    """Until so many more heartbeats of an agent have come."""
    seen = len(watch.heartbeats)
    await watch.until(lambda: [b.agent.id for b in watch.heartbeats[seen:]].count(agent) >= count)


async def test_a_standby_counts_muted_findings_as_its_leader_does(system, run, crowd):
    await filled(system, crowd)
    async with listening(system) as watch:
        await two_with_a_finding(watch, run)
        await asked(watch, "MUTE", code="SERVER_011", until="1h")
        await beats_of(watch, "b", 2)
        counted = await times_asked(watch, "a", "FINDINGS")
        before = await times_asked(watch, "a", "MUTES")
        await beats_of(watch, "b", 4)
        assert await times_asked(watch, "a", "FINDINGS") == counted
        assert await times_asked(watch, "a", "MUTES") > before


async def test_a_successor_goes_on_with_the_mutes_of_its_predecessor(system, run, crowd):
    await filled(system, crowd)
    async with listening(system) as watch:
        running = await two_with_a_finding(watch, run)
        for until in ("2h", "1h"):
            await asked(watch, "MUTE", code="SERVER_011", server="n1", until=until, who="ada")
        made = await asked(watch, "MUTE", account="nobody", until="1h")
        await beats_of(watch, "b", 3)
        running["a"].terminate()
        await watch.until(lambda: role(watch, "b") == "leader")
        await watch.until(lambda: watch.heartbeats[-1].muted.warning == 1)
        adopted = await asked(watch, "MUTES")
        assert (adopted["agent"]["id"], adopted["mutes"]) == ("b", made["mutes"])
        assert [one["findings"] for one in adopted["mutes"]] == [0, 1]
        assert watch.open[HOT].muted is not None
        await asked(watch, "UNMUTE", code="SERVER_011", server="n1")
        await watch.until(lambda: watch.open[HOT].muted is None)
        reasons = [said.reason for said in watch.advisories if said.entity.name == "n1"]
        assert reasons.count("unmuted") == 1
        assert has_one_leader_at_a_time(watch)


@pytest.mark.long
async def test_a_standby_saves_what_it_knows_of_the_leader(system, run, crowd, tmp_path):
    await filled(system, crowd)
    async with listening(system) as watch:
        first = run("a")
        await watch.until(lambda: HOT in watch.open)
        second = run("b", "--state", tmp_path / "state")
        await watch.until(lambda: is_warm(watch, "b"))
        beats = len(watch.heartbeats)
        await watch.until(lambda: [b.agent.id for b in watch.heartbeats[beats:]].count("b") > 2)
        for process in (first, second):
            process.kill()
            process.wait()
        run("b", "--state", tmp_path / "state")
        await watch.until(lambda: role(watch, "b") == "leader")
        await crowd.leave(list(crowd))
        await watch.until(lambda: HOT not in watch.open)
        told = [said for said in watch.advisories if (said.code, said.entity.name) == HOT]
        assert [told[0].transition, told[-1].transition] == ["opened", "resolved"]
        assert has_one_leader_at_a_time(watch)


@pytest.mark.long
async def test_of_two_that_stand_by_one_takes_over(system, run, crowd):
    await filled(system, crowd)
    async with listening(system) as watch:
        running = {name: run(name) for name in "abc"}
        await watch.until(lambda: {role(watch, name) for name in "abc"} == {"leader", "standby"})
        await watch.until(lambda: HOT in watch.open)
        for _ in range(8):
            first = leader(watch)
            others = set("abc") - {first}
            await watch.until(lambda: all(is_warm(watch, name) for name in others))  # noqa: B023
            running[first].terminate()
            await watch.until(lambda: role(watch, first) == "stopped")  # noqa: B023
            await watch.until(lambda: leader(watch) in others)  # noqa: B023
            running[first].wait()
            running[first] = run(first)
            beats = len(watch.heartbeats)
            await watch.until(
                lambda: first in {b.agent.id for b in watch.heartbeats[beats:]}  # noqa: B023
            )
            assert role(watch, first) == "standby"
        assert len(reigns(watch)) == 9
        assert has_one_leader_at_a_time(watch)


@pytest.mark.long
async def test_of_three_that_start_together_one_leads(system, run):
    async with listening(system) as watch:
        for name in "abc":
            run(name)
        await watch.until(lambda: {role(watch, name) for name in "abc"} == {"leader", "standby"})
        beats = len(watch.heartbeats)
        await watch.until(lambda: len(watch.heartbeats) > beats + 30)
        assert len(reigns(watch)) == 1


async def test_a_second_agent_stands_by_until_the_first_ends(system, run):
    async with watching(system, more='id = "first"\n') as watch:
        run("second")
        await watch.until(lambda: role(watch, "second") == "standby")
        assert await services(watch, 2) == {"first": "leader", "second": "standby"}
        assert await answering(watch) == {"first"}
        watch.running.remove_done_callback(watch.wake)
        watch.running.cancel()
        await asyncio.wait([watch.running])
        watch.running = asyncio.create_task(asyncio.Event().wait())
        await watch.until(lambda: role(watch, "second") == "leader")
        assert role(watch, "first") == "stopped"
        assert await answering(watch) == {"second"}


async def test_a_frozen_leader_is_replaced_and_stands_by_when_it_wakes(system, run):
    other = run("other")
    quick = 'id = "own"\ngather.timeout = "200ms"\n'
    async with watching(system, more=quick, after="other") as watch:
        await watch.until(lambda: role(watch, "own") == "standby" and watch.heartbeats[-1].warm)
        other.send_signal(signal.SIGSTOP)
        await watch.until(lambda: role(watch, "own") == "leader")
        other.send_signal(signal.SIGCONT)
        await watch.until(lambda: role(watch, "other") == "standby")
        assert await services(watch, 2) == {"own": "leader", "other": "standby"}
        assert await answering(watch) == {"own"}


async def test_an_agent_that_yielded_tells_nothing_of_its_last_reign(start_cluster, crowd):
    system = start_cluster("n1", "n2", options={"n1": "max_connections: 20"})
    user, password = system.user("app")
    await crowd.join(system["n1"].url, 18, user=user, password=password)
    async with watching(system) as watch:
        await watch.until(lambda: ("SERVER_011", "n1") in watch.open)
        senior = await connect(login(system, "root", "n1"), name="senior")
        beats = asyncio.create_task(beat(senior, watch.heartbeats[-1]))
        own = watch.agent.instance
        await watch.until(lambda: watch.agent.election.role == "standby")
        assert watch.agent.auditor.lives == {}
        await crowd.leave(list(crowd))
        told = len(watch.advisories)
        beats.cancel()
        await watch.until(lambda: watch.agent.election.role == "leader")
        await watch.until(
            lambda: [b for b in watch.heartbeats if b.agent.instance == own][-1].verdict == "ok"
        )
        await watch.epochs(3)
        assert watch.story[told:] == []
        await senior.close()


async def beat(client: Client, like: Heartbeat) -> None:
    """Publish heartbeats of an agent that has led for longer, until cancelled."""
    for epoch in itertools.count(1):
        now = datetime.now(UTC)
        beat = msgspec.structs.replace(
            like,
            agent=msgspec.structs.replace(like.agent, id="senior", instance=32 * "0", epoch=epoch),
            timestamp=now,
            leading_since=now - timedelta(days=1),
            silent_after_seconds=1.0,
        )
        await client.publish("$INSIGHTS.HEARTBEAT.senior", msgspec.json.encode(beat))
        await asyncio.sleep(0.1)
