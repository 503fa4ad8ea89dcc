"""The recordings are whole, agree with themselves, and tell no secret."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from tests.kit.servers import VERSIONS
from tests.recorded import file, recorded
from tests.recorded.record import REQUESTS
from tests.recorded.system import ANSWERING, CLUSTERS, HUB, PRIVATE

MOST_BYTES = 300_000
SECRET_FIELD = re.compile(r"jwt|pass|token|secret|seed|creds|private", re.IGNORECASE)
# A JWT, the seed of an nkey, a login in a URL.
SECRET = re.compile(r"eyJ[\w-]{8}|\bS[AUONCX][A-Z2-7]{54}|//[^/\s]*@")
ABSOLUTE_PATH = re.compile(r"(^|[\s\"'=:])(/|[A-Za-z]:\\)\w")
ADDRESS = re.compile(r"\b\d+\.\d+\.\d+\.\d+\b")

pytestmark = pytest.mark.parametrize("version", VERSIONS)


def by_server(version: str, name: str) -> dict[str, Any]:
    """The content of each server's reply."""
    return {
        reply["server"]["name"]: reply["statsz"] if name == "STATSZ" else reply["data"]
        for reply in recorded(version)[name]
    }


def fields(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """All that is told, each with the name of its field."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield key, None
            yield from fields(one, key)
    elif isinstance(value, list):
        for one in value:
            yield from fields(one, name)
    else:
        yield name, value


# --- Everything is there.


def test_every_server_answers_every_request(version):
    replies = recorded(version)
    assert list(replies) == list(REQUESTS)
    for name, given in replies.items():
        assert [one["server"]["name"] for one in given] == sorted(ANSWERING), name
        assert {one["server"]["ver"] for one in given} == {version}, name


def test_no_request_fails(version):
    assert not [
        one for given in recorded(version).values() for one in given if one.get("error") is not None
    ]


def test_a_server_bears_one_id_in_all_replies(version):
    ids = {
        (one["server"]["name"], one["server"]["id"], content.get("server_id", one["server"]["id"]))
        for given in recorded(version).values()
        for one in given
        if (content := one.get("data") or one.get("statsz")) is not None
    }
    assert len(ids) == len(ANSWERING)
    assert all(envelope == told for _, envelope, told in ids)


def test_the_leaf_without_the_system_account_is_named_and_never_answers(version):
    assert [leaf["name"] for leaf in by_server(version, "LEAFZ")[HUB]["leafs"]].count(PRIVATE) == 1
    assert PRIVATE not in by_server(version, "VARZ")
    assert {one["active_servers"] for one in by_server(version, "STATSZ").values()} == {
        len(ANSWERING)
    }


def test_only_cluster_eu_has_jetstream(version):
    off = {name for name, jsz in by_server(version, "JSZ").items() if jsz.get("disabled")}
    raft = {name for name, groups in by_server(version, "RAFTZ").items() if groups}
    assert off == {*ANSWERING} - {*CLUSTERS["EU"]}
    assert raft == {*CLUSTERS["EU"]}


def test_the_clusters_are_joined_by_routes_and_gateways(version):
    gateways = by_server(version, "GATEWAYZ")
    routes = by_server(version, "ROUTEZ")
    for cluster, names in CLUSTERS.items():
        for name in names:
            assert {*gateways[name]["outbound_gateways"]} == {*CLUSTERS} - {cluster}
            peers = {route["remote_name"] for route in routes[name]["routes"]}
            assert peers == {*names} - {name}


def test_only_the_clients_of_one_listener_use_tls(version):
    secured = {
        name: [row["name"] for row in connz["connections"] if row.get("tls_version")]
        for name, connz in by_server(version, "CONNZ").items()
    }
    assert {name: rows for name, rows in secured.items() if rows} == {"us2": ["ledger"]}
    assert [n for n, varz in by_server(version, "VARZ").items() if varz.get("tls_required")] == [
        "us2"
    ]


def streams(version: str, name: str) -> dict[tuple[str, str], dict[str, Any]]:
    """What each server tells of each stream."""
    return {
        (server, stream["name"]): stream
        for server, jsz in by_server(version, name).items()
        for account in jsz.get("account_details") or ()
        for stream in account.get("stream_detail") or ()
    }


def test_the_streams_are_told_by_the_servers_that_hold_them(version):
    app, big = streams(version, "JSZ_APP"), streams(version, "JSZ_BIG")
    assert {server for server, name in app if name == "ORDERS"} == {*CLUSTERS["EU"]}
    assert [name for _, name in sorted(app, key=lambda one: one[1])] == (
        ["EVERYTHING"] + 3 * ["ORDERS"] + ["ORDERS-COPY"]
    )
    assert [name for _, name in big] == ["METRICS"]
    assert streams(version, "JSZ_DETAIL").keys() == app.keys() | big.keys()


def test_streams_and_consumers_bear_metadata(version):
    orders = streams(version, "JSZ_APP")["eu1", "ORDERS"]
    assert orders["config"]["metadata"]["io.nats.monitor.peer-expect"] == "3"
    (billing,) = orders["consumer_detail"]
    assert billing["config"]["metadata"]["io.nats.monitor.outstanding-ack-critical"] == "50"


def test_the_leader_of_a_consumer_tells_what_is_not_acknowledged(version):
    consumers = {
        server: stream["consumer_detail"][0]
        for (server, name), stream in streams(version, "JSZ_APP").items()
        if name == "ORDERS"
    }
    billing = consumers[consumers["eu1"]["cluster"]["leader"]]
    assert (billing["num_ack_pending"], billing["num_redelivered"]) == (5, 1)
    assert billing["num_pending"] == 28


# --- It is one system at one time.


def test_servers_count_the_connections_that_they_list(version):
    listed = {
        server: sum(row["kind"] == "Client" for row in connz["connections"])
        for server, connz in by_server(version, "CONNZ").items()
    }
    told = {server: varz["connections"] for server, varz in by_server(version, "VARZ").items()}
    by_account = {
        server: sum(account["conns"] for account in statz["account_statz"])
        for server, statz in by_server(version, "STATZ").items()
    }
    assert listed == told == by_account
    assert sum(told.values()) > 20


def test_local_subscriptions_are_the_internal_ones_and_those_of_clients(version):
    """VARZ less ROUTEZ less LEAFZ, and less CONNZ: what is left is the same on equal servers,
    and more where JetStream runs."""
    routes, leaves = by_server(version, "ROUTEZ"), by_server(version, "LEAFZ")
    connections = by_server(version, "CONNZ")
    internal = {}
    for server, varz in by_server(version, "VARZ").items():
        rows = [*routes[server]["routes"], *leaves[server]["leafs"]]
        rows += [row for row in connections[server]["connections"] if row["kind"] == "Client"]
        internal[server] = varz["subscriptions"] - sum(row["subscriptions"] for row in rows)
    assert internal["us1"] == internal["us2"] > 0
    assert all(internal[server] > internal["us1"] for server in CLUSTERS["EU"])


def test_every_round_trip_was_measured(version):
    for connz in by_server(version, "CONNZ").values():
        assert all(row["rtt"] not in ("", "0s") for row in connz["connections"])


# --- Anybody may read it.


def test_no_reply_tells_a_secret(version):
    for name, value in fields(recorded(version)):
        assert not SECRET_FIELD.search(name), name
        assert not SECRET.search(str(value)), name


def test_no_reply_names_the_machine(version):
    for name, value in fields(recorded(version)):
        assert not ABSOLUTE_PATH.search(str(value)), name
        if name == "host":
            assert value in ("127.0.0.1", None)
    text = file(version).read_text("utf-8")
    assert set(ADDRESS.findall(text)) == {"127.0.0.1"}


def test_a_recording_stays_small(version):
    assert file(version).stat().st_size < MOST_BYTES
