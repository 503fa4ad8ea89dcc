"""The audit: what is found, what is clear, and what nobody can know in this epoch."""

from __future__ import annotations

import json
import re

import pytest

from nats_insights.check import VARZ, Server, User
from nats_insights.errors import NotTold
from nats_insights.gather.stepwise import at_once
from nats_insights.judge.audit import audit
from nats_insights.judge.declare import INFO, Finding, Params, check
from nats_insights.model.fold import by_user, fold
from scenario import FOUNDING, OF_SILENCE, Story, cluster, dead, hung, recorded, system
from scenario import Server as Held

ENDPOINTS = ("VARZ", "STATZ", "ROUTEZ", "LEAFZ", "CONNZ")
HOT = system(cluster(n1=60, n2=15, n3=15))
EVEN = system(cluster(n1=30, n2=30, n3=30))


def outcome(story: Story, name: str):
    """What became of a check in the last epoch."""
    return story.audit.outcomes[FOUNDING[name].code]


# --- Unknown has a reason.

WHY = {
    "STATZ": ("connection_hotspot", "STATZ of n2"),
    "VARZ": ("connection_hotspot", "STATZ of n2"),
    "CONNZ": ("subscription_hotspot", "CONNZ of n2"),
    "ROUTEZ": ("subscription_hotspot", "ROUTEZ of n2"),
}


@pytest.mark.parametrize(("lost", "expected"), WHY.items(), ids=WHY)
def test_it_is_said_which_reply_lacks(lost, expected):
    story, (name, why) = Story('[gather]\nsweep = "all"'), expected
    story.hears(EVEN, [("n2", lost)])
    assert outcome(story, name).why == why


def test_a_silent_server_keeps_its_own_cluster_unknown_and_no_other():
    story = Story(checks=[FOUNDING["connection_hotspot"]])
    both = system(cluster("EU", n1=60, n2=15, n3=15), cluster("US", u1=60, u2=15, u3=15))
    for lost in ([], [], [("n3", "STATZ")]):
        story.hears(both, lost)
    assert (story.audit.unknown, story.found) == (
        {("OPT_BALANCE_002", ("EU", name)): "STATZ of n3" for name in ("n1", "n2", "n3")},
        {"US u1"},
    )


def eu_and_us(on_first: int, n4: int | Held = 15):
    """Two clusters; in both the account has so many connections on the first server."""
    return system(
        cluster("EU", n1=on_first, n2=15, n3=15, n4=n4), cluster("US", u1=on_first, u2=15, u3=15)
    )


def test_a_dead_server_keeps_its_cluster_and_no_other_unknown_until_it_is_given_up():
    story = Story("lifecycle.gone_after = '2m'", [FOUNDING["account_connection_concentration"]])
    told = [story.hears(eu_and_us(200)) for _ in range(2)]
    opened = [f"opened OPT_BALANCE_006 APP {cluster}" for cluster in ("EU", "US")]
    assert [one for epoch in told for one in epoch] == opened
    # It leaves the means in the second epoch, and is given up in the fifth.
    told = [story.hears(eu_and_us(15, n4=dead)) for _ in range(7)]
    assert told == [
        [],
        ["resolved OPT_BALANCE_006 APP US"],
        [],
        [],
        [],
        ["resolved OPT_BALANCE_006 APP EU"],
        [],
    ]


def test_a_server_is_judged_though_another_is_silent():
    story = Story(checks=[FOUNDING["connection_count_high"]])
    full = Held(90, max_connections=100)
    story.hears(system(cluster(n1=full, n2=hung)))
    assert story.found == {"C1 n1"}


def test_what_is_found_on_a_part_is_marked():
    story = Story(checks=[FOUNDING["excessive_user_connections"]])
    story.hears(system(cluster(n1=60, n2=60, n3=hung)))
    (found,) = story.audit.found.values()
    assert found.partial == "CONNZ of n3"


