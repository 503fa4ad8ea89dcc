"""USER_901: the idle connections of one user only ever grow."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nats_insights.checks.user.connection_leak import Leak, idle_by_user
from nats_insights.checks.user.connection_leak import connection_leak as check
from nats_insights.model.fold import Sweep
from nats_insights.replies.connz import Page
from nats_insights.replies.fields import ServerInfo
from nats_insights.testing import (
    Epochs,
    Server,
    Story,
    System,
    cluster,
    finding,
    found,
    hung,
    row,
    system,
    then,
)

EVERY, DAY = 4 * 3600.0, 7


def idle(count: int, idle: str = "1h0m1s", user: str = "app", busy: int = 50) -> Server:
    """A server with so many idle connections of a user, and busy ones."""
    rows = count * (row(idle=idle, authorized_user=user),) + busy * (row(idle="3s"),)
    return Server(rows=rows)


def day(*ends: int, start: int = 100) -> Epochs:
    """A day of surveys that ends with so many idle connections."""
    counts = [start] * (DAY - len(ends)) + [*ends]
    return then(*(system(cluster(n1=idle(count), n2=5)) for count in counts), every=EVERY)


def doubled(server: Callable[[int], Server], looks: int = DAY) -> Epochs:
    """Surveys of a server with 100 of something, which at the last one are 200."""
    counts = [*(looks - 1) * [100], 200]
    return then(*(system(cluster(n1=server(count))) for count in counts), every=EVERY)


def lonely(count: int) -> Server:
    """A server with so many users that have one idle connection each."""
    rows = [row(idle="9h0m0s", authorized_user=f"user {n}") for n in range(count)]
    return Server(rows=tuple(rows))


CASES = {
    "fires at half as many more in a day": (day(150), {"APP app"}),
    "quiet below that": (day(149), set()),
    "fires for a slow growth": (day(*range(100, 151, 10)), {"APP app"}),
    "quiet where it fell once": (day(150, 149, 160), set()),
    "quiet below a hundred": (day(99, start=20), set()),
    "fires at a hundred": (day(100, start=20), {"APP app"}),
    "quiet about those idle for an hour": (doubled(lambda n: idle(n, "1h0m0s")), set()),
    "fires a second later": (doubled(idle), {"APP app"}),
    "quiet until it was looked at for a day": (doubled(idle, looks=5), set()),
    "quiet about busy connections": (doubled(lambda n: idle(0, busy=n)), set()),
    "quiet about users with one connection each": (doubled(lonely), set()),
    "quiet about clients without a user": (doubled(lambda n: idle(n, user="")), set()),
    "fires for several servers together": (
        then(
            *(system(cluster(n1=idle(50), n2=idle(n))) for n in [*(DAY - 1) * [50], 100]),
            every=EVERY,
        ),
        {"APP app"},
    ),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


SETTINGS = {
    "connections = 161": set(),
    "connections = 160": {"APP app"},
    "growth = 60.1": set(),
    "growth = 60": {"APP app"},
    "idle = '1h1s'": set(),
    "window = '2d'": set(),
}


@pytest.mark.parametrize(("setting", "expected"), SETTINGS.items(), ids=SETTINGS)
def test_its_parameters_can_be_set(setting, expected):
    assert found(check, day(160), f"[checks.connection_leak]\n{setting}") == expected


def test_it_says_who_and_where():
    said = finding(check, day(120, 200))
    assert (said.summary, said.value, said.threshold, said.unit, said.servers) == (
        "user app of account APP has 200 idle connections, 100 % more than 24 hours ago",
        100.0,
        50.0,
        "%",
        ("n1",),
    )
    assert said.evidence == {"before": 100, "by_server": {"top": [["n1", 200]], "left_out": 0}}


def test_a_survey_without_a_server_ends_nothing():
    story = Story(checks=[check])
    both = [system(cluster(n1=idle(n), n2=idle(n))) for n in [*(DAY - 1) * [50], 80]]
    assert story.hears(then(*both, every=EVERY)) == ["opened USER_901 APP app"]
    for last in (hung, *(DAY - 1) * [idle(80)]):
        told = story.hears(system(cluster(n1=idle(80), n2=last)), after=EVERY)
        assert "resolved USER_901 APP app" not in told


def test_a_user_with_one_idle_connection_on_a_server_is_not_counted():
    sweep = Sweep({idle_by_user: Leak()}, frozenset())
    rows = [*lonely(3).rows, *idle(2).rows]
    sweep.page(Page(ServerInfo(), rows, len(rows)))
    assert sweep.parts[idle_by_user] == {("APP", "app"): 2}


def test_a_silent_server_is_no_fall_and_a_restart_ends_it():
    story = Story(checks=[check])
    assert story.hears(day(150)) == ["opened USER_901 APP app"]
    silent = system(cluster(n1=idle(0), n2=hung))
    assert story.hears(silent, after=EVERY) == ["reminded USER_901 APP app"]
    again = system(cluster(n1=idle(155), n2=5))
    assert story.hears(again, after=EVERY) == ["reminded USER_901 APP app"]
    restarted = system(cluster(n1=idle(0), n2=5))
    assert story.hears(restarted, after=EVERY) == ["resolved USER_901 APP app"]


def test_between_surveys_nothing_is_recorded():
    story = Story(checks=[check])
    given: System = day(150).last
    for after in (EVERY, 30.0, 30.0):
        story.hears(given, after=after)
    (table,) = story.auditor.history.plain().samples.values()
    assert [len(series.points) // 16 for _, series in table] == [1]
    assert story.audit.outcomes["USER_901"].not_due


def test_a_user_is_called_by_the_name_in_its_jwt():
    key = "U" + 55 * "A"
    servers = [
        Server(rows=idle(count, user=key).rows, names={key: "pump"})
        for count in (*(DAY - 1) * [100], 200)
    ]
    story = Story(checks=[check])
    # The name is read when the finding is there, and told with it from then on.
    story.hears(then(*(system(cluster(n1=one)) for one in [*servers, servers[-1]]), every=EVERY))
    (life,) = story.lives.values()
    assert life.entity["name"] == "pump"
