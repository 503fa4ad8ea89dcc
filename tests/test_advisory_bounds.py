"""Advisories are whole and within their bounds, whatever outsiders named."""

from __future__ import annotations

import json

import jsonschema_rs
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from kit.published import AGENT, BY_CODE, COVERAGE, HOSTILE, MIB, openings, size, tell
from nats_insights.facts import Coverage
from nats_insights.judge.lifecycle import Told
from nats_insights.tell.advisory import advisory, bounded, brief, message, subject
from nats_insights.tell.messages import Advisory
from nats_insights.tell.schemas import schemas
from nats_insights.text import plain, shortened
from scenario import FOUNDING, Story, cluster, system

VALID = jsonschema_rs.validator_for(
    schemas()["insights.advisory.v1.finding"], validate_formats=True
)


@pytest.mark.parametrize("max_payload", [MIB, 8192, 4096])
@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_whatever_the_names_an_advisory_is_whole_and_within_its_bounds(name, max_payload):
    told = list(openings(name))
    assert len(told) == 5
    for one in told:
        made, sent = tell(one, max_payload)
        VALID.validate(json.loads(sent.payload))
        assert size(sent) <= min(16 * 1024, max_payload)
        assert len(sent.subject.encode()) < 1000
        assert sent.subject.count(".") == 7
        assert made.summary.isprintable()
        assert made.remediation.isprintable()
        assert all(value.isascii() and value.isprintable() for value in sent.headers.values())


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_whatever_the_names_the_summary_keeps_its_numbers(name):
    for one in openings(name):
        made, _ = tell(one)
        assert "500" in made.summary or "120" in made.summary


def test_of_two_long_names_in_a_summary_each_is_shortened_though_one_begins_with_the_other():
    name = 70 * "a"
    story = Story(checks=[FOUNDING["connection_hotspot"]])
    for _ in range(2):
        story.hears(system(cluster(name, **{f"{name}-b": 120, "n2": 0, "n3": 0})))
    made, _ = tell(story.told[0])
    short = 63 * "a" + "…"
    assert made.summary == f"{short} holds 120 connections, 3.0 times the mean of {short}"


def with_clients(names: int, name: str) -> Told:
    """An opening whose evidence names so many clients."""
    opened = next(openings())
    clients = {"by": "connections", "names": {"top": [[name, 1]] * names, "left_out": 0}}
    return replace(opened, life=replace(opened.life, clients=clients))


def test_evidence_that_fits_stays():
    made, _ = tell(with_clients(10, "orders"))
    assert made.evidence["clients"]["names"]["top"] == [["orders", 1]] * 10
    assert "truncated" not in made.evidence


def test_evidence_stays_as_long_as_it_fits():
    sizes = [
        size(sent)
        for made, sent in (tell(with_clients(names, 250 * "é")) for names in range(50))
        if "truncated" not in made.evidence
    ]
    assert 16 * 1024 - 520 < max(sizes) <= 16 * 1024


def test_a_message_may_be_exactly_as_long_as_the_server_takes():
    told = with_clients(10, "orders")
    _, sent = tell(told)
    kept = ["truncated" not in tell(told, size(sent) - less)[0].evidence for less in (0, 1)]
    assert kept == [True, False]


def test_the_lists_of_the_evidence_go_first():
    made, sent = tell(with_clients(50, 250 * "\x01"))
    assert made.evidence == {"connections": 120, "max_connections": 120, "truncated": True}
    assert made.remediation != ""
    assert size(sent) <= 16 * 1024


def test_then_the_remediation_goes():
    long = replace(BY_CODE["SERVER_011"], do=4000 * "word ")
    told = next(openings())
    sent = message(advisory(told, long, AGENT, COVERAGE, 1.0), subject(told.life, long), MIB)
    made = msgspec.json.decode(sent.payload, type=Advisory)
    assert (made.remediation, made.evidence["connections"]) == ("", 120)