def test_nothing_is_known_of_a_system_of_which_nobody_answers():
    story = Story(checks=[*FOUNDING.values(), OF_SILENCE["server_not_answering"]])
    for _ in range(2):
        story.hears(HOT)
    gone = system(cluster(n1=hung, n2=hung, n3=hung))
    told = [story.hears(gone) for _ in range(5)]
    assert told[1] == [f"opened SERVER_901 C1 n{number}" for number in (1, 2, 3)]
    assert told[2:] == [[], [], []]


def test_what_is_not_permitted_is_unknown():
    story = Story(checks=[FOUNDING["connection_hotspot"]])
    for _ in range(2):
        story.hears(HOT)
    told = story.hears(HOT, denied={"STATZ"})
    assert told == []
    assert (story.audit.unknown, outcome(story, "connection_hotspot").why) == (
        {("OPT_BALANCE_002", ("C1", "n1")): "not permitted: STATZ"},
        "not permitted: STATZ",
    )


@pytest.mark.parametrize("torn", [True, False])
def test_only_a_sum_over_all_servers_is_torn(torn):
    names = ("connection_count_high", "excessive_user_connections")
    story = Story(checks=[FOUNDING[name] for name in names])
    story.hears(system(cluster(n1=Held(120, max_connections=120))))
    story.snapshot.torn = torn
    result = at_once(audit(story.snapshot, story.auditor.rules, {}, 0.0))
    found = {key.code: found.torn for key, found in result.found.items()}
    assert found == {"SERVER_011": False, "USER_002": torn}


ACCEPTED = {
    "nothing": ([], False),
    "it": (["STATZ"], True),
    "it and more": (["STATZ", "CONNZ"], True),
    "something else": (["CONNZ"], False),
}


@pytest.mark.parametrize(("without", "excused"), ACCEPTED.values(), ids=ACCEPTED)
def test_what_is_not_permitted_is_excused_where_that_is_accepted(without, excused):
    story = Story(f"access.without = {without}", [FOUNDING["connection_hotspot"]])
    story.hears(HOT, denied={"STATZ", "CONNZ"})
    outcome = story.audit.outcomes["OPT_BALANCE_002"]
    # What it does not need is none of its affair.
    assert (outcome.why, outcome.excused) == ("not permitted: STATZ", excused)


def test_a_blind_epoch_tells_only_of_the_agent():
    story = Story(checks=[OF_SILENCE["agent_isolated"], FOUNDING["connection_hotspot"]])
    for _ in range(2):
        story.hears(HOT)
    told = [story.hears(system(cluster(n1=60, n2=dead, n3=dead))) for _ in range(5)]
    why = "the agent is cut off from half of the servers or more"
    assert told == [["opened AGENT_007 me"], [], [], [], []]
    assert story.audit.unknown == {("OPT_BALANCE_002", ("C1", "n1")): why}
    assert [(o.judged, o.unknown, o.why) for o in story.audit.outcomes.values()] == [
        (1, 0, ""),
        (0, 1, why),
    ]


def test_only_what_is_open_is_judged_by_the_eased_limit():
    # 95 is below the limit of 100 and above the eased one.
    story = Story(
        "checks.excessive_user_connections.open_after = 2", [FOUNDING["excessive_user_connections"]]
    )
    told = [story.hears(system(cluster(n1=count))) for count in (120, 95, 120, 95, 120, 120, 95)]
    assert told == [[], [], [], [], [], ["opened USER_002 APP app"], ["updated USER_002 APP app"]]


def test_what_is_not_due_is_neither_unknown_nor_judged():
    story = Story(checks=[FOUNDING["subscription_hotspot"]])
    story.hears(recorded("2.15.1"))
    story.snapshot.lacking.not_due = {"CONNZ"}
    result = at_once(audit(story.snapshot, story.auditor.rules, story.lives, 0.0))
    assert (result.not_due, result.unknown, result.found) == ({"OPT_BALANCE_003"}, {}, {})
    assert result.outcomes["OPT_BALANCE_003"].not_due is True


# --- What resolves though a part is missing: what is below its eased limit whatever is missing.

