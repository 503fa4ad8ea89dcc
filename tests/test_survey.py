"""Surveys: connections that are read every few hours, for folds that need not be fresh."""

from __future__ import annotations

import pytest

from nats_insights.check import (
    INFO,
    Connection,
    Finding,
    System,
    Tally,
    User,
    by_user,
    check,
    fold,
)
from nats_insights.config import parse
from nats_insights.model import ledger
from nats_insights.model.fold import SURVEY, Fold
from nats_insights.replies.connz import CONNZ
from nats_insights.testing import Server, Story, cluster, dead, hung, row, system

DOCUMENTATION = """Clients speak a language.

Finds: so.

Why: so.

Do: so.
"""


@fold("lang", slow=True)
def by_lang(rows: list[Connection], tally: Tally, params: object) -> None:
    tally.update([row.lang for row in rows])


def speaks(system: System) -> Finding | None:
    return Finding(summary=f"{system.folded(by_lang).total()} speak")


def uses(user: User) -> Finding | None:
    return Finding(summary=f"{user.connections} of {user.name}")


for function in (speaks, uses):
    function.__doc__ = DOCUMENTATION
SPEAKS = check("TEST_901", INFO, "health", needs=(by_lang,))(speaks)
USES = check("TEST_902", INFO, "health", needs=(by_user,))(uses)

TWO = system(cluster(n1=3, n2=4))


def said(story: Story, code: str) -> set[str]:
    """What a check found in the last epoch."""
    found = story.audit.found.items()
    return {one.finding.summary for key, one in found if key.code == code}


def test_it_has_a_tier_of_its_own():
    assert (SPEAKS.needs, USES.needs) == (("CONNZ_SURVEY",), ("CONNZ",))
    assert (SURVEY.subject("N1"), SURVEY.every) == (CONNZ.subject("N1"), 14_400.0)
    story = Story("gather.every = { CONNZ_SURVEY = '10m' }", [SPEAKS])
    assert story.auditor.every[SURVEY] == 600.0


def test_between_surveys_no_server_is_read_for_it():
    story = Story(checks=[SPEAKS])
    story.hears(TWO)
    assert (story.swept, said(story, "TEST_901")) == (2, {"7 speak"})
    story.hears(system(cluster(n1=9, n2=4)), after=7200.0)
    assert (story.swept, story.audit.outcomes["TEST_901"].not_due) == (0, True)
    story.hears(system(cluster(n1=9, n2=4)), after=7200.0)
    assert (story.swept, said(story, "TEST_901")) == (1, {"13 speak"})


def test_what_other_sweeps_read_in_between_is_no_survey():
    story = Story(checks=[SPEAKS, USES])
    story.hears(TWO)
    assert story.auditor.fields == ["cid", "kind", "account", "authorized_user", "lang"]
    story.hears(system(cluster(n1=9, n2=4)), after=7200.0)
    assert story.auditor.fields == ["cid", "kind", "account", "authorized_user"]
    assert (story.swept, said(story, "TEST_902")) == (1, {"13 of app"})
    story.hears(system(cluster(n1=9, n2=4)), after=30.0)
    assert story.swept == 0
    story.hears(system(cluster(n1=9, n2=4)), after=7170.0)
    assert (story.swept, said(story, "TEST_901")) == (1, {"13 speak"})
    story.hears(system(cluster(n1=9, n2=4)), after=14_400.0)
    assert (story.swept, said(story, "TEST_901")) == (0, {"13 speak"})


def test_a_survey_counts_for_all_folds():
    story = Story("gather.every = { CONNZ = '8h' }", [SPEAKS, USES])
    story.hears(TWO)
    story.hears(system(cluster(n1=9, n2=4)), after=14_400.0)
    assert story.audit.outcomes["TEST_902"].not_due
    story.hears(system(cluster(n1=9, n2=4)), after=14_400.0)
    assert (story.swept, said(story, "TEST_902")) == (0, {"13 of app"})


