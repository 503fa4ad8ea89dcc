"""SERVER_901: a server does not answer."""

from __future__ import annotations

import json

import pytest

from nats_insights.checks.server.server_not_answering import server_not_answering as check
from nats_insights.testing import then
from scenario import Server, Story, cluster, dead, finding, found, hung, left, lone, system

WHOLE = system(cluster(n1=1, n2=1, n3=1))
HUNG = system(cluster(n1=1, n2=1, n3=hung))
DEAD = system(cluster(n1=1, n2=1, n3=dead))
LEFT = system(cluster(n1=1, n2=1, n3=left))
CASES = {
    "quiet when all answer": (WHOLE, set()),
    "quiet when one said goodbye": (LEFT, set()),
    "quiet when one is in lame duck mode, and others have links to it": (
        then(WHOLE, system(cluster(n1=1, n2=1, n3=Server(state="hung", goodbye="lame duck")))),
        set(),
    ),
    "fires when one hangs": (HUNG, {"C1 n3"}),
    "fires when one died": (DEAD, {"C1 n3"}),
    "fires when most of them hang": (
        system(cluster(n1=1, n2=hung, n3=hung)),
        {"C1 n2", "C1 n3"},
    ),
    "fires on a server without a cluster": (system(lone(n1=1, n2=hung)), {"n2"}),
    "quiet when half of them died: it may be we": (system(cluster(n1=1, n2=dead)), set()),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


@pytest.mark.parametrize(("silent", "became"), [(HUNG, "hangs"), (DEAD, "is dead")])
def test_the_finding_tells_hung_and_dead_apart(silent, became):
    story = Story(checks=[check])
    for one in (WHOLE, silent, silent, silent):
        story.hears(one)
    (found,) = story.audit.found.values()
    assert found.finding.summary.startswith(f"n3 has not answered for 60 s: it {became}")
    assert found.finding.value == 60.0
    assert json.loads(bytes(found.evidence))["last_seen_seconds"] == 90.0


def test_the_limit_can_be_set():
    story = Story("[checks.server_not_answering]\nseconds = 60.0", [check])
    told = [story.hears(one) for one in (WHOLE, *[HUNG] * 4)]
    assert told == [[], [], [], [], ["opened SERVER_901 C1 n3"]]


@pytest.mark.parametrize("silent", [HUNG, DEAD])
def test_it_opens_after_two_epochs_and_resolves_when_the_server_answers(silent):
    story = Story(checks=[check])
    told = [story.hears(one) for one in (WHOLE, silent, silent, silent, WHOLE)]
    assert told == [[], [], ["opened SERVER_901 C1 n3"], [], ["resolved SERVER_901 C1 n3"]]
    assert story.told[0].reason == "condition_cleared"
    assert story.told[0].life.summary == "n3 answers again"


def test_a_server_that_is_back_in_the_next_epoch_is_no_finding():
    story = Story(checks=[check])
    assert [story.hears(one) for one in (WHOLE, DEAD, WHOLE, DEAD, WHOLE)] == [[]] * 5


def test_it_says_so_until_the_server_is_forgotten():
    story = Story("lifecycle.forget_after = '10m'", [check])
    told = [story.hears(one) for one in (WHOLE, *[DEAD] * 20)]
    assert [one for epoch in told for one in epoch] == [
        "opened SERVER_901 C1 n3",
        "resolved SERVER_901 C1 n3",
    ]
    assert (story.told[0].reason, story.told[0].life.summary) == (
        "entity_gone",
        "server n3 is gone",
    )


def test_a_server_that_leaves_after_it_hung_does_not_answer_again():
    story = Story(checks=[check])
    told = [story.hears(one) for one in (WHOLE, HUNG, HUNG, LEFT)]
    assert told[-1] == ["resolved SERVER_901 C1 n3"]
    assert (story.told[0].reason, story.told[0].life.summary) == (
        "entity_gone",
        "server n3 is gone",
    )


def test_a_server_that_is_forgotten_by_hand_is_over_at_once():
    story = Story(checks=[check])
    for one in (WHOLE, DEAD, DEAD):
        story.hears(one)
    story.auditor.roster.remove(story.auditor.roster.by_id("id of C1 n3"))
    without = system(cluster(n1=1, n2=1))
    assert story.hears(without) == ["resolved SERVER_901 C1 n3"]
    assert story.told[0].reason == "forgotten"


def test_the_last_finding_has_the_last_error():
    assert finding(check, HUNG).evidence["state"] == "hung"