# The limit of 100 is 90 for what is open, and n2 falls silent holding so many.
LEFT = {30: ["resolved USER_002 APP app"], 31: []}


def opened_at_120() -> Story:
    """User app holds 60 connections on each of two servers; a clear epoch resolves that."""
    config = "checks.excessive_user_connections.resolve_after = 1"
    story = Story(config, [FOUNDING["excessive_user_connections"]])
    assert story.hears(system(cluster(n1=60, n2=60))) == ["opened USER_002 APP app"]
    return story


@pytest.mark.parametrize(("left", "expected"), LEFT.items(), ids=LEFT)
def test_a_finding_with_a_missing_part_resolves_by_the_eased_limit(left, expected):
    story = opened_at_120()
    story.hears(system(cluster(n1=61, n2=left)))
    assert story.hears(system(cluster(n1=60, n2=hung))) == expected


# Four users of six connections each are dropped, and any of these may have been of user app.
KEPT = {84: ["resolved USER_002 APP app"], 85: []}


@pytest.mark.parametrize(("kept", "expected"), KEPT.items(), ids=KEPT)
def test_what_overflowed_may_belong_to_what_is_open(kept, expected):
    story = opened_at_120()
    for ledger in story.auditor.sweeps.ledgers.values():
        ledger.cap = 2
    others = {f"APP user{n}": 6 for n in range(4)}
    assert story.hears(system(cluster(n1=Held(kept, users=others), n2=0))) == expected
    assert story.snapshot.sweeps.ledgers[by_user].error == 6


def test_the_evidence_of_a_part_holds_no_figures_of_servers_that_are_silent_now():
    story = Story(checks=[FOUNDING["excessive_user_connections"]])
    story.hears(system(cluster(n1=120, n2=60)))
    story.hears(system(cluster(n1=120, n2=hung)))
    (found,) = story.audit.found.values()
    assert (found.finding.value, json.loads(bytes(found.evidence)), found.partial) == (
        120,
        {"by_server": {"top": [["n1", 120]], "left_out": 0}},
        "CONNZ of n2",
    )


# --- A check that fails.


class Nothing(Params, frozen=True):
    """No parameters."""


def declare(code: str, judge):
    """A check of a server whose judge is a lambda."""

    def judged(server: Server, params: Nothing) -> Finding | None:
        return judge(server)

    judged.__name__ = f"declared_{code.lower()}"
    judged.__doc__ = "A condition.\n\nFinds: it.\n\nWhy: so.\n\nDo: that."
    return check(code, INFO, "health", needs=(VARZ,))(judged)


def broken(on: str):
    """A check that finds every server, but raises for one."""

    def judge(server: Server) -> Finding:
        if server.name == on:
            raise ZeroDivisionError("by nothing")
        return Finding(summary=f"{server.name} is here")

    return declare("TEST_901", judge)


THREE = system(cluster(n1=1, n2=1, n3=1))


def test_it_is_said_what_a_check_raised_and_where():
    story = Story(checks=[broken("n3")])
    story.hears(THREE)
    assert re.fullmatch(
        r"ZeroDivisionError at test_audit.py:\d+", story.audit.raised.pop("TEST_901")
    )
    assert story.audit.raised == {}


# --- What is lost, and what a check reads.


@fold("subscriptions", moves_with="local_interest")
def by_subscriptions(rows, tally, params):
    for row in rows:
        tally[row.account, row.authorized_user] += row.subscriptions


def reading(*folds):
    """A check of users with subscriptions, which needs these folds."""

    def judged(user: User, params: Nothing) -> Finding | None:
        held = user.snapshot.seen(by_subscriptions)[user.names]
        return Finding(summary=f"{held} subscriptions") if held else None

    judged.__doc__ = "A condition.\n\nFinds: it.\n\nWhy: so.\n\nDo: that."
    return check("TEST_903", INFO, "health", needs=folds)(judged)


