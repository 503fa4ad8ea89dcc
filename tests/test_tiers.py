"""What is expensive is requested on its own interval, to half an interval of the agent."""

from __future__ import annotations

import pytest

from nats_insights.check import (
    ACCOUNTZ_DETAIL,
    GATEWAYZ,
    HEALTHZ,
    INFO,
    SUBSZ,
    VARZ,
    Connection,
    Finding,
    JwtAccount,
    Server,
    System,
    Tally,
    check,
    fold,
)
from nats_insights.judge import auditor
from nats_insights.testing import Story, cluster, dead, system

GIVEN = system(cluster(n1=1, n2=1))


@check("TEST_001", INFO, "health", needs=(GATEWAYZ,))
def gatewayless(server: Server) -> Finding | None:
    """A server has no gateways.

    Finds: it. Why: it should have some. Do: add one.
    """
    return None if server.reply(GATEWAYZ).outbound_gateways else Finding(summary="none")


# The agent's interval is 30 s, and GATEWAYZ is requested every 60.
EACH_MINUTE = "gather.every.GATEWAYZ = 60"
AFTER = {"too soon": (44.0, False), "half an interval early": (45.0, True), "late": (70.0, True)}


@pytest.mark.parametrize(("seconds", "expected"), AFTER.values(), ids=AFTER)
def test_an_endpoint_is_due_half_an_interval_before_its_time(seconds, expected):
    story = Story(EACH_MINUTE, [gatewayless])
    story.hears(GIVEN)
    story.hears(GIVEN, after=seconds)
    assert story.audit.outcomes["TEST_001"].not_due is not expected
    assert ("TEST_001" in story.audit.not_due) is not expected


def test_what_is_not_due_is_requested_of_nobody():
    story = Story(checks=[gatewayless])
    story.hears(GIVEN)
    first = story.auditor.begin(story.now + 30.0)
    assert first.endpoints == {VARZ}


def test_an_endpoint_is_due_when_the_clock_was_set_back():
    story = Story(checks=[gatewayless])
    story.hears(GIVEN)
    story.hears(GIVEN, after=-3600.0)
    assert not story.audit.outcomes["TEST_001"].not_due


SURVEYED = system(cluster(n1=1))


@fold("name", slow=True)
def nobody(rows: list[Connection], tally: Tally, params: object) -> None:
    """Nothing: only the request for it matters."""


@check("TEST_002", INFO, "health", needs=(nobody,))
def surveyed(system: System) -> None:
    """A system whose connections are read once in hours.

    Finds: nothing. Why: it is expensive. Do: wait for it.
    """


def test_what_is_rare_is_requested_at_once_by_who_looks_once():
    story = Story(checks=[surveyed])
    story.hears(SURVEYED)
    assert not story.audit.outcomes["TEST_002"].not_due


AT = {"at first": (0.0, True), "soon": (580.0, True), "after ten minutes": (600.0, False)}


@pytest.mark.parametrize(("seconds", "expected"), AT.values(), ids=AT)
def test_what_is_rare_waits_for_ten_minutes_where_it_is_postponed(seconds, expected):
    story = Story(checks=[surveyed])
    story.auditor.postpone(story.now)
    story.hears(SURVEYED, after=seconds)
    assert story.audit.outcomes["TEST_002"].not_due is expected


@check("TEST_003", INFO, "health", needs=(GATEWAYZ, HEALTHZ, SUBSZ))
def needy(server: Server) -> None:
    """A server is looked at from all sides.

    Finds: nothing. Why: its replies come in turns. Do: wait for them.
    """


def asked(story: Story, epochs: int) -> list[list[str]]:
    """The keys of what is requested in each of these epochs, the first one now; without VARZ."""
    wanted, told = {one.key for one in story.auditor.plan.endpoints} - {VARZ.key}, []
    for number in range(epochs):
        story.hears(GIVEN, after=30.0 if number else 0.0)
        told.append(sorted(wanted - story.snapshot.lacking.not_due))
    return told


TOGETHER = ["GATEWAYZ", "HEALTHZ", "SUBSZ"]
TIERS = "gather.every = { GATEWAYZ = 300, SUBSZ = 200 }"


def test_what_is_not_requested_in_each_epoch_waits_for_the_second_where_it_is_postponed():
    story = Story(TIERS, [needy])
    story.auditor.postpone(story.now)
    assert asked(story, 3) == [[], TOGETHER, []]


