"""What explains a finding holds it back, and many findings of one cause become one."""

from __future__ import annotations

import pytest

from nats_insights.check import (
    CRITICAL,
    INFO,
    VARZ,
    WARNING,
    Finding,
    Member,
    Params,
    Server,
    check,
)
from nats_insights.judge.audit import Key
from nats_insights.testing import Server as Held
from nats_insights.testing import Story, cluster, dead, hung, system


class Nothing(Params, frozen=True):
    """No parameters."""


@check("TEST_001", WARNING, "health", needs=(), explains=True)
def server_silent(server: Member, params: Nothing) -> Finding | None:
    """A server is silent.

    Finds: a silent server. Why: it is silent. Do: wake it.
    """
    silent = server.entry.state in ("hung", "dead")
    return Finding(summary=f"{server.entry.name} is silent") if silent else None


@check("TEST_002", WARNING, "health", needs=(VARZ,))
def peer_needed(server: Server, params: Nothing) -> Finding | None:
    """A server needs its peer n2.

    Finds: a server with connections. Why: it needs n2. Do: nothing.
    """
    if not server.varz.connections:
        return None
    return Finding(summary=f"{server.name} needs n2", involves=(("C1", "n2"),))


@check("TEST_003", INFO, "change", needs=(VARZ,), common=True)
def limit_low(server: Server, params: Nothing) -> Finding | None:
    """A server has a low limit.

    Finds: a server with a low limit. Why: it is low. Do: raise it.
    """
    low = server.varz.max_connections < 100
    severity = CRITICAL if server.varz.max_connections < 10 else INFO
    return Finding(summary=f"{server.name} is low", severity=severity) if low else None


FULL, LOW = Held(1), Held(max_connections=50)


def limits(low: int, fine: int, *more: Held):
    """So many servers with a low limit, and with one that is not."""
    servers = [LOW] * low + [Held()] * fine + list(more)
    return system(cluster(**{f"n{i:02}": one for i, one in enumerate(servers)}))


def test_what_involves_a_silent_server_waits_and_opens_when_it_answers_again():
    story = Story(checks=[server_silent, peer_needed])
    given = [
        system(cluster(n1=FULL, n2=hung, n3=0)),
        system(cluster(n1=FULL, n2=hung, n3=0)),
        system(cluster(n1=FULL, n2=0, n3=0)),
    ]
    assert [story.hears(one) for one in given] == [
        ["opened TEST_001 C1 n2"],
        [],
        ["opened TEST_002 C1 n1"],
    ]


def test_what_is_open_stays_open_and_says_what_explains_it():
    story = Story(checks=[server_silent, peer_needed])
    story.hears(system(cluster(n1=FULL, n2=0, n3=0)))
    assert story.hears(system(cluster(n1=FULL, n2=hung, n3=0))) == ["opened TEST_001 C1 n2"]
    effect = story.lives[Key("TEST_002", ("C1", "n1"))]
    cause = story.lives[Key("TEST_001", ("C1", "n2"))]
    assert (effect.is_open, effect.explained_by) == (True, cause.fingerprint)
    story.hears(system(cluster(n1=FULL, n2=0, n3=0)))
    assert story.lives[Key("TEST_002", ("C1", "n1"))].explained_by == ""


def test_a_cause_that_is_still_pending_explains_already():
    story = Story("checks.server_silent.open_after = 3", [server_silent, peer_needed])
    for _ in range(2):
        assert story.hears(system(cluster(n1=FULL, n2=dead, n3=0))) == []


def test_what_involves_nobody_that_is_silent_is_not_held_back():
    story = Story(checks=[server_silent, peer_needed])
    told = story.hears(system(cluster(n1=FULL, n2=0, n3=hung)))
    assert told == ["opened TEST_001 C1 n3", "opened TEST_002 C1 n1"]


@check("TEST_004", CRITICAL, "health", needs=(VARZ,), explains=True)
def link_lost(server: Server, params: Nothing) -> Finding | None:
    """A server has lost its link to n2.

    Finds: n1. Why: it needs the link. Do: nothing.
    """
    if server.name != "n1":
        return None
    return Finding(summary="n1 has lost n2", involves=(("C1", "n1"), ("C1", "n2")))


