"""The judge of the random sequence finds each kind of lie, and leaves the truth alone."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from tests.chaos import judge
from tests.chaos.judge import EPOCH, GRACE, Said, Truth
from tests.chaos.model import Key, Load, Moment, Place, User, readings

from kit.told import heartbeat
from nats_insights.tell.messages import AgentInfo, Heartbeat

APP: User = ("APP", "app")
BIG: User = ("BIG", "big")
LEAK = Key("USER_002", "big", "warning")


def place(limit: int = 200, views: str = "WHOLE", **connections: int) -> Place:
    """A server: `app` and `big` have so many connections, with two subscriptions each."""
    users = {"app": APP, "big": BIG}
    held = {users[name]: Load(count, 2 * count) for name, count in connections.items()}
    return Place(held, limit, frozenset(views.split()))  # type: ignore[arg-type]


def cluster(at: float, *, honest: bool = True, **places: Place) -> Moment:
    """A moment of a cluster of three; servers that are not told have 12 connections of `app`."""
    return Moment(at, {name: place(app=12) for name in ("n1", "n2", "n3")} | places, honest)


def leaking(at: float, *, count: int = 105, views: str = "WHOLE", honest: bool = True) -> Moment:
    return cluster(at, n2=place(app=12, big=count, views=views), honest=honest)


def said(transition: str, at: float, **more: object) -> Said:
    """An advisory about the user `big`, heard half a second after its epoch began."""
    default = {"code": "USER_002", "name": "big", "severity": "warning", "heard": at + 0.5}
    return Said(at=at, transition=transition, **(default | more))


def kinds(violations) -> list[str]:
    return [violation.kind for violation in violations]


def reading(moment: Moment, *key: str):
    return readings(moment)[Key(*key)]


@pytest.mark.parametrize(
    ("places", "key", "value"),
    [
        ({"n1": {"app": 158}}, ("SERVER_011", "n1", "warning"), 80.0),
        ({"n1": {"app": 188}}, ("SERVER_011", "n1", "critical"), 95.0),
        ({"n1": {"big": 51}, "n3": {"big": 50}}, LEAK, 101),
        ({"n1": {"app": 48}}, ("OPT_BALANCE_002", "n1", "info"), 2.0),
        ({"n1": {"app": 60}}, ("OPT_BALANCE_003", "n1", "info"), 2.14),
        ({"n1": {"big": 10}}, ("OPT_BALANCE_006", "BIG", "info"), 100.0),
    ],
)
def test_a_condition_of_each_code_is_met_at_its_limit(places, key, value):
    moment = cluster(0, **{name: place(**held) for name, held in places.items()})
    found = reading(moment, *key)
    assert found.may_be_met
    assert found.most == pytest.approx(value, abs=1.01)


def test_guests_may_be_on_a_server_or_on_all_others():
    known = cluster(0, n1=place(app=48))
    guested = Moment(0, known.places, guests=4)
    hot = ("OPT_BALANCE_002", "n1", "info")
    assert reading(known, *hot).is_met
    found = reading(guested, *hot)
    assert (found.may_be_met, found.is_met) == (True, False)
    assert (found.least, found.most) == pytest.approx((48 * 3 / 80, 52 * 3 / 76))
    full = ("SERVER_011", "n1", "warning")
    assert reading(guested, *full).most == pytest.approx(100 * (48 + 2 * 4) / 200)
    assert reading(guested, *full).least == pytest.approx(100 * 48 / 200)


def test_a_condition_between_its_limits_is_neither_met_nor_over():
    found = reading(leaking(0, count=95), *LEAK)
    assert (found.may_be_met, found.may_be_over) == (False, False)


@pytest.mark.parametrize(
    ("views", "met", "over"),
    [
        ("WHOLE", True, False),
        ("WHOLE ASIDE", True, False),
        ("WHOLE ASIDE ABSENT", True, True),
        ("EMPTY", False, True),
    ],
)
def test_what_a_dead_server_held_counts_until_it_may_be_gone(views, met, over):
    found = reading(leaking(0, views=views), *LEAK)
    assert (found.may_be_met, found.may_be_over) == (met, over)


def test_a_mean_may_leave_a_dead_server_out_and_findings_about_it_stay():
    moment = cluster(0, n1=place(app=20), n2=place(app=100, views="WHOLE ASIDE"), n3=place())
    assert reading(moment, "OPT_BALANCE_002", "n1", "info").may_be_met
    assert reading(moment, "OPT_BALANCE_002", "n2", "info").is_met
    assert reading(moment, "SERVER_011", "n2", "warning").least == 50


QUIET, LEAKS = cluster(0), leaking(100)


@pytest.mark.parametrize(
    "told",
    [
        said("opened", 99.8, value=105),  # It came while the epoch went on.
        said("opened", 150, value=105),
        said("updated", 150, value=105),
        said("reminded", 150, value=105),
        said("resolved", 200.3, reason="condition_cleared"),
        said("resolved", 199.9, reason="condition_cleared"),
        said("resolved", 150, reason="severity_changed"),
        said("reminded", 220, value=105, stale=199 + EPOCH),
        said("opened", 150, value=101, missing=("n1",)),
    ],
)
def test_what_was_true_at_some_moment_of_its_epoch_is_no_lie(told):
    truth = Truth([QUIET, LEAKS, cluster(200)])
    assert not list(judge.lies([told], truth))


@pytest.mark.parametrize(
    "told",
    [
        said("opened", 50, value=105),
        said("opened", 99 - GRACE, value=105, heard=99.5 - GRACE),
        said("updated", 50, value=105),
        said("reminded", 201 + GRACE, value=105),
        said("reminded", 220, value=105, stale=201 + EPOCH),
        said("resolved", 150, reason="condition_cleared"),
        said("resolved", 150, reason="entity_gone"),
        said("opened", 150, value=140),
        said("opened", 150, value=102),
        said("reminded", 199, value=45, missing=("n1",)),
        # What is published late does not become true by that.
        said("opened", 90 - EPOCH, value=105, heard=150),
    ],
)
def test_what_was_not_true_at_any_moment_of_its_epoch_is_a_lie(told):
    truth = Truth([QUIET, LEAKS, cluster(200)])
    assert kinds(judge.lies([told], truth)) == ["lie"]


def test_resolving_what_a_dead_server_held_is_a_lie_until_it_may_be_gone():
    dead = [leaking(0), leaking(10, views="WHOLE ASIDE"), leaking(20, views="WHOLE ASIDE ABSENT")]
    early, late = (said("resolved", at, reason="entity_gone") for at in (15, 21))
    assert kinds(judge.lies([early], Truth(dead))) == ["lie"]
    assert not list(judge.lies([late], Truth(dead)))


def test_critical_is_a_lie_where_only_a_warning_was_true():
    full = cluster(0, n1=place(app=170))
    about = {"code": "SERVER_011", "name": "n1", "value": 85.5}
    warning = said("opened", 5, **about)
    critical = said("opened", 5, **about | {"severity": "critical"})
    assert not list(judge.lies([warning], Truth([full])))
    assert kinds(judge.lies([critical], Truth([full]))) == ["lie"]


def test_a_figure_may_be_too_low_while_replies_are_tampered_with():
    truth = Truth([leaking(0, honest=False)])
    assert not list(judge.lies([said("updated", 5, value=101)], truth))
    assert kinds(judge.lies([said("updated", 5, value=110)], truth)) == ["lie"]


def story(*transitions: tuple[str, int]) -> list[Said]:
    return [
        said(transition, 10 * number, revision=revision)
        for number, (transition, revision) in enumerate(transitions)
    ]


@pytest.mark.parametrize(
    ("told", "gaps"),
    [
        (story(("opened", 1), ("reminded", 2), ("resolved", 3), ("opened", 1)), 0),
        (story(("opened", 1), ("resolved", 4)), 2),
        (story(("reminded", 2), ("resolved", 3)), 1),
    ],
)
def test_a_story_with_lost_parts_is_whole_and_the_gaps_are_counted(told, gaps):
    assert not list(judge.broken_stories(told))
    assert judge.lost(told) == gaps


@pytest.mark.parametrize(
    "told",
    [
        story(("opened", 1), ("opened", 1)),
        story(("opened", 1), ("resolved", 2), ("reminded", 3)),
        story(("opened", 1), ("resolved", 2), ("resolved", 3)),
        story(("opened", 1), ("reminded", 2), ("updated", 2)),
        story(("resolved", 1)),
        story(("opened", 2)),
    ],
)
def test_a_story_that_makes_no_sense_is_found(told):
    assert kinds(judge.broken_stories(told)) == ["story"]


def test_clients_that_move_may_count_on_both_servers_or_on_none():
    def on(at: float, **held: int) -> Moment:
        return cluster(at, **{name: place(big=count) for name, count in held.items()})

    moves = Truth([on(0, n1=60, n2=60), on(10.1, n1=60), on(10.2, n1=60, n3=60), on(20, n1=60)])
    for transition, value in (("updated", 180), ("opened", 180), ("updated", 120)):
        assert not list(judge.lies([said(transition, 10, value=value, revision=2)], moves))
    assert not list(judge.lies([said("resolved", 10, revision=2)], moves))
    assert kinds(judge.lies([said("updated", 10, value=181, revision=2)], moves)) == ["lie"]
    assert kinds(judge.lies([said("resolved", 5, revision=2)], moves)) == ["lie"]
    assert kinds(judge.lies([said("opened", 25, value=120)], moves)) == ["lie"]


def test_an_opening_that_nobody_heard_is_no_fault_of_the_story():
    told = [said("resolved", 5, revision=4, opened_at=1), said("resolved", 9, revision=2)]
    assert kinds(judge.broken_stories(told)) == []
    told[1] = said("resolved", 9, revision=5, opened_at=1)
    assert kinds(judge.broken_stories(told)) == ["story"]


def test_a_successor_may_not_know_what_an_agent_told_that_could_not_save_it():
    unsaved = {"code": "AGENT_009", "name": "a", "agent": "a"}
    before = said("opened", 1, id="1", agent="a")
    again = said("opened", 5, id="2", agent="b")
    failing, saved = said("opened", 0, id="3", **unsaved), said("resolved", 0.5, id="4", **unsaved)
    assert kinds(judge.broken_stories([before, again])) == ["story"]
    assert kinds(judge.broken_stories([failing, before, again])) == []
    assert kinds(judge.broken_stories([failing, saved, before, again])) == ["story"]
    itself = said("opened", 5, id="2", agent="a")
    assert kinds(judge.broken_stories([failing, before, itself])) == ["story"]


def test_a_change_of_severity_ends_one_story_and_begins_another():
    about = {"code": "SERVER_011", "name": "n1", "reason": "severity_changed"}
    told = [
        said("opened", 0, **about | {"reason": "condition_met"}),
        said("resolved", 10, revision=2, **about),
        said("opened", 10, revision=3, **about | {"severity": "critical"}),
    ]
    assert not list(judge.broken_stories(told))
    assert judge.open_at(told, 20) == {("SERVER_011", "n1"): "critical"}


def test_what_was_true_throughout_the_calm_and_is_not_told_is_missed():
    truth = Truth([LEAKS])
    opened, resolved = said("opened", 101), said("resolved", 102, revision=2)
    for told in ([], [opened, resolved], [said("opened", 120)]):
        found = {v.what.split()[1] for v in judge.untold(told, truth, 105, 115)}
        assert "USER_002" in found
    assert "USER_002" not in str(list(judge.untold([opened], truth, 105, 115)))
    # Not so if it began only then.
    assert not list(judge.untold([], Truth([QUIET, LEAKS]), 95, 115))


def test_what_was_over_throughout_the_calm_and_is_still_told_is_kept():
    truth = Truth([leaking(0), cluster(100)])
    opened = said("opened", 10)
    assert kinds(judge.untold([opened], truth, 105, 115)) == ["kept"]
    resolved = said("resolved", 110, revision=2)
    assert not list(judge.untold([opened, resolved], truth, 105, 115))


def test_a_critical_state_that_is_told_as_a_warning_is_missed():
    truth = Truth([cluster(0, n1=place(app=194), n2=place(app=190), n3=place(app=190))])
    warnings = [
        said("opened", 1, code="SERVER_011", name=name, severity=severity)
        for name, severity in (("n1", "warning"), ("n2", "critical"), ("n3", "critical"))
    ]
    (missed,) = judge.untold([*warnings, said("opened", 1, name="app")], truth, 5, 15)
    assert missed.what.startswith("critical SERVER_011 n1")


def beats(*said: tuple[float, str, str]) -> list[tuple[float, Heartbeat]]:
    """Heartbeats: when, of which agent (and which of its processes), and its role."""
    found = []
    for at, who, role in said:
        agent = AgentInfo(id=who[0], instance=who, version="1", epoch=1, role=role)
        told = heartbeat(agent=agent, timestamp=datetime.fromtimestamp(at, UTC))
        found.append((at, told))
    return found


@pytest.mark.parametrize(
    ("said", "overlaps"),
    [
        ([(1, "a", "leader"), (2, "a", "stopped"), (3, "b", "leader")], 0),
        ([(1, "a", "leader"), (2, "a", "leader"), (3, "b", "leader")], 0),  # Killed.
        ([(1, "a", "leader"), (2, "b", "leader"), (3, "a", "standby"), (4, "b", "leader")], 0),
        ([(1, "a", "leader"), (2, "b", "leader"), (3, "a", "leader")], 1),  # It was frozen.
        ([(1, "a", "leader"), (2, "b", "leader"), (3, "a2", "standby")], 0),  # Killed, and back.
        ([(1, "a", "leader"), (2, "b", "leader"), (3, "a2", "leader"), (4, "b", "leader")], 1),
    ],
)
def test_two_agents_that_both_lead_are_rivals(said, overlaps):
    assert kinds(judge.rivals(beats(*said))) == overlaps * ["rivals"]


def test_a_finding_keeps_the_time_at_which_it_opened():
    story = [
        said("opened", 1, opened_at=1.0),
        said("updated", 2, revision=2, opened_at=1.0),
        said("resolved", 3, revision=3, opened_at=2.5),
    ]
    assert kinds(judge.broken_stories(story[:2])) == []
    assert kinds(judge.broken_stories(story)) == ["story"]
