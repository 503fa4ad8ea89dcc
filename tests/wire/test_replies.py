"""Recorded replies of five server versions, and broken ones: what is read, and what survives."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import asdict

from nats_insights.model.build import seconds_between
from nats_insights.replies.wire import (
    Connection,
    Malformed,
    PageDecoder,
    ServerInfo,
    decode,
    decode_event,
)
from scenario import VERSIONS, Story, recorded, system
from scenario import cluster as cluster_of

HERE = Path(__file__).parent
SMALL = ("VARZ", "STATSZ", "ROUTEZ", "LEAFZ", "SUBSZ", "ACCOUNTZ", "STATZ")
ALL_FIELDS = Connection.__struct_fields__


def payload(version: str, name: str) -> bytes:
    """A recorded reply as it came."""
    return (HERE / version / f"{name}.json").read_bytes()


def rows(version: str, name: str) -> list[Any]:
    """The rows of a recorded page of CONNZ, with every field that a fold may ask for."""
    return PageDecoder(ALL_FIELDS).decode(payload(version, name)).connections


# --- What servers send.


@pytest.mark.parametrize("version", VERSIONS)
def test_varz_is_understood(version):
    info, varz = decode("VARZ", payload(version, "VARZ"))
    assert (info.name, info.cluster, info.ver) == ("S1", "C1", version)
    assert (varz.connections, varz.max_connections, varz.system_account) == (2, 65_536, "SYS")
    assert varz.max_pending == 64 * 1024 * 1024
    assert 0 < (varz.now - varz.start).total_seconds() < 60


@pytest.mark.parametrize("version", VERSIONS)
def test_a_whole_system_is_understood(version):
    replies = {one.info.name: one.replies for one in recorded(version).servers}
    assert set(replies) == {"S1", "S2", "S3"}
    assert {endpoint for one in replies.values() for endpoint in one} == {*SMALL, "CONNZ"}
    s1 = replies["S1"]
    assert s1["STATSZ"].active_servers == 3
    assert set(s1["ROUTEZ"].peers.values()) == {"S2", "S3"}
    assert s1["LEAFZ"].subscriptions == 0
    assert s1["SUBSZ"].num_subscriptions == s1["VARZ"].subscriptions
    assert {"APP", "BIG", "SYS", "$G"} <= set(s1["ACCOUNTZ"].accounts)
    assert s1["STATZ"].connections == {"APP": 12}
    assert (s1["CONNZ"].total, len(s1["CONNZ"].connections), s1["CONNZ"].bad) == (12, 12, 0)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_kind_of_client_is_understood(version):
    kinds = Counter(
        (row.kind, row.account, row.authorized_user)
        for row in rows(version, "CONNZ_auth_kinds")
        if not row.authorized_user.startswith("U")  # A client with an nkey.
    )
    leaf = {("Leafnode", "APP", "leaf"): 1} if version != "2.10.26" else {}
    assert kinds == {
        ("Client", "SYS", "sys"): 1,
        ("Client", "APP", "app"): 3,  # NATS, WebSocket and MQTT.
        ("Client", "ANON", "anon"): 1,
        **leaf,
    }


@pytest.mark.parametrize("version", VERSIONS)
def test_with_jwts_accounts_and_users_are_their_keys(version):
    found = rows(version, "CONNZ_auth_jwt")
    assert {(row.account[:1], row.authorized_user[:1]) for row in found} == {("A", "U")}
    assert {len(name) for row in found for name in (row.account, row.authorized_user)} == {56}


@pytest.mark.parametrize("name", ["CONNZ_auth_jwt", "CONNZ_auth_kinds"])
@pytest.mark.parametrize("version", VERSIONS)
def test_no_field_can_hold_a_secret(version, name):
    marked = payload(version, name).replace(b'"jwt":"', b'"jwt":"a secret ')
    page = PageDecoder(ALL_FIELDS).decode(marked)
    assert b"a secret" in marked or b'"jwt"' not in marked
    assert "a secret" not in repr(page)


@pytest.mark.parametrize("version", VERSIONS)
def test_goodbyes_tell_who_says_them(version):
    told = {
        subject.rsplit(".", 1)[-1] + " of " + decode_event(json.dumps(event).encode()).name
        for subject, event in json.loads(payload(version, "EVENTS")).items()
        if not subject.endswith("STATSZ")
    }
    assert told == {"LAMEDUCK of S3", "SHUTDOWN of S2"}


def test_a_decoder_reads_the_fields_that_were_asked_for_and_no_other():
    page = PageDecoder(["cid", "account"]).decode(payload("2.15.1", "CONNZ_auth_kinds"))
    assert {row.__struct_fields__ for row in page.connections} == {("cid", "account")}


def test_a_client_without_an_account_is_in_the_global_one():
    page = PageDecoder(ALL_FIELDS).decode(connz(b'{"cid":1,"kind":"Client"}'))
    assert page.connections[0].account == "$G"


# --- What is broken.


def reply(data: bytes, server: bytes = b'{"name":"n1","id":"N1"}', field: bytes = b"data") -> bytes:
    """A reply with these parts."""
    return b'{"server":%s,"%s":%s}' % (server, field, data)


def connz(*rows: bytes, total: int = 0) -> bytes:
    """A page of CONNZ with these rows."""
    return reply(b'{"total":%d,"connections":[%s]}' % (total or len(rows), b",".join(rows)))


DEEP = 100_000 * b"[" + 100_000 * b"]"
BROKEN = {
    "nothing": b"",
    "no JSON": b"404 page not found",
    "a part": reply(b'{"connections":1}')[:-5],
    "more than a reply": reply(b"{}") + b"{}",
    "a list": b"[]",
    "null": b"null",
    "no server": b'{"data":{}}',
    "a server that is null": reply(b"{}", server=b"null"),
    "a server that is text": reply(b"{}", server=b'"n1"'),
    "a name that is no UTF-8": reply(b"{}", server=b'{"name":"\xff","id":"N1"}'),
    "a name that is half a pair": reply(b"{}", server=b'{"name":"\\ud800","id":"N1"}'),
    "a name that is a number": reply(b"{}", server=b'{"name":1,"id":"N1"}'),
    "data that is null": reply(b"null"),
    "data that is text": reply(b'"none"'),
    "no data": b'{"server":{"name":"n1","id":"N1"}}',
    "an error": b'{"server":{"name":"n1","id":"N1"},"error":{"code":503,"description":"no"}}',
    "null for a number": reply(b'{"connections":null}'),
    "text for a number": reply(b'{"connections":"12"}'),
    "a fraction for a number": reply(b'{"connections":1.5}'),
    "a number beyond all bounds": reply(b'{"connections":1e999}'),
    "a number of 400 digits": reply(b'{"connections":%s}' % (400 * b"9")),
    "more connections than there can be": reply(b'{"connections":4294967296}'),
    "fewer connections than none": reply(b'{"connections":-1}'),
    "more than a counter counts": reply(b'{"total_connections":9007199254740992}'),
    "a limit beyond 64 bits": reply(b'{"max_connections":9223372036854775808}'),
    "a time that is none": reply(b'{"start":"yesterday"}'),
    "a time without a zone": reply(b'{"start":"2026-01-01T00:00:00"}'),
    "a server without an id": reply(b"{}", server=b'{"name":"n1"}'),
    "an id that is no token": reply(b"{}", server=b'{"name":"n1","id":"N1.*"}'),
    "an id with a line end": reply(b"{}", server=b'{"name":"n1","id":"N1\\r\\nPING"}'),
    "an id longer than a line": reply(b"{}", server=b'{"name":"n1","id":"%s"}' % (5000 * b"N")),
    "an error beyond all bounds": b'{"server":{"id":"N1"},"error":{"code":%s}}' % (400 * b"9"),
    "a deep one": DEEP,
    "deep where nobody looks": reply(b'{"other":%s}' % DEEP),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_a_broken_small_reply_is_missing(broken):
    with pytest.raises(Malformed):
        decode("VARZ", broken)


NESTED = {
    "STATZ": b'{"account_statz":[{"acc":"A","conns":null}]}',
    "ROUTEZ": b'{"routes":[{"subscriptions":"9"}]}',
    "LEAFZ": b'{"leafs":{}}',
    "ACCOUNTZ": b'{"accounts":[1]}',
    "SUBSZ": b'{"num_subscriptions":[]}',
}


@pytest.mark.parametrize(("endpoint", "data"), NESTED.items(), ids=NESTED)
def test_a_reply_with_one_broken_record_is_missing(endpoint, data):
    with pytest.raises(Malformed):
        decode(endpoint, reply(data))


COUNTS = {
    "VARZ": b'{"connections":%d,"leafnodes":%d,"subscriptions":%d}',
    "STATSZ": b'{"connections":%d,"active_servers":%d}',
    "SUBSZ": b'{"num_subscriptions":%d,"max_fanout":%d}',
    "ROUTEZ": b'{"routes":[{"subscriptions":%d}]}',
    "LEAFZ": b'{"leafs":[{"subscriptions":%d}]}',
    "STATZ": b'{"account_statz":[{"acc":"A","conns":%d}]}',
}


@pytest.mark.parametrize("field", [b"connections", b"active_servers", b"total_connections"])
@pytest.mark.parametrize("count", [-1, 2**53, 2**63, 2**64, 10**300])
def test_no_figure_of_a_server_is_beyond_its_bounds(field, count):
    with pytest.raises(Malformed):
        decode("STATSZ", reply(b'{"%s":%d}' % (field, count), field=b"statsz"))


@pytest.mark.parametrize(("endpoint", "data"), COUNTS.items(), ids=COUNTS)
def test_what_a_server_counts_with_32_bits_has_no_more(endpoint, data):
    field = b"statsz" if endpoint == "STATSZ" else b"data"
    figures = data.count(b"%d")
    assert decode(endpoint, reply(data % ((2**32 - 1,) * figures), field=field))
    for one in range(figures):
        counts = tuple(2**32 if number == one else 0 for number in range(figures))
        with pytest.raises(Malformed):
            decode(endpoint, reply(data % counts, field=field))


@pytest.mark.parametrize("limit", [-(2**63), -1, 0, 1, 2**63 - 1])
def test_a_limit_may_be_whatever_a_configuration_says(limit):
    _, varz = decode("VARZ", reply(b'{"max_connections":%d,"max_pending":%d}' % (limit, limit)))
    assert (varz.max_connections, varz.max_pending) == (limit, limit)


@pytest.mark.parametrize("start", ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00"])
@pytest.mark.parametrize("now", ["9999-12-31T23:59:59Z", "9999-12-31T23:59:59.999-14:00"])
def test_times_however_far_apart_can_be_told_apart(start, now):
    _, varz = decode("VARZ", reply(b'{"start":"%s","now":"%s"}' % (start.encode(), now.encode())))
    assert seconds_between(varz.start, varz.now) > 9998 * 365 * 86_400
    assert seconds_between(varz.now, varz.start) < 0


def test_a_peer_that_could_not_be_asked_by_its_id_is_left_out():
    ids = ["N2", "N.*", "N 3", "N\\n", "N\\u0000", 5000 * "N", ""]
    links = ",".join(f'{{"remote_id":"{id}","remote_name":"n"}}' for id in ids)
    _, routez = decode("ROUTEZ", reply(f'{{"routes":[{links}]}}'.encode()))
    assert routez.peers == {"N2": "n"}


@pytest.mark.parametrize("endpoint", SMALL)
def test_nothing_in_a_reply_is_nothing_to_count(endpoint):
    field = b"statsz" if endpoint == "STATSZ" else b"data"
    info, told = decode(endpoint, reply(b"{}", field=field))
    assert info == ServerInfo(name="n1", id="N1")
    assert all(figure in (0, None, "", "$SYS", {}, frozenset()) for figure in asdict(told).values())


def test_of_the_links_to_other_servers_the_peers_and_the_interest_are_kept():
    links = b'[{"remote_id":"%s","remote_name":"n%d","subscriptions":%d}%s]'
    several = links % (b"N2", 2, 20, b',{"remote_id":"N2","remote_name":"n2","subscriptions":10}')
    _, routez = decode("ROUTEZ", reply(b'{"routes":%s}' % several))
    assert (routez.peers, routez.subscriptions) == ({"N2": "n2"}, 30)
    _, leafz = decode("LEAFZ", reply(b'{"leafs":%s}' % several))
    assert leafz.subscriptions == 30


def test_of_leaf_nodes_the_names_are_kept():
    # The id of such a row, from 2.11 on, is the number of a connection.
    rows = b'[{"id":13,"name":"l1","subscriptions":2},{"name":"l1"},{"name":"l2"}]'
    _, leafz = decode("LEAFZ", reply(b'{"leafs":%s}' % rows))
    assert leafz.peers == {"l1", "l2"}


def test_of_gateways_the_ids_of_both_directions_are_kept():
    gateway = b'{"configured":true,"connection":{"cid":19,"kind":"Gateway","name":"%s"}}'
    directions = b'{"outbound_gateways":{"CB":%s,"CC":{}},"inbound_gateways":{"CB":[%s,%s]}}'
    _, gatewayz = decode(
        "GATEWAYZ", reply(directions % tuple(gateway % id for id in (b"B1", b"B1", b"B2")))
    )
    assert gatewayz.peers == {"B1", "B2"}


def test_of_accounts_those_with_clients_are_kept():
    accounts = b'[{"acc":"A","conns":3},{"acc":"B","conns":0,"leafnodes":1}]'
    _, statz = decode("STATZ", reply(b'{"account_statz":%s}' % accounts))
    assert statz.connections == {"A": 3}


EMPTY = {
    "ROUTEZ": b'{"routes":null}',
    "LEAFZ": b'{"leafs":null}',
    "STATZ": b'{"account_statz":null}',
}


@pytest.mark.parametrize(("endpoint", "data"), EMPTY.items(), ids=EMPTY)
def test_a_null_list_is_an_empty_one(endpoint, data):
    _, told = decode(endpoint, reply(data))
    assert getattr(told, "subscriptions", 0) == 0


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
    page = PageDecoder(ALL_FIELDS).decode(connz(b'{"cid":1}', bad, b'{"cid":3}'))
    assert ([row.cid for row in page.connections], page.bad, page.total) == ([1, 3], 1, 3)


BAD_PAGES = {
    "a part": connz(b'{"cid":1}')[:-9],
    "no JSON": b"nothing",
    "rows that are no list": reply(b'{"total":1,"connections":{}}'),
    "a total that is text": reply(b'{"total":"1","connections":[]}'),
    "a total beyond all bounds": reply(b'{"total":4611686018427387904,"connections":[{"cid":1}]}'),
    "a total of less than none": reply(b'{"total":-1,"connections":[]}'),
    "no data": reply(b"null"),
    "an error": b'{"server":{"id":"N1"},"data":null,"error":{"code":400,"description":"bad"}}',
    "a deep one": connz(DEEP),
    "half a pair, which no server sends": connz(b'{"cid":1,"name":"\\udc00"}'),
    "no UTF-8 in the name of the server": reply(
        b'{"total":0,"connections":[]}', server=b'{"name":"\xff"}'
    ),
}


@pytest.mark.parametrize("broken", BAD_PAGES.values(), ids=BAD_PAGES)
def test_a_broken_page_is_missing(broken):
    with pytest.raises(Malformed):
        PageDecoder(ALL_FIELDS).decode(broken)


def test_a_page_without_connections_is_an_empty_one():
    page = PageDecoder(ALL_FIELDS).decode(reply(b'{"total":0,"connections":null}'))
    assert (page.connections, page.total) == ([], 0)


BROKEN_EVENTS = {
    "no JSON": b"",
    "nobody": b"{}",
    "a server without an id": b'{"name":"n1"}',
    "an id that is no token": b'{"name":"n1","id":"N1 N2"}',
}


@pytest.mark.parametrize("broken", BROKEN_EVENTS.values(), ids=BROKEN_EVENTS)
def test_a_broken_event_is_no_event(broken):
    with pytest.raises(Malformed):
        decode_event(broken)


@pytest.mark.parametrize("broken", [reply(b'{"start":"a secret","jwt":"a secret"}'), b'"a secret"'])
def test_what_is_said_of_a_broken_reply_holds_nothing_of_it(broken):
    with pytest.raises(Malformed) as malformed:
        decode("VARZ", broken)
    assert "secret" not in str(malformed.value)
    assert malformed.value.__cause__ is None
    assert malformed.value.__suppress_context__


# --- What broken replies do to findings.


def test_one_bad_row_of_a_hundred_is_survived():
    assert found_with_bad_rows(2) == ["opened USER_002 APP app"]


def test_three_bad_rows_of_a_hundred_make_the_server_unknown():
    assert found_with_bad_rows(3) == []


def found_with_bad_rows(bad: int) -> list[str]:
    """What is told of a user with 150 connections, 100 of them on a server with bad rows."""
    good = b'{"cid":%d,"kind":"Client","account":"APP","authorized_user":"app"}'
    page = PageDecoder(ALL_FIELDS).decode(
        connz(*[good % cid for cid in range(100 - bad)], *[b"null"] * bad)
    )
    given = system(cluster_of(n1=100, n2=50))
    given.servers[0].replies["CONNZ"] = page
    return [told for told in Story().hears(given) if "USER_002" in told]
