"""Whose rows are read for the clients of a finding, and how those are ranked."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from nats_insights.judge.clients import MOST_FINDINGS, Look, looks, ranked
from nats_insights.replies.connz import SORTS, Connection
from scenario import FOUNDING, OF_SILENCE, Server, Story, cluster, hung, lone, system

BY_CODE = {check.code: check for check in (FOUNDING | OF_SILENCE).values()}
FULL = Server(45, max_connections=50)
REMIND = "lifecycle.remind_every = '1s'\n"


def wanted(story):
    """The rows that would be read after the last epoch, by code and name of the entity."""
    found = looks(story.told, BY_CODE, story.auditor.roster)
    return {(key.code, key.names[-1]): some for key, some in found.items()}


def servers(some):
    """Names of the servers whose rows are read, in order."""
    return [look.server_id.rpartition(" ")[2] for look in some]


def heard(*systems, config=REMIND):
    """An agent after an epoch of each system."""
    story = Story(config)
    for one in systems:
        story.hears(one)
    return story


HOT = system(cluster(n1=Server(25, subscriptions=900), n2=1, n3=1, n4=1))
ON_N1 = "id of C1 n1"
ROWS = {
    ("OPT_BALANCE_002", "n1"): [Look(ON_N1)],
    ("OPT_BALANCE_003", "n1"): [Look(ON_N1, sort="subs")],
    ("OPT_BALANCE_006", "C1"): [Look(ON_N1, account="APP")],
}


def test_each_finding_wants_the_rows_of_its_own_clients():
    assert wanted(heard(HOT, HOT)) == ROWS


@pytest.mark.parametrize(("by", "sort"), SORTS.items(), ids=SORTS)
def test_servers_sort_the_clients_by_what_the_check_names(by, sort):
    story = Story(checks=[replace(FOUNDING["connection_count_high"], clients=by)])
    story.hears(system(lone(n1=FULL)))
    (some,) = looks(
        story.told, {"SERVER_011": story.auditor.checks[0]}, story.auditor.roster
    ).values()
    assert [look.options() for look in some] == [{"sort": sort}]


def test_the_rows_of_a_user_are_those_of_its_account():
    story = heard(system(cluster(n1=Server(users={"A u": 101}))))
    assert wanted(story)["USER_002", "u"] == [Look(ON_N1, account="A", user="u")]


def test_the_options_of_connz_are_those_that_are_wanted():
    assert [look.options() for [look] in ROWS.values()] == [{}, {"sort": "subs"}, {"acc": "APP"}]
    assert Look(ON_N1, account="A", user="u").options() == {"acc": "A", "user": "u"}


SPREAD = {f"n{number}": Server(users={"A u": 30 + number}) for number in range(1, 6)}


def test_three_servers_that_hold_most_are_read():
    story = heard(system(cluster(**SPREAD)))
    assert servers(wanted(story)["USER_002", "u"]) == ["n5", "n4", "n3"]


def test_only_servers_that_answered_are_read():
    story = heard(system(cluster(**SPREAD)))
    for name, state in (("n4", "hung"), ("n3", "dead")):
        story.auditor.roster.unheard(f"id of C1 {name}", state, story.now)
    assert servers(wanted(story)["USER_002", "u"]) == ["n5", "n2", "n1"]


def test_servers_that_owe_a_reply_are_not_read():
    story = heard(system(cluster(**SPREAD)))
    story.auditor.roster.by_id("id of C1 n5").last_error = "STATZ: it did not answer in time"
    assert servers(wanted(story)["USER_002", "u"]) == ["n4", "n3", "n2"]


def test_nothing_is_read_for_what_rests_on_a_silent_server():
    story = heard(system(cluster(n1=FULL, n2=FULL)), system(cluster(n1=FULL, n2=hung)))
    assert [item.life.key.names[-1] for item in story.told] == ["n1", "n2"]
    assert set(wanted(story)) == {("SERVER_011", "n1")}


def test_of_a_lower_bound_the_servers_that_answer_are_read():
    story = heard(system(cluster(**SPREAD)), system(cluster(**{**SPREAD, "n1": hung})))
    (reminded,) = story.told
    assert (reminded.transition, reminded.life.partial) == ("reminded", "CONNZ of n1")
    ((_, looks),) = wanted(story).items()
    assert [look.server_id for look in looks] == ["id of C1 n5", "id of C1 n4", "id of C1 n3"]


def test_nothing_is_read_for_what_resolved():
    story = heard(system(cluster(n1=FULL)), *2 * [system(cluster(n1=5))])
    assert [item.transition for item in story.told] == ["resolved"]
    assert wanted(story) == {}


def test_a_finding_that_got_worse_is_read_for_once():
    story = heard(system(cluster(n1=FULL)), system(cluster(n1=replace(FULL, connections=49))))
    assert [item.transition for item in story.told] == ["resolved", "opened"]
    assert wanted(story) == {("SERVER_011", "n1"): [Look(ON_N1)]}


def test_a_server_without_a_cluster_is_not_taken_for_another_of_its_name():
    story = heard(system(lone(n1=FULL), cluster(n1=5)))
    assert wanted(story)["SERVER_011", "n1"] == [Look("id of  n1")]


def test_a_user_is_looked_for_on_all_servers_of_a_name():
    story = heard(system(lone(n1=Server(users={"A u": 60})), cluster(n1=Server(users={"A u": 60}))))
    ids = {look.server_id for look in wanted(story)["USER_002", "u"]}
    assert ids == {"id of  n1", ON_N1}


def test_nothing_is_read_where_a_check_names_no_clients():
    story = Story(REMIND, [OF_SILENCE["agent_late"]])
    for _ in range(3):
        story.hears(system(cluster(n1=5), late=3, took=99.0, interval=30.0))
    assert [item.life.key.code for item in story.told] == ["AGENT_002"]
    assert wanted(story) == {}


def test_so_many_findings_are_read_for_and_those_that_name_nobody_first():
    many = system(cluster(**{f"n{number:02}": FULL for number in range(MOST_FINDINGS + 3)}))
    story = heard(many)
    assert sorted(names(wanted(story))) == [f"n{number:02}" for number in range(MOST_FINDINGS)]
    story.auditor.lives = {
        key: replace(life, clients={"sampled": 90} if key.names[-1] < "n20" else {})
        for key, life in story.lives.items()
    }
    story.hears(many)
    assert names(wanted(story))[:4] == ["n20", "n21", "n22", "n00"]


def names(some):
    """Names of the entities, in order."""
    return [name for _, name in some]


ROW = Connection(
    kind="Client", name="cron", ip="10.0.0.1", lang="go", subscriptions=2, pending_bytes=7
)


@pytest.mark.parametrize(
    ("by", "each"), [("connections", 1), ("subscriptions", 2), ("pending_bytes", 7)]
)
def test_clients_are_counted_by_what_the_finding_is_about(by, each):
    other = replace(ROW, name="web", lang="rust", ip="10.0.0.2")
    assert ranked([other, ROW, ROW], by) == {
        "by": by,
        "sampled": 3,
        "names": {"top": [["cron", 2 * each], ["web", each]], "left_out": 0},
        "addresses": {"top": [["10.0.0.1", 2 * each], ["10.0.0.2", each]], "left_out": 0},
        "languages": {"top": [["go", 2 * each], ["rust", each]], "left_out": 0},
    }
