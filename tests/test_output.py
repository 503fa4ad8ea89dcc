"""What commands write: it is safe on a terminal, and an output that takes nothing is told of."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kit.asked import view
from kit.published import HOSTILE, openings, tell, uneven
from nats_insights import __main__ as program
from nats_insights.commands import show, watch
from nats_insights.errors import RequestError
from nats_insights.judge.mutes import Mute
from nats_insights.tell import muting, queries
from nats_insights.tell.history import history
from nats_insights.tell.messages import Advisory, ShardState
from nats_insights.tell.view import View
from scenario import Story, cluster, system

EXPLAIN = [sys.executable, "-m", "nats_insights", "explain", "USER_002", "--own"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("form", ["text", "json"])
def test_a_full_disk_is_told_in_one_sentence(form):
    with open("/dev/full", "w") as full:
        ran = subprocess.run(
            [*EXPLAIN, "--format", form], stdout=full, stderr=subprocess.PIPE, text=True
        )
    sentence = "nats-insights: cannot write the output: No space left on device\n"
    assert (ran.returncode, ran.stderr) == (3, sentence)


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_reader_that_left_is_no_trouble(form):
    running = subprocess.Popen(
        [*EXPLAIN, "--format", form], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    running.stdout.close()  # Before anything was written.
    with running.stderr:
        said = running.stderr.read()
    assert (running.wait(), said) == (141, "")


def is_safe(text: str) -> bool:
    """Whether a terminal shows this text as it stands."""
    return all(c == "\n" or c.isprintable() for c in text)


@pytest.fixture(params=HOSTILE)
def hostile(request) -> Advisory:
    """An advisory of a system in which everything has a hostile name."""
    advisory, _ = tell(next(openings(HOSTILE[request.param])))
    raw = msgspec.structs.replace(advisory.entity, name=HOSTILE[request.param])
    return msgspec.structs.replace(advisory, entity=raw)


@pytest.fixture(params=HOSTILE)
def badly_named(request) -> View:
    """What an agent knows of a system in which everything has a hostile name, some of it muted."""
    story, name = Story(), HOSTILE[request.param]
    for _ in range(2):
        story.hears(uneven(name))
    for label in ("cluster", "server", "account", "user", "who", "why"):
        # The agent refuses most of these names; a reply may come from anybody.
        more = {"server": "n1", label: name}
        story.auditor.mutes.add(Mute(**more, until=story.now + 60, at=story.now))
    story.hears(uneven(name))
    return view(story)


def test_what_happened_and_what_is_muted_is_safe_to_print(badly_named, capsys):
    show.history(history(badly_named))
    show.mutes(muting.muted(badly_named))
    show.findings(queries.findings(badly_named))
    said = capsys.readouterr().out
    assert is_safe(said)
    assert {"opened", "mutes", "until"} <= set(said.split())


def test_json_is_safe_to_print_and_equal_when_it_is_read(hostile, capsys):
    show.json(hostile)
    said = capsys.readouterr().out
    assert is_safe(said)
    assert msgspec.json.decode(said, type=Advisory) == hostile


def test_a_character_that_takes_two_escapes_is_read_as_one(capsys):
    name = "\U000e0001\U000e007f\x7f"
    assert not is_safe(name)
    assert is_safe(show.escaped(json.dumps(name, ensure_ascii=False)))
    assert json.loads(show.escaped(json.dumps(name, ensure_ascii=False))) == name


@pytest.mark.parametrize(
    "url", ["nats://a\x1b[31mb", "nats://a\u202eb:1", "\x1bx://a", "nats://u:\x1b@a", "a\nb"]
)
@pytest.mark.parametrize("place", ["flag", "variable", "context"])
def test_a_url_is_never_shown_with_what_changes_a_terminal(url, place, tmp_path):
    context = tmp_path / "c.json"
    context.write_text(json.dumps({"url": url}))
    flags = {"flag": ["--server", url], "context": ["--context", str(context)]}.get(place, [])
    for command in ("check", "doctor"):
        ran = subprocess.run(
            [sys.executable, "-m", "nats_insights", command, *flags],
            env={"NATS_URL": url} if place == "variable" else {},
            capture_output=True,
            text=True,
        )
        assert ran.returncode == 3
        assert is_safe(ran.stdout + ran.stderr)
        assert "server URL" in ran.stderr


def test_an_error_is_shown_without_what_changes_a_terminal(monkeypatch, capsys):
    async def fail(args):
        raise RequestError("it said \x1b[31m\u202e")

    monkeypatch.setattr(watch, "run", fail)
    assert program.main(["watch"]) == 3
    assert capsys.readouterr().err == "nats-insights: it said \\x1b[31m\\u202e\n"


def test_an_option_that_is_none_is_shown_without_what_changes_a_terminal(capsys):
    with pytest.raises(SystemExit):
        program.main(["watch", "--\x1b[31m"])
    said = capsys.readouterr().err
    assert is_safe(said)
    assert "\\x1b[31m" in said


def test_status_says_what_was_lost_and_what_failed(capsys):
    story = Story()
    story.hears(system(cluster(n1=1, n2=1)), [("n2", "ROUTEZ")])
    told = view(story)
    told.cost = msgspec.structs.replace(told.cost, dropped_messages=3, dropped_advisories=2)
    told.failed_epochs, told.last_failure = 4, "KeyError at a.py:7"
    show.status(queries.status(told))
    said = capsys.readouterr().out
    assert "● unknown  2 of 2 servers answered; 1 check could not be evaluated" in said
    assert "3 messages, 2 advisories" in said
    assert "4 epochs, the last by KeyError at a.py:7" in said


def test_status_is_silent_on_what_did_not_happen(capsys):
    story = Story()
    story.hears(system(cluster(n1=1, n2=1)))
    show.status(queries.status(view(story)))
    said = capsys.readouterr().out
    assert said.startswith("● ok  2 of 2 servers answered\n")
    assert not {"lost", "failed"} & set(said.split())


def test_what_is_accepted_is_shown_as_such(capsys):
    story = Story("access.without = ['ROUTEZ']")
    story.hears(system(cluster(n1=1, n2=1)), denied={"ROUTEZ"})
    show.status(queries.status(view(story)))
    said = capsys.readouterr().out
    assert said.startswith("● ok")
    assert "not permitted: ROUTEZ (expected)" in said


WORDS = {
    "fnidings": "there is no 'fnidings', did you mean findings?",
    "findings --format jsno": "there is no 'jsno', did you mean json?",
    "findings --state zzz": "there is no 'zzz', known are open, resolved, all",
    "findings --severty info": "nats-insights findings: there is no option '--severty', did you "
    "mean --severity?; see nats-insights findings --help",
    "status --zzz": "there is no option '--zzz'; see nats-insights status --help",
    "status now": "there is no argument 'now'; see nats-insights status --help",
    "findings --limit -1": "'-1' is not a whole number from 0",
}


@pytest.mark.parametrize(("given", "expected"), WORDS.items(), ids=WORDS)
def test_a_word_that_is_not_known_is_answered_with_the_nearest(given, expected, capsys):
    with pytest.raises(SystemExit) as ended:
        program.main(given.split())
    assert ended.value.code == 3
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize("given", ["--pasword=hunter2", "--pasword hunter2"])
def test_what_follows_a_misspelt_option_is_not_shown(given, capsys):
    with pytest.raises(SystemExit):
        program.main(["status", *given.split()])
    said = capsys.readouterr().err
    assert "there is no option '--pasword', did you mean --password?" in said
    assert "hunter2" not in said


@pytest.mark.parametrize("given", ["--severity WARNING --scope server", "--severity warning"])
def test_words_are_taken_in_either_case(given):
    args = program.parser({"findings"}).parse_args(["findings", *given.split()])
    assert (args.severity, args.scope) in {("warning", "SERVER"), ("warning", None)}


HELP = {
    "help": "usage: nats-insights [-h]",
    "help findings": "usage: nats-insights findings [-h]",
    "help connection": "usage: nats-insights COMMAND [flags]",
}


@pytest.mark.parametrize(("given", "expected"), HELP.items(), ids=HELP)
def test_help_can_be_asked_for_by_a_command(given, expected, capsys):
    assert program.main(given.split()) == 0
    assert capsys.readouterr().out.startswith(expected)


def test_help_on_what_there_is_not_is_answered_with_the_nearest(capsys):
    assert program.main(["help", "conection"]) == 3
    said = capsys.readouterr().err
    assert said == "nats-insights: there is no help on 'conection', did you mean connection?\n"


def every_option() -> list[Any]:
    """Each option of each command, as argparse has it, but for those of the connection."""
    (below,) = [a for a in program.parser()._actions if a.choices and not a.option_strings]
    return [
        pytest.param(action, id=f"{name} {action.option_strings[0]}")
        for name, command in below.choices.items()
        for action in command._actions
        if action.option_strings and action.help not in (argparse.SUPPRESS, None)
    ]


@pytest.mark.parametrize("option", every_option())
def test_an_option_with_a_default_tells_it_and_its_value_has_a_name_and_not_an_example(option):
    default = option.default not in (None, False, [], argparse.SUPPRESS)
    assert ("default" in option.help) >= default
    assert not re.search(r"[0-9.]", option.metavar or "")


def test_without_a_command_the_help_is_shown(capsys):
    assert program.main([]) == 3
    said = capsys.readouterr().out
    assert said.startswith("usage: nats-insights")
    assert "findings" in said


def test_status_and_findings_say_which_shards_are_silent(capsys):
    story = Story()
    story.hears(system(cluster("EU", n1=1)))
    told = view(story)
    told.shards = [
        ShardState(
            name="ap", agent="a\x1b", verdict="warning", servers_known=4, servers_answered=4
        ),
        ShardState(name="us", why="shard us is silent"),
    ]
    show.status(queries.status(told))
    said = capsys.readouterr().out
    assert re.search(r"shard ap +warning, 4 of 4 servers answered, agent a\\x1b\n", said)
    assert re.search(r"shard us +unknown: shard us is silent\n", said)
    show.findings(msgspec.structs.replace(queries.findings(told), silent_shards=["us"]))
    assert "without those of shard us, which is silent" in capsys.readouterr().out
