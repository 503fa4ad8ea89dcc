"""What streams hold is judged by what was heard: each fault is found, and what may be is not."""

from __future__ import annotations

import pytest
from tests.chaos.judge import Said
from tests.chaos.stored import Held, current, history, lacking


def said(number: int, transition: str = "reminded", finding: str = "f", **more: object) -> Said:
    """The advisory of that revision and id, told a second after the one before it."""
    default = {"code": "USER_002", "name": "big", "severity": "warning", "opened_at": 1.0}
    return Said(
        at=float(number),
        heard=number + 0.1,
        transition=transition,
        revision=number,
        id=f"{finding}{number}",
        finding=finding,
        **(default | more),
    )


OPENED, REMINDED, RESOLVED = said(1, "opened"), said(2), said(3, "resolved")
STORY = [OPENED, REMINDED, RESOLVED]
OTHER = said(1, "opened", "g")


def whats(violations) -> list[str]:
    return [violation.what for violation in violations]


@pytest.mark.parametrize(
    "stored",
    [STORY, [OPENED, OPENED, REMINDED, RESOLVED], [OPENED, RESOLVED], [RESOLVED]],
    ids=["all of it", "one twice", "without what was replaced", "the last word alone"],
)
def test_a_history_with_the_last_word_in_its_order_is_right(stored):
    assert whats(history(reversed(STORY), stored)) == []


@pytest.mark.parametrize(
    ("stored", "what"),
    [
        ([OPENED, REMINDED], "was the last word, and is not stored"),
        ([], "was the last word, and is not stored"),
        ([REMINDED, OPENED, RESOLVED], "is stored behind what came after it"),
        ([*STORY, said(4)], "is stored, and nobody heard it"),
        ([OTHER, *STORY], "is stored, and nobody heard it"),
    ],
)
def test_what_is_wrong_with_a_history_is_found(stored, what):
    found = whats(history(STORY, stored))
    assert any(said.endswith(what) for said in found), found


def test_where_servers_take_late_what_they_refused_the_order_is_that_of_the_revisions():
    assert whats(history(STORY, [RESOLVED, OPENED], in_order=False)) == []
    assert whats(history(STORY, [REMINDED, OPENED], in_order=False)) != []


def test_what_a_predecessor_told_may_be_stored_late_and_nothing_of_one_agent():
    late = said(2, agent="a")
    story = [said(1, "opened", agent="a"), late, said(3, "resolved", agent="b")]
    assert whats(history(story, [story[0], story[2], late])) == []
    assert whats(history(story, [late, story[0], story[2]])) != []


def test_what_an_agent_told_that_could_save_nothing_may_be_lost_with_it():
    unsaved = said(1, "opened", "u", code="AGENT_009", name="a", agent="a")
    story = [unsaved, said(2, "opened", agent="a")]
    assert whats(history(story, [])) == []
    assert whats(history([*story, said(3, "opened", "h", agent="b")], [])) != []


def test_findings_have_an_order_each_and_none_between_them():
    assert whats(history([OPENED, OTHER, REMINDED], [OTHER, OPENED, REMINDED])) == []


def test_what_is_not_stored_is_counted_once():
    assert lacking([*STORY, OPENED], [OPENED, OPENED]) == 2


OPEN = {"f": Held(opened_at=1.0, revision=2)}


@pytest.mark.parametrize(
    ("heard", "stored", "findings"),
    [
        ([OPENED, REMINDED], [REMINDED], OPEN),
        (STORY, [RESOLVED], {}),
        (STORY, [], {}),
    ],
    ids=["open", "over", "over for long"],
)
def test_a_current_state_that_findings_agree_with_is_right(heard, stored, findings):
    assert whats(current(heard, stored, findings)) == []


@pytest.mark.parametrize(
    ("heard", "stored", "findings", "what"),
    [
        ([OPENED, REMINDED], [OPENED], OPEN, "is the current state, and was not the last word"),
        (STORY, [REMINDED], OPEN, "is the current state, and was not the last word"),
        ([OPENED, REMINDED], [REMINDED], {}, "is the current state, and FINDINGS does not have it"),
        ([OPENED, REMINDED], [], OPEN, "FINDINGS has f, and the current state None"),
        (STORY, [RESOLVED], OPEN, "FINDINGS has f, and the current state resolved"),
        (
            [OPENED, REMINDED],
            [REMINDED],
            {"f": Held(opened_at=9.0, revision=2)},
            "is the current state, and FINDINGS has Held(opened_at=9.0, revision=2)",
        ),
    ],
)
def test_what_is_wrong_with_the_current_state_is_found(heard, stored, findings, what):
    found = whats(current(heard, stored, findings))
    assert any(said.endswith(what) for said in found), found
