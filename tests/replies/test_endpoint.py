"""Endpoints: how they are declared, found and asked, and what becomes of hostile replies."""

from __future__ import annotations

import pytest
from msgspec import Struct

from nats_insights.errors import DeclarationError
from nats_insights.replies import jsz
from nats_insights.replies.endpoint import Endpoint, endpoints
from nats_insights.replies.fields import Malformed, Reply, ServerInfo, shared

from .recordings import reply

VARZ, STATSZ, STATZ = (endpoints()[key] for key in ("VARZ", "STATSZ", "STATZ"))


class Idz(Reply, gc=False):
    name: str = ""


# --- Declared, found, asked.


def test_one_line_declares_an_endpoint():
    idz = Endpoint("IDZ", Idz)
    assert idz.decode(reply({"name": "n1"}))[1].name == "n1"
    assert (repr(idz), idz.key, idz.body, idz.every) == ("IDZ", "IDZ", b"", 0.0)


def test_an_endpoint_is_equal_to_itself_only():
    one, two = Endpoint("IDZ", Idz), Endpoint("IDZ", Idz)
    assert len({one, two, one}) == 2


def test_an_endpoint_that_nobody_can_be_asked_for_is_refused():
    with pytest.raises(DeclarationError, match="IDZ"):
        Endpoint("IDZ", Idz, addressable=False, fans_out=False)


def test_endpoints_are_found_in_the_order_of_their_keys():
    assert list(endpoints()) == sorted(endpoints())
    assert {key: endpoint.key for key, endpoint in endpoints().items()} == dict(
        zip(endpoints(), endpoints(), strict=True)
    )
    assert endpoints()["JSZ_STREAMS"] is jsz.JSZ_STREAMS


def test_all_servers_or_one_of_them_can_be_asked():
    assert VARZ.subject() == "$SYS.REQ.SERVER.PING.VARZ"
    assert VARZ.subject("N1") == "$SYS.REQ.SERVER.N1.VARZ"
    assert jsz.JSZ_STREAMS.subject("N1") == "$SYS.REQ.SERVER.N1.JSZ"


def test_account_statistics_are_asked_of_all_only():
    assert STATZ.subject() == "$SYS.REQ.ACCOUNT.PING.STATZ"
    with pytest.raises(ValueError, match="STATZ can only be asked of all servers"):
        STATZ.subject("N1")


def test_streams_are_asked_by_account_or_by_page_of_accounts():
    asked = b'"accounts":true,"streams":true,"consumer":true,"config":true,"raft":true}'
    assert jsz.body("A", 0, 1) == b'{"account":"A","offset":0,"limit":1,' + asked
    assert jsz.body("", 5, 10) == b'{"account":"","offset":5,"limit":10,' + asked


# --- What replies say.


def test_a_figure_below_zero_is_read_as_it_is():
    _, varz = VARZ.decode(
        reply({"jetstream": {"stats": {"memory": 2**64 - 512, "storage": 2**64 - 1}}})
    )
    assert (varz.jetstream.stats.memory, varz.jetstream.stats.storage) == (-512, -1)


@pytest.mark.parametrize("count", [2**63, 2**64 - 1, 2**64, 10**19, 10**20, 10**400])
def test_a_figure_that_cannot_be_below_zero_is_not_read(count):
    for data in ({"in_bytes": count}, {"connections": count}, {"max_connections": 10 * count}):
        with pytest.raises(Malformed):
            VARZ.decode(reply(data))


def test_names_that_many_servers_tell_are_one_string():
    rows = [{"acc": "ACCOUNT" * 8}]
    one, two = (STATZ.decode(reply({"account_statz": rows}, id=id))[1] for id in ("N1", "N2"))
    assert one.account_statz[0].acc is two.account_statz[0].acc
    assert shared("n" * 300) is not shared("".join(["n"] * 300))


def test_accounts_without_traffic_say_so_with_one_object():
    none, some = {"msgs": 0, "bytes": 0, "routes": {"msgs": 0}}, {"msgs": 2, "bytes": 9}
    rows = [{"acc": "A", "sent": none, "received": some}, {"acc": "B", "sent": none}]
    rows.append({"acc": "C", "received": none})
    _, statz = endpoints()["STATZ_TRAFFIC"].decode(reply({"account_statz": rows}))
    a, b, c = statz.account_statz
    assert a.sent is b.sent is c.received
    assert (a.sent.msgs, a.sent.routes.msgs, a.received.msgs, b.received) == (0, 0, 2, None)


