"""Every reply fits, all pages together are the whole, and what cannot be answered is refused."""

from __future__ import annotations

import json
from typing import get_args

import jsonschema_rs
import msgspec
import pytest

from kit.asked import AGENT, MIB, after, pages, view
from nats_insights.facts import Coverage
from nats_insights.tell import queries
from nats_insights.tell.messages import GroupedBy
from nats_insights.tell.queries import Refused, answer
from nats_insights.tell.schemas import schemas
from scenario import FOUNDING, Server, Story, cluster, hung, lone, system

EASY = system(cluster(n1=5, n2=5))


def full(servers: int) -> Story:
    """So many servers, each with as many connections as it accepts."""
    story = Story(checks=[FOUNDING["connection_count_high"]])
    story.hears(system(lone(**{f"n{i:03}": Server(1, max_connections=1) for i in range(servers)})))
    return story


@pytest.mark.parametrize(("servers", "max_payload"), [(1000, MIB), (50, 16_384), (10, 4096)])
def test_all_findings_are_told_once_in_pages_that_fit(servers, max_payload):
    of = view(full(servers), max_payload=max_payload)
    replies = list(pages(of, "FINDINGS", "findings", limit=1000))
    told = [one["entity"]["name"] for reply in replies for one in json.loads(reply)["findings"]]
    assert told == [f"n{i:03}" for i in range(servers)]
    assert max(map(len, replies)) < min(256 * 1024, max_payload)


def test_only_a_finding_that_has_a_page_for_itself_is_shortened():
    (whole,) = pages(view(full(1)), "FINDINGS", "findings")
    row = len(msgspec.json.encode(json.loads(whole)["findings"][0]))
    # Two fit into this, if the second gave up its advice.
    of = view(full(3), max_payload=len(whole) + row - 50)
    found = [json.loads(page)["findings"] for page in pages(of, "FINDINGS", "findings")]
    assert [len(of_page) for of_page in found] == [1, 1, 1]
    assert ["truncated" in one["evidence"] for (one,) in found] == [False, False, False]


def test_a_page_holds_a_row_though_there_is_room_for_none():
    page = json.loads(answer(view(full(2), max_payload=1), "SERVERS", b"{}"))
    assert (len(page["servers"]), page["more"]) == (1, True)


@pytest.mark.parametrize(("servers", "max_payload"), [(1000, MIB), (10, 4096)])
def test_all_servers_are_told_once_in_pages_that_fit(servers, max_payload):
    of = view(full(servers), max_payload=max_payload)
    replies = list(pages(of, "SERVERS", "servers", limit=1000))
    told = [one["name"] for reply in replies for one in json.loads(reply)["servers"]]
    assert told == [f"n{i:03}" for i in range(servers)]
    assert max(map(len, replies)) < min(256 * 1024, max_payload)


LISTS = {
    **{"FINDINGS": "findings", "SERVERS": "servers", "CHECKS": "checks"},
    "HISTORY": "transitions",
}


@pytest.fixture(scope="module")
def hostile() -> Story:
    """A system in which every name is as bad as can be, and ten servers are silent."""
    bad = 5000 * "\x01"
    hot = Server(users={f"{bad} {bad}": 120}, subscriptions=500, max_connections=120)
    silent = {f"{bad}{i}": hung for i in range(10)}
    story = Story()
    for _ in range(2):
        story.hears(system(cluster(bad, **{bad: hot, "n2": 0, "n3": 0}), cluster("C2", **silent)))
    return story


@pytest.mark.parametrize("max_payload", [MIB, 4096])
@pytest.mark.parametrize(("query", "field"), LISTS.items(), ids=LISTS)
def test_pages_fit_whatever_the_names(query, field, max_payload, hostile):
    replies = list(pages(view(hostile, max_payload=max_payload), query, field))
    assert max(map(len, replies)) < min(256 * 1024, max_payload)


@pytest.mark.parametrize("by", get_args(GroupedBy))
@pytest.mark.parametrize("max_payload", [MIB, 4096])
def test_groups_fit_whatever_the_names(max_payload, by, hostile):
    replies = list(pages(view(hostile, max_payload=max_payload), "FINDINGS", "groups", by=by))
    assert max(map(len, replies)) < min(256 * 1024, max_payload)


@pytest.mark.parametrize("max_payload", [MIB, 4096])
def test_the_status_fits_whatever_the_names(max_payload, hostile):
    assert len(answer(view(hostile, max_payload=max_payload), "STATUS", b"")) < max_payload


