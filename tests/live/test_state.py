"""An agent with a state file goes on after it was killed: nothing is lost, doubled or forgotten."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from kit.agents import Lossy, Runs, listening
from kit.programs import until
from kit.watching import PATIENCE, Watch, watching
from nats_insights.agent import kept
from nats_insights.agent.kept import Kept
from nats_insights.gather.stepwise import at_once
from nats_insights.judge.lifecycle import Life
from nats_insights.lab.servers import local
from nats_insights.tell.messages import Advisory
from scenario import Story, cluster
from scenario import system as system_of

pytestmark = pytest.mark.live

FULL = "max_connections: 20"
# Found in each epoch, and open after many: long enough to be killed meanwhile.
PENDING = """
lifecycle.remind_every = "1s"
checks.excessive_user_connections = { max_connections = 10, open_after = 15 }
"""
# One that the agent publishes as soon as it is started.
OPENING = "expect = 7\n"


@pytest.fixture
def system(binary: Path) -> Iterator[local.System]:
    with local.cluster("n1", "n2", binary=binary, options=FULL) as system:
        yield system


@pytest.fixture
def runs(system: local.System, tmp_path: Path) -> Iterator[Runs]:
    runs = Runs(system, tmp_path)
    yield runs
    runs.kill()


def saved(runs: Runs) -> Kept:
    """What is in the state file now."""
    state = kept.kept(kept.read(kept.STATE, runs.state.read_bytes(), "state"), "state")
    if runs.past.exists():
        past = kept.read(kept.PAST, runs.past.read_bytes(), "past")
        state.known = kept.with_past(state.known, past, "past")
    return state


def kept_lives(runs: Runs) -> list[Life]:
    """The findings in the file, none while there is no file."""
    return saved(runs).known.lives if runs.state.exists() else []


def header(path: Path) -> Any:
    """Who wrote a file, and when."""
    said = json.loads(path.read_bytes().partition(b"\n")[0])
    return said["agent"], said["written_at"]


def rewritten(runs: Runs, kept_: Kept, written_at: float) -> None:
    """Another state, as if an agent had left that."""
    lines = at_once(kept.kept_lines(kept_))
    runs.state.write_bytes(kept.sealed(kept.STATE, "one", "0.9", written_at, lines))


def told(watch: Watch, code: str, name: str = "") -> list[Advisory]:
    """What was published of one check, or one finding, each message once, in order."""
    ours = [one for one in watch.advisories if one.code == code and name in ("", one.entity.name)]
    return list({one.id: one for one in ours}.values())


def found(runs: Runs, code: str) -> int:
    """In how many evaluations in a row a check has found something, as it was saved."""
    return max((life.found for life in saved(runs).known.lives if life.key.code == code), default=0)


async def test_what_was_open_pending_or_cured_when_it_was_killed_goes_on(system, runs, crowd):
    runs.config(PENDING)
    user, password = system.user("app")
    await crowd.join(system["n1"].url, 18, user=user, password=password)
    await crowd.join(system["n2"].url, 18, user=user, password=password)
    async with listening(system) as watch:
        runs.start()
        await watch.until(lambda: len(watch.named("SERVER_011")) == 2)
        await watch.until(lambda: found(runs, "USER_002") >= 3)
        runs.kill()
        before = saved(runs)
        (pending,) = [one for one in before.known.lives if one.key.code == "USER_002"]
        assert not pending.is_open
        await crowd.leave([one for one in crowd if one.address[1] == system["n2"].port])

        runs.start()
        await watch.until(lambda: ("USER_002", "app") in watch.open)
        await watch.until(lambda: told(watch, "SERVER_011", "n2")[-1].state == "resolved")
        await watch.until(lambda: told(watch, "SERVER_011", "n1")[-1].revision >= 3)

        (opened,) = told(watch, "USER_002")
        assert opened.agent.epoch == before.known.number + 15 - pending.found
        for name in ("n1", "n2"):
            life = told(watch, "SERVER_011", name)
            assert len({one.opened_at for one in life}) == 1
            assert [one.revision for one in life] == list(range(1, len(life) + 1))
            assert len({one.agent.instance for one in life}) == 2
        ends = [(one.reason, one.entity.name) for one in watch.advisories if one.resolved_at]
        assert ends == [("condition_cleared", "n2")]


@pytest.mark.parametrize("way", ["up", "down"])
async def test_what_no_server_has_confirmed_when_it_was_killed_is_published_again(
    system, runs, way
):
    runs.config(OPENING)
    async with listening(system) as watch:
        async with Lossy(system["n1"].port, b"$INSIGHTS.ADVISORY", way) as relay:
            runs.start(relay.url)
            await relay.has_lost()
            if way == "down":
                await watch.until(lambda: told(watch, "SYSTEM_902"))
            runs.kill()
        assert len(watch.advisories) == (way == "down")
        (life,) = saved(runs).known.lives
        runs.start()
        await watch.until(lambda: len(watch.advisories) == 1 + (way == "down"))
        await watch.until(lambda: len(watch.heartbeats) >= 3)

        (opened,) = told(watch, "SYSTEM_902")
        assert (opened.transition, opened.revision) == ("opened", 1)
        assert opened.opened_at.timestamp() == pytest.approx(life.opened_at, abs=1e-5)
        payloads = [json.loads(m.data) for m in watch.messages if "ADVISORY" in m.subject]
        assert payloads == [payloads[0]] * len(payloads)


async def test_what_was_confirmed_is_not_published_again(system, runs):
    runs.config(OPENING)
    async with listening(system) as watch:
        for end in (runs.stop, runs.kill, runs.stop):
            started = len(watch.heartbeats)
            runs.start()
            await watch.until(lambda so_far=started: len(watch.heartbeats) >= so_far + 3)
            end()
            if end == runs.stop:
                assert header(runs.state) == header(runs.past)
        assert len(watch.advisories) == 1
        assert [beat.agent.epoch for beat in watch.heartbeats if beat.agent.role == "leader"] == [
            *range(1, max(beat.agent.epoch for beat in watch.heartbeats) + 1)
        ]


async def test_nothing_waits_in_the_file_once_it_was_confirmed(system, runs, crowd):
    runs.config("", interval="1h")
    user, password = system.user("app")
    await crowd.join(system["n1"].url, 18, user=user, password=password)
    async with listening(system) as watch:
        runs.start()
        await watch.until(lambda: told(watch, "SERVER_011"))

        async def nothing_waits() -> bool:
            return not saved(runs).untold

        await until(nothing_waits)
        assert [life.key.code for life in saved(runs).known.lives if life.is_open] == ["SERVER_011"]


async def test_an_agent_that_cannot_save_says_so_and_goes_on(system, runs, crowd):
    async with listening(system) as watch:
        pid = runs.start().pid
        await watch.until(lambda: len(watch.heartbeats) >= 2)
        # As on a full disk: nothing can be written, and it can again when there is room.
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        await watch.until(lambda: ("AGENT_009", "one") in watch.open)
        user, password = system.user("app")
        await crowd.join(system["n1"].url, 18, user=user, password=password)
        await watch.until(lambda: ("SERVER_011", "n1") in watch.open)
        assert ("SERVER_011", ("C1", "n1")) not in [life.key for life in saved(runs).known.lives]
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        await watch.until(lambda: told(watch, "AGENT_009")[-1].state == "resolved")
        assert ("SERVER_011", ("C1", "n1")) in [life.key for life in saved(runs).known.lives]

        said = told(watch, "AGENT_009")[0].summary
        assert said == f"cannot write the state {runs.state}: File too large"
        assert len([line for line in runs.log if "File too large; the agent goes on" in line]) == 1
        runs.stop()
        names = sorted(path.name for path in runs.directory.glob("state*"))
        assert names == ["state", "state.lock", "state.past"]
        assert {path.stat().st_mode & 0o777 for path in runs.directory.glob("state*")} == {0o600}


async def test_what_was_muted_and_what_happened_is_known_after_it_was_killed(system, runs, crowd):
    user, password = system.user("app")
    await crowd.join(system["n1"].url, 18, user=user, password=password)
    async with listening(system) as watch:

        async def asked(name: str, **body: str) -> Any:
            payload = json.dumps(body).encode()
            reply = await watch.client.request(f"INSIGHTS.API.{name}", payload, timeout=10)
            return json.loads(reply.data)

        runs.start()
        await watch.until(lambda: ("SERVER_011", "n1") in watch.open)
        made = await asked("MUTE", server="n1", code="SERVER_011", until="1h", who="ada")
        history = await asked("HISTORY", code="SERVER_011")
        runs.kill()  # Whoever got the reply can rely on it.
        beats = len(watch.heartbeats)
        runs.start()
        await watch.until(lambda: len(watch.heartbeats) >= beats + 2)
        assert (await asked("MUTES"))["mutes"] == made["mutes"]
        after = await asked("HISTORY", code="SERVER_011")
        assert after["transitions"] == history["transitions"]
        assert after["known_since"] == history["known_since"]
        assert [one.reason for one in told(watch, "SERVER_011", "n1")] == [
            "condition_met",
            "muted",
        ]


async def test_an_agent_that_finds_another_one_leading_forgets_its_findings(system, runs):
    runs.config(OPENING)
    async with Lossy(system["n1"].port, b"$INSIGHTS.ADVISORY", "up") as relay:
        runs.start(relay.url)
        await relay.has_lost()
        runs.kill()
    before = saved(runs)
    assert [life.is_open for life in before.known.lives] == [True]
    assert len(before.untold) == 1
    async with watching(system, more='id = "other"\n') as watch:
        runs.start()
        await watch.until(lambda: [b for b in watch.heartbeats if b.agent.role == "standby"])
        await watch.until(lambda: saved(runs).untold == saved(runs).known.lives == [])
        await watch.epochs()
        assert {one.agent.id for one in watch.advisories} <= {"other"}


async def test_a_standby_keeps_what_the_leader_told_in_case_that_both_end(system, runs, crowd):
    user, password = system.user("app")
    await crowd.join(system["n1"].url, 18, user=user, password=password)
    async with watching(system, more='id = "other"\n') as watch:
        await watch.until(lambda: ("SERVER_011", "n1") in watch.open)
        first = watch.open["SERVER_011", "n1"]
        runs.start()
        await watch.until(lambda: [b for b in watch.heartbeats if b.agent.role == "standby"])
        await watch.until(
            lambda: first.fingerprint in {one.fingerprint for one in kept_lives(runs)}
        )
        runs.kill()
    runs.config("lifecycle.remind_every = '1s'\n")
    async with listening(system) as watch:
        runs.start()
        await watch.until(lambda: told(watch, "SERVER_011"))
        (goes_on, *_) = told(watch, "SERVER_011")
        assert (goes_on.transition, goes_on.opened_at) == ("reminded", first.opened_at)
        assert goes_on.revision > first.revision


@pytest.mark.parametrize("why", ["check", "age"])
async def test_what_nobody_knows_any_more_ends_once_and_what_is_true_opens_anew(system, runs, why):
    runs.config(OPENING)
    async with listening(system) as watch:
        runs.start()
        await watch.until(lambda: told(watch, "SYSTEM_902"))
        await watch.until(lambda: not saved(runs).untold)
        runs.kill()
        left, at = saved(runs), header(runs.state)[1]
        if why == "age":
            rewritten(runs, left, at - 86_400.0)
        else:
            # On a busy machine another finding may be about to open.
            (more,) = [life for life in left.known.lives if life.key.code == "SYSTEM_902"]
            other = "SYSTEM_999"
            more = replace(more, key=more.key._replace(code=other), fingerprint=32 * "f")
            left.checks.append(replace(left.checks[0], code=other, name="of_a_package"))
            rewritten(runs, replace(left, known=replace(left.known, lives=[more])), at)
        runs.start()
        await watch.until(lambda: len(watch.advisories) >= 3)
        runs.stop()
        runs.start()
        await watch.until(lambda: watch.heartbeats[-1].agent.role == "leader")

        first, over, anew = watch.advisories
        assert (over.transition, over.reason) == ("resolved", "agent_restarted")
        assert (over.opened_at, over.revision) == (first.opened_at, first.revision + 1)
        assert over.name == ("expected_servers_missing" if why == "age" else "of_a_package")
        assert (anew.transition, anew.revision) == ("opened", 1)
        assert anew.opened_at > first.opened_at
        if why == "age":
            lately = [one.reason for one in saved(runs).known.transitions]
            assert lately == ["condition_met", "agent_restarted", "condition_met"]


def test_an_agent_that_may_not_see_the_system_ends_though_it_has_a_state(system, runs):
    story = Story()
    story.hears(system_of(cluster(n1=1)))
    rewritten(runs, Kept(known=story.auditor.known_now), story.now)
    assert runs.start(user="app").wait(PATIENCE) == 3


@pytest.mark.long
async def test_what_waits_for_a_connection_is_not_lost_by_a_kill(system, runs):
    runs.config(OPENING)
    async with listening(system) as watch:
        async with Lossy(system["n1"].port, b"$INSIGHTS.ADVISORY", "up") as relay:
            runs.start(relay.url)
            await relay.has_lost()

            async def waits() -> bool:
                return bool(saved(runs).waiting)

            await until(waits)
            runs.kill()
        left = saved(runs)
        assert (left.untold, len(left.waiting)) == ([], 1)
        runs.start()
        await watch.until(lambda: watch.advisories)
        (heard,) = [one.data for one in watch.messages if "ADVISORY" in one.subject]
        assert heard == left.waiting[0].payload


async def test_two_agents_do_not_share_a_file(system, runs):
    async with listening(system) as watch:
        first = runs.start()
        await watch.until(lambda: watch.heartbeats)
        second = runs.start()
        assert second.wait(timeout=20) == 3
        runs.process = first
        await watch.until(lambda: "another agent" in runs.log[-1])
        assert runs.log[-1] == (
            f"nats-insights: another agent uses the state {runs.state}: give each agent a file of "
            "its own"
        )


def stories(watch: Watch) -> dict[str, list[Advisory]]:
    """What was published of each finding, each message once, in the order of its revisions."""
    found: dict[str, dict[str, Advisory]] = {}
    for one in watch.advisories:
        found.setdefault(one.fingerprint, {})[one.id] = one
    return {finding: list(messages.values()) for finding, messages in found.items()}


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3))
async def test_an_agent_that_is_killed_at_random_tells_each_story_whole(system, runs, crowd, seed):
    chance = random.Random(seed)
    runs.config(
        "lifecycle.remind_every = '1s'\nchecks.excessive_user_connections.max_connections = 10\n"
    )
    user, password = system.user("app")
    async with listening(system) as watch:
        for _ in range(12):
            beats = len(watch.heartbeats)
            runs.start()
            await watch.until(lambda so_far=beats: len(watch.heartbeats) > so_far)
            if chance.random() < 0.7:
                full = list(crowd)
                if full:
                    await crowd.leave(full)
                else:
                    await crowd.join(system["n1"].url, 18, user=user, password=password)
            await asyncio.sleep(chance.uniform(0, 1.0))  # Until any moment of an epoch.
            runs.kill()
        await crowd.leave(list(crowd))
        runs.start()
        await watch.until(lambda: not watch.open)
        told = stories(watch)
    assert len(told) >= 2
    for messages in told.values():
        opened_at = None
        for before, one in itertools.pairwise([None, *messages]):
            goes_on = before is not None and before.state == "open"
            assert (one.transition == "opened") == (not goes_on or one.reason == "severity_changed")
            if goes_on or one.reason == "severity_changed":
                assert before is not None
                assert (one.opened_at, one.revision) == (before.opened_at, before.revision + 1)
            else:
                assert one.revision == 1
                assert opened_at is None or one.opened_at > opened_at
            opened_at = one.opened_at
        assert messages[-1].state == "resolved"