LINKS = [
    {"remote_id": "N2", "remote_name": "n2", "name": "l1", "subscriptions": 20},
    {"remote_id": "N2", "remote_name": "n2", "name": "l1", "subscriptions": 10},
]


def test_links_tell_their_peers_and_their_interest():
    _, routez = endpoints()["ROUTEZ"].decode(reply({"routes": LINKS}))
    assert (routez.peers, routez.subscriptions, len(routez.routes)) == ({"N2": "n2"}, 30, 2)
    _, leafz = endpoints()["LEAFZ"].decode(reply({"leafs": LINKS}))
    assert (leafz.peers, leafz.subscriptions, len(leafz.leafs)) == ({"l1"}, 30, 2)


LEAFS = {
    "they are not configured": ({"leaf": {}}, False),
    "some are there": ({"leaf": {}, "leafnodes": 1}, True),
    "they are taken on a port": ({"leaf": {"port": 7422}}, True),
    "the server connects as one": ({"leaf": {"remotes": [{"urls": ["h:7422"]}]}}, True),
    "nothing is told": ({}, True),
}


@pytest.mark.parametrize(("data", "expected"), LEAFS.values(), ids=LEAFS)
def test_a_server_may_have_leaf_nodes_unless(data, expected):
    _, varz = VARZ.decode(reply(data))
    assert varz.may_have_leafnodes is expected


def test_gateways_of_both_directions_tell_ids():
    gateway = {"configured": True, "connection": {"cid": 19, "kind": "Gateway"}}
    one, two = ({**gateway, "connection": {"name": id}} for id in ("B1", "B2"))
    data = {"outbound_gateways": {"CB": one, "CC": {}}, "inbound_gateways": {"CB": [one, two]}}
    _, gatewayz = endpoints()["GATEWAYZ"].decode(reply(data))
    assert gatewayz.peers == {"B1", "B2"}


def test_a_peer_that_could_not_be_asked_by_its_id_is_left_out():
    ids = ["N2", "N.*", "N 3", "N\n", "N\0", 5000 * "N", ""]
    routes = [{"remote_id": id, "remote_name": "n"} for id in ids]
    assert endpoints()["ROUTEZ"].decode(reply({"routes": routes}))[1].peers == {"N2": "n"}


@pytest.mark.parametrize("key", list(endpoints()))
def test_nothing_in_a_reply_is_nothing_to_count(key):
    endpoint = endpoints()[key]
    info, said = endpoint.decode(reply({}, member=endpoint.member))
    assert info == ServerInfo(name="n1", id="N1", ver="2.15.1")
    if isinstance(said, Struct):
        empty = (0, None, "", "$SYS", {}, frozenset())
        names = set(said.__struct_fields__) - {"origin"}
        assert [name for name in names if getattr(said, name) not in empty] == []
    else:
        assert said == {}


NULLS = {
    "ROUTEZ": {"routes": None},
    "LEAFZ": {"leafs": None},
    "STATZ": {"account_statz": None},
    "GATEWAYZ": {"outbound_gateways": None, "inbound_gateways": None},
}


@pytest.mark.parametrize(("key", "data"), NULLS.items(), ids=NULLS)
def test_a_null_list_is_an_empty_one(key, data):
    _, said = endpoints()[key].decode(reply(data))
    told = [getattr(said, name, 0) for name in ("peers", "subscriptions", "connections")]
    assert [what for what in told if what] == []


# --- What cannot be read.

DEEP = 100_000 * b"[" + 100_000 * b"]"


def raw(data: bytes, server: bytes = b'{"name":"n1","id":"N1"}') -> bytes:
    """A reply with these parts."""
    return b'{"server":%s,"data":%s}' % (server, data)


