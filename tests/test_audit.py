"""The audit: what is found, what is clear, and what nobody can know in this epoch."""

from __future__ import annotations

import logging

import pytest

from nats_insights.audit import audit
from nats_insights.check import INFO, Finding, Params, check
from nats_insights.lifecycle import held
from nats_insights.nouns import Server
from nats_insights.stepwise import at_once
from scenario import CHECKS, Story, cluster, hung, recorded, system
from scenario import Server as Held

ENDPOINTS = ("VARZ", "STATZ", "ROUTEZ", "LEAFZ", "CONNZ")
HOT = system(cluster(n1=60, n2=15, n3=15))
EVEN = system(cluster(n1=30, n2=30, n3=30))


def outcome(story: Story, name: str):
    """What became of a check in the last epoch."""
    return story.audit.outcomes[CHECKS[name].code]


# --- Unknown has a reason.

WHY = {
    "STATZ": ("connection_hotspot", "STATZ of n2"),
    "VARZ": ("connection_hotspot", "STATZ of n2"),
    "CONNZ": ("subscription_hotspot", "CONNZ of n2"),
    "ROUTEZ": ("subscription_hotspot", "ROUTEZ of n2"),
}


@pytest.mark.parametrize(("lost", "expected"), WHY.items(), ids=WHY)
def test_it_is_said_which_reply_lacks(lost, expected):
    story, (name, why) = Story(), expected
    story.hears(EVEN, [("n2", lost)])
    assert outcome(story, name).why == why


def test_a_silent_server_keeps_its_own_cluster_unknown_and_no_other():
    story = Story(checks=[CHECKS["connection_hotspot"]])
    both = system(cluster("EU", n1=60, n2=15, n3=15), cluster("US", u1=60, u2=15, u3=15))
    for lost in ([], [], [("n3", "STATZ")]):
        story.hears(both, lost)
    assert (story.audit.unknown, story.found) == (
        {("OPT_BALANCE_002", ("EU", name)): "STATZ of n3" for name in ("n1", "n2", "n3")},
        {"US u1"},
    )


def test_a_server_is_judged_though_another_is_silent():
    story = Story(checks=[CHECKS["connection_count_high"]])
    full = Held(90, max_connections=100)
    story.hears(system(cluster(n1=full, n2=hung)))
    assert story.found == {"C1 n1"}


def test_what_is_found_on_a_part_is_marked():
    story = Story(checks=[CHECKS["excessive_user_connections"]])
    story.hears(system(cluster(n1=60, n2=60, n3=hung)))
    (found,) = story.audit.found.values()
    assert found.partial == "CONNZ of n3"


def test_nothing_is_known_of_a_system_of_which_nobody_answers():
    story = Story()
    for _ in range(2):
        story.hears(HOT)
    gone = system(cluster(n1=hung, n2=hung, n3=hung))
    assert [story.hears(gone) for _ in range(5)] == [[], [], [], [], []]


def test_what_is_not_permitted_is_unknown():
    story = Story(checks=[CHECKS["connection_hotspot"]])
    for _ in range(2):
        story.hears(HOT)
    told = story.hears(HOT, denied={"STATZ"})
    assert told == []
    assert (story.audit.unknown, outcome(story, "connection_hotspot").why) == (
        {("OPT_BALANCE_002", ("C1", "n1")): "not permitted: STATZ"},
        "not permitted: STATZ",
    )


def test_what_is_not_due_is_neither_unknown_nor_judged():
    story = Story(checks=[CHECKS["subscription_hotspot"]])
    story.hears(recorded("2.15.1"))
    story.snapshot.not_due = {"CONNZ"}
    result = at_once(audit(story.snapshot, story.rules, held(story.lives), 0.0))
    assert (result.not_due, result.unknown, result.found) == ({"OPT_BALANCE_003"}, {}, {})
    assert result.outcomes["OPT_BALANCE_003"].not_due is True


# --- A check that fails.


class Nothing(Params, frozen=True):
    """No parameters."""


