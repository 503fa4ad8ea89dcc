"""Events of servers: who says goodbye."""

from __future__ import annotations

import json

import pytest

from nats_insights.replies.events import decode_event
from nats_insights.replies.fields import Malformed

from .recordings import VERSIONS, recorded


@pytest.mark.parametrize("version", VERSIONS)
def test_goodbyes_tell_who_says_them(version):
    (events,) = recorded(version, "EVENTS")
    told = {
        subject.rsplit(".", 1)[-1] + " of " + decode_event(json.dumps(event).encode()).name
        for subject, event in json.loads(events).items()
        if subject.endswith(("SHUTDOWN", "LAMEDUCK"))
    }
    assert told == {"LAMEDUCK of S3", "SHUTDOWN of S2"}


BROKEN = {
    "no JSON": b"",
    "nobody": b"{}",
    "a server without an id": b'{"name":"n1"}',
    "an id that is no token": b'{"name":"n1","id":"N1 N2"}',
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_a_broken_event_is_no_event(broken):
    with pytest.raises(Malformed):
        decode_event(broken)
