"""Each malformation spoils a reply in its own way, and only in that way."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from kit.fleet.asking import reply
from nats_insights.lab.fleet.misbehave import Malformation, spoil
from nats_insights.lab.fleet.model import Fleet, User


def spoilt(endpoint: str, malformation: Malformation, encoding: str = "") -> bytes:
    fleet = Fleet({"C1": ["a", "b"]})
    fleet.open(fleet.server("a"), User(account="APP", name="app"), 3)
    answer = reply(fleet, "a", endpoint)
    assert answer is not None
    return spoil(answer, malformation, encoding)[1]


def data(endpoint: str, malformation: Malformation) -> dict[str, Any]:
    return dict(json.loads(spoilt(endpoint, malformation))["data"])


def test_garbage_and_truncated_replies_are_not_json() -> None:
    for malformation in ("garbage", "truncated"):
        with pytest.raises(ValueError, match=r"Expecting|Unterminated|Invalid"):
            json.loads(spoilt("VARZ", malformation))


def test_a_malformed_reply_is_compressed_as_any_other() -> None:
    assert gzip.decompress(spoilt("VARZ", "garbage", "gzip")) == spoilt("VARZ", "garbage")


def test_a_reply_that_was_cut_off_does_not_decompress() -> None:
    with pytest.raises(EOFError):
        gzip.decompress(spoilt("CONNZ", "cut_off", "gzip"))


def test_one_record_of_a_list_is_null() -> None:
    connections = data("CONNZ", "null_record")["connections"]
    assert [row and row["cid"] for row in connections] == [21, 22, None]


def test_one_figure_of_one_record_is_a_text() -> None:
    connections = data("CONNZ", "wrong_type")["connections"]
    assert [row["subscriptions"] for row in connections] == [1, 1, "many"]


@pytest.mark.parametrize(
    ("malformation", "figure"), [("null_record", None), ("wrong_type", "many")]
)
def test_without_a_list_a_figure_is_spoilt(malformation: Malformation, figure: object) -> None:
    assert data("SUBSZ", malformation)["num_subscriptions"] == figure


def test_statistics_of_an_account_are_spoilt_where_they_matter() -> None:
    statz = data("STATZ", "wrong_type")["account_statz"]
    assert statz[-1]["conns"] == "many"


def test_what_is_right_stays_right() -> None:
    fleet = Fleet({"C1": ["a"]})
    answer = reply(fleet, "a", "IDZ")
    assert answer is not None
    assert spoil(answer, "", "gzip") == (b"", answer.plain())
