"""The nearest word, for sentences that ask what was meant."""

from __future__ import annotations

import pytest

from nats_insights.text import nearest

KNOWN = ("SERVER_011", "connection_hotspot", "findings", "n2")
NEAR = {
    "findigns": "findings",
    "Server_11": "SERVER_011",
    "CONNECTION_HOTSPOTS": "connection_hotspot",
    "xyz": "",
    "n3": "",
    "": "",
    "findings" * 100_000: "",
}


@pytest.mark.parametrize("word", NEAR, ids=lambda word: word[:20] or "nothing")
def test_the_nearest_word_is_found_whatever_its_case(word):
    assert nearest(word, KNOWN) == NEAR[word]


def test_without_words_none_is_near():
    assert nearest("findings", ()) == ""


TIES = {
    "USER_02": ("USER_902", "USER_002"),  # Each lacks one character.
    "user_02": ("USER_902", "USER_002"),
    "SERVER_01": ("SERVER_901", "SERVER_011"),
    "conections": ("xconections", "connections"),
}


@pytest.mark.parametrize("word", TIES)
@pytest.mark.parametrize("turned", [False, True])
def test_of_words_that_are_as_near_the_one_that_begins_alike_is_meant(word, turned):
    known = TIES[word]
    assert nearest(word, known[::-1] if turned else known) == known[1]


def test_what_is_nearer_is_meant_though_another_word_begins_alike():
    assert nearest("connections", ("connect", "xconnections")) == "xconnections"