def test_what_explains_others_is_explained_in_turn_but_not_by_itself():
    story = Story(checks=[server_silent, link_lost])
    assert story.hears(system(cluster(n1=0, n2=hung))) == ["opened TEST_001 C1 n2"]
    story = Story(checks=[server_silent, link_lost])
    assert story.hears(system(cluster(n1=0, n2=0))) == ["opened TEST_004 C1 n1"]


MANY = {
    "five of ten are one": (5, 5, ["opened TEST_003 system"]),
    "five of five are one": (5, 0, ["opened TEST_003 system"]),
    "four of four are four": (4, 0, [f"opened TEST_003 C1 n{i:02}" for i in range(4)]),
    "five of eleven are five": (5, 6, [f"opened TEST_003 C1 n{i:02}" for i in range(5)]),
}


@pytest.mark.parametrize(("low", "fine", "expected"), MANY.values(), ids=MANY)
def test_many_of_one_cause_are_one_finding(low, fine, expected):
    story = Story(checks=[limit_low])
    assert story.hears(limits(low, fine)) == expected


def test_the_one_finding_is_about_the_system_and_names_some():
    story = Story(checks=[limit_low])
    story.hears(limits(12, 0, Held(max_connections=5)))
    (told,) = story.told
    life = told.life
    assert (life.scope, life.entity["kind"], life.severity) == ("SYSTEM", "system", CRITICAL)
    assert life.summary == "13 of 13 servers at once, such as: n00 is low"
    assert (life.value, life.threshold, life.unit) == (13, 6.5, "servers")
    assert b'"left_out":3' in bytes(life.evidence)
    assert b'"n00","n01"' in bytes(life.evidence)


def test_the_one_finding_stays_with_a_few_less_and_then_each_is_reported_by_itself():
    story = Story(checks=[limit_low])
    told = [story.hears(limits(low, 10 - low)) for low in (5, 3, 2, 2, 2, 2)]
    assert told == [
        ["opened TEST_003 system"],
        ["updated TEST_003 system"],
        [],
        ["resolved TEST_003 system"],
        ["opened TEST_003 C1 n00", "opened TEST_003 C1 n01"],
        [],
    ]


def test_many_that_clear_one_after_the_other_do_not_open_by_themselves():
    story = Story(checks=[limit_low])
    told = [story.hears(limits(low, 10 - low)) for low in (9, 2, 1, 0)]
    assert told == [["opened TEST_003 system"], [], ["resolved TEST_003 system"], []]


def test_what_was_open_by_itself_stays_open_beside_the_one_finding():
    story = Story(checks=[limit_low])
    story.hears(limits(1, 9))
    assert story.hears(limits(6, 4)) == ["opened TEST_003 system"]
    assert [life.is_open for _, life in sorted(story.lives.items())].count(True) == 2


def test_the_one_finding_does_not_resolve_while_replies_are_lost():
    story = Story(checks=[limit_low])
    given = limits(5, 5)
    story.hears(given)
    lost = [(f"n{i:02}", "VARZ") for i in range(4)]
    assert [story.hears(given, lost) for _ in range(3)] == [[], [], []]
    common = story.lives[Key("TEST_003", ("system",))]
    assert (common.is_open, bool(common.stale)) == (True, True)
    assert [story.hears(limits(0, 10)) for _ in range(2)][1] == ["resolved TEST_003 system"]


def test_the_one_finding_waits_for_as_many_as_it_needs_to_stay_and_no_fewer():
    # Open with 10 of 10 it stays with 3; of these 1 is found, and 2 are hidden, or 1.
    for hidden, expected in ((2, []), (1, ["opened TEST_003 C1 n00"])):
        story = Story(checks=[limit_low])
        story.hears(limits(10, 0))
        given = limits(1 + hidden, 9 - hidden)
        lost = [(f"n{i:02}", "VARZ") for i in range(1, 1 + hidden)]
        told = [story.hears(given, lost) for _ in range(4)]
        assert [one for one in told[2] if "C1" in one] == expected, hidden
        assert not any("C1" in one for one in (*told[0], *told[1], *told[3])), hidden
