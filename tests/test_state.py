"""The state of an agent as bytes and in files: what is read is what was saved, or is refused."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import stat
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.doctor import about, examined
from kit.published import AGENT, COVERAGE
from nats_insights.agent import state as of_state
from nats_insights.agent.kept import (
    PAST,
    STATE,
    Kept,
    Unreadable,
    Untold,
    kept,
    kept_lines,
    past_lines,
    read,
    sealed,
    with_past,
)
from nats_insights.agent.state import State
from nats_insights.agent.state_file import StateFile
from nats_insights.commands import doctor
from nats_insights.errors import StateError
from nats_insights.gather.stepwise import at_once
from nats_insights.judge.auditor import Auditor, Known
from nats_insights.judge.lifecycle import Told
from nats_insights.judge.restart import retired
from nats_insights.tell.advisory import Message
from scenario import FOUNDING, Server, Story, cluster, system
from test_restore import CHECKS, CONFIG, clients, epochs, hears

NAME = "one"


def bytes_of(auditor: Auditor, **more: Any) -> tuple[bytes, bytes]:
    """Both halves of what it leaves."""
    lines = at_once(kept_lines(Kept(known=auditor.known_now, **more)))
    state = sealed(STATE, NAME, "1.0", auditor.now, lines)
    return state, sealed(PAST, NAME, "1.0", auditor.now, at_once(past_lines(auditor)))


def known(halves: tuple[bytes, bytes]) -> Known:
    """The same, read again."""
    state, past = halves
    return with_past(kept(read(STATE, state, "s"), "s").known, read(PAST, past, "p"), "p")


def busy(servers: int = 3) -> Story:
    """A story with findings, open and pending."""
    story = Story()
    hot = Server(users={"APP app": 120}, max_connections=120)
    names = {f"n{number}": hot for number in range(1, servers + 1)}
    for _ in range(2):
        story.hears(system(cluster(**names)))
    return story


# --- Bytes.


@given(epochs, st.data())
@settings(deadline=None, max_examples=50)
def test_an_agent_that_goes_on_from_bytes_publishes_what_it_would_have(told, data):
    stops = data.draw(st.sets(st.integers(0, len(told) - 1)))
    steady, stopped = Story(CONFIG, CHECKS), Story(CONFIG, CHECKS)
    for number, epoch in enumerate(told):
        if number in stops:
            auditor = Auditor(stopped.auditor.checks, stopped.auditor.config)
            auditor.restore(known(bytes_of(stopped.auditor)), stopped.now)
            stopped.auditor = auditor
        assert hears(stopped, epoch) == hears(steady, epoch)


def plainly(value: Any) -> Any:
    """As any reader of JSON has it, for whom 5 and 5.0 are the same."""
    return json.loads(msgspec.json.encode(value))


def test_what_is_not_published_yet_is_read_again():
    story = busy(200)  # More findings than stand in one line.
    told = [
        Told(transition="opened", life=one, reason="why", at=1.5) for one in story.lives.values()
    ]
    untold = [Untold(agent=AGENT, coverage=COVERAGE, valid_for=9.5, told=told)]
    waiting = [Message("a.b", b'{"a":1}', {"Nats-Msg-Id": "1"})]
    checks = [retired(check) for check in FOUNDING.values()]
    state, _ = bytes_of(story.auditor, untold=untold, waiting=waiting, checks=checks)
    found = kept(read(STATE, state, "s"), "s")
    assert plainly(found.untold) == plainly(untold)
    assert (found.waiting, found.checks) == (waiting, checks)
    assert len(found.known.lives) == len(story.lives) >= 200
    assert {life.key: life.fingerprint for life in found.known.lives} == {
        key: life.fingerprint for key, life in story.lives.items()
    }


def test_each_line_can_be_read_by_a_person():
    state, past = bytes_of(busy().auditor)
    header, *lines = [json.loads(line) for line in state.splitlines()]
    assert (header["type"], header["agent"]) == ("insights.state.v1", NAME)
    assert {"lives", "roster", "number", "asked_at"} <= {line["part"] for line in lines}
    assert json.loads(past.splitlines()[0])["type"] == "insights.past.v1"


def test_what_the_accounts_of_many_servers_share_is_written_and_held_once():
    story = Story(CONFIG, CHECKS)
    story.auditor.now = story.now
    for after in (0, 30):
        for of, count in (("A", 200), ("B", 7)):
            by_server = {("C1", f"{of}-{number}"): after for number in range(200)}
            for number in range(count):
                names = (f"{of}{number}",)
                story.auditor.history.record(clients, names, by_server, story.now + after)
    story.now += 30
    halves = bytes_of(story.auditor)
    figures = [json.loads(line)["value"] for line in halves[1].splitlines()[1:]]
    shared = [one for one in figures if isinstance(one, dict) and one["parts"]]
    rows = [(one["parts"][0], len(one["parts"]), len(one["samples"])) for one in shared]
    assert rows == [
        (["C1", "A-0"], 200, 128),
        (["C1", "A-0"], 200, 72),
        (["C1", "B-0"], 200, 7),
    ]
    auditor, found = Auditor(story.auditor.checks, story.auditor.config), known(halves)
    tracemalloc.start()
    auditor.restore(found, story.now)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held < 500_000  # 207 mappings of 200 servers are three times as much.
    read_again, before = auditor.history.plain().samples, story.auditor.history.plain().samples
    assert {key: dict(rows) for key, rows in read_again.items()} == {
        key: dict(rows) for key, rows in before.items()
    }


def opened(data: bytes) -> Kept:
    return kept(read(STATE, data, "FILE"), "FILE")


@given(st.data())
@settings(deadline=None, max_examples=300)
def test_what_is_cut_off_anywhere_or_changed_anywhere_is_refused_in_one_sentence(data):
    whole = BUSY
    if data.draw(st.booleans()):
        damaged = whole[: data.draw(st.integers(1, len(whole) - 1))]
    else:
        place, byte = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(0, 255))
        damaged = whole[:place] + bytes([byte]) + whole[place + 1 :]
    said = ""
    try:
        opened(damaged)
    except StateError as error:
        said = str(error)
    # What is read although it is damaged has lost nothing but the name or time of its writer.
    assert said.startswith("FILE ") or damaged.endswith(BODY)
    assert "\n" not in said


BUSY = bytes_of(busy().auditor)[0]
HEAD, _, BODY = BUSY.partition(b"\n")


def with_header(**changed: Any) -> bytes:
    return (
        json.dumps({**json.loads(HEAD), **changed}, separators=(",", ":")).encode() + b"\n" + BODY
    )


@pytest.mark.parametrize(
    ("data", "says"),
    {
        "truncated": (BUSY[:-1], r"FILE is truncated: it has \d+ of \d+ bytes"),
        "truncated in its first line": (BUSY[:60], "FILE is damaged in its first line"),
        "changed": (BUSY[:-9] + b"!" + BUSY[-8:], "FILE is damaged: its checksum is wrong"),
        "of a later version": (
            with_header(type="insights.state.v2", version="9.9\x1b"),
            r"FILE has format 2, of version 9\.9\\x1b of the agent",
        ),
        "without a part": (
            sealed(STATE, "one", "1.0", 1.0, []),
            "FILE is damaged: Missing required argument 'number'",
        ),
        "with a part of another type": (
            sealed(STATE, "one", "1.0", 1.0, [b'{"part":"number","value":"x"}\n']),
            r"FILE is damaged: Expected `int`, got `str`",
        ),
        "with a line that is no part": (
            sealed(STATE, "one", "1.0", 1.0, [b"[]\n"]),
            "FILE is damaged: Expected `object`, got `array`",
        ),
    }.values(),
)
def test_what_this_agent_wrote_and_cannot_be_read_is_to_be_set_aside(data, says):
    with pytest.raises(Unreadable, match=f"^{says}$"):
        opened(data)


@pytest.mark.parametrize(
    "data", [b"interval = '30s'\n", b"\x00" * 99, b"{}", bytes_of(busy().auditor)[1]]
)
def test_what_is_something_else_is_refused_and_not_touched(data):
    with pytest.raises(StateError, match=r"^FILE does not hold the state of an agent") as refused:
        opened(data)
    assert not isinstance(refused.value, Unreadable)


def test_a_part_that_this_version_does_not_know_is_left_out():
    lines = at_once(kept_lines(Kept(known=busy().auditor.known_now)))
    more = sealed(STATE, "one", "1.0", 1.0, [*lines, b'{"part":"dreams","value":{"a":1}}\n'])
    assert len(opened(more).known.lives) == len(busy().lives)


# --- Where it is kept.


@pytest.fixture
def file(tmp_path: Path) -> StateFile:
    return StateFile(tmp_path / "state")


async def load(file: StateFile, agent: str = NAME) -> of_state.Left | None:
    return await State.in_file(file).load(agent)


async def save(state: State, story: Story, told: list[Told] | None = None) -> None:
    await state.load(NAME)
    untold = [Untold(agent=AGENT, coverage=COVERAGE, valid_for=9.0, told=told or [])]
    await state.save(story.auditor, Kept(known=story.auditor.known_now, untold=untold), story.now)


async def test_nothing_is_left_where_nothing_or_an_empty_file_is(file):
    assert await load(file) is None
    file.path.touch()
    assert await load(file) is None
    assert await State().load(NAME) is None


async def test_what_was_saved_is_left_to_the_next_process(file):
    story = busy()
    await save(State.in_file(file), story)
    left = await load(file)
    assert left is not None
    assert left.saved_at == story.now
    assert [life.key for life in left.kept.known.lives] == list(story.lives)
    assert left.kept.known.history.epochs == story.auditor.history.epochs != []


async def test_what_happened_lately_is_left_too_and_since_when_that_is_known(file):
    story = busy()
    await save(State.in_file(file), story)
    left = await load(file)
    assert left is not None
    known, now = left.kept.known, story.auditor.known
    assert len(known.transitions) == len(now.transitions) > 0
    assert known.known_since == now.known_since is not None
    file.beside.path.unlink()
    left = await load(file)
    assert left is not None
    assert (left.kept.known.transitions, left.kept.known.known_since) == ([], None)


async def test_both_files_are_private_and_nothing_else_is_left(file):
    (file.path.parent / "state.new").write_text("of a crash")
    file.path.touch(mode=0o644)
    file.lock()
    await save(State.in_file(file), busy())
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in file.path.parent.iterdir()}
    assert modes == dict.fromkeys(["state", "state.past", "state.lock"], 0o600)


async def test_a_link_to_the_file_stays_one(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "state").symlink_to(tmp_path / "elsewhere" / "s")
    await save(State.in_file(StateFile(tmp_path / "state")), busy())
    assert (tmp_path / "state").is_symlink()
    assert await load(StateFile(tmp_path / "elsewhere" / "s"))


@pytest.mark.parametrize("data", [BUSY[:-1], with_header(type="insights.state.v2")])
async def test_what_is_damaged_or_of_a_later_version_is_kept_aside(file, caplog, data):
    file.path.write_bytes(data)
    assert await load(file) is None
    (aside,) = file.path.parent.iterdir()
    assert aside.name.startswith("state.unreadable-")
    assert aside.read_bytes() == data
    (said,) = caplog.messages
    assert said.startswith(f"{file.path} ")
    assert said.endswith(f"; it is kept as {aside}, and the agent starts without it")


async def test_so_is_a_past_and_the_findings_go_on(file, caplog):
    await save(State.in_file(file), busy())
    file.beside.path.write_bytes(file.beside.path.read_bytes()[:-1])
    left = await load(file)
    assert left is not None
    assert len(left.kept.known.lives) == len(busy().lives)
    assert left.kept.known.history.epochs == []
    assert not file.beside.path.exists()


@pytest.mark.parametrize("past", [False, True])
async def test_a_state_of_another_agent_or_no_state_at_all_is_refused_and_stays(file, past):
    await save(State.in_file(file), busy())
    place = file.beside.path if past else file.path
    before = place.read_bytes()
    with pytest.raises(StateError, match=r"is of the agent 'one', and this one is 'two'"):
        await load(file, "two")
    assert place.read_bytes() == before
    place.write_text("mine")
    with pytest.raises(StateError, match=r"does not hold the (state|past) of an agent"):
        await load(file)
    assert place.read_text() == "mine"


def test_one_agent_locks_another_one_out_until_it_ends(file):
    file.lock()
    other = StateFile(file.path)
    with pytest.raises(StateError, match=f"^another agent uses the state {file.path}: give each"):
        other.lock()
    file.unlock()
    other.lock()


def test_a_place_where_no_file_can_be_is_refused(tmp_path):
    (tmp_path / "file").touch()
    for path, says in {
        tmp_path: "it is not a file$",
        Path("/dev/null"): "it is not a file$",
        tmp_path
        / "none"
        / "state": f"^the directory {tmp_path / 'none'} does not exist: create it",
        tmp_path / "file" / "state": "file is no directory$",
        tmp_path / ("x" * 251): "File name too long$",
    }.items():
        with pytest.raises(StateError, match=says):
            StateFile(path).lock()


@contextmanager
def as_nobody() -> Iterator[None]:
    """Nothing is forbidden to root."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_directory_that_is_not_writable_is_refused():
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o555)
        with as_nobody(), pytest.raises(StateError) as refused:
            StateFile(Path(place, "state")).lock()
        Path(place).chmod(0o755)
    why = "its directory is not writable"
    assert str(refused.value) == f"cannot keep the state in {place}/state: {why}"