def test_who_looks_once_requests_all_in_the_first_epoch():
    assert asked(Story(TIERS, [needy]), 1) == [TOGETHER]


@pytest.mark.parametrize(("many", "second"), [(1, ["HEALTHZ"]), (2, TOGETHER)])
def test_of_many_servers_it_is_requested_in_turns(monkeypatch, many, second):
    monkeypatch.setattr(auditor, "MANY", many)
    story = Story(TIERS, [needy])
    story.auditor.postpone(story.now)
    first, *others = asked(story, 4)
    assert (first, others[0]) == ([], second)
    assert many == 2 or others[1:] == [["SUBSZ"], ["GATEWAYZ", "HEALTHZ"]]


def test_what_is_requested_in_each_epoch_is_not_postponed():
    story = Story("gather.every = { GATEWAYZ = 30, SUBSZ = 1 }", [needy])
    story.auditor.postpone(story.now)
    assert asked(story, 1) == [["GATEWAYZ", "SUBSZ"]]


def test_what_another_process_requested_a_moment_ago_is_not_due_earlier():
    story = Story("gather.every = { GATEWAYZ = 300 }", [gatewayless])
    story.hears(GIVEN)
    story.auditor.postpone(story.now)
    assert asked(story, 12)[1:] == [*9 * [[]], ["GATEWAYZ"], []]


@check("TEST_004", INFO, "health", needs=(ACCOUNTZ_DETAIL,))
def account_by_account(account: JwtAccount) -> None:
    """An account is read now and then.

    Finds: nothing. Why: one is read after another. Do: wait for it.
    """


def test_what_is_requested_a_few_at_a_time_is_not_postponed():
    story = Story(checks=[account_by_account])
    story.auditor.postpone(story.now)
    assert ACCOUNTZ_DETAIL in story.auditor.begin(story.now).endpoints


# --- What is said of a check between two requests.

RARELY = "gather.every.GATEWAYZ = 300"
ALONE = system(cluster(n1=1, n2=dead, n3=dead))
THREE = system(cluster(n1=1, n2=1, n3=1))


def test_what_was_never_requested_is_not_said_to_be_well():
    story = Story(RARELY, [gatewayless])
    story.auditor.postpone(story.now)
    story.hears(GIVEN, after=0.0)
    outcome = story.audit.outcomes["TEST_001"]
    assert (outcome.not_due, outcome.excused) == (True, True)
    assert outcome.why == "not looked at yet since the start"


def test_what_lacked_a_reply_stays_unknown_until_it_is_requested_again():
    story = Story(RARELY, [gatewayless])
    story.hears(GIVEN, {("n2", "GATEWAYZ")})
    why = story.audit.outcomes["TEST_001"].why
    story.hears(GIVEN)
    outcome = story.audit.outcomes["TEST_001"]
    assert "n2" in why
    assert (outcome.not_due, outcome.why, outcome.excused) == (True, why, False)
    story.hears(GIVEN, after=300.0)
    outcome = story.audit.outcomes["TEST_001"]
    assert (outcome.not_due, outcome.why) == (False, "")


def test_what_was_requested_in_vain_is_requested_again_at_once():
    story = Story(EACH_MINUTE, [gatewayless])
    story.hears(THREE, after=0.0)
    story.hears(THREE)
    story.hears(ALONE)
    assert story.snapshot.lacking.blind
    story.hears(THREE)
    assert not story.audit.outcomes["TEST_001"].not_due


def test_an_agent_that_was_cut_off_meanwhile_still_knows_what_it_saw():
    story = Story(RARELY, [gatewayless])
    story.hears(THREE, after=0.0)
    story.hears(ALONE)
    assert story.audit.outcomes["TEST_001"].why == story.snapshot.lacking.blind
    story.hears(THREE)
    outcome = story.audit.outcomes["TEST_001"]
    assert (outcome.not_due, outcome.judged, outcome.why) == (True, 3, "")


def test_a_new_leader_has_looked_at_nothing():
    story = Story(RARELY, [gatewayless])
    story.hears(GIVEN, after=0.0)
    story.auditor.adopt([])
    story.hears(GIVEN)
    assert story.audit.outcomes["TEST_001"].why == "not looked at yet since the start"
