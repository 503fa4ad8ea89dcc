"""`demo`: its story, on a terminal and without one, and that nothing is left of it."""

from __future__ import annotations

import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from nats_insights.lab.servers.server import until

pytestmark = pytest.mark.live

README = Path(__file__).parents[2] / "README.md"
SCRIPT = Path(sys.executable).with_name("nats-insights")
MODULE = (sys.executable, "-m", "nats_insights")
PATIENCE_SECONDS = 30
END = "run until you press Ctrl-C."
CODES = ("USER_002", "SERVER_011", "OPT_BALANCE_006", "OPT_BALANCE_002", "OPT_BALANCE_003")
# The first problem stays.
TOLD = [*(("opened", code) for code in CODES), *(("resolved", code) for code in CODES[:0:-1])]
SECRET = re.compile(r"eyJ[\w-]{9}|\bS[UAO][A-Z2-7]{56}\b|\b[0-9a-f]{24}\b")


@pytest.fixture
def directory(tmp_path) -> Iterator[Path]:
    """Where the demo keeps its files; at last there is none, and no process that has one open."""
    yield tmp_path
    assert left_behind(tmp_path) == []


@contextmanager
def demo(
    directory: Path, *arguments: str, start: Sequence[str | Path] = MODULE, **more: str
) -> Iterator[subprocess.Popen[str]]:
    """The demo, its output in one; it ends with this block, whatever happens in it."""
    with subprocess.Popen(
        [*start, "demo", *arguments],
        env=environment(directory, **more),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as running:
        try:
            yield running
        finally:
            running.kill()
            running.communicate()
            until(lambda: not left_behind(directory), "the servers to end")


def environment(directory: Path, **more: str) -> dict[str, str]:
    """The variables of this process, save those of NATS, of uv and of the terminal, and these."""
    names = ("NATS_", "UV", "COLUMNS")
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(names)}
    return {**inherited, "TMPDIR": str(directory), "PYTHONUNBUFFERED": "1", **more}


def left_behind(directory: Path) -> list[Path]:
    """Processes that were started with files below this directory, and the files."""
    own = str(directory).encode()
    processes = [one for one in Path("/proc").glob("[0-9]*/cmdline") if own in _read(one)]
    return [*processes, *directory.glob("nats-insights-*")]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def heard(running: subprocess.Popen[str], words: str) -> str:
    """All that it prints up to the line in which these words stand, or to the end."""
    assert running.stdout is not None
    said = ""
    while words not in said and (line := running.stdout.readline()):
        said += line
    return said


def hint(said: str, command: str) -> str:
    """The line that says how to run this command in another terminal."""
    (line,) = {line.strip() for line in said.splitlines() if f" {command} --context " in line}
    return line


@pytest.mark.parametrize("mode", [(), ("--operator",)], ids=["passwords", "operator"])
def test_the_story_ends_with_one_problem_that_another_terminal_shows(directory, mode):
    with demo(directory, *mode) as running:
        said = heard(running, END)
        shown = {
            command: subprocess.run(
                hint(said, command),
                shell=True,
                env=environment(directory),
                capture_output=True,
                text=True,
                timeout=PATIENCE_SECONDS,
            )
            for command in ("findings", "explain USER_002", "status")
        }
        running.send_signal(signal.SIGINT)
        said += running.communicate(timeout=PATIENCE_SECONDS)[0]
    assert running.returncode == 0
    told = re.findall(r"(opened|resolved) +[A-Z]+ +([A-Z_]+_\d+) ", said)
    assert told == TOLD
    assert shown["findings"].stdout.count("user billing of account APP holds 105 connections") == 1
    assert "What it finds" in shown["explain USER_002"].stdout
    assert "0 critical, 1 warning, 0 info" in shown["status"].stdout
    everything = said + "".join(one.stdout + one.stderr for one in shown.values())
    assert SECRET.findall(everything) == []
    assert "Traceback" not in everything


def test_the_excerpt_in_the_readme_is_what_is_printed(directory):
    _, _, block = README.read_text().partition("```\nProblem 1.")
    excerpt, _, _ = f"Problem 1.{block}".partition("```")
    with demo(directory) as running:
        said = heard(running, END)
    clock = re.compile(r"^\d\d:\d\d:\d\d", re.MULTILINE)
    there = iter(clock.sub("", said).splitlines())
    shown = [line for line in clock.sub("", excerpt).splitlines() if line != "..."]
    assert [line for line in shown if line not in there] == []
    assert len(shown) == 7


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("words", ["another terminal", "Problem 2. "])
def test_a_job_in_the_background_ends_by_a_signal_and_leaves_nothing(directory, number, words):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # So a shell starts such a job.
    try:
        with demo(directory, "--operator") as running:
            signal.signal(signal.SIGINT, before)
            heard(running, words)
            running.send_signal(signal.SIGINT)
            heard(running, "opened ")
            running.send_signal(number)
            said = running.communicate(timeout=PATIENCE_SECONDS)[0]
            until(lambda: not left_behind(directory), "the servers to end")
    finally:
        signal.signal(signal.SIGINT, before)
    assert (running.returncode, "Traceback" in said) == (-number, False)


