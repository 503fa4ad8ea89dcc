"""Replies of real servers: each is understood, and each of its fields is declared or named here."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from nats_insights.errors import NotTold
from nats_insights.model.services import instances
from nats_insights.replies.claims import Activation, Claimed, Length
from nats_insights.replies.connz import Rows
from nats_insights.replies.endpoint import endpoints
from nats_insights.replies.fields import ServerInfo
from nats_insights.replies.heard import AccountOn

from .recordings import VERSIONS, every_reply, recorded

# What is left out on purpose, by Struct.
LEFT_OUT = {
    "ServerInfo": {
        "flags",  # What servers agree on among themselves.
        "metadata",  # VARZ tells it.
        "feature_flags",  # VARZ tells it.
    },
    "Connection": {"jwt"},  # It can hold a secret.
    # CONNZ tells the rest of a connection.
    "Host": {
        *("type", "ip", "port", "name", "start", "last_activity", "rtt", "uptime", "idle"),
        *("pending_bytes", "in_msgs", "out_msgs", "in_bytes", "out_bytes"),
    },
    "Leaf": {"id"},  # The number of a connection on some versions, where others have none.
    # Of an account only what it may and what it shares: STATZ tells what it holds.
    "AccountzDetail": {"server_id", "now"},
    "AccountDetail": {
        *("leafnode_connections", "client_connections", "subscriptions", "sublist_stats"),
        *("jetstream_enabled", "is_system", "validation_result_jwt"),
        *("issuer_key", "name_tag"),
    },
    "DecodedJwt": {"iss", "jti", "sub"},
    "AccountClaims": {"authorization", "default_permissions", "exports", "type", "version"},
    "LimitClaims": {"data", "payload", "imports", "exports", "wildcards"},
    "Import": {"share", "tracking", "to"},
    "ImportClaim": {"name"},
    "Export": {"response_type"},
    "ConsumerConfig": {"name", "max_batch", "idle_heartbeat"},  # What no check can need.
}


def undeclared(said: Any, wanted: Any, path: str = "") -> Iterator[str]:
    """Paths of the fields of what a server said that the type lacks."""
    kinds = [kind for kind in typing.get_args(wanted) if kind is not types.NoneType]
    if typing.get_origin(wanted) in (typing.Union, types.UnionType):
        yield from undeclared(said, kinds[0], path)
    elif isinstance(said, list):
        yield from (name for one in said for name in undeclared(one, kinds[0], path))
    elif isinstance(said, dict) and isinstance(wanted, type) and issubclass(wanted, msgspec.Struct):
        known = {field.encode_name: field.type for field in msgspec.structs.fields(wanted)}
        for name, value in said.items():
            if name in known:
                yield from undeclared(value, known[name], f"{path}.{name}")
            elif name not in LEFT_OUT.get(wanted.__name__, ()):
                yield f"{path}.{name}"
    elif isinstance(said, dict) and kinds:
        yield from (name for one in said.values() for name in undeclared(one, kinds[1], path))


@pytest.mark.parametrize("version", VERSIONS)
def test_every_recorded_reply_is_read(version):
    for key, payload in every_reply(version):
        info, _ = endpoints()[key].decode(payload)
        assert (info.ver, info.host) == (version, "127.0.0.1")


@pytest.mark.parametrize("version", VERSIONS)
def test_every_field_that_a_server_sends_is_declared(version):
    lacking: dict[bytes, set[str]] = {}
    for key, payload in every_reply(version):
        said, endpoint = json.loads(payload), endpoints()[key]
        names = set(undeclared(said["server"], ServerInfo))
        names |= set(undeclared(said[endpoint.member], endpoint.reply))
        # Endpoints that read the same reply declare its fields together.
        lacking[payload] = lacking.get(payload, names) & names
    assert set().union(*lacking.values()) == set()


def test_what_is_left_out_is_sent_by_some_server():
    text = "".join(payload.decode() for v in VERSIONS for _, payload in every_reply(v))
    names = [name for some in LEFT_OUT.values() for name in some]
    assert [name for name in names if f'"{name}"' not in text] == []


def test_every_endpoint_was_recorded_on_every_version():
    wanted = set(endpoints())
    assert {v: wanted - {key for key, _ in every_reply(v)} for v in VERSIONS} == {
        v: set() for v in VERSIONS
    }


@pytest.mark.parametrize("version", ["2.12.8", "2.14.6", "2.15.1"])
def test_certificates_tell_when_they_end(version):
    _, varz = endpoints()["VARZ"].decode(*recorded(version, "VARZ_edge_tls"))
    ends = [varz.tls_cert_not_after]
    ends += [part.tls_cert_not_after for part in (varz.cluster, varz.gateway, varz.leaf)]
    assert {(end - varz.now).days for end in [*ends, varz.websocket.tls_cert_not_after]} == {364}
    _, other = endpoints()["VARZ"].decode(*recorded(version, "VARZ_js"))
    assert other.tls_cert_not_after is None


@pytest.mark.parametrize("version", ["2.10.26", "2.11.11"])
def test_of_certificates_that_a_server_does_not_tell_the_end_is_missing(version):
    _, varz = endpoints()["VARZ"].decode(*recorded(version, "VARZ_edge_tls"))
    for part in (varz, varz.cluster, varz.gateway, varz.leaf, varz.websocket):
        with pytest.raises(NotTold, match=f"tls_cert_not_after of edge: not told by {version}"):
            part.tls_cert_not_after  # noqa: B018


@pytest.mark.parametrize("version", VERSIONS)
def test_mirrors_and_sources_tell_how_they_get_on(version):
    _, jsz = endpoints()["JSZ_STREAMS"].decode(*recorded(version, "JSZ_full_sources"))
    (app,) = [account for account in jsz.account_details if account.name == "APP"]
    streams = {stream.name: stream for stream in app.stream_detail}
    assert (streams["M"].mirror.name, streams["M"].config.mirror.name) == ("O", "O")
    assert {source.name for source in streams["S"].sources} == {"O", "Z"}
    assert streams["O"].config.metadata["io.nats.monitor.lag-critical"] == "5"
    assert {one.name: one.push_bound for one in streams["O"].consumer_detail}["push"]


def test_nothing_declares_a_token():
    structs = {kind for endpoint in endpoints().values() for kind in declared(endpoint.reply)}
    structs |= {*declared(Rows)}
    assert {"Varz", "Connection", "Consumer"} <= {one.__name__ for one in structs}
    told = [field for one in structs for field in msgspec.structs.fields(one)]
    assert {field.type for field in told if field.encode_name == "jwt"} == {Claimed, Length}
    assert {field.type for field in told if field.encode_name == "token"} == {Activation}


def declared(wanted: Any) -> Iterator[Any]:
    """Every Struct that a type is made of."""
    if isinstance(wanted, type) and issubclass(wanted, msgspec.Struct):
        yield wanted
        for field in msgspec.structs.fields(wanted):
            yield from declared(field.type)
    for part in typing.get_args(wanted):
        yield from declared(part)


@pytest.mark.parametrize("version", VERSIONS)
def test_varz_tells_its_figures(version):
    info, varz = endpoints()["VARZ"].decode(*recorded(version, "VARZ_js"))
    assert (info.name, info.cluster, info.ver, info.jetstream) == ("S1", "C1", version, True)
    assert (varz.connections, varz.max_connections, varz.system_account) == (2, 65_536, "SYS")
    assert (varz.write_deadline, varz.cluster.name) == (10_000_000_000, "C1")
    assert 0 < (varz.now - varz.start).total_seconds() < 60
    assert varz.jetstream.stats.storage == 800
    assert varz.jetstream.config.max_storage == 268_435_456
    assert varz.jetstream.meta.cluster_size == 3


@pytest.mark.parametrize("version", VERSIONS)
def test_peers_are_known_by_what_links_say_of_them(version):
    _, routez = endpoints()["ROUTEZ"].decode(*recorded(version, "ROUTEZ"))
    assert set(routez.peers.values()) & {"S2", "S3"}
    assert {len(id) for id in routez.peers} == {56}
    assert routez.subscriptions == sum(route.subscriptions for route in routez.routes)
    leafs = [endpoints()["LEAFZ"].decode(one) for one in recorded(version, "SUPERCLUSTER_LEAFZ")]
    assert {name for _, leafz in leafs for name in leafz.peers} >= {"LSHARED", "LPRIV"}
    assert {leafz.leafnodes == len(leafz.leafs or ()) for _, leafz in leafs} == {True}
    gateways = [
        endpoints()["GATEWAYZ"].decode(one) for one in recorded(version, "SUPERCLUSTER_GATEWAYZ")
    ]
    ids = {info.id for info, gatewayz in gateways if gatewayz.peers}
    assert len(ids) == 4
    assert {id for _, gatewayz in gateways for id in gatewayz.peers} <= ids


@pytest.mark.parametrize("version", VERSIONS)
def test_accounts_have_their_own_clients(version):
    replies = [*recorded(version, "ACCOUNT_PING_STATZ_unused")]
    told = [endpoints()["STATZ"].decode(one)[1] for one in replies]
    assert [account for statz in told for account in statz.connections.items()] == [
        (account.acc, account.conns)
        for statz in told
        for account in statz.account_statz
        if account.conns
    ]
    told = [endpoints()["STATZ_TRAFFIC"].decode(one)[1] for one in replies]
    assert {account.sent.msgs >= 0 for statz in told for account in statz.account_statz} == {True}
    _, accountz = endpoints()["ACCOUNTZ"].decode(*recorded(version, "ACCOUNTZ"))
    assert accountz.system_account == "SYS"
    assert set(accountz.accounts) & {"APP", "BIG", "$G", "SYS"}


@pytest.mark.parametrize("version", VERSIONS)
def test_streams_and_consumers_are_told_one_by_one(version):
    _, jsz = endpoints()["JSZ_STREAMS"].decode(*recorded(version, "JSZ_full"))
    accounts = {account.name: account for account in jsz.account_details}
    stream = next(one for one in accounts["APP"].stream_detail if one.name == "ORD")
    (consumer,) = stream.consumer_detail
    assert (stream.config.num_replicas, stream.state.messages) == (3, 20)
    assert (consumer.name, consumer.config.max_ack_pending) == ("d1", 1000)
    assert consumer.num_pending in (0, 20)
    assert {stream.cluster.leader, *[peer.name for peer in stream.cluster.replicas]} <= {
        "S1",
        "S2",
        "S3",
    }
    assert accounts["APP"].reserved_storage in (0, 2**64 - 1)


@pytest.mark.parametrize("version", VERSIONS)
def test_instances_of_services_are_named_by_what_they_subscribe_to(version):
    few, full = [
        endpoints()["CONNZ_SERVICES"].decode(one)[1].connections
        for one in recorded(version, "CONNZ_services")
    ]
    assert [row.subscriptions for row in few] == [14, 9, 9, 2]
    assert [row.subjects for row in few] == [None] * 4
    assert [len(row.subjects) for row in full] == [14, 9, 9, 2]
    on = AccountOn(("", "n1"), "N1", "APP")
    named = [(one.service, one.lang, one.version) for one in instances(on, full)]
    assert named == [("behind", "", ""), *2 * [("orders", "python3", "2.16.0")]]
    assert len({one.id for one in instances(on, full)}) == 3


@pytest.mark.parametrize("version", VERSIONS)
def test_of_the_meta_group_every_member_tells(version):
    _, groups = endpoints()["RAFTZ"].decode(*recorded(version, "RAFTZ_APP"))
    assert {group.state for group in groups["APP"].values()} <= {"LEADER", "FOLLOWER"}
    assert {group.quorum_needed for group in groups["APP"].values()} == {2}


@pytest.mark.parametrize("version", VERSIONS)
def test_healthy_servers_and_quiet_queues_say_so(version):
    _, healthz = endpoints()["HEALTHZ"].decode(*recorded(version, "HEALTHZ"))
    assert (healthz.status, healthz.status_code, healthz.errors) == ("ok", 200, None)
    _, queues = endpoints()["IPQUEUESZ"].decode(*recorded(version, "IPQUEUESZ"))
    assert queues["System recvQ"].in_progress == 1