def test_the_rest_fits_four_kibibytes_with_the_longest_agent_and_coverage():
    name = 300 * "é"
    agent = replace(AGENT, id=name[:256])
    coverage = Coverage(servers_known=99, servers_answered=0, missing=[name] * 99)
    for told in openings(5000 * "\x01"):
        check = BY_CODE[told.life.key.code]
        made = advisory(told, check, agent, coverage, 1.0)
        sent = message(made, subject(told.life, check), 4096)
        bare = msgspec.json.decode(sent.payload, type=Advisory)
        assert size(sent) <= 4096
        assert (bare.evidence, bare.remediation) == ({"truncated": True}, "")
        assert bare.coverage == replace(coverage, missing=[])


# --- Text of outsiders.

PLAIN = {
    "plain words": ("n1 in Zürich", "n1 in Zürich"),
    "an escape sequence": ("\x1b[31mred", "\\x1b[31mred"),
    "line ends": ("a\r\nb", "a\\r\\nb"),
    "an escape sequence beside other letters": ("Zürich\x1b", "Zürich\\x1b"),
    "a direction of writing": ("\u202etxt", "\\u202etxt"),
}


@pytest.mark.parametrize("letters", [63, 64, 65])
def test_a_text_is_cut_where_it_is_longer_than_it_may_be(letters):
    assert shortened(letters * "a") == (letters * "a" if letters <= 64 else 63 * "a" + "…")


@pytest.mark.parametrize(("text", "expected"), PLAIN.values(), ids=PLAIN)
def test_what_is_not_printable_is_spelt_out(text, expected):
    assert plain(text) == expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=400),
    lambda inner: (
        st.lists(inner, max_size=60)
        | st.dictionaries(st.text(max_size=300), inner, max_size=60)
        | st.tuples(inner, inner)
    ),
    max_leaves=20,
)


def longest(value: object) -> int:
    """The longest text or list anywhere in a value."""
    if isinstance(value, str):
        return len(value) if len(value) > 50 else 0
    inner = [*value, *value.values()] if isinstance(value, dict) else value
    return max(map(longest, inner), default=0) if isinstance(inner, list) else 0


@settings(max_examples=25, deadline=None)
@given(JSON)
def test_evidence_has_no_long_texts(value):
    assert longest(bounded(value)) <= 256


BOUNDED = {
    "a list": (list(range(60)), list(range(50))),
    "a tuple": ((1, "a"), [1, "a"]),
    "a text as long as may be": (256 * "a", 256 * "a"),
    "many keys": (dict.fromkeys(map(str, range(60))), dict.fromkeys(map(str, range(50)))),
    "keys too deep": (
        {1: {2: {3: {4: {5: {6: {7: 8}}}}}}},
        {"1": {"2": {"3": {"4": {"5": {"6": "dict"}}}}}},
    ),
    "a long text": (300 * "a", 255 * "a" + "…"),
    "half a surrogate pair": ("\ud800", "?"),
    "what has no place in JSON": ({1, 2}, "set"),
    "too deep": ([[[[[[[[1]]]]]]]], [[[[[["list"]]]]]]),
}


@pytest.mark.parametrize(("value", "expected"), BOUNDED.values(), ids=BOUNDED)
def test_evidence_is_bounded(value, expected):
    assert bounded(value) == expected


def test_of_many_missing_servers_a_few_are_named():
    coverage = Coverage(servers_known=99, servers_answered=0, missing=[100 * "n"] * 99)
    assert brief(coverage) == Coverage(
        servers_known=99, servers_answered=0, missing=[63 * "n" + "…"] * 10
    )


def test_the_names_of_missing_servers_take_no_more_than_a_kibibyte():
    coverage = Coverage(servers_known=99, servers_answered=0, missing=[100 * "🐇"] * 99)
    told = brief(coverage).missing
    assert len(told) == 3
    assert sum(len(msgspec.json.encode(name)) + 1 for name in told) <= 1024