def test_what_the_last_known_figures_of_a_noun_do_not_cover_is_not_clear():
    # Of a user it is known how many connections silent servers held, and nothing else.
    story = Story(checks=[reading(by_user, by_subscriptions)])
    busy = system(cluster(n1=1, n2=Held(1, subscriptions=9)))
    told = [story.hears(busy, lost) for lost in ([], *[[("n2", "CONNZ")]] * 5)]
    assert told == [["opened TEST_903 APP app"], [], [], [], [], []]


# --- What is as it should be.


def told_by(version: str):
    """A check of a figure that servers of one version do not send."""

    def judge(server: Server) -> Finding | None:
        if server.version == version:
            raise NotTold("stalled_clients", server.name, version)
        return None

    return declare("TEST_902", judge)


EXCUSED = {
    "a version that does not tell": ("2.15.1", True, "stalled_clients of n3: not told by 2.15.1"),
    "a version that tells": ("2.10.26", False, ""),
}


@pytest.mark.parametrize(("version", "excused", "why"), EXCUSED.values(), ids=EXCUSED)
def test_what_a_version_cannot_tell_is_excused(version, excused, why):
    story = Story(checks=[told_by(version)])
    story.hears(THREE)
    outcome = story.audit.outcomes["TEST_902"]
    assert (outcome.excused, outcome.why) == (excused, why)


def test_an_excuse_does_not_hide_what_is_really_missing():
    story = Story(checks=[told_by("2.15.1")])
    story.hears(system(cluster(n1=1, n2=hung, n3=1)))
    outcome = story.audit.outcomes["TEST_902"]
    assert (outcome.excused, outcome.why) == (False, "VARZ of n2")


# --- The last word, and steps.


def test_without_a_last_word_only_who_reads_that_it_resolved_reads_that_it_is_gone():
    story = Story(checks=[FOUNDING["excessive_user_connections"]])
    said = "user app of account APP holds 120 connections"
    for connections in (120, 0):
        story.hears(system(cluster(n1=connections)))
    assert [life.summary for life in story.lives.values()] == [said]
    story.hears(system(cluster(n1=0)))
    assert [told.life.summary for told in story.told] == [
        "user app of account APP has no connections any more"
    ]


def test_the_last_word_has_the_figure_that_is_no_longer_wrong():
    story = Story(checks=[FOUNDING["connection_count_high"]])
    for connections in (80, 40, 40):
        story.hears(system(cluster(n1=Held(connections, max_connections=100))))
    (told,) = story.told
    assert (told.transition, told.life.summary) == (
        "resolved",
        "n1 has 40 of 100 connections (40 %)",
    )


@pytest.mark.parametrize(("connections", "pauses"), [(1, 3), (50, 200)])
def test_the_audit_may_pause_after_each_finding_and_every_64_quiet_nouns(connections, pauses):
    story = Story(checks=[FOUNDING["connection_count_high"]])
    some = Held(connections, max_connections=50)
    story.hears(system(cluster(**{f"n{i}": some for i in range(197)})))
    paused = list(audit(story.snapshot, story.auditor.rules, {}, 0.0))
    assert len(paused) == pauses


def test_a_disabled_check_is_not_run():
    story = Story("[checks.connection_hotspot]\nenabled = false")
    story.hears(HOT)
    assert "OPT_BALANCE_002" not in story.audit.outcomes


def test_outcomes_count_what_was_judged():
    names = ("connection_hotspot", "account_connection_concentration", "connection_count_high")
    story = Story(checks=[FOUNDING[name] for name in names])
    counted = []
    for lost in ([], [("S2", "STATZ")]):
        story.hears(recorded("2.15.1"), lost)
        outcomes = {name: outcome(story, name) for name in names}
        counted.append({name: (o.judged, o.found, o.unknown) for name, o in outcomes.items()})
    assert counted == [
        {
            "connection_hotspot": (3, 1, 0),
            "account_connection_concentration": (2, 1, 0),
            "connection_count_high": (3, 0, 0),
        },
        {
            "connection_hotspot": (3, 0, 3),
            "account_connection_concentration": (1, 0, 1),
            "connection_count_high": (3, 0, 0),
        },
    ]
