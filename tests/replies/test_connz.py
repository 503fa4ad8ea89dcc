"""Pages of CONNZ: rows with the asked fields, and what becomes of rows that cannot be read."""

from __future__ import annotations

from collections import Counter

import pytest

from nats_insights.replies import connz
from nats_insights.replies.connz import CONNZ, Connection, PageDecoder
from nats_insights.replies.durations import seconds
from nats_insights.replies.fields import Malformed, ServerInfo

from .recordings import VERSIONS, recorded, reply

ALL = [name for name in Connection.__struct_fields__ if name != "origin"]


@pytest.mark.parametrize("version", VERSIONS)
def test_pages_have_the_asked_fields_of_their_rows(version):
    (payload,) = recorded(version, "CONNZ_auth_kinds")
    page = PageDecoder(["cid", "account"]).decode(payload)
    assert {row.__struct_fields__ for row in page.connections} == {("cid", "account")}
    _, whole = CONNZ.decode(payload)
    rows = PageDecoder(ALL).decode(payload).connections
    assert [(r.cid, r.authorized_user) for r in rows] == [
        (r.cid, r.authorized_user) for r in whole.connections
    ]
    assert "<password>" not in repr(rows)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_kind_of_client_is_understood(version):
    (payload,) = recorded(version, "CONNZ_auth_kinds")
    kinds = Counter(
        (row.kind, row.account, row.authorized_user)
        for row in PageDecoder(ALL).decode(payload).connections
        if not row.authorized_user.startswith("U")  # A client with an nkey.
    )
    leaf = {("Leafnode", "APP", "leaf"): 1} if version != "2.10.26" else {}
    assert kinds == {
        ("Client", "SYS", "sys"): 1,
        ("Client", "APP", "app"): 3,  # NATS, WebSocket and MQTT.
        ("Client", "ANON", "anon"): 1,
        **leaf,
    }


def test_decoders_of_the_same_fields_are_made_once():
    assert connz._decoders(("cid", "ip")) is connz._decoders(("cid", "ip"))


def test_a_page_decoder_names_the_fields_that_a_version_does_not_tell():
    decoder = PageDecoder(["cid", "stalls", "proxy"])
    (row,) = decoder.decode(reply({"total": 1, "connections": [{"cid": 1}]})).connections
    assert (row.cid, row.stalls, row.proxy) == (1, 0, None)
    assert decoder.not_told_by(ServerInfo(ver="2.11.17")) == ["stalls", "proxy"]
    assert decoder.not_told_by(ServerInfo(ver="2.12.0")) == []


def page(*rows: bytes, total: int = 0) -> bytes:
    """A page with these rows."""
    data = b'{"total":%d,"connections":[%s]}' % (total or len(rows), b",".join(rows))
    return b'{"server":{"name":"n1","id":"N1"},"data":%s}' % data


def test_a_client_without_an_account_is_in_the_global_one():
    assert PageDecoder(ALL).decode(page(b'{"cid":1}')).connections[0].account == "$G"


BAD_ROWS = {
    "null for a row": b"null",
    "null for a number": b'{"cid":2,"subscriptions":null}',
    "text for a number": b'{"cid":"2"}',
    "a list for a row": b"[]",
    "a number for a name": b'{"cid":2,"authorized_user":7}',
    "a name that is no UTF-8": b'{"cid":2,"authorized_user":"\xff\xfe"}',
    "a number beyond all bounds": b'{"cid":2,"subscriptions":1e999}',
    "more subscriptions than there can be": b'{"cid":2,"subscriptions":4611686018427387904}',
    "fewer subscriptions than none": b'{"cid":2,"subscriptions":-1}',
    "more messages than a counter counts": b'{"cid":2,"in_msgs":9007199254740992}',
}


@pytest.mark.parametrize("bad", BAD_ROWS.values(), ids=BAD_ROWS)
def test_a_broken_row_is_left_out_and_counted(bad):
    read = PageDecoder(ALL).decode(page(b'{"cid":1}', bad, b'{"cid":3}'))
    assert ([row.cid for row in read.connections], read.bad, read.total) == ([1, 3], 1, 3)


BAD_PAGES = {
    "a part": page(b'{"cid":1}')[:-9],
    "no JSON": b"nothing",
    "rows that are no list": reply({"total": 1, "connections": {}}),
    "a total that is text": reply({"total": "1", "connections": []}),
    "a total beyond all bounds": page(b'{"cid":1}', total=2**62),
    "no data": reply(None),
    "an error": b'{"server":{"id":"N1"},"data":null,"error":{"code":400,"description":"bad"}}',
    "a deep one": page(100_000 * b"[" + 100_000 * b"]"),
    "half a pair, which no server sends": page(b'{"cid":1,"name":"\\udc00"}'),
}


@pytest.mark.parametrize("broken", BAD_PAGES.values(), ids=BAD_PAGES)
def test_a_broken_page_is_missing(broken):
    with pytest.raises(Malformed):
        PageDecoder(ALL).decode(broken)


def test_a_page_without_connections_is_an_empty_one():
    read = PageDecoder(ALL).decode(reply({"total": 0, "connections": None}))
    assert (read.connections, read.total) == ([], 0)


TIMES = {
    "0s": 0.0,
    "350µs": 0.00035,
    "1.5ms": 0.0015,
    "1m2.5s": 62.5,
    "1y2d3h4m5s": 31_719_845.0,
    "": 0.0,
    "soon": 0.0,
}


@pytest.mark.parametrize(("text", "expected"), TIMES.items(), ids=TIMES)
def test_a_time_as_servers_print_it_is_read_in_seconds(text, expected):
    assert seconds(text) == pytest.approx(expected)