def test_a_server_that_is_not_read_is_missing_until_it_is():
    story = Story(checks=[SPEAKS])
    story.hears(TWO, lost=[("n2", "CONNZ_SURVEY")])
    assert story.audit.outcomes["TEST_901"].why == "CONNZ_SURVEY of n2"
    story.hears(system(cluster(n1=3, n2=hung)), after=14_400.0)
    assert story.audit.outcomes["TEST_901"].why == "CONNZ_SURVEY of n2"
    story.hears(TWO, after=14_400.0)
    assert (story.swept, said(story, "TEST_901")) == (1, {"7 speak"})


def test_a_server_that_is_gone_no_longer_counts():
    story = Story("lifecycle.gone_after = '1m'", [SPEAKS])
    for last in (Server(5), dead, dead):
        story.hears(system(cluster(n1=3, n2=4, n3=last)), after=14_400.0)
    assert said(story, "TEST_901") == {"7 speak"}
    assert story.auditor.sweeps.surveyed.keys() == {("C1", "n1"), ("C1", "n2")}


def test_all_servers_are_read_where_the_configuration_says_so():
    story = Story("gather.sweep = 'all'", [SPEAKS])
    for _ in range(2):
        story.hears(TWO, after=14_400.0)
        assert story.swept == 2


@pytest.mark.parametrize(("full", "other"), [(by_lang, by_user), (by_user, by_lang)])
def test_too_many_names_of_one_kind_do_not_forget_the_other(full: Fold, other: Fold):
    story = Story(checks=[SPEAKS, USES])
    story.hears(TWO)
    sweeps = story.auditor.sweeps
    kept = sweeps.ledgers[other]
    sweeps.ledgers[full] = ledger.Ledger(cap=1)
    sweeps.ledgers[full].put(("C1", "n1"), Tally({n: 1 + n for n in range(9)}))
    assert sweeps.ledgers[full].overflowed
    sweeps.begin(sweeps.last.keys())
    assert sweeps.ledgers[other] is kept
    assert not sweeps.ledgers[full].overflowed
    assert (sweeps.surveyed == {}) is full.slow
    assert (sweeps.last == {}) is not full.slow


def test_it_is_due_at_once_where_a_new_configuration_needs_it():
    story = Story("checks.speaks.enabled = false", [SPEAKS, USES])
    story.hears(TWO)
    story.auditor.reload(parse("checks.speaks.enabled = true"))
    story.hears(TWO)
    assert (story.swept, said(story, "TEST_901")) == (2, {"7 speak"})


@fold("in_msgs", slow=True)
def sent(rows: list[Connection], tally: Tally, params: object) -> None:
    tally["sent"] += sum([row.in_msgs for row in rows])


def sends(system: System) -> Finding | None:
    return Finding(summary=f"{system.folded(sent)['sent']} sent")


sends.__doc__ = DOCUMENTATION
SENDS = check("TEST_903", INFO, "health", needs=(sent,))(sends)


def test_it_is_due_at_once_where_more_is_to_be_counted():
    story = Story("checks.sends.enabled = false", [SPEAKS, SENDS])
    story.hears(TWO)
    story.auditor.reload(parse("checks.sends.enabled = true"))
    story.hears(TWO)
    assert (story.swept, said(story, "TEST_903")) == (2, {"0 sent"})


def test_figures_that_change_are_read_of_every_server_in_each_survey():
    story = Story(checks=[SENDS, SPEAKS])
    for messages, after, swept in ((1, 30.0, 2), (2, 7200.0, 0), (5, 7200.0, 2)):
        rows = (row(in_msgs=messages), row(in_msgs=messages))
        story.hears(system(cluster(n1=Server(rows=rows), n2=4)), after=after)
        assert story.swept == swept
    assert said(story, "TEST_903") == {"10 sent"}


def test_who_may_not_ask_for_connections_may_not_survey_them():
    story = Story(checks=[SPEAKS])
    story.hears(system(cluster(n1=Server(3))), denied={"CONNZ_SURVEY"})
    assert story.audit.outcomes["TEST_901"].why == "not permitted: CONNZ_SURVEY"
