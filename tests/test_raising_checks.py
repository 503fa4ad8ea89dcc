"""A check that raises on one noun: that noun is unknown, and all others are judged."""

from __future__ import annotations

import pytest

from nats_insights.check import VARZ, Server
from nats_insights.judge.declare import INFO, Finding, Params, check
from scenario import Story, cluster, system

WHY = "the check raised ZeroDivisionError"


@check("TEST_905", INFO, "health", needs=(VARZ,), resolve_after=1)
def divided_by_connections(server: Server, params: Params) -> Finding | None:
    """A server has fewer than ten connections, and raises where it has none.

    Finds: it.

    Why: it is a test.

    Do: nothing.
    """
    return None if 1 / server.varz.connections <= 0.1 else Finding(summary=f"{server.name} is low")


def unknown(story: Story) -> dict[str, str]:
    """Why which server could not be judged in the last epoch."""
    return {key.names[-1]: why for key, why in story.audit.unknown.items()}


@pytest.mark.parametrize("raising", ["n1", "n2", "n3"])
def test_what_is_found_of_other_nouns_is_told_whichever_raises(raising):
    story = Story(checks=[divided_by_connections])
    told = story.hears(system(cluster(**{"n1": 1, "n2": 1, "n3": 1, raising: 0})))
    others = [name for name in ("n1", "n2", "n3") if name != raising]
    assert told == [f"opened TEST_905 C1 {name}" for name in others]


def test_the_noun_on_which_it_raises_is_unknown_and_the_outcome_says_so():
    story = Story(checks=[divided_by_connections])
    for n3 in (1, 0):  # What is open of n3 is unknown, not clear.
        story.hears(system(cluster(n1=1, n2=50, n3=n3)))
    outcome = story.audit.outcomes["TEST_905"]
    assert (outcome.judged, outcome.found, outcome.unknown) == (3, 1, 1)
    assert unknown(story) == {"n3": outcome.why}
    assert outcome.why.startswith(WHY)


def test_what_is_open_stays_while_it_raises_and_others_resolve():
    story = Story(checks=[divided_by_connections])
    opened = story.hears(system(cluster(n1=1, n2=1, n3=1)))
    told = [story.hears(system(cluster(n1=50, n2=1, n3=0))) for _ in range(5)]
    assert len(opened) == 3
    assert told == [["resolved TEST_905 C1 n1"], [], [], [], []]
    assert {key.names[-1] for key, life in story.lives.items() if life.is_open} == {"n2", "n3"}


def test_what_stayed_open_resolves_once_it_can_be_judged_again():
    story = Story(checks=[divided_by_connections])
    told = [story.hears(system(cluster(n1=n1))) for n1 in (1, 0, 0, 50)]
    assert told == [["opened TEST_905 C1 n1"], [], [], ["resolved TEST_905 C1 n1"]]