def declare(code: str, judge):
    """A check of a server whose judge is a lambda."""

    def judged(server: Server, params: Nothing) -> Finding | None:
        return judge(server)

    judged.__name__ = f"declared_{code.lower()}"
    judged.__doc__ = "A condition.\n\nFinds: it.\n\nWhy: so.\n\nDo: that."
    return check(code, INFO, "health", needs=("VARZ",))(judged)


def broken(on: str):
    """A check that finds every server, but raises for one."""

    def judge(server: Server) -> Finding:
        if server.name == on:
            raise ZeroDivisionError("by nothing")
        return Finding(summary=f"{server.name} is here")

    return declare("TEST_901", judge)


def test_a_check_that_raises_is_unknown_and_disturbs_no_other(caplog):
    story = Story(checks=[CHECKS["connection_hotspot"], broken("n3")])
    with caplog.at_level(logging.CRITICAL):
        told = [story.hears(HOT) for _ in range(2)]
    assert told[-1] == ["opened OPT_BALANCE_002 C1 n1"]
    assert story.audit.outcomes["TEST_901"].why == "the check raised ZeroDivisionError"


def test_the_findings_of_a_check_that_raises_stay(caplog):
    story = Story(checks=[broken("n3")])
    with caplog.at_level(logging.CRITICAL):
        told = [story.hears(system(cluster(n1=1, n2=1)))]
        told += [story.hears(system(cluster(n1=1, n2=1, n3=1))) for _ in range(5)]
    assert told == [["opened TEST_901 C1 n1", "opened TEST_901 C1 n2"], [], [], [], [], []]


def test_a_check_that_raises_is_logged_with_its_code(caplog):
    Story(checks=[broken("n3")]).hears(HOT)
    warnings = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert warnings == ["check TEST_901 raised ZeroDivisionError: by nothing"]


# --- The last word, and steps.


def test_without_a_last_word_only_who_reads_that_it_resolved_reads_no_longer():
    story = Story(checks=[CHECKS["excessive_user_connections"]])
    said = "user app of account APP holds 120 connections"
    for connections in (120, 0):
        story.hears(system(cluster(n1=connections)))
    assert [life.summary for life in story.lives.values()] == [said]
    story.hears(system(cluster(n1=0)))
    assert [told.life.summary for told in story.told] == [f"no longer: {said}"]


def test_the_last_word_has_the_figure_that_is_no_longer_wrong():
    story = Story(checks=[CHECKS["connection_count_high"]])
    for connections in (80, 40, 40):
        story.hears(system(cluster(n1=Held(connections, max_connections=100))))
    (told,) = story.told
    assert (told.transition, told.life.summary) == (
        "resolved",
        "n1 has 40 of 100 connections (40 %)",
    )


def test_the_audit_may_pause_before_each_noun():
    story = Story(checks=[CHECKS["connection_count_high"]])
    story.hears(system(cluster(**{f"n{i}": 1 for i in range(35)})))
    pauses = list(audit(story.snapshot, story.rules, {}, 0.0))
    assert len(pauses) == 35


def test_a_disabled_check_is_not_run():
    story = Story("[checks.connection_hotspot]\nenabled = false")
    story.hears(HOT)
    assert "OPT_BALANCE_002" not in story.audit.outcomes


def test_outcomes_count_what_was_judged():
    story = Story()
    counted = []
    for lost in ([], [("S2", "STATZ")]):
        story.hears(recorded("2.15.1"), lost)
        outcomes = {name: outcome(story, name) for name in CHECKS}
        counted.append({name: (o.judged, o.found, o.unknown) for name, o in outcomes.items()})
    assert counted == [
        {
            "connection_hotspot": (3, 1, 0),
            "subscription_hotspot": (3, 1, 0),
            "account_connection_concentration": (2, 1, 0),
            "connection_count_high": (3, 0, 0),
            "excessive_user_connections": (2, 0, 0),
            "agent_cut_off": (1, 0, 0),
            "agent_late": (1, 0, 0),
        },
        {
            "connection_hotspot": (3, 0, 3),
            "subscription_hotspot": (3, 1, 0),
            "account_connection_concentration": (1, 0, 1),
            "connection_count_high": (3, 0, 0),
            "excessive_user_connections": (2, 0, 0),
            "agent_cut_off": (1, 0, 0),
            "agent_late": (1, 0, 0),
        },
    ]
