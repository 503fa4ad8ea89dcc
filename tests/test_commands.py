"""The command line: what it imports, and what its help says."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from nats_insights import commands
from nats_insights.__main__ import COMMANDS, UNLISTED, main, parser
from nats_insights.commands.catalogue import load_config

# Prints the modules that a command line has imported, one a line, below what it printed itself.
SEE = """
import sys
from nats_insights.__main__ import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
print("--", *(name for name in sys.modules), sep="\\n")
"""
# Sends itself SIGINT, as Ctrl-C does, when it is about to import a module.
INTERRUPT = """
import os, signal, sys
_, module, *arguments = sys.argv
class Finder:
    def find_spec(self, name, path, target=None):
        if name == module:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Finder())
from nats_insights.__main__ import main
sys.exit(main(arguments))
"""
MODEL = {"model", "judge", "checks", "agent", "lab"}
ASKING = (
    *("watch", "findings", "history", "status", "servers", "evaluate", "forget"),
    *("mute", "unmute"),
)


def imported(*arguments: str) -> set[str]:
    """Every module that a process has imported when it has run this command line."""
    ran = subprocess.run(
        [sys.executable, "-c", SEE, *arguments], capture_output=True, text=True, check=True
    )
    return set(ran.stdout.partition("--\n")[2].split())


def rooms(modules: set[str]) -> set[str]:
    """The first names of those that are of this package."""
    return {name.split(".")[1] for name in modules if name.startswith("nats_insights.")}


@pytest.mark.parametrize("arguments", [("--version",), ("--help",), (), ("fnidings",)])
def test_no_room_is_imported_where_no_command_is_asked_for(arguments):
    seen = imported(*arguments)
    assert rooms(seen) == {"__main__", "errors", "text"}
    assert seen & {"asyncio", "msgspec", "nats", "rich"} == set()


def test_only_the_command_that_is_asked_for_is_imported():
    seen = imported("status", "--help")
    names = {name.rpartition(".")[2] for name in seen if name.startswith("nats_insights.commands.")}
    assert names & set(COMMANDS) == {"status"}


@pytest.mark.parametrize("command", ASKING)
def test_a_command_that_only_asks_an_agent_needs_no_model_and_no_checks(command):
    assert rooms(imported(command, "--help")) & MODEL == set()


@pytest.mark.parametrize(
    "module", ["argparse", "nats_insights.errors", "nats_insights.commands.demo", "rich.text"]
)
def test_an_interrupt_while_modules_are_imported_ends_without_a_word(module):
    ran = subprocess.run(
        [sys.executable, "-c", INTERRUPT, module, "demo"], capture_output=True, text=True
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (130, "", "")


@pytest.mark.parametrize("command", COMMANDS)
def test_the_title_of_a_command_is_the_first_line_of_its_module(command):
    title, *_ = import_module(f"nats_insights.commands.{command}").__doc__.splitlines()
    assert title.endswith(".")
    listed = title in " ".join(parser(()).format_help().split())
    assert listed == (command not in UNLISTED)


def test_every_module_with_options_and_run_is_a_command():
    names = [path.stem for path in Path(commands.__file__).parent.glob("*.py")]
    modules = {name: import_module(f"nats_insights.commands.{name}") for name in names}
    runnable = {name for name, module in modules.items() if hasattr(module, "run")}
    assert runnable == set(COMMANDS)


WRONG = {
    "intervall = 3": "there is no key intervall; did you mean interval?",
    "checks.connection_hotspt.ratio = 3": (
        "there is no key checks.connection_hotspt; did you mean checks.connection_hotspot?"
    ),
    "gather.every.CONZ = 3": "there is no key gather.every.CONZ; did you mean gather.every.CONNZ?",
    "[[override]]": 'override[0] lacks its match, such as match = { cluster = "EU" }',
}


@pytest.mark.parametrize("command", ["permissions", "checks", "check", "run"])
@pytest.mark.parametrize(("text", "refused"), WRONG.items(), ids=WRONG)
def test_a_refusal_names_the_file(command, text, refused, tmp_path, capsys):
    file = tmp_path / "agent.toml"
    file.write_text(text)
    assert main([command, "--config", str(file)]) == 3
    assert capsys.readouterr().err == f"nats-insights: {file}: {refused}\n"


INTERVALS = {
    "5x": "'5x' is not a duration such as 30s or 1h30m",
    "0.01": "'0.01' is not allowed, it must be at least 100ms and at most 366d",
    "999d": "'999d' is not allowed, it must be at least 100ms and at most 366d",
}


@pytest.mark.parametrize(("interval", "refused"), INTERVALS.items(), ids=INTERVALS)
def test_an_interval_is_refused_in_the_words_of_the_file(interval, refused, tmp_path, capsys):
    file = tmp_path / "agent.toml"
    file.write_text(f"interval = '{interval}'")
    assert main(["permissions", "--interval", interval]) == 3
    assert main(["permissions", "--config", str(file)]) == 3
    assert capsys.readouterr().err == (
        f"nats-insights: --interval is refused: {refused}\n"
        f"nats-insights: {file}: interval is refused: {refused}\n"
    )


@pytest.mark.parametrize(("given", "seconds"), [("5", 5.0), ("5s", 5.0), ("0.5", 0.5)])
def test_an_interval_without_a_unit_is_in_seconds(given, seconds):
    args = parser(["run"]).parse_args(["run", "--interval", given])
    assert load_config(args, []).interval == seconds


def test_a_package_without_checks_is_refused(tmp_path, monkeypatch, capsys):
    (tmp_path / "no_checks").mkdir()
    (tmp_path / "no_checks" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("no_checks", "json"):
        assert main(["permissions", "--checks", name]) == 3
    empty, other = capsys.readouterr().err.splitlines()
    assert empty == "nats-insights: --checks no_checks is a package without checks"
    assert other.startswith("nats-insights: --checks json: json/decoder.py declares no check")
