"""HEALTHZ: what a server looked at, by the errors that it names."""

from __future__ import annotations

import pytest

from nats_insights.errors import Missing
from nats_insights.replies.healthz import HealthError, Healthz

UNKNOWN = "unknown"
TYPES = ("CONNECTION", "JETSTREAM", "ACCOUNT", "STREAM", "CONSUMER")

# The types of the errors that are named, and how many of each type there are.
NAMED = {
    "none": ([], (0, 0, 0, 0, 0)),
    "connections": (["CONNECTION"], (1, *4 * [UNKNOWN])),
    "JetStream": (["JETSTREAM"], (0, 1, *3 * [UNKNOWN])),
    # The streams of this account were not looked at.
    "two accounts": (["ACCOUNT", "ACCOUNT"], (0, 0, 2, UNKNOWN, UNKNOWN)),
    "an account and a stream": (["ACCOUNT", "STREAM"], (0, 0, 1, 1, UNKNOWN)),
    "a stream": (["STREAM"], (0, 0, 0, 1, UNKNOWN)),
    "a consumer": (["CONSUMER"], (0, 0, 0, 0, 1)),
    "something newer": (["DISK"], 5 * (UNKNOWN,)),
    "something newer and a stream": (["DISK", "STREAM"], (*3 * [UNKNOWN], 1, UNKNOWN)),
}


@pytest.mark.parametrize(("types", "expected"), NAMED.values(), ids=NAMED)
def test_what_was_not_looked_at_is_unknown(types, expected):
    errors = [HealthError(type=type, error="it is so") for type in types]
    reply = Healthz(status="error" if errors else "ok", errors=errors or None)
    assert tuple(many(reply, type) for type in TYPES) == expected


def many(reply: Healthz, *types: str) -> int | str:
    try:
        return len(reply.errors_of(*types))
    except Missing:
        return UNKNOWN


def test_streams_and_consumers_are_looked_at_together():
    reply = Healthz(status="error", errors=[HealthError(type="CONSUMER")])
    assert many(reply, "STREAM", "CONSUMER") == 1


def test_nothing_is_known_of_a_server_that_is_not_healthy_and_names_no_error():
    reply = Healthz(status="unavailable", error="JetStream is not current")
    assert {many(reply, type) for type in TYPES} == {UNKNOWN}
