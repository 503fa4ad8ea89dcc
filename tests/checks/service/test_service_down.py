"""SERVICE_002: a micro service has no instance any more."""

from __future__ import annotations

import pytest

from nats_insights.checks.service.service_down import service_down as check
from nats_insights.testing import (
    Server,
    Story,
    cluster,
    dead,
    finding,
    found,
    hung,
    left,
    lone,
    system,
    then,
)

MINUTE, HOUR = 60.0, 3600.0
NONE = Server(users={"APP app": 1})


def running(*services: str) -> Server:
    """A server with one instance of each service, as "ACCOUNT service", and another client."""
    return Server(users={"APP app": 1}, services=dict.fromkeys(services, ("go 1.40.0",)))


UP = running("APP orders")
ON_N2 = system(cluster(n1=NONE, n2=UP))
NOWHERE = system(cluster(n1=NONE, n2=NONE))
AGAIN = system(cluster(n1=UP, n2=NONE))
# So far apart that nothing is new, or lapsed.
EVERY = {"every": HOUR / 2}


def after(*systems, every=9 * MINUTE):
    """It ran for an hour and more before."""
    return then(*[ON_N2] * 8, *systems, every=every)


CASES = {
    "quiet while it runs": (after(), set()),
    "fires when it has no instance any more": (after(NOWHERE), {"APP orders"}),
    "quiet when it moved to another server": (after(AGAIN), set()),
    "quiet when it has another instance": (
        then(*[system(cluster(n1=UP, n2=UP))] * 8, ON_N2, every=9 * MINUTE),
        set(),
    ),
    "fires when its server was shut down with it": (
        after(system(cluster(n1=NONE, n2=left))),
        {"APP orders"},
    ),
    "quiet when its server hangs": (after(system(cluster(n1=NONE, n2=hung))), set()),
    "fires when its server died with it": (
        after(*[system(cluster(n1=NONE, n2=dead, n3=NONE))] * 3),
        {"APP orders"},
    ),
    "quiet when another server hangs, which may have it": (
        after(system(cluster(n1=hung, n2=NONE))),
        set(),
    ),
    "fires for each account by itself": (
        then(
            *[system(lone(n1=running("APP orders", "B orders"), n2=NONE))] * 8,
            system(lone(n1=running("B orders"), n2=NONE)),
            every=9 * MINUTE,
        ),
        {"APP orders"},
    ),
    "quiet when it ran for less than an hour": (
        then(*[ON_N2] * 7, NOWHERE, every=9 * MINUTE),
        set(),
    ),
    "quiet after a few minutes": (after(NOWHERE, every=299.0), set()),
    "quiet where nothing was ever seen": (then(NOWHERE, NOWHERE), set()),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ('within = "1h"', {"APP orders"}),
        ('within = "61m"', set()),
        ('known_for = "4h"', {"APP orders"}),
        ('known_for = "5h"', set()),
    ],
)
def test_its_parameters_can_be_set(setting, expected):
    config = f"[checks.service_down]\n{setting}"
    # Ten minutes without a reading are a lapse, so it ran for all four hours.
    given = then(*[ON_N2] * 33, *[NOWHERE] * 8, every=7.5 * MINUTE)
    assert found(check, given, config) == expected


def test_as_in_the_catalogue_it_needs_neither_an_hour_nor_five_minutes():
    assert found(check, then(ON_N2, NOWHERE, every=MINUTE), 'profile = "insights"') == {
        "APP orders"
    }


def test_it_says_how_long_and_where_it_ran_last():
    three = system(cluster(n1=UP, n2=Server(services={"APP orders": ("go 1", "go 2")})))
    said = finding(check, then(*[three] * 8, NOWHERE, every=9 * MINUTE))
    assert (said.summary, said.value, said.threshold, said.unit, said.evidence) == (
        "service orders of account APP has had no instance for 9 minutes; it had 3",
        540.0,
        300.0,
        "s",
        {"instances_before": 3, "servers_before": ["n1", "n2"]},
    )


def story() -> Story:
    """An agent that has seen it for an hour."""
    story = Story(checks=[check])
    for _ in range(61):
        assert story.hears(ON_N2, after=MINUTE) == []
    return story


def test_it_opens_after_five_minutes_and_resolves_when_it_is_back():
    heard = story()
    told = [heard.hears(one, after=MINUTE) for one in (*[NOWHERE] * 6, AGAIN)]
    opened, resolved = ["opened SERVICE_002 APP orders"], ["resolved SERVICE_002 APP orders"]
    assert told == [*[[]] * 5, opened, resolved]
    assert heard.told[0].life.summary == "service orders of account APP has an instance again"


def test_it_ends_after_a_day():
    heard = story()
    told = [heard.hears(NOWHERE, after=HOUR) for _ in range(26)]
    assert [one for some in told for one in some if "updated" not in one][-1:] == [
        "resolved SERVICE_002 APP orders"
    ]
    assert told[-1] == [] != told[-3]
    assert heard.told == []


@pytest.mark.parametrize("endpoint", ["STATZ", "CONNZ_SERVICES", "VARZ"])
@pytest.mark.parametrize("server", ["n1", "n2"])
def test_a_lost_reply_is_no_end(server, endpoint):
    heard = story()
    moved = system(cluster(n1=Server(services=UP.services, accepted=9), n2=NONE))
    told = [heard.hears(moved, [(server, endpoint)], after=MINUTE) for _ in range(9)]
    assert told == [[]] * 9


def test_a_restart_of_all_instances_is_no_end():
    heard = story()
    for _ in range(20):
        assert heard.hears(NOWHERE, after=MINUTE) == []
        assert heard.hears(ON_N2, after=MINUTE) == []


def test_many_at_once_are_one_finding():
    names = [f"APP s{i}" for i in range(6)]
    many = Story(checks=[check])
    for _ in range(61):
        many.hears(system(cluster(n1=running(*names), n2=NONE)), after=MINUTE)
    told = [many.hears(NOWHERE, after=MINUTE) for _ in range(7)]
    assert [one for some in told for one in some] == ["opened SERVICE_002 system"]
