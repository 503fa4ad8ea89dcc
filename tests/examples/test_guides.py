"""The pages on permissions and on alerting: what they show is there, and does what they say."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from kit.programs import EXAMPLES
from nats_insights import checks, subjects
from nats_insights.__main__ import parser
from nats_insights.judge.declare import discover

DOCS = Path(__file__).parents[2] / "docs"
PERMISSIONS = (DOCS / "permissions.md").read_text()
ALERTING = (DOCS / "alerting.md").read_text()
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
    needs = {check.name: check.needs for check in discover(checks)}
    named = [
        (name, endpoint)
        for subject, _, lost in rows(PERMISSIONS)
        for endpoint in re.findall(r"\.([A-Z]+)`", subject)
        for name in re.findall(r"such as `(\w+)`", lost)
    ]
    assert len(named) == 4
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


@pytest.mark.parametrize("page", [PERMISSIONS, ALERTING], ids=["permissions", "alerting"])
def test_the_commands_it_shows_exist(page):
    shown = re.findall(r"^nats-insights (.+)$|`nats-insights (.+?)`", page, re.M)
    assert shown
    for command in shown:
        assert parser().parse_args(shlex.split("".join(command)))


@pytest.mark.parametrize("page", [PERMISSIONS, ALERTING], ids=["permissions", "alerting"])
def test_in_a_shell_it_quotes_subjects(page):
    for block in re.findall(r"```sh\n(.*?)```", page, re.S):
        assert "$" not in re.sub(r"'[^']*'|\$\(", "", block)
