"""USER_902: the clients of one user come back again and again."""

from __future__ import annotations

import pytest

from nats_insights.checks.user.reconnect_storm import reconnect_storm as check
from nats_insights.replies.connz import Closed
from nats_insights.testing import (
    Server,
    Story,
    System,
    closed,
    cluster,
    finding,
    found,
    hung,
    system,
)

FAULT = "Maximum Message Payload Exceeded"


def ends(count: int, reason: str = FAULT, ago: float = 200.0, **fields) -> tuple[Closed, ...]:
    return count * (closed(reason, ago, **fields),)


def storm(*rows: Closed, in_all: int = 0) -> System:
    """Two servers, of which the first closed these connections, and keeps `in_all`."""
    return system(cluster(n1=Server(9, closed=rows, closed_in_all=in_all), n2=9))


MANY = 10_000
CASES = {
    "fires at ten faults per minute": (storm(*ends(50)), {"APP app"}),
    "quiet below": (storm(*ends(49)), set()),
    "fires at sixty ends per minute": (storm(*ends(300, "Client Closed")), {"APP app"}),
    "quiet below that": (storm(*ends(299, "Client Closed")), set()),
    "fires where the list covers two minutes only": (
        storm(*ends(20, ago=120.0), in_all=MANY),
        {"APP app"},
    ),
    "quiet where it covers a little more": (storm(*ends(20, ago=121.0), in_all=MANY), set()),
    "quiet about a burst of seconds": (storm(*ends(9, ago=1.0), in_all=MANY), set()),
    "fires for a burst that is long enough": (
        storm(*ends(10, ago=1.0), in_all=MANY),
        {"APP app"},
    ),
    "quiet about connections that lasted a minute": (storm(*ends(50, lasted=60.0)), set()),
    "fires below a minute": (storm(*ends(50, lasted=59.9)), {"APP app"}),
    "quiet about a rolling upgrade of its clients": (
        storm(*ends(500, "Client Closed", lasted=90_000.0)),
        set(),
    ),
    "quiet after five minutes": (storm(*ends(500, ago=300.1)), set()),
    "fires for five minutes": (storm(*ends(50, ago=300.0)), {"APP app"}),
    "quiet about many users with few each": (
        storm(*(row for n in range(50) for row in ends(9, authorized_user=f"u{n}"))),
        set(),
    ),
    "fires for several servers together": (
        system(cluster(n1=Server(9, closed=ends(25)), n2=Server(9, closed=ends(25)))),
        {"APP app"},
    ),
    "fires though the user has no connection now": (
        storm(*ends(50, account="B", authorized_user="bob")),
        {"B bob"},
    ),
    "quiet about two accounts with a user of the same name": (
        storm(*ends(49), *ends(49, account="B")),
        set(),
    ),
    "quiet about the system account": (storm(*ends(500, account="$SYS")), set()),
    "quiet about anonymous clients": (
        storm(
            *ends(500, authorized_user=""),
            *ends(500, account="$G", authorized_user="nats-a1B2c3D4"),
        ),
        set(),
    ),
    "quiet about refused logins, which are of no user": (
        storm(*ends(500, "Authentication Failure")),
        set(),
    ),
    "fires on what is seen, though a server hangs": (
        system(cluster(n1=Server(9, closed=ends(50)), n2=hung)),
        {"APP app"},
    ),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


SETTINGS = {
    "failed = 20": set(),
    "failed = 19": {"APP app"},
    "lasted = '5s'": set(),
    "lasted = '6s'": {"APP app"},
    "window = '199s'": set(),
    "ended = 19": {"APP app"},
}


@pytest.mark.parametrize(("setting", "expected"), SETTINGS.items(), ids=SETTINGS)
def test_its_parameters_can_be_set(setting, expected):
    config = f"[checks.reconnect_storm]\n{setting}"
    assert found(check, storm(*ends(98)), config) == expected


def test_it_says_how_often_and_why():
    said = finding(check, storm(*ends(90, ip="::1"), *ends(10, "Stale Connection")))
    assert (said.summary, said.value, said.threshold, said.unit, said.severity) == (
        "clients of user app of account APP came back 20 times per minute; 90 of the last 100 "
        "connections ended as Maximum Message Payload Exceeded",
        20,
        10,
        "/min",
        2,
    )
    assert said.evidence["by_reason"]["top"] == [[FAULT, 90], ["Stale Connection", 10]]
    assert said.evidence["closed"]["left_out"] == 90


def test_ends_without_a_fault_are_for_information():
    said = finding(check, storm(*ends(49), *ends(310, "Client Closed")))
    assert (said.value, said.severity, said.evidence["by_reason"]["top"][0][0]) == (
        71.8,
        1,
        "Client Closed",
    )


def test_its_life():
    story = Story(checks=[check])
    counts = (50, 50, 40, 39, 39)
    told = [story.hears(storm(*ends(count)), after=600.0) for count in counts]
    assert told == [[], ["opened USER_902 APP app"], [], [], ["resolved USER_902 APP app"]]


def test_it_resolves_when_the_user_is_no_longer_listed():
    story = Story(checks=[check])
    for _ in range(2):
        story.hears(storm(*ends(50)), after=600.0)
    assert [story.hears(storm(), after=600.0) for _ in range(2)] == [
        [],
        ["resolved USER_902 APP app"],
    ]
    (told,) = story.told
    assert told.reason == "entity_gone"
