"""What the checks of this program say of their defaults and of the public catalogue."""

from __future__ import annotations

import re

import pytest

from nats_insights import checks
from nats_insights.judge.declare import discover, parameters_of
from nats_insights.tell.catalogue import CATALOGUE

CHECKS = {check.code: check for check in discover(checks)}


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_each_check_with_a_limit_says_why_its_default_is_where_it_is(check):
    limited = any(parameter.when for parameter in parameters_of(check.params))
    assert bool(check.default) >= limited
    assert re.fullmatch(r"(.{30,160}\.)?", check.default)


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_each_check_of_the_catalogue_says_how_it_compares(check):
    said = r"(Same|(Corrected|Wider): .{10,140})\." if check.code in CATALOGUE else ""
    assert re.fullmatch(said, check.catalogue)


def test_the_catalogue_has_a_title_and_known_severities_for_each_code():
    for code, listed in CATALOGUE.items():
        assert (listed.code, bool(listed.title)) == (code, True)
        assert {*listed.severity.split("/")} <= {"info", "warning", "critical"}