def test_a_lock_of_another_user_is_refused():
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o777)
        Path(place, "state.lock").touch(mode=0o000)
        with as_nobody(), pytest.raises(StateError) as refused:
            StateFile(Path(place, "state")).lock()
    assert str(refused.value) == f"cannot keep the state in {place}/state: Permission denied"


def test_a_file_that_is_not_readable_is_refused():
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "state"
        path.touch(mode=0o000)
        Path(place).chmod(0o755)
        with as_nobody(), pytest.raises(StateError) as refused:
            asyncio.run(StateFile(path).load())
    assert str(refused.value) == f"cannot read the state {path}: Permission denied"


def test_a_command_that_is_refused_its_file_says_so_and_ends(tmp_path):
    (tmp_path / "state").write_text("mine")
    for path, says in {
        tmp_path / "none" / "state": "does not exist: create it for the state",
        tmp_path / "state": "does not hold the state of an agent: give another place for it",
    }.items():
        done = subprocess.run(
            [sys.executable, "-m", "nats_insights", "run", "--state", path],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 3
        assert done.stderr.startswith("nats-insights: ")
        assert done.stderr.endswith(f"{says}\n")


# --- When it is saved.


class Kind:
    """A store that does as it is told."""

    def __init__(self, act: Callable[[bytes], Any], where: str = "the store") -> None:
        self.act, self.where = act, where
        self.saved: list[bytes] = []

    async def load(self) -> bytes | None:
        return None

    async def save(self, data: bytes) -> None:
        await self.act(data)
        self.saved.append(data)

    async def set_aside(self) -> str:
        raise AssertionError


async def nothing(_: bytes) -> None:
    """As a store that works."""


async def full(_: bytes) -> None:
    raise StateError("the store is full")


async def broken(_: bytes) -> None:
    raise KeyError("a bug")


async def test_a_store_that_fails_is_logged_once_and_again_when_it_works(caplog):
    caplog.set_level(logging.INFO)
    store, story = Kind(nothing), busy()
    state = State(store)
    failures = []
    for store.act in (full, full, broken, nothing, nothing, full):
        await save(state, story)
        failures.append(state.failure)
    assert failures[:2] + failures[3:] == 2 * ["the store is full"] + ["", "", "the store is full"]
    assert failures[2].startswith(
        "the state was not saved in the store: KeyError at test_state.py:"
    )
    assert caplog.messages == [
        said := "the store is full; the agent goes on, and a restart would lose what it knows",
        "the state is saved again",
        said,
    ]


class Hanging(Kind):
    """A store whose saves end when they are `released`."""

    def __init__(self) -> None:
        super().__init__(self._hang)
        self.released = asyncio.Event()
        self.begun = 0
        self.began = asyncio.Event()

    async def _hang(self, _: bytes) -> None:
        self.begun += 1
        self.began.set()
        await self.released.wait()


async def test_a_store_that_hangs_is_waited_for_once(monkeypatch):
    monkeypatch.setattr(of_state, "PATIENCE", 0.01)
    store, story = Hanging(), busy()
    state = State(store)
    await save(state, story)
    assert state.failure == "the state was not saved in the store within 0.01 s"
    monkeypatch.setattr(of_state, "PATIENCE", 3600.0)
    await save(state, story)
    assert state.failure == "the last save of the state in the store has not ended yet"
    assert store.begun == 1
    store.released.set()
    await asyncio.sleep(0)
    await save(state, story)
    assert (state.failure, store.begun) == ("", 2)


async def test_a_past_that_hangs_keeps_no_finding_from_being_saved(monkeypatch):
    monkeypatch.setattr(of_state, "PATIENCE", 0.01)
    store = Kind(nothing)
    state = State(store, Hanging())
    await save(state, busy())
    assert state.failure == "the state was not saved in the store within 0.01 s"
    assert len(store.saved) == 1


async def test_the_last_save_waits_for_one_that_an_epoch_began_before_it_was_cancelled():
    store, story = Hanging(), busy()
    state = State(store)
    epoch = asyncio.create_task(save(state, story))
    await store.began.wait()
    epoch.cancel()
    last = asyncio.create_task(save(state, story))
    await asyncio.wait([epoch])
    store.released.set()
    await last
    assert (state.failure, len(store.saved)) == ("", 2)


@pytest.mark.parametrize(
    ("transition", "saves"), [("opened", 2), ("resolved", 2), ("updated", 2), ("reminded", 1)]
)
async def test_the_past_is_saved_with_news_else_rarely(monkeypatch, transition, saves):
    order: list[str] = []

    def noting(name: str) -> Kind:
        async def note(_: bytes) -> None:
            order.append(name)

        return Kind(note)

    story = busy()
    (life, *_) = story.lives.values()
    told = Told(transition=transition, life=life, reason="", at=0.0)
    state = State(noting("state"), noting("past"))
    await save(state, story)
    await save(state, story)
    assert order == ["past", "state", "state"]
    await save(state, story, [told])
    assert order.count("past") == saves
    assert order[-1] == "state"
    await state.save(story.auditor, Kept(known=story.auditor.known_now), story.now, whole=True)
    assert order[-2:] == ["past", "state"]
    await save(state, story)
    assert order[-2:] == ["state", "state"]
    monkeypatch.setattr(of_state, "PAST_EVERY", 0.0)
    await save(state, story)
    assert order[-2:] == ["past", "state"]


async def test_a_past_that_is_not_saved_is_a_failure_and_the_findings_are_saved_all_the_same():
    store, past = Kind(nothing), Kind(full)
    state = State(store, past)
    await save(state, busy())
    assert (state.failure, len(store.saved)) == ("the store is full", 1)


# --- What the doctor says of it.


async def said_by_the_doctor(file: StateFile, agent: str = "") -> tuple[str, str]:
    before = {path: path.read_bytes() for path in file.path.parent.iterdir()}
    mark, _, said = await doctor._state(file.path, agent)
    assert {path: path.read_bytes() for path in file.path.parent.iterdir()} == before
    return mark, said.replace(str(file.path), "FILE")


async def test_the_doctor_says_what_is_in_the_file_and_changes_nothing(file):
    assert await said_by_the_doctor(file) == ("ok", "nothing was saved in FILE yet")
    story = busy()
    story.now = time.time() - 90
    await save(State.in_file(file), story)
    opened = sum(life.is_open for life in story.lives.values())
    mark, said = await said_by_the_doctor(file, "one")
    assert mark == "ok"
    assert re.fullmatch(rf"{opened} open findings of the agent 'one', saved 1m3\ds ago", said)
    refused = await said_by_the_doctor(file, "two")
    assert refused[0] == "bad"
    assert refused[1].startswith("FILE is of the agent 'one', and this one is 'two': set `id`")


@pytest.mark.parametrize(
    ("data", "mark", "says"),
    [
        (BUSY[:-1], "warning", "bytes: an agent keeps it aside, and starts without it"),
        (b"interval = 3", "bad", "give another place for it"),
    ],
)
async def test_the_doctor_says_what_is_wrong_with_the_file(file, data, mark, says):
    file.path.write_bytes(data)
    marked, said = await said_by_the_doctor(file)
    assert (marked, said.endswith(says)) == (mark, True)


async def test_the_doctor_says_that_there_can_be_no_file(tmp_path):
    mark, _, said = await doctor._state(tmp_path / "none" / "state", "")
    why = f"the directory {tmp_path}/none does not exist: create it for the state"
    assert (mark, said) == ("bad", why)


async def test_the_doctor_looks_at_the_file_that_it_is_given(tmp_path):
    flags = ("--state", str(tmp_path / "state"))
    _, lines = await examined(tmp_path, "nats://127.0.0.1:1", *flags)
    said = f"nothing was saved in {tmp_path}/state yet"
    assert about(lines, "state") == [f"✓ state {said}"]
