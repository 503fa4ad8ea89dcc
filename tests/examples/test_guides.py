"""The pages on permissions, alerting and history: what they show exists, and does what they say."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from kit.programs import EXAMPLES
from nats_insights import checks, subjects
from nats_insights.__main__ import parser
from nats_insights.facts import Cost, Coverage
from nats_insights.judge.declare import discover
from nats_insights.tell.messages import AgentInfo, Heartbeat, OpenCounts
from scenario import FOUNDING, OF_SILENCE, Server, Story, cluster, hung, system

DOCS = Path(__file__).parents[2] / "docs"
PERMISSIONS = (DOCS / "permissions.md").read_text()
ALERTING = (DOCS / "alerting.md").read_text()
HISTORY = (DOCS / "history.md").read_text()
PAGES = {"permissions": PERMISSIONS, "alerting": ALERTING, "history": HISTORY}
FINGERPRINT = "0123456789abcdef0123456789abcdef"


def matches(filter: str, subject: str) -> bool:
    """Whether a server would deliver this subject to a subscription on this filter."""
    pattern = re.escape(filter).replace(r"\*", r"[^.]+").replace(">", ".+")
    return bool(re.fullmatch(pattern, subject))


def rows(page: str) -> list[list[str]]:
    """The rows of all tables, cell by cell."""
    return [line.strip("| ").split(" | ") for line in re.findall(r"^\| .*", page, re.M)]


def test_each_permission_has_its_row_and_no_other():
    granted = re.findall(
        r'^  "(.+)"', (EXAMPLES / "servers/agent-permissions.conf").read_text(), re.M
    )
    explained = re.findall(r"^\| `(.+?)`", PERMISSIONS, re.M)
    assert sorted(explained) == sorted(granted)


def test_the_checks_that_a_row_names_need_what_it_is_about():
    known = discover(checks)
    needs = {check.name: {endpoint.name for endpoint in check.endpoints} for check in known}
    named = [
        (name, endpoint)
        for subject, _, lost in rows(PERMISSIONS)
        for endpoint in re.findall(r"\.([A-Z]+)`", subject)
        for name in re.findall(r"such as `(\w+)`", lost)
    ]
    assert len(named) == 5
    assert [pair for pair in named if pair[1] not in needs[pair[0]]] == []


OF_N1 = subjects.advisory("warning", "SERVER", "EU", "n1", "SERVER_011", FINGERPRINT)
OF_DOTS = subjects.advisory("info", "SERVER", "EU", "n1.example.com", "OPT_BALANCE_002", "0" * 32)
OF_BILLING = subjects.advisory("critical", "ACCOUNT", "", "BILLING", "USER_002", "1" * 32)
WANTED = {
    "everything critical": {OF_BILLING},
    "warnings and worse": {OF_N1},
    "everything in cluster `EU`": {OF_N1, OF_DOTS},
    "everything about server `n1`": {OF_N1},
    "one account": {OF_BILLING},
    "one check": {OF_DOTS},
    "one finding, until it resolves": {OF_N1},
}
FILTERS = {
    wish: re.findall(r"`(\$.+?)`", cell)[0].replace("<fingerprint>", FINGERPRINT)
    for wish, cell in rows(ALERTING)
    if "$INSIGHTS" in cell
}


@pytest.mark.parametrize("wish", [*FILTERS, *(WANTED.keys() - FILTERS)])
def test_each_filter_delivers_what_is_wanted(wish):
    delivered = {one for one in (OF_N1, OF_DOTS, OF_BILLING) if matches(FILTERS[wish], one)}
    assert delivered == WANTED[wish]


def test_a_name_with_dots_is_encoded_as_shown():
    shown = re.findall(r"server `(\S+\.com)` is `(\S+)`", ALERTING)
    assert [subjects.token(name) for name, _ in shown] == [token for _, token in shown]
    assert len(shown) == 1


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_the_commands_it_shows_exist(page):
    shown = re.findall(r"^nats-insights (.+)$|`nats-insights (.+?)`", page, re.M)
    assert shown
    for command in shown:
        assert parser().parse_args(shlex.split("".join(command)))


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_in_a_shell_it_quotes_subjects(page):
    for block in re.findall(r"```sh\n(.*?)```", page, re.S):
        assert "$" not in re.sub(r"'[^']*'|\$\(", "", block)


EXAMPLES_SHOWN = [
    block for block in re.findall(r"```sh\n(.*?)```", ALERTING, re.S) if "python examples/" in block
]


@pytest.mark.parametrize("block", EXAMPLES_SHOWN)
def test_the_examples_are_run_as_shown_and_take_the_context(block, tmp_path):
    context = tmp_path / "nats" / "context" / "ops.json"
    context.parent.mkdir(parents=True)
    context.write_text(json.dumps({"url": "nats://127.0.0.1:1"}))
    clean = {key: value for key, value in os.environ.items() if not key.startswith("NATS_")}
    path = f"{Path(sys.executable).parent}:{clean['PATH']}"
    done = subprocess.run(
        ["bash", "-c", block],
        cwd=DOCS.parent,
        env=clean | {"XDG_CONFIG_HOME": str(tmp_path), "PATH": path},
        capture_output=True,
        text=True,
    )
    shown = block.count("python examples/")
    assert done.stderr == shown * "nats://127.0.0.1:1 cannot be reached: Connection refused\n"
    assert done.returncode == 1


def test_every_example_for_alerting_is_shown():
    shown = {name for block in EXAMPLES_SHOWN for name in re.findall(r"examples/(\w+\.py)", block)}
    assert shown == {file.name for file in EXAMPLES.glob("*.py")}


@pytest.mark.skipif(shutil.which("jq") is None, reason="no jq on this machine")
def test_the_servers_that_do_not_answer_are_taken_from_heartbeats_of_the_leader():
    (filter,) = re.findall(r"jq -c '(.+?)'", ALERTING)
    beats = [
        Heartbeat(
            id="0" * 32,
            timestamp=datetime.now(UTC),
            agent=AgentInfo(id="a", instance="i", version="1", epoch=7, role=role),
            coverage=Coverage(servers_known=3, servers_answered=2, missing=missing),
            interval_seconds=30,
            silent_after_seconds=100,
            leading_since=None,
            open=OpenCounts(),
            cost=Cost(),
        )
        for role, missing in (("standby", []), ("leader", ["n3"]))
    ]
    done = subprocess.run(
        ["jq", "-c", filter],
        input=b"\n".join(map(msgspec.json.encode, beats)),
        capture_output=True,
        check=True,
    )
    assert done.stdout == b'["n3"]\n'


def test_the_overrides_that_silence_do_so_where_their_labels_match():
    (block,) = re.findall(r"```toml\n(.*?)```", ALERTING, re.S)
    story = Story(block, (FOUNDING | OF_SILENCE).values())
    n1 = Server(users={"BILLING app": 150, "ORDERS app": 150})
    for n2, n4 in ((0, 0), (hung, hung)):
        test, live = cluster("TEST1", n1=n1, n2=n2, n5=0), cluster("LIVE", n3=0, n4=n4, n6=0)
        story.hears(system(test, live))
    found = {
        (life.key.code, life.entity.get("account") or life.entity["name"], str(life.severity))
        for life in story.lives.values()
    }
    silenced = {"USER_002", "SERVER_901"}
    assert {one for one in found if one[0] in silenced} == {
        ("USER_002", "ORDERS", "warning"),
        ("SERVER_901", "n2", "info"),
        ("SERVER_901", "n4", "warning"),
    }
