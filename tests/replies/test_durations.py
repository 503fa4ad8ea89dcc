"""Durations as Go prints them."""

from __future__ import annotations

import pytest

from nats_insights.replies.durations import milliseconds, seconds
from nats_insights.replies.leafz import Leaf

PRINTED = {
    "0s": 0.0,
    "953ns": 0.000953,
    "214µs": 0.214,
    "31.204518ms": 31.204518,
    "1.5s": 1500.0,
    "1m30.5s": 90_500.0,
    "2h45m0.000000001s": 9_900_000.000001,
}


@pytest.mark.parametrize(("printed", "expected"), PRINTED.items())
def test_a_duration_is_read_as_go_prints_it(printed, expected):
    assert milliseconds(printed) == pytest.approx(expected)


@pytest.mark.parametrize(
    "printed", ["", "ms", "5", "s", "-3ms", "infms", "nanms", "1e99ms", "1s ", "1s2", "٣s", "1d"]
)
def test_what_is_no_duration_is_zero(printed):
    assert milliseconds(printed) == 0.0


SHOWN = {
    "": 0.0,
    "0s": 0.0,
    "n/a": 0.0,
    "850ns": 8.5e-7,
    "1.00486ms": 0.00100486,
    "1m2.5s": 62.5,
    "1y2d3h4m5s": 365 * 86_400.0 + 2 * 86_400.0 + 3 * 3600.0 + 4 * 60.0 + 5.0,
}


@pytest.mark.parametrize(("printed", "expected"), SHOWN.items(), ids=SHOWN)
def test_a_duration_may_have_days(printed, expected):
    assert seconds(printed) == pytest.approx(expected)


def test_the_round_trip_of_a_leaf_node_connection_is_in_milliseconds():
    assert Leaf(rtt_text="1.5s").rtt == 1500.0
