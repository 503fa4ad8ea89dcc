"""SERVICE_001: instances of one service use different versions of the client library."""

from __future__ import annotations

import pytest

from nats_insights.checks.service.service_version_mismatch import (
    service_version_mismatch as check,
)
from nats_insights.testing import Server, Story, cluster, finding, found, hung, lone, system


def having(*libraries: str, service: str = "orders", account: str = "APP") -> Server:
    """A server with an instance for each of these client libraries."""
    return Server(services={f"{account} {service}": libraries})


ALIKE = system(cluster(n1=having("go 1.40.0", "go 1.40.0"), n2=having("go 1.40.0")))
MIXED = system(cluster(n1=having("go 1.40.0", "go 1.40.0"), n2=having("go 1.41.0")))
CASES = {
    "quiet when all are alike": (ALIKE, set()),
    "fires when one has another version": (MIXED, {"APP orders"}),
    "fires on one server": (system(lone(n1=having("go 1", "go 2"))), {"APP orders"}),
    "fires when one is in another language": (
        system(cluster(n1=having("go 1"), n2=having("python3 1"))),
        {"APP orders"},
    ),
    "quiet when another service has another one": (
        system(cluster(n1=having("go 1"), n2=having("go 2", service="bills"))),
        set(),
    ),
    "quiet when a service of that name in another account has another one": (
        system(cluster(n1=having("go 1"), n2=having("go 2", account="B"))),
        set(),
    ),
    "quiet when one does not tell its library": (
        system(cluster(n1=having("go 1"), n2=having(""))),
        set(),
    ),
    "quiet when a server hangs, which may have others": (
        system(cluster(n1=having("go 1", "go 2"), n2=hung)),
        set(),
    ),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


@pytest.mark.parametrize(("most", "expected"), [(2, {"APP orders"}), (3, set())])
def test_its_parameters_can_be_set(most, expected):
    given = system(lone(n1=having("go 1", "go 2", "rust 1")))
    config = f"[checks.service_version_mismatch]\nmost = {most}"
    assert found(check, given, config) == expected


def test_it_names_the_libraries():
    said = finding(check, MIXED)
    assert (said.summary, said.value, said.threshold, said.unit, said.evidence) == (
        "1 of 3 instances of service orders of account APP do not use go 1.40.0",
        2,
        1,
        "libraries",
        {"libraries": {"top": [["go 1.40.0", 2], ["go 1.41.0", 1]], "left_out": 0}},
    )


def test_it_opens_after_an_hour_and_resolves_when_all_are_alike():
    story = Story(checks=[check])
    told = [story.hears(MIXED, after=60.0) for _ in range(60)]
    assert told == [*[[]] * 59, ["opened SERVICE_001 APP orders"]]
    one_more = system(cluster(n1=having(*3 * ["go 1.40.0"]), n2=having("go 1.40.0", "go 1.40.0")))
    told = [story.hears(one_more, after=60.0) for _ in range(2)]
    assert told == [[], ["resolved SERVICE_001 APP orders"]]