def test_an_interrupt_before_the_end_is_one(directory):
    with demo(directory) as running:
        heard(running, "Problem 2. ")
        running.send_signal(signal.SIGINT)
        said = running.communicate(timeout=PATIENCE_SECONDS)[0]
        assert left_behind(directory) == []
    assert (running.returncode, "Traceback" in said) == (130, False)


@pytest.mark.long
def test_late_epochs_are_no_part_of_the_story(directory):
    with demo(directory) as running:
        said = heard(running, END)
        n1 = next(
            int(path.parent.name)
            for path in Path("/proc").glob("[0-9]*/cmdline")
            if f"{directory}/".encode() in _read(path) and b"server-1.conf" in _read(path)
        )
        os.kill(n1, signal.SIGSTOP)  # Each epoch now waits for it, longer than its interval.
        said += heard(running, "SERVER_901")
    assert "SERVER_901" in said
    assert [line for line in said.splitlines() if line.startswith("epoch")] == []


def called(start: Sequence[str | Path], directory: Path, **more: str) -> str:
    """How the hints of a demo begin that was started so."""
    with demo(directory, "--for", "100ms", start=start, **more) as running:
        said = running.communicate(timeout=PATIENCE_SECONDS)[0]
    assert running.returncode == 3
    assert said.endswith("nats-insights: the time was too short for the demo; give it more\n")
    return hint(said, "watch").partition(" watch ")[0]


@pytest.fixture
def script(directory) -> Path:
    """The program as an installer makes it, in a directory whose name a shell must quote."""
    path = directory / "my bin" / "nats-insights"
    path.parent.mkdir()
    shutil.copy(SCRIPT, path)
    return path


def test_hints_begin_as_the_program_was_called(directory, script):
    on_path = f"{script.parent}:{os.environ['PATH']}"
    relative = Path(os.path.relpath(SCRIPT))
    assert called([relative], directory) == str(relative)
    assert called([script], directory) == f"'{script}'"
    assert called(["nats-insights"], directory, PATH=on_path) == "nats-insights"
    python = os.path.relpath(sys.executable)
    assert called([python, *MODULE[1:]], directory) == f"{python} -m nats_insights"
    on_path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    name = Path(sys.executable).name
    assert called(MODULE, directory, PATH=on_path) == f"{name} -m nats_insights"


def test_hints_begin_with_uv_where_uv_runs_the_program(directory, script):
    by_uv = {"PATH": f"{script.parent}:{os.environ['PATH']}", "UV_RUN_RECURSION_DEPTH": "1"}
    assert called(["nats-insights"], directory, **by_uv) == "uv run nats-insights"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--pause"], "--pause waits for Enter: run it on a terminal, or leave it out"),
        (
            ["--fleet", "5x5", "--operator"],
            "leave out --fleet: --pause and --operator are for the real cluster",
        ),
    ],
)
def test_what_does_not_go_is_refused_in_one_sentence(directory, arguments, said):
    with demo(directory, *arguments) as running:
        assert running.communicate(timeout=PATIENCE_SECONDS)[0] == f"nats-insights: {said}\n"
    assert running.returncode == 3


class Terminal:
    """A demo on a terminal of 60 columns."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        self._screen, inside = pty.openpty()
        termios.tcsetwinsize(inside, (40, 60))
        self.process = subprocess.Popen(
            [*MODULE, "demo", *arguments],
            env=environment(directory, TERM="xterm"),
            stdin=inside,
            stdout=inside,
            stderr=subprocess.DEVNULL,
        )
        os.close(inside)
        self.said = ""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._screen)

    def read(self, words: str) -> str:
        """What it shows up to these words, without colours."""
        said = ""
        while words not in said:
            said += re.sub(r"\x1b\[[\d;]*m|\r", "", os.read(self._screen, 65536).decode())
        self.said += said
        return said

    def enter(self) -> None:
        os.write(self._screen, b"\n")


def test_with_a_pause_each_scene_waits_for_enter_and_no_line_is_too_long(directory):
    with Terminal(directory, "--pause") as terminal:
        before = terminal.read("Press Enter to go on.")
        assert " watch --context " in before
        for transition in TOLD:
            terminal.enter()
            scene = terminal.read(END if transition == TOLD[-1] else "Press Enter to go on.")
            assert re.findall(r"(opened|resolved) +[A-Z]+ +(\w+)", scene) == [transition]
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.process.wait(PATIENCE_SECONDS) == 0
    lines = [line for line in terminal.said.splitlines() if "--context" not in line]
    assert [line for line in lines if len(line) > 60] == []


def test_an_interrupt_during_a_pause_leaves_nothing(directory):
    with Terminal(directory, "--pause", "--operator") as terminal:
        terminal.read("Press Enter to go on.")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.process.wait(PATIENCE_SECONDS) == 130
