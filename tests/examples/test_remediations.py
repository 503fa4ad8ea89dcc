"""What a check says is to be done stands alone in an alert, a chat or a pager."""

from __future__ import annotations

import re
import shlex

import pytest

from nats_insights import checks
from nats_insights.__main__ import parser
from nats_insights.judge.declare import discover

TEXTS = {
    check.code: check.remediation({name: name for name in re.findall(r"{(\w+)}", check.do)})
    for check in discover(checks)
}
# Places that an alert does not have. "above all" is no place.
ELSEWHERE = re.compile(r"\b(below|above(?! all)|evidence|heartbeat|this page|following|see also)\b")


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_it_points_to_nothing_that_an_alert_does_not_have(text):
    assert ELSEWHERE.findall(text) == []


COMMANDS = [
    (code, command)
    for code, text in TEXTS.items()
    for command in re.findall(r"`nats-insights (.+?)`", text)
]


@pytest.mark.parametrize(("code", "command"), COMMANDS)
def test_the_commands_in_it_exist_and_are_about_this_check(code, command):
    args = parser().parse_args(shlex.split(command))
    assert getattr(args, "code", None) in (None, code)
