"""SYSTEM_902: servers that should be there were never seen."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from nats_insights.checks.system.expected_servers_missing import expected_servers_missing as check
from scenario import Story, System, cluster, dead, finding, found, hung, left, system

TWO = system(cluster(n1=1, n2=1))


def expecting(expect: int | list[str], given: System = TWO) -> System:
    """A system of which so many servers, or these, are expected."""
    return replace(given, expect=expect)


CASES = {
    "quiet when nobody expects any": (TWO, set()),
    "quiet when all are there": (expecting(2), set()),
    "fires when one is missing": (expecting(3), {"system"}),
    "quiet about one that died": (
        expecting(3, system(cluster(n1=1, n2=1, n3=dead))),
        set(),
    ),
    "quiet about one that hangs": (expecting(2, system(cluster(n1=1, n2=hung))), set()),
    "fires about one that left": (expecting(3, system(cluster(n1=1, n2=1, n3=left))), {"system"}),
    "quiet when all are there by name": (expecting(["n1", "C1/n2"]), set()),
    "fires when a name is missing": (expecting(["n1", "n9"]), {"system"}),
    "fires when it is in another cluster": (expecting(["C2/n1"]), {"system"}),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


SAID = {
    "by number": (5, "3 of 5 expected servers are not known", 2, {}),
    "by name": (
        ["n1", "x", "y"],
        "2 of 3 expected servers are not known: x, y",
        1,
        {"names": ["x", "y"]},
    ),
    "by as many names as fit": (
        ["a", "b", "c"],
        "3 of 3 expected servers are not known: a, b, c",
        0,
        {"names": ["a", "b", "c"]},
    ),
    "by many names": (
        ["a", "b", "c", "d"],
        "4 of 4 expected servers are not known: a, b, c, and others",
        0,
        {"names": ["a", "b", "c", "d"]},
    ),
}


@pytest.mark.parametrize(("expect", "said", "value", "evidence"), SAID.values(), ids=SAID)
def test_the_finding_has_the_numbers(expect, said, value, evidence):
    told = finding(check, expecting(expect))
    assert (told.summary, told.value, told.evidence) == (said, value, evidence)


def test_it_opens_after_two_epochs_and_resolves_when_the_server_comes():
    story = Story(checks=[check])
    three = system(cluster(n1=1, n2=1, n3=1))
    told = [story.hears(expecting(3, one)) for one in (TWO, TWO, TWO, three)]
    assert told == [[], ["opened SYSTEM_902 system"], [], ["resolved SYSTEM_902 system"]]
