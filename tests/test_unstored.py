"""What is published and not known to be stored: in order for each finding, and bounded."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nats_insights.agent.unstored import Unstored, finding_of
from nats_insights.tell.advisory import Message


def message(finding: str, number: int) -> Message:
    return Message(f"$INSIGHTS.ADVISORY.INFO.SYSTEM._._.A_1.{finding}", b"%d" % number, {})


def filled(*names: str) -> Unstored:
    unstored = Unstored()
    for name in names:
        unstored.add(message(name[0], int(name[1:])))
    return unstored


def names(unstored: Unstored) -> list[str]:
    return [f"{finding_of(one)}{int(one.payload)}" for one in unstored]


def test_those_of_one_finding_follow_one_another_and_the_oldest_finding_comes_first():
    assert names(filled("a1", "b2", "a3", "b4")) == ["a1", "a3", "b2", "b4"]


def test_nothing_is_in_it_twice():
    unstored = filled("a1", "a1", "a2", "a1")
    assert (names(unstored), len(unstored)) == (["a1", "a2"], 2)


def test_of_each_finding_the_oldest_comes_next():
    unstored = filled("a1", "b2", "a3")
    assert [int(one.payload) for one in unstored.of(message("a", 9))] == [1, 3]
    assert unstored.of(message("c", 9)) == []
    assert [int(one.payload) for one in unstored.firsts] == [1, 2]


def test_what_is_stored_is_forgotten_and_so_is_what_can_no_longer_be():
    unstored = filled("a1", "a2", "a3", "b4")
    assert unstored.stored(message("a", 1)) == 0
    assert unstored.stored(message("a", 3)) == 1
    assert (names(unstored), len(unstored)) == (["b4"], 1)
    assert unstored.stored(message("a", 3)) == 0
    assert unstored.stored(message("b", 4)) == 0
    assert (names(unstored), len(unstored), bool(unstored)) == ([], 0, False)


def test_what_cannot_be_stored_is_dropped_alone():
    unstored = filled("a1", "a2", "b3")
    unstored.drop(message("a", 2))
    unstored.drop(message("a", 9))
    unstored.drop(message("c", 9))
    assert (names(unstored), len(unstored)) == (["a1", "b3"], 2)


def test_the_oldest_is_that_of_the_finding_that_has_waited_longest():
    unstored = filled("b1", "a2", "b3")
    unstored.drop_oldest()
    assert names(unstored) == ["b3", "a2"]
    unstored.drop_oldest()
    assert names(unstored) == ["a2"]
    unstored.clear()
    unstored.drop_oldest()
    assert (names(unstored), len(unstored)) == ([], 0)


OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["add", "stored", "drop"]), st.sampled_from("abc"), st.integers(0, 3))
)


@given(OPERATIONS)
def test_it_counts_rightly_and_empty_findings_leave_nothing(operations):
    unstored = Unstored()
    for what, finding, number in operations:
        getattr(unstored, what)(message(finding, number))
        assert len(unstored) == len(list(unstored))
    assert set(unstored._by_finding) == {finding_of(one) for one in unstored}
