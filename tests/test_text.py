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