BROKEN = {
    "nothing": b"",
    "no JSON": b"404 page not found",
    "a part": raw(b'{"connections":1}')[:-5],
    "more than a reply": raw(b"{}") + b"{}",
    "a list": b"[]",
    "null": b"null",
    "no server": b'{"data":{}}',
    "a server that is null": raw(b"{}", server=b"null"),
    "a server that is text": raw(b"{}", server=b'"n1"'),
    "a name that is no UTF-8": raw(b"{}", server=b'{"name":"\xff","id":"N1"}'),
    "a name that is half a pair": raw(b"{}", server=b'{"name":"\\ud800","id":"N1"}'),
    "a name that is a number": raw(b"{}", server=b'{"name":1,"id":"N1"}'),
    "tags that are no list": raw(b"{}", server=b'{"id":"N1","tags":{}}'),
    "data that is null": raw(b"null"),
    "data that is text": raw(b'"none"'),
    "no data": b'{"server":{"name":"n1","id":"N1"}}',
    "an error": b'{"server":{"name":"n1","id":"N1"},"error":{"code":503,"description":"no"}}',
    "an error beyond all bounds": b'{"server":{"id":"N1"},"error":{"code":%s}}' % (400 * b"9"),
    "null for a number": raw(b'{"connections":null}'),
    "text for a number": raw(b'{"connections":"12"}'),
    "a fraction for a number": raw(b'{"connections":1.5}'),
    "a number beyond all bounds": raw(b'{"connections":1e999}'),
    "a number of 400 digits": raw(b'{"connections":%s}' % (400 * b"9")),
    "more connections than there can be": raw(b'{"connections":4294967296}'),
    "fewer connections than none": raw(b'{"connections":-1}'),
    "more than a counter counts": raw(b'{"total_connections":9007199254740992}'),
    "a rate beyond all bounds": raw(b'{"cpu":1e300}'),
    "a time that is none": raw(b'{"start":"yesterday"}'),
    "a time without a zone": raw(b'{"start":"2026-01-01T00:00:00"}'),
    "a broken object inside": raw(b'{"jetstream":{"stats":{"api":{"total":"x"}}}}'),
    "a server without an id": raw(b"{}", server=b'{"name":"n1"}'),
    "an id that is no token": raw(b"{}", server=b'{"name":"n1","id":"N1.*"}'),
    "an id with a line end": raw(b"{}", server=b'{"name":"n1","id":"N1\\r\\nPING"}'),
    "an id longer than a line": raw(b"{}", server=b'{"name":"n1","id":"%s"}' % (5000 * b"N")),
    "a deep one": DEEP,
    "deep where nobody looks": raw(b'{"other":%s}' % DEEP),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_a_broken_reply_is_missing(broken):
    with pytest.raises(Malformed):
        VARZ.decode(broken)


NESTED = {
    "STATZ": {"account_statz": [{"acc": "A", "conns": None}]},
    "ROUTEZ": {"routes": [{"subscriptions": "9"}]},
    "LEAFZ": {"leafs": {}},
    "ACCOUNTZ": {"accounts": [1]},
    "SUBSZ": {"num_subscriptions": []},
    "GATEWAYZ": {"outbound_gateways": {"C": {"connection": {"name": 1}}}},
    "HEALTHZ": {"errors": [{"type": None}]},
    "IPQUEUESZ": {"q": {"pending": -1}},
    "RAFTZ": {"SYS": {"_meta_": {"size": "3"}}},
    "JSZ": {"meta_cluster": {"replicas": [{"lag": "x"}]}},
    "JSZ_STREAMS": {"account_details": [{"stream_detail": [{"config": {"num_replicas": -1}}]}]},
    "CONNZ": {"connections": [{"cid": -1}]},
    "CONNZ_SERVICES": {"connections": [{"subscriptions_list": [1]}]},
}


@pytest.mark.parametrize(("key", "data"), NESTED.items(), ids=NESTED)
def test_a_reply_with_one_broken_record_is_missing(key, data):
    with pytest.raises(Malformed):
        endpoints()[key].decode(reply(data))


@pytest.mark.parametrize("broken", [raw(b'{"start":"a secret","jwt":"a secret"}'), b'"a secret"'])
def test_what_is_said_of_a_broken_reply_holds_nothing_of_it(broken):
    with pytest.raises(Malformed) as malformed:
        VARZ.decode(broken)
    assert "secret" not in str(malformed.value)
    assert malformed.value.__cause__ is None
    assert malformed.value.__suppress_context__


def test_an_error_is_told_by_its_code():
    said = b'{"server":{"id":"N1"},"data":null,"error":{"code":400,"description":"a secret"}}'
    with pytest.raises(Malformed, match="VARZ answered with error 400 and no data"):
        VARZ.decode(said)