@pytest.mark.parametrize("name", ["STATUS", "EXPLAIN"])
def test_a_reply_without_pages_fits_a_small_max_payload(name):
    story = Story()
    story.hears(system(cluster(**{f"n{i}": hung for i in range(100)})))
    for check in FOUNDING:
        body = {"name": check} if name == "EXPLAIN" else {}
        reply = answer(view(story, max_payload=4096), name, json.dumps(body).encode())
        assert len(reply) < 4096


# --- What is refused.

REFUSED = {
    "no JSON": ("FINDINGS", b"{", 400, "the request is not a JSON object"),
    "bad UTF-8": ("FINDINGS", b'{"code":"\xff"}', 400, "the request is not a JSON object"),
    "too deep": ("FINDINGS", 50_000 * b"[", 400, "the request is not a JSON object"),
    "a list": ("FINDINGS", b"[]", 400, "the request is not a JSON object"),
    "an unknown field": (
        "STATUS",
        b'{"verbose":1}',
        400,
        "there is no field verbose; known are none",
    ),
    "an unknown field beside known ones": (
        *("CHECKS", b'{"verbose":1}', 400),
        "there is no field verbose; known are offset, limit",
    ),
    "a field with a slip": (
        *("FINDINGS", b'{"severty":"info"}', 400),
        "there is no field severty; did you mean severity?",
    ),
    "a wrong type": (
        *("FINDINGS", b'{"limit":"9"}', 400),
        'limit is a whole number from 1 to 1000, not "9"',
    ),
    "a number for a text": ("FINDINGS", b'{"account":7}', 400, "account is text, not 7"),
    "a number for a word": (
        *("FINDINGS", b'{"state":7}', 400),
        "state is one of all, open, resolved, not 7",
    ),
    "a negative offset": (
        *("FINDINGS", b'{"offset":-1}', 400),
        "offset is a whole number from 0, not -1",
    ),
    "half an offset": (
        *("FINDINGS", b'{"offset":0.5}', 400),
        "offset is a whole number from 0, not 0.5",
    ),
    "no limit at all": (
        *("FINDINGS", b'{"limit":0}', 400),
        "limit is a whole number from 1 to 1000, not 0",
    ),
    "a huge limit": ("FINDINGS", b'{"limit":1001}', 400, "from 1 to 1000, not 1001"),
    "a severity with a slip": (
        *("FINDINGS", b'{"severity":"warn"}', 400),
        "there is no severity warn; did you mean warning?",
    ),
    "a severity in capitals": (
        *("FINDINGS", b'{"severity_at_least":"WARNING"}', 400),
        "there is no severity_at_least WARNING; did you mean warning?",
    ),
    "an unknown state": (
        *("FINDINGS", b'{"state":"xyz"}', 400),
        "there is no state xyz; known are all, open, resolved",
    ),
    "too large a number": ("FINDINGS", b'{"offset":1e400}', 400, "the request"),
    "an unknown check": ("EXPLAIN", b'{"code":"SERVER_O11"}', 404, "did you mean SERVER_011?"),
    "an unknown check of findings": (
        "FINDINGS",
        b'{"code":"connection_hotspt"}',
        404,
        "did you mean connection_hotspot?",
    ),
    "no check": (
        *("EXPLAIN", b"", 400),
        'name a check by code or name, such as {"code": "SERVER_011"}',
    ),
}


@pytest.mark.parametrize(("name", "body", "code", "expected"), REFUSED.values(), ids=REFUSED)
def test_a_request_is_refused_in_one_sentence(name, body, code, expected):
    with pytest.raises(Refused) as refused:
        answer(after(EASY), name, body)
    assert refused.value.code == code
    assert expected in str(refused.value)


def test_a_refusal_says_so_in_its_body():
    reply = json.loads(
        queries.error(
            AGENT,
            Coverage(servers_known=1, servers_answered=1, missing=[]),
            Refused(404, "there is no check X"),
        )
    )
    schema = schemas()["insights.api.v1.error_response"]
    jsonschema_rs.validator_for(schema, validate_formats=True).validate(reply)
    assert reply["error"] == {"code": 404, "description": "there is no check X"}


BAD_WORDS = {
    "a long one": 5000 * "x",
    "one with colours": "\x1b[31m",
    "one that would be a header": "a\r\nNats-Rollup: all",
}
BODIES = {
    "for a check": lambda word: ("EXPLAIN", {"code": word}),
    "for a field": lambda word: ("FINDINGS", {word: 1}),
    "for a severity": lambda word: ("FINDINGS", {"severity": word}),
}


@pytest.mark.parametrize("word", BAD_WORDS.values(), ids=BAD_WORDS)
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_refusal_fits_a_header_whatever_was_asked(body, word):
    name, asked = body(word)
    with pytest.raises(Refused) as refused:
        answer(after(EASY), name, json.dumps(asked).encode())
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 1000
