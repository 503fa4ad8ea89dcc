"""Which clusters an agent looks at, and what it therefore requests."""

from __future__ import annotations

import pytest

from nats_insights.config import ConfigError, parse
from nats_insights.gather.within import EVERYWHERE, Within


@pytest.mark.parametrize(
    ("clusters", "inside", "outside"),
    [
        (["EU"], ["EU"], ["EU-2", "eu", "", "aEU"]),
        (["EU*", "AP?"], ["EU", "EU-2", "AP1"], ["AP", "US"]),
        ([""], [""], ["EU"]),
        (["[AB]"], ["A", "B"], ["AB", "C"]),
        (["*"], ["EU", "", "a\nb"], []),
    ],
)
def test_a_cluster_is_inside_where_a_glob_matches_its_whole_name(clusters, inside, outside):
    within = Within(clusters)
    assert [one for one in inside if not within.has(one)] == []
    assert [one for one in outside if within.has(one)] == []


@pytest.mark.parametrize(
    ("clusters", "bodies"),
    [
        (["EU"], [b'{"limit":3,"cluster":"EU","exact_match":true}']),
        (["EU", "EU"], [b'{"limit":3,"cluster":"EU","exact_match":true}']),
        (["E*"], [b'{"limit":3}']),
        (["A", "E?"], [b'{"limit":3}']),
        (["[E]U"], [b'{"limit":3}']),
        # Servers take an empty name for any.
        (["EU", ""], [b'{"limit":3}']),
        # Old servers take a part of a name for the name.
        (["EU", "EU-2"], [b'{"limit":3}']),
        ([f"c{n}," for n in range(17)], [b'{"limit":3}']),
    ],
)
def test_servers_are_told_the_cluster_only_where_that_is_exact(clusters, bodies):
    assert Within(clusters).bodies(b'{"limit":3}') == bodies


def test_each_cluster_has_a_request_of_its_own():
    assert len(Within([f"c{n}," for n in range(16)]).bodies(b"")) == 16
    assert Within(["EU"]).bodies(b"") == [b'{"cluster":"EU","exact_match":true}']
    assert EVERYWHERE.bodies(b"") == [b""]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('clusters = ["EU"]\nothers = ["US"]', "EU"),
        ('clusters = ["EU-*", "AP"]\nothers = ["US"]', "EU--AP"),
        ('clusters = ["EU"]\nothers = ["US"]\nname = "west_1"', "west_1"),
        (f'clusters = ["{"E" * 40}"]\nothers = ["US"]', 32 * "E"),
    ],
)
def test_a_shard_has_a_name(text, name):
    assert parse(f"[shard]\n{text}").shard.title == name


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('clusters = ["EU"]', "shard.others is missing"),
        ('others = ["EU"]', "shard.clusters is missing"),
        ('clusters = ["*"]\nothers = ["US"]', "shard.name is missing"),
        ('clusters = ["US"]\nothers = ["US"]', "US is this shard"),
        ('clusters = ["[US"]\nothers = ["EU"]', "no bracket closes"),
        ('clusters = ["US"]\nothers = ["a.b"]', "32 letters, digits"),
        ('clusters = ["US"]\nothers = [""]', "shard.others[0] is refused"),
        ('clusters = ["US"]\nothers = ["EU"]\nname = "a b"', "shard.name is refused"),
        ('cluster = ["US"]\nothers = ["EU"]', "did you mean shard.clusters?"),
    ],
)
def test_half_a_shard_is_refused(text, why):
    with pytest.raises(ConfigError) as refused:
        parse(f"[shard]\n{text}")
    assert why in str(refused.value)
    assert "\n" not in str(refused.value)


def test_without_a_section_there_is_no_shard():
    assert (parse("").shard.title, parse("").shard.clusters) == ("", [])
