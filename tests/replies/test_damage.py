"""Replies of real servers, damaged at random: each is read or is missing, and nothing else."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from nats_insights.replies.endpoint import endpoints
from nats_insights.replies.fields import Malformed

from .recordings import VERSIONS, compact, every_reply
from .test_declared import parts

STRANGE: list[Any] = [
    *(None, True, -1, 0, 2**32, 2**53, 2**63, 2**64 - 1, 10**400, 1.5, "", "x", "\x00"),
    *([], {}, [None], {"": 0}, {"server": {}, "origin": {}}),
    *("0001-01-01T00:00:00Z", "9999-12-31T23:59:59+14:00"),
]
PROPERTIES = ("peers", "subscriptions", "connections")


def places(said: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) in a value."""
    if isinstance(said, dict):
        keys: list[Any] = [*said]
    else:
        keys = [*range(len(said))] if isinstance(said, list) else []
    return [(said, key) for key in keys] + [place for key in keys for place in places(said[key])]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_damaged_reply_is_read_or_is_missing(version):
    dice = random.Random(version)
    read = missing = 0
    for key, payload in every_reply(version):
        for _ in range(40):
            damaged = json.loads(payload)
            for where, which in dice.sample(places(damaged), dice.randint(1, 2)):
                where[which] = dice.choice(STRANGE)
            try:
                _, said = endpoints()[key].decode(compact(damaged))
            except Malformed:
                missing += 1
                continue
            read += 1
            figures = [getattr(said, name, None) for name in PROPERTIES]
            assert len(figures) == len(PROPERTIES)  # Each could be worked out.
            assert {part.server.id for part in parts(said)} <= {damaged["server"]["id"]}
    assert read > 100
    assert missing > 100


@pytest.mark.parametrize("version", VERSIONS)
def test_a_reply_with_other_bytes_is_read_or_is_missing(version):
    dice = random.Random(version)
    missing = 0
    for key, payload in every_reply(version):
        for _ in range(40):
            damaged = bytearray(payload)
            damaged[dice.randrange(len(damaged))] = dice.randrange(256)
            try:
                endpoints()[key].decode(bytes(damaged))
            except Malformed:
                missing += 1
    assert missing > 100
