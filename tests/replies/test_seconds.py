"""Durations, as Go and servers print them."""

from __future__ import annotations

import pytest

from nats_insights.replies.fields import seconds
from nats_insights.replies.leafz import Leaf

PRINTED = {
    "": 0.0,
    "0s": 0.0,
    "n/a": 0.0,
    "850ns": 8.5e-7,
    "512µs": 0.000512,
    "512us": 0.000512,
    "1.00486ms": 0.00100486,
    "2.5s": 2.5,
    "1m2.5s": 62.5,
    "1h0m1s": 3601.0,
    "1y2d3h4m5s": 365 * 86_400.0 + 2 * 86_400.0 + 3 * 3600.0 + 4 * 60.0 + 5.0,
}


@pytest.mark.parametrize(("text", "expected"), PRINTED.items(), ids=PRINTED)
def test_a_duration_is_read_in_seconds(text, expected):
    assert seconds(text) == pytest.approx(expected)


def test_the_round_trip_of_a_leaf_connection_is_in_milliseconds():
    assert Leaf(rtt_text="1.5s").rtt == 1500.0
