"""Durations as Go prints them."""

from __future__ import annotations

import pytest

from nats_insights.replies.durations import milliseconds
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


def test_the_round_trip_of_a_leaf_node_connection_is_in_milliseconds():
    assert Leaf(rtt_text="1.5s").rtt == 1500.0
