"""The order of findings: by severity, then by how far beyond the limit, in steps."""

from __future__ import annotations

import math
from random import Random

import pytest

from nats_insights.judge.audit import Key
from nats_insights.judge.finding import CRITICAL, INFO, WARNING, Severity
from nats_insights.judge.lifecycle import Life
from nats_insights.tell.ranking import AT_A_STEP, ordered, worst_first
from nats_insights.tell.weight import weight


def life(
    value: float | None = None,
    threshold: float | None = None,
    *,
    severity: Severity = INFO,
    cleared: int = 0,
    name: str = "n1",
) -> Life:
    """An open finding with these figures."""
    return Life(
        key=Key("TEST_001", (name,)),
        severity=severity,
        home="",
        rests_on=(),
        when_gone="",
        scope="SERVER",
        fingerprint=32 * "f",
        entity={},
        is_open=True,
        cleared=cleared,
        value=value,
        threshold=threshold,
    )


TIMES = {
    "twice as many as allowed": (life(200, 100), 2.0),
    "half of what is needed": (life(7, 14), 2.0),
    "as many as allowed": (life(100, 100), 1.0),
    "no figures": (life(), 1.0),
    "no limit": (life(5), 1.0),
    "one where none is allowed": (life(1, 0), math.inf),
    "none where some are needed": (life(0, 3), math.inf),
    "less than none": (life(-3, 14), math.inf),
    "none where none is allowed": (life(0, 0), 1.0),
    "fewer than the limit, clearing": (life(80, 100, cleared=1), 0.8),
    "more than the limit that is a minimum, clearing": (life(20, 14, cleared=1), 0.7),
    "none any more, clearing": (life(0, 100, cleared=1), 0.0),
}


@pytest.mark.parametrize(("of", "expected"), TIMES.values(), ids=TIMES)
def test_the_weight_is_how_many_times_the_limit_it_is(of, expected):
    assert weight(of.value, of.threshold, of.cleared > 0) == pytest.approx(expected)


def run(steps):
    """How many steps it took, and the result."""
    taken = 0
    while True:
        try:
            next(steps)
            taken += 1
        except StopIteration as end:
            return taken, end.value


def test_severity_counts_before_weight_and_what_is_equal_stays_in_its_order():
    given = [
        life(101, 100, name="a"),
        life(900, 100, name="b"),
        life(101, 100, name="c", severity=WARNING),
        life(101, 100, name="d"),
        life(101, 100, name="e", severity=CRITICAL),
        life(80, 100, name="f", severity=WARNING, cleared=1),
    ]
    _, ranked = run(worst_first(given))
    assert [one.key.names for one in ranked] == [(name,) for name in "ecfbad"]


@pytest.mark.parametrize("count", [0, 1, AT_A_STEP, AT_A_STEP + 1, 5 * AT_A_STEP - 7])
def test_long_lists_are_ordered_as_at_once_but_in_steps(count):
    random = Random(count)
    rows = [(random.randrange(50), number) for number in range(count)]
    taken, result = run(ordered(rows, lambda row: row[0]))
    assert result == sorted(rows)
    assert taken >= count // AT_A_STEP
