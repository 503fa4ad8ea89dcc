"""The permissions that are printed are those of what is asked, and of no more, in each format."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import pytest

from nats_insights import checks
from nats_insights.__main__ import main
from nats_insights.check import HEALTHZ, JSZ, STATZ
from nats_insights.config import Config
from nats_insights.judge.declare import discover
from nats_insights.judge.plan import plan
from nats_insights.judge.rules import rules
from nats_insights.replies.endpoint import endpoints
from nats_insights.tell.permissions import FORMATS, claims, nats_auth, nsc, permissions

PAGE = Path(__file__).parents[1] / "docs" / "permissions.md"
ALWAYS = ["GATEWAYZ", "LEAFZ", "ROUTEZ", "STATSZ", "VARZ"]
ALL = tuple(endpoints().values())


def asked(text: str) -> list[str]:
    """The endpoints of the servers that a user with these permissions may ask."""
    subjects = [line.strip(' "') for line in text.splitlines()]
    asked = [subject for subject in subjects if subject.startswith("$SYS.REQ.SERVER.*.")]
    return [subject.rpartition(".")[2] for subject in asked if not subject.endswith("IDZ")]


def arguments(flags: str, directory: Path) -> list[str]:
    """What a command is given where a shell reads these flags, in a folder of tempting names."""
    for name in ("INSIGHTS.API.X", "$SRV.X", "_INBOX.insights.X"):
        (directory / name).touch()
    ran = subprocess.run(
        ["sh", "-c", f"printf '%s\\n' {flags}"],
        cwd=directory,
        env={"SYS": "expanded", "SRV": "expanded", "INSIGHTS": "expanded"},
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stdout.splitlines()


def by_flag(words: Iterable[str]) -> dict[str, list[str]]:
    """The values of each flag, given as `--flag value` or as `--flag=value`."""
    values: dict[str, list[str]] = defaultdict(list)
    rest = iter(words)
    for word in rest:
        flag, equals, value = word.partition("=")
        values[flag].append(value if equals else next(rest))
    return values


def subjects(text: str) -> tuple[list[str], list[str]]:
    """What the block for a server allows to publish on, and to subscribe to."""
    publish, subscribe = text.split("subscribe:")
    return re.findall(r'"(.+?)"', publish), re.findall(r'"(.+?)"', subscribe)


def test_what_the_agent_asks_in_any_case_is_permitted():
    assert asked(permissions([])) == ALWAYS


def test_what_checks_need_is_permitted_too():
    assert asked(permissions([JSZ, HEALTHZ])) == sorted([*ALWAYS, "JSZ", "HEALTHZ"])


def test_account_statistics_are_asked_of_all_servers_at_once():
    assert '"$SYS.REQ.ACCOUNT.PING.STATZ"' in permissions([STATZ])
    assert "ACCOUNT.PING" not in permissions([])


def test_a_shell_hands_the_flags_of_nats_auth_on_as_the_server_has_the_subjects(tmp_path):
    publish, subscribe = subjects(permissions(ALL))
    given = by_flag(arguments(nats_auth(ALL), tmp_path))
    assert given == {"--pub-allow": publish, "--sub-allow": subscribe}


def test_a_shell_hands_the_flags_of_nsc_on_as_the_server_has_the_subjects(tmp_path):
    publish, subscribe = subjects(permissions(ALL))
    assert by_flag(arguments(nsc(ALL), tmp_path)) == {
        "--allow-pub": publish,
        "--allow-sub": subscribe,
        "--allow-pub-response": ["1"],
        "--response-ttl": ["2m"],
    }


def test_the_claims_have_the_subjects_that_the_server_has():
    publish, subscribe = subjects(permissions(ALL))
    assert json.loads(claims(ALL)) == {
        "pub": {"allow": publish},
        "sub": {"allow": subscribe},
        "resp": {"max": 1, "ttl": 2 * 60 * 10**9},
    }


def test_the_command_of_the_page_hands_all_flags_to_nsc(tmp_path):
    (tmp_path / "nsc").write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    (tmp_path / "nsc").chmod(0o755)
    (block,) = re.findall(r"```sh\n(eval .*?)```", PAGE.read_text(), re.S)
    path = f"{tmp_path}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    ran = subprocess.run(
        ["sh", "-c", block],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    enabled = by_flag(
        arguments(FORMATS["nsc"](plan(rules(discover(checks), Config())).endpoints), tmp_path)
    )
    *command, own = ran.stdout.partition("--account")
    assert command == ["edit\nuser\n", "--account"]
    given = by_flag(f"--account{own}".splitlines())
    assert given == {"--account": ["SYS"], "--name": ["agent"], **enabled}


@pytest.mark.parametrize("form", FORMATS)
def test_the_command_prints_each_format(form, capsys):
    assert main(["permissions", "--full", "--format", form]) == 0
    said = capsys.readouterr()
    assert said.out == FORMATS[form](ALL)
    assert ("allow_responses" in said.err) == (form == "nats-auth")


IMPORTED = ("--sys-req-prefix", "mon.req")


@pytest.mark.parametrize("form", FORMATS)
def test_a_prefix_is_in_the_place_of_that_of_servers_in_each_format(form, capsys):
    assert main(["permissions", "--format", form]) == 0
    own = capsys.readouterr().out.splitlines()
    assert main(["permissions", "--format", form, *IMPORTED]) == 0
    renamed = [
        line.replace("$SYS.REQ.SERVER.", "mon.req.SERVER.").replace(
            "$SYS.REQ.ACCOUNT.", "mon.req.ACCOUNT."
        )
        for line in own
        if "$SYS.REQ.SERVER.PING" not in line and ".IDZ" not in line
    ]
    found = capsys.readouterr().out.replace("'", "").splitlines()
    assert sorted(found) == sorted(line.replace("'", "") for line in renamed)
    assert any("mon.req.SERVER.*.VARZ" in line for line in found)


@pytest.mark.parametrize("prefix", ["mon.>", "mon req", ""])
def test_a_prefix_that_is_no_subject_is_refused(prefix, capsys):
    assert main(["permissions", "--sys-req-prefix", prefix]) == 3
    assert capsys.readouterr().err == (
        f"nats-insights: --sys-req-prefix is a subject, which {prefix!r} is not\n"
    )
