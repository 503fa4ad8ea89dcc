"""Agents that lead by a lease, and go on from one state, in processes of their own."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kit.keeping import KEEP, Kept, keeper, kept
from kit.leading import Agents, listening
from kit.stories import is_one_story
from kit.watching import Watch
from nats_insights import subjects
from nats_insights.connection.connect import connect
from nats_insights.connection.contexts import Settings
from nats_insights.lab.demo.stage import login
from nats_insights.lab.servers import local
from nats_insights.lab.servers.crowd import Crowd
from nats_insights.tell.messages import Advisory, Heartbeat

pytestmark = [pytest.mark.live, pytest.mark.long]

# Agents are connected too, and must not make it worse.
FULL = {"n1": "max_connections: 100"}
HOT = ("SERVER_011", "n1")
# A lease that a test does not live to see the end of, and one that ends soon.
LONG, SHORT = 120.0, 2.0


@pytest.fixture
def system(binary: Path) -> Iterator[local.System]:
    with local.cluster("n1", "n2", binary=binary, options=FULL, **KEEP) as system:
        yield system


@pytest.fixture
async def there(system: local.System) -> AsyncIterator[Kept]:
    async with kept(keeper(system, "n2")) as there:
        yield there


@pytest.fixture
async def watch(system: local.System) -> AsyncIterator[Watch]:
    async with listening(system, "n2") as watch:
        yield watch


@pytest.fixture
def agents(system: local.System, tmp_path: Path) -> Iterator[Agents]:
    agents = Agents(system, tmp_path)
    yield agents
    agents.kill(*agents.running)
    for name in agents.running:  # For whoever looks why it failed.
        print(name, agents.log(name), sep="\n")


async def fill(system: local.System, crowd: Crowd) -> None:
    """n1 is nearly full."""
    user, password = system.user("app")
    await crowd.join(system["n1"].url, 80, user=user, password=password)


def roles(watch: Watch) -> dict[str, str]:
    """What each agent last said of itself."""
    return {beat.agent.id: beat.agent.role for beat in watch.heartbeats}


def leader(watch: Watch) -> str:
    """Who leads, by the last heartbeat of each agent."""
    return "".join(name for name, role in roles(watch).items() if role == "leader")


def reigns(watch: Watch) -> list[str]:
    """The agents that led, one after another."""
    led = [beat.agent.id for beat in watch.heartbeats if beat.agent.role == "leader"]
    return [name for name, _ in itertools.groupby(led)]


def told(watch: Watch) -> list[Any]:
    """What was published of n1 being full, each message once."""
    ours = [said for said in watch.advisories if (said.code, said.entity.name) == HOT]
    return list({said.id: said for said in ours}.values())


def is_told_once(watch: Watch) -> bool:
    """Whether the finding was opened and resolved once, under one identity, and nothing doubled."""
    ours = told(watch)
    assert [one.transition for one in ours if one.transition in ("opened", "resolved")] == [
        "opened",
        "resolved",
    ]
    assert len({one.opened_at for one in ours}) == 1
    assert [one.revision for one in ours] == list(range(1, len(ours) + 1))
    return is_one_story(watch.advisories)


async def asked(watch: Watch, system: local.System, name: str, **body: str) -> Any:
    """The reply to a query, as the first connection of agents has it."""
    client = await connect(login(system, "root", "n1"), name="asker")
    try:
        reply = await client.request(subjects.api(name), json.dumps(body).encode(), timeout=20)
        return json.loads(reply.data)
    finally:
        await client.close()


async def two_with_a_finding(watch: Watch, agents: Agents) -> None:
    """A leader that has told of n1, and a standby."""
    agents.start("a")
    await watch.until(lambda: HOT in watch.open)
    agents.start("b")
    await watch.until(lambda: roles(watch).get("b") == "standby")
    assert leader(watch) == "a"


def terms(watch: Watch, name: str) -> set[int | None]:
    """The numbers of the reigns of an agent."""
    beats = [beat for beat in watch.heartbeats if beat.agent.role == "leader"]
    return {beat.lease for beat in beats if beat.agent.id == name}


@pytest.mark.parametrize(("end", "ttl"), [("kill", SHORT), ("stop", LONG)])
async def test_a_leader_that_ends_is_followed(system, there, watch, agents, crowd, end, ttl):
    await there.make(lease=ttl)
    await fill(system, crowd)
    await two_with_a_finding(watch, agents)
    (first,) = terms(watch, "a")
    getattr(agents, end)("a")
    await watch.until(lambda: leader(watch) == "b" or roles(watch)["b"] == "leader")
    (second,) = terms(watch, "b")
    assert second > first
    await crowd.leave(list(crowd))
    await watch.until(lambda: HOT not in watch.open)
    assert is_told_once(watch)
    assert reigns(watch) == ["a", "b"]


async def test_a_frozen_leader_publishes_nothing_when_it_wakes(system, there, watch, agents, crowd):
    await there.make(lease=SHORT)
    await fill(system, crowd)
    await two_with_a_finding(watch, agents)
    agents.freeze("a")
    await watch.until(lambda: roles(watch)["b"] == "leader")
    await crowd.leave(list(crowd))
    await watch.until(lambda: HOT not in watch.open)
    seen = len(watch.heartbeats)
    agents.thaw("a")
    await watch.until(lambda: len([b for b in watch.heartbeats[seen:] if b.agent.id == "a"]) > 2)
    assert {b.agent.role for b in watch.heartbeats[seen:] if b.agent.id == "a"} == {"standby"}
    assert is_told_once(watch)
    assert reigns(watch) == ["a", "b"]
    assert "standing by" in agents.log("a")


@pytest.mark.parametrize(
    "names",
    [pytest.param(["a"], marks=pytest.mark.long), ["a", "b", "c"]],
    ids=["one", "three"],
)
async def test_all_that_were_killed_at_once_go_on(system, there, watch, agents, crowd, names):
    await there.make(lease=SHORT)
    await fill(system, crowd)
    agents.start(*names)
    await watch.until(lambda: HOT in watch.open)
    await asked(watch, system, "MUTE", code="SERVER_011", until="1h", who="ada")
    await watch.until(lambda: watch.open[HOT].muted is not None)
    before = watch.open[HOT]
    agents.kill(*names)
    seen = len(watch.heartbeats)
    agents.start(*names)
    await watch.until(lambda: any(b.agent.role == "leader" for b in watch.heartbeats[seen:]))
    last = watch.heartbeats[-1].agent.epoch
    await watch.until(lambda: watch.heartbeats[-1].agent.epoch > last + 2)
    mutes = (await asked(watch, system, "MUTES"))["mutes"]
    assert [(one["who"], one["findings"]) for one in mutes] == [("ada", 1)]
    assert watch.open[HOT].opened_at == before.opened_at
    await crowd.leave(list(crowd))
    await watch.until(lambda: HOT not in watch.open)
    assert is_told_once(watch)


HOSTILE = "a b.*>\u00e9\U0001f407/=%"


async def test_whatever_an_agent_is_called_keys_are_escaped(system, there, watch, agents, crowd):
    await there.make(lease=SHORT)
    await there.put("$KV.INSIGHTS_AGENT._.state", b"foreign")
    await there.put("$KV.INSIGHTS_AGENT.foreign.%", b"foreign")
    await fill(system, crowd)
    agents.start(HOSTILE)
    await watch.until(lambda: HOT in watch.open)
    agents.stop(HOSTILE)
    opened_at = watch.open[HOT].opened_at
    await crowd.leave(list(crowd))
    agents.start(HOSTILE)
    await watch.until(lambda: HOT not in watch.open)
    assert told(watch)[-1].opened_at == opened_at
    assert is_told_once(watch)
    for stream in ("KV_INSIGHTS_LEASE", "KV_INSIGHTS_AGENT"):
        info = await there.client.jetstream().stream_info(stream, subjects_filter=">")
        keys = [key.split(".", 2)[2] for key in info.state.subjects]
        ours = [key for key in keys if "foreign" not in key and key != "_.state"]
        assert ours
        assert all(re.fullmatch(r"(leader\._|_\.(state|past)\.(head|part\..*))", k) for k in ours)


@pytest.mark.long
async def test_without_buckets_agents_elect_their_leader_as_ever(
    system, there, watch, agents, crowd
):
    await there.make()
    for bucket in ("KV_INSIGHTS_LEASE", "KV_INSIGHTS_AGENT"):
        await there.client.jetstream().delete_stream(bucket)
    await fill(system, crowd)
    await two_with_a_finding(watch, agents)
    await watch.until(lambda: [b for b in watch.heartbeats if b.agent.id == "b"][-1].warm)
    agents.stop("a")
    await watch.until(lambda: roles(watch)["b"] == "leader")
    await crowd.leave(list(crowd))
    await watch.until(lambda: HOT not in watch.open)
    assert is_told_once(watch)
    assert terms(watch, "a") | terms(watch, "b") == {None}
    assert "no state is kept: there is no bucket INSIGHTS_AGENT" in agents.log("a")
    assert "AGENT_009" not in {said.code for said in watch.advisories}


@pytest.mark.long
async def test_a_state_file_comes_first(system, there, watch, agents, tmp_path):
    await there.make()
    agents.start("a", more=["--state", str(tmp_path / "state")])
    await watch.until(lambda: leader(watch) == "a")
    agents.stop("a")
    assert (tmp_path / "state").exists()
    assert (await there.jetstream.stream("KV_INSIGHTS_AGENT")).state.messages == 0


@pytest.mark.long
async def test_a_bucket_that_is_full_loses_nothing_that_it_had(system, there, watch, agents, crowd):
    await there.make()
    await fill(system, crowd)
    agents.start("a")
    await watch.until(lambda: HOT in watch.open)
    stream = await there.jetstream.stream("KV_INSIGHTS_AGENT")
    await there.jetstream.update({**stream.config, "max_bytes": 100})
    await watch.until(lambda: ("AGENT_009", "a") in watch.open)
    assert "cannot save the state in bucket INSIGHTS_AGENT" in watch.open["AGENT_009", "a"].summary
    await there.jetstream.update(stream.config)
    await watch.until(lambda: ("AGENT_009", "a") not in watch.open)
    agents.stop("a")
    await crowd.leave(list(crowd))
    agents.start("a")
    await watch.until(lambda: HOT not in watch.open)
    assert is_told_once(watch)


@pytest.mark.long
async def test_what_cannot_be_saved_is_not_told_as_long_as_another_agent_may_take_over(
    system, there, watch, agents, crowd
):
    await there.make(lease=SHORT)
    agents.start("a")
    await watch.until(lambda: leader(watch) == "a")
    stream = await there.jetstream.stream("KV_INSIGHTS_AGENT")
    await there.jetstream.update({**stream.config, "max_bytes": 100})
    await fill(system, crowd)
    await until_found(watch, system, lambda codes: "SERVER_011" in codes)
    agents.kill("a")
    await there.jetstream.update(stream.config)
    agents.start("a")
    await watch.until(lambda: HOT in watch.open)
    await crowd.leave(list(crowd))
    await watch.until(lambda: HOT not in watch.open)
    assert is_told_once(watch)


@pytest.mark.long
async def test_what_was_held_back_is_told_as_soon_as_it_is_saved(
    system, there, watch, agents, crowd
):
    await there.make()
    agents.start("a")
    await watch.until(lambda: leader(watch) == "a")
    stream = await there.jetstream.stream("KV_INSIGHTS_AGENT")
    await there.jetstream.update({**stream.config, "max_bytes": 100})
    await fill(system, crowd)
    await until_found(watch, system, lambda codes: {"AGENT_009", "SERVER_011"} <= codes)
    assert not told(watch)
    await there.jetstream.update(stream.config)
    await watch.until(lambda: HOT in watch.open and ("AGENT_009", "a") not in watch.open)


@pytest.fixture
def beside(start_server) -> local.System:
    """A server with JetStream that no agent watches, and that may come and go."""
    return start_server("js", **KEEP)


async def stored(system: local.System) -> list[Advisory]:
    """All advisories in the stream, in their order."""
    async with kept(keeper(system)) as there:
        stream = await there.jetstream.stream("INSIGHTS")
        numbers = range(1, stream.state.last_seq + 1)
        js = there.client.jetstream()
        bodies = [(await js.get_msg("INSIGHTS", number)).data for number in numbers]
        return [msgspec.json.decode(body, type=Advisory) for body in bodies]


async def until_stored(system: local.System, watch: Watch, transition: str) -> list[Advisory]:
    """What the stream has of n1, as soon as it has such a transition."""
    async with asyncio.timeout(60):
        while True:
            ours = [one for one in await stored(system) if (one.code, one.entity.name) == HOT]
            if transition in {one.transition for one in ours}:
                return ours
            await asyncio.sleep(0.2)


@pytest.fixture
async def outside(system: local.System) -> AsyncIterator[Watch]:
    """A subscriber in the account of the first connection: there are heartbeats only."""
    async with listening(system, "n1", user="root") as watch:
        yield watch


async def until_found(
    watch: Watch, system: local.System, condition: Callable[[set[str]], object]
) -> None:
    """Until the codes of what is open are so."""
    async with asyncio.timeout(60):
        while True:
            found = (await asked(watch, system, "FINDINGS"))["findings"]
            if condition({one["code"] for one in found}):
                return
            await asyncio.sleep(0.1)


def last(watch: Watch, name: str) -> Heartbeat:
    """The last heartbeat of an agent that led."""
    beats = [beat for beat in watch.heartbeats if beat.agent.id == name]
    return [beat for beat in beats if beat.agent.role == "leader"][-1]


@pytest.mark.long
async def test_while_jetstream_is_away_a_leader_goes_on_and_nothing_is_lost(
    system, beside, outside, agents, crowd
):
    async with kept(keeper(beside)) as there:
        await there.make(lease=SHORT)
    await fill(system, crowd)
    agents.start("a", publish=beside)
    opened = await until_stored(beside, outside, "opened")
    assert last(outside, "a").lease is not None
    beside["js"].kill()
    await outside.until(lambda: last(outside, "a").lease is None)
    assert "heartbeats decide who leads" in agents.log("a")
    await crowd.leave(list(crowd))
    await until_found(outside, system, lambda codes: "SERVER_011" not in codes)
    await until_found(outside, system, lambda codes: {"AGENT_009", "AGENT_010"} <= codes)
    await asyncio.to_thread(beside["js"].restart)
    ours = await until_stored(beside, outside, "resolved")
    assert [one.transition for one in ours] == ["opened", "resolved"]
    assert {one.opened_at for one in ours} == {opened[0].opened_at}
    await outside.until(lambda: last(outside, "a").lease is not None)
    await until_found(outside, system, lambda codes: not {"AGENT_009", "AGENT_010"} & codes)


@pytest.mark.long
async def test_who_starts_while_jetstream_is_away_goes_on_from_what_was_saved_before(
    system, beside, outside, agents, crowd
):
    async with kept(keeper(beside)) as there:
        await there.make(lease=SHORT)
    await fill(system, crowd)
    agents.start("a", publish=beside)
    (opened,) = await until_stored(beside, outside, "opened")
    await asked(outside, system, "MUTE", code="SERVER_011", until="1h", who="ada")
    agents.stop("a")
    beside["js"].kill()
    seen = len(outside.heartbeats)
    agents.start("a", publish=beside)
    await outside.until(lambda: any(b.agent.role == "leader" for b in outside.heartbeats[seen:]))
    await until_found(outside, system, lambda codes: {"AGENT_009", "SERVER_011"} <= codes)
    await asyncio.to_thread(beside["js"].restart)
    await outside.until(lambda: last(outside, "a").muted.warning == 1)
    found = (await asked(outside, system, "FINDINGS"))["findings"]
    (ours,) = [one for one in found if one["code"] == "SERVER_011"]
    assert msgspec.convert(ours["opened_at"], datetime) == opened.opened_at
    await crowd.leave(list(crowd))
    told = await until_stored(beside, outside, "resolved")
    assert [one.transition for one in told].count("opened") == 1
    assert [one.revision for one in told] == list(range(1, len(told) + 1))


@pytest.mark.long
async def test_a_user_that_may_not_write_there_leads_all_the_same(
    system, start_server, outside, agents, crowd
):
    deny = 'permissions: { publish: { deny: ["$KV.>"] } }'
    users = f"users: [{{ user: keeper, password: p, {deny} }}, {{ user: maker, password: p }}]"
    beside = start_server(
        "js", jetstream=True, authorization=f"accounts {{ A: {{ {users}, jetstream: enabled }} }}"
    )
    settings = Settings(servers=(beside["js"].url,), user="maker", password="p")
    async with kept(settings) as there:
        await there.make(lease=SHORT)
        await fill(system, crowd)
        agents.start("a", publish=(beside["js"].url, "keeper", "p"))
        await outside.until(lambda: terms(outside, "a") == {None})
        await there.until(lambda: any(b"SERVER_011" in one.data for one in there.heard))
        await until_found(outside, system, lambda codes: {"AGENT_009", "AGENT_011"} <= codes)
    found = (await asked(outside, system, "FINDINGS"))["findings"]
    (unsaved,) = [one["summary"] for one in found if one["code"] == "AGENT_009"]
    assert "the user may not use $KV.INSIGHTS_AGENT" in unsaved
    assert "the user may not use $KV.INSIGHTS_LEASE.leader._: allow it" in agents.log("a")


GET = "$JS.API.STREAM.MSG.GET.KV_INSIGHTS_AGENT"


def letting(denied: str = "") -> str:
    """An account in which the keeper may publish all but this."""
    may = f"permissions: {{ publish: {{ deny: [{json.dumps(denied) if denied else ''}] }} }}"
    users = f"{{ user: keeper, password: p, {may} }}, {{ user: maker, password: p }}"
    return f"accounts {{ A: {{ jetstream: enabled, users: [{users}] }} }}"


@pytest.mark.long
async def test_a_state_that_cannot_be_read_is_not_replaced_and_is_taken_up_later(
    system, start_server, outside, agents, crowd
):
    js = start_server("js", jetstream=True, authorization=letting())["js"]
    publish = (js.url, "keeper", "p")
    async with kept(Settings(servers=(js.url,), user="maker", password="p")) as there:
        await there.make(lease=SHORT)
        await fill(system, crowd)
        agents.start("a", publish=publish)
        await there.until(lambda: any(b"SERVER_011" in one.data for one in there.heard))
        await asked(outside, system, "MUTE", code="SERVER_011", until="1h", who="ada")
        agents.stop("a")
        js.reload(letting(GET))
        seen, before = len(outside.heartbeats), len(there.heard)
        agents.start("a", publish=publish)
        await outside.until(lambda: any(b.lease for b in outside.heartbeats[seen:]), 60)
        await until_found(outside, system, lambda codes: {"AGENT_009", "SERVER_011"} <= codes)
        await there.until(lambda: any(b"AGENT_009" in one.data for one in there.heard[before:]))
        js.reload(letting())
        await outside.until(lambda: last(outside, "a").muted.warning == 1, 60)
        mutes = (await asked(outside, system, "MUTES"))["mutes"]
        assert [(one["who"], one["findings"]) for one in mutes] == [("ada", 1)]
        await until_found(outside, system, lambda codes: "AGENT_009" not in codes)
    assert f"the user may not use {GET}: allow it" in agents.log("a")


@pytest.mark.long
async def test_a_leader_that_lost_its_connection_goes_on_with_what_it_told_and_not_with_less(
    system, start_server, outside, agents, crowd
):
    js = start_server("js", jetstream=True, authorization=letting())["js"]
    publish = (js.url, "keeper", "p")
    async with kept(Settings(servers=(js.url,), user="maker", password="p")) as there:
        await there.make(lease=SHORT)

        def opened() -> list[datetime]:
            heard = [one for one in there.heard if one.subject.startswith(subjects.ADVISORY)]
            said = [msgspec.json.decode(one.data, type=Advisory) for one in heard]
            ours = {one.id: one for one in said if (one.code, one.entity.name) == HOT}
            return [one.opened_at for one in ours.values() if one.transition == "opened"]

        await fill(system, crowd)
        agents.timeout = "500ms"
        agents.start("a", publish=publish)
        await there.until(opened)
        agents.stop("a")
        js.reload(letting(GET))
        agents.start("a", publish=publish)
        # What it cannot read it does not know: it opens what is true.
        await there.until(lambda: len(opened()) == 2)
    js.reload(letting())
    js.kill()
    await until_found(outside, system, lambda codes: "AGENT_010" in codes)
    system["n2"].freeze()  # It is connected to it.
    seen = len(outside.heartbeats)
    await outside.until(lambda: any(b.agent.role == "leader" for b in outside.heartbeats[seen:]))
    await asyncio.to_thread(js.restart)
    await outside.until(lambda: "going on" in agents.log("a"))
    epoch = last(outside, "a").agent.epoch
    await outside.until(lambda: last(outside, "a").agent.epoch > epoch + 3)
    found = (await asked(outside, system, "FINDINGS"))["findings"]
    (ours,) = [one for one in found if one["code"] == "SERVER_011"]
    assert msgspec.convert(ours["opened_at"], datetime) == opened()[1]


@pytest.mark.long
async def test_what_a_leader_resolved_before_it_read_the_state_is_not_resolved_again(
    system, start_server, outside, agents, crowd
):
    js = start_server("js", jetstream=True, authorization=letting())["js"]
    publish = (js.url, "keeper", "p")
    async with kept(Settings(servers=(js.url,), user="maker", password="p")) as there:
        await there.make(lease=SHORT)

        def of_n1() -> list[str]:
            heard = [one for one in there.heard if one.subject.startswith(subjects.ADVISORY)]
            said = [msgspec.json.decode(one.data, type=Advisory) for one in heard]
            ours = {one.id: one for one in said if (one.code, one.entity.name) == HOT}
            return [one.transition for one in ours.values() if one.transition != "reminded"]

        await fill(system, crowd)
        agents.start("a", publish=publish)
        await there.until(of_n1)
        agents.start("b", publish=publish)
        # It can read the state at once, and knows the findings soon.
        await outside.until(lambda: sum(b.agent.id == "b" for b in outside.heartbeats) > 10)
        js.reload(letting(GET))
        agents.kill("a")
        await crowd.leave(list(crowd))
        await there.until(lambda: of_n1() == ["opened", "resolved"])
        js.reload(letting())
        await there.until(lambda: "which could not be read before" in agents.log("b"))
        epoch = last(outside, "b").agent.epoch
        await outside.until(lambda: last(outside, "b").agent.epoch > epoch + 5)
        assert of_n1() == ["opened", "resolved"]
        assert "going on with 0 findings more" in agents.log("b")
