"""`demo --fleet`: a simulated fleet is watched, what is planted is found, and nothing is left."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
from argparse import ArgumentTypeError
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace
from nats.aio.msg import Msg

from kit.published import AGENT, COVERAGE, openings, tell
from nats_insights.commands.demo import compared
from nats_insights.facts import Cost
from nats_insights.lab.demo.simulation import LAST_EPOCH, Audience, fault
from nats_insights.lab.fleet.size import size
from nats_insights.tell.messages import Advisory, Heartbeat, OpenCounts

pytestmark = [pytest.mark.live, pytest.mark.long]

PATIENCE_SECONDS = 30
PLANTED = {
    ("OPT_BALANCE_002", ("n1", "n1")),
    ("OPT_BALANCE_003", ("n1", "n1")),
    ("OPT_BALANCE_006", ("n1", "n1")),
    ("SERVER_011", ("n1", "n1")),
    ("USER_002", ("n1", "n1")),
}


@contextmanager
def demo(tmp_path: Path, *more: str) -> Iterator[subprocess.Popen[str]]:
    """The demo on a small fleet, its output in one; it ends with this block."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("NATS_")}
    with subprocess.Popen(
        [sys.executable, "-m", "nats_insights", "demo", "--fleet", "20x50", *more],
        env={**inherited, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as running:
        try:
            yield running
        finally:
            running.kill()


def until(running: subprocess.Popen[str], words: str) -> str:
    """All that is said up to the line in which these words stand, or to the end."""
    assert running.stdout is not None
    return "".join(takewhile(lambda line: words not in line, running.stdout))


def simulator(running: subprocess.Popen[str]) -> int:
    """The process of the simulator, as soon as the demo tells of it."""
    assert running.stdout is not None
    found = re.search(r"in process (\d+)\.", running.stdout.readline())
    assert found is not None
    return int(found[1])


def arguments(pid: int) -> list[str]:
    """The command line of a process."""
    return Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0").split("\0")


def left_behind(directory: Path) -> list[Path]:
    """Processes that were started with files below this directory, and the files."""
    processes = [
        one for one in Path("/proc").glob("[0-9]*/cmdline") if str(directory) in one.read_text()
    ]
    return [*processes, *directory.glob("nats-insights-*")]


def test_what_is_planted_is_found_and_nothing_else_and_the_fleet_goes_on(tmp_path):
    with demo(tmp_path) as running:
        pid = simulator(running)
        command = arguments(pid)
        said = until(running, "run until you press Ctrl-C")
        until(running, " epoch ")
        until(running, " epoch ")
        running.send_signal(signal.SIGINT)
        said += running.communicate(timeout=PATIENCE_SECONDS)[0]
    assert running.returncode == 0
    assert "Traceback" not in said
    assert "22 of 22 servers answered" in said
    assert "planted 5, found 5, nothing else" in said
    for code in ("OPT_BALANCE_002", "OPT_BALANCE_003", "SERVER_011", "USER_002"):
        assert re.search(rf"opened +\w+ +{code} ", said)
    # The password is not among them.
    assert command[1:6] == ["-m", "nats_insights.lab", "fleet", "20x50", "--server"]
    assert command[7:] == ["--user", "root", "--streams", "0"]
    assert not Path(f"/proc/{pid}").exists()
    assert left_behind(tmp_path) == []


def test_the_simulator_ends_when_the_demo_is_killed(tmp_path):
    with demo(tmp_path) as running:
        simulating = os.pidfd_open(simulator(running))
        running.kill()
    ended, _, _ = select.select([simulating], [], [], PATIENCE_SECONDS)
    os.close(simulating)
    assert ended == [simulating]


@pytest.mark.parametrize("words", [" watch --context ", " epoch 1 "])
def test_a_simulator_that_ends_is_told_of(tmp_path, words):
    with demo(tmp_path) as running:
        pid = simulator(running)
        until(running, words)
        os.kill(pid, signal.SIGKILL)
        said = running.communicate(timeout=PATIENCE_SECONDS)[0]
    assert running.returncode == 3
    assert said.splitlines()[-1].startswith("nats-insights: the simulated fleet ")
    assert "Traceback" not in said
    assert said.count("the simulated fleet ") == 1
    assert left_behind(tmp_path) == []


def test_too_little_time_is_told(tmp_path):
    with demo(tmp_path, "--for", "2s") as running:
        said = running.communicate(timeout=PATIENCE_SECONDS)[0]
    assert running.returncode == 3
    assert said.endswith("nats-insights: the time was too short for the demo; give it more\n")
    assert left_behind(tmp_path) == []


def test_a_size():
    assert size("20x50000") == (20, 50_000)


@pytest.mark.parametrize("text", ["", "20", "20x", "x50", "0x5", "5x0", "-1x5", "2x2x2", "1e3x5"])
def test_what_is_no_size_is_told(text):
    with pytest.raises(ArgumentTypeError, match="is not a size such as 1000x1000"):
        size(text)


@pytest.mark.parametrize(
    ("module", "code"),
    [(["nats_insights", "demo", "--fleet"], 3), (["nats_insights.lab", "fleet"], 2)],
)
def test_both_commands_refuse_what_is_no_size(module, code):
    command = [sys.executable, "-m", *module, "1000"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert done.returncode == code
    assert "'1000' is not a size such as 1000x1000, servers x connections of each" in done.stderr


@pytest.fixture(scope="module")
def advisories():
    """One for each of the faults in PLANTED, as a subscriber gets it."""
    published = [tell(told) for told in openings("n1")]
    return [message(sent.subject, sent.payload) for _, sent in published]


def message(subject: str, data: bytes) -> Msg:
    """A message as a subscriber gets it."""
    return Msg(_client=None, subject=subject, data=data)


def beat(epoch: int, count: int) -> Msg:
    """The heartbeat after an epoch with so many open findings."""
    heartbeat = Heartbeat(
        id=32 * "0",
        timestamp=datetime.now(UTC),
        agent=replace(AGENT, epoch=epoch),
        coverage=COVERAGE,
        interval_seconds=5.0,
        silent_after_seconds=25.0,
        leading_since=None,
        open=OpenCounts(info=count),
        cost=Cost(),
    )
    return message("$INSIGHTS.HEARTBEAT.agent", msgspec.json.encode(heartbeat))


async def hear(audience: Audience, *messages: Msg) -> bool:
    """Whether the picture is complete when these have been taken in."""
    for one in messages:
        await audience.hear(one)
        await audience.next()
    return audience.complete


async def test_the_picture_is_complete_when_all_that_is_open_is_told(advisories):
    audience = Audience(PLANTED)
    assert not await hear(audience, beat(2, len(PLANTED)), *advisories[:-1])
    assert await hear(audience, advisories[-1])
    assert audience.open == PLANTED


async def test_what_nobody_planted_is_waited_for_when_it_is_counted(advisories):
    planted = {fault(msgspec.json.decode(one.data, type=Advisory)) for one in advisories[:-1]}
    audience = Audience(planted)
    assert not await hear(audience, beat(2, len(PLANTED)), *advisories[:-1])
    assert await hear(audience, advisories[-1])
    assert audience.open > planted


async def test_what_never_opens_is_not_waited_for_for_ever():
    audience = Audience(PLANTED)
    assert not await hear(audience, *(beat(epoch, 0) for epoch in range(1, LAST_EPOCH + 1)))
    assert await hear(audience, beat(LAST_EPOCH + 1, 0))
    assert audience.open == set()


def test_what_was_not_found_is_named_and_what_was_not_planted():
    one, two, three = (("A_1", ("C", name)) for name in ("n1", "n2", "n3"))
    assert compared({one, two}, {two, three}).plain.splitlines() == [
        "",
        "planted 2, found 1, and 1 that were not planted",
        "  not found    A_1  C / n1",
        "  found        A_1  C / n2",
        "  not planted  A_1  C / n3",
    ]
