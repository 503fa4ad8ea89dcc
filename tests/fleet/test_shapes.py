"""Simulated replies have the keys that real servers sent, of the types that they sent."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kit.fleet.asking import ask
from kit.fleet.captured import CAPTURED
from kit.fleet.captured_jetstream import JETSTREAM
from kit.fleet.shapes import shape, written
from nats_insights.lab.fleet import replies
from nats_insights.lab.fleet.faults import FAULTS
from nats_insights.lab.fleet.model import Fleet, User
from nats_insights.lab.fleet.plant import Faults, plant

OPTIONS = {
    "CONNZ auth": {"auth": True},
    "ACCOUNTZ account": {"account": "ORDERS"},
    "STATZ": {"include_unused": True},
}
NOT_NECESSARY = {
    # The captured account came with a JWT.
    *((".data.account_detail", key) for key in ("decoded_jwt", "imports", "issuer_key", "jwt")),
    *((".data.account_detail", key) for key in ("name_tag", "tags")),
    # No connection of $G was captured: by the servers' rule, it has no account.
    (".data.connections[]", "account"),
    # The page without logins was of plain clients only; MQTT clients and leaf nodes have less.
    *((".data.connections[]", key) for key in ("type", "lang", "version")),
}
# MQTT clients were captured on a page with logins only.
KNOWN_TOO = {
    (".data.connections[]", "mqtt_client", "string"),
    # VARZ was captured of a system without gateways.
    (".data.gateway", "name", "string"),
}
# What real servers send only where it is configured, or not zero, or wrong.
WHERE_PLANTED = {
    (".data", "tls_cert_not_after", "string"),
    (".data", "gomemlimit", "number"),
    (".data", "errors", "array"),
    *((".data.errors[]", key, "string") for key in ("type", "error")),
    (".data.gateway", "gateways", "array"),
    (".data.gateway.gateways[]", "name", "string"),
    (".data.gateway.gateways[]", "tls_timeout", "number"),
    (".data.leaf", "host", "string"),
    (".data.leaf", "port", "number"),
    *((f".{top}.jetstream.config", "domain", "string") for top in ("data", "statsz")),
    *((f".{top}.jetstream.stats.api", "inflight", "number") for top in ("data", "statsz")),
}
ALL = {"accounts": True, "streams": True, "consumer": True, "config": True, "raft": True}
JETSTREAM_OPTIONS: dict[str, list[dict[str, Any]]] = {
    "JSZ full": [ALL, ALL | {"stream_leader_only": True}],
    "RAFTZ": [{}, *({"account": account} for account in ("ORDERS", "PAYMENTS", "FRAUD"))],
    "IPQUEUESZ all": [{}, {"all": True}],
    "HEALTHZ details": [{"details": True}],
    "SUBSZ subscriptions": [{"subscriptions": True}],
}
ENDPOINTS = [name for name in CAPTURED if name not in ("SERVER", "SHUTDOWN")]


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    """Servers with routes, gateways, a leaf node, and clients of every kind."""
    fleet = plant(12, 60, clusters=3)
    for kind in ("mqtt", "websocket"):
        fleet.open(fleet.servers[5], User(account="APP", name=kind, kind=kind))
    return fleet


@pytest.fixture(scope="module")
def streaming() -> Fleet:
    """Servers with streams of which something is wrong, leaders and others."""
    faults = Faults(lagging_replicas=2, leaderless_streams=2, unacknowledging_consumers=2)
    fleet = plant(7, 60, clusters=2, accounts=5, streams=30, faults=faults)
    fleet.clusters[0].streams[0].consumers[0].lose_leader()
    return fleet


def listed(endpoint: str, reply: Any) -> Any:
    """Groups and queues in a list, without their names."""
    members = list(reply["data"].values()) if endpoint in ("RAFTZ", "IPQUEUESZ") else []
    if endpoint == "IPQUEUESZ":
        return reply | {"data": members}
    if endpoint == "RAFTZ":
        groups = [group for account in members for group in account.values()]
        return reply | {"data": [g | {"peers": list(g["peers"].values())} for g in groups]}
    return reply


def deviations(captured: dict[str, str], sent: list[Any]) -> set[tuple[str, ...]]:
    """What was sent otherwise than captured: new keys, other types, necessary keys left out."""
    known, necessary = written(captured)
    found, always = shape(sent)
    told: set[tuple[str, ...]] = set()
    for path, keys in found.items():
        for key, types in keys.items():
            told |= {(path, key, kind) for kind in types - known.get(path, {}).get(key, set())}
        absent = necessary.get(path, set()) - always[path]
        told |= {(path, key, "left out") for key in absent if (path, key) not in NOT_NECESSARY}
    return told - KNOWN_TOO


def replies_to(fleet: Fleet, endpoint: str) -> list[Any]:
    name = endpoint.partition(" ")[0]
    return [ask(fleet, server, name, OPTIONS.get(endpoint)) for server in fleet.servers]


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_replies_are_like_captured_ones(fleet: Fleet, endpoint: str) -> None:
    sent = replies_to(fleet, endpoint)
    for reply in sent:
        reply.pop("server", None)
    assert deviations(CAPTURED[endpoint], sent) == set()


@pytest.mark.parametrize("endpoint", JETSTREAM)
def test_replies_of_servers_with_jetstream_are_like_captured_ones(
    streaming: Fleet, endpoint: str
) -> None:
    name = endpoint.partition(" ")[0]
    asked = JETSTREAM_OPTIONS.get(endpoint, [{}])
    sent = [ask(streaming, server, name, body) for server in streaming.servers for body in asked]
    for reply in sent:
        reply.pop("server")
    sent = [listed(name, reply) for reply in sent]
    assert deviations(JETSTREAM[endpoint], sent) == set()


@pytest.mark.parametrize("over", [True, False])
def test_replies_with_planted_faults_are_like_captured_ones(over: bool) -> None:
    fleet = plant(12, 60, clusters=3, streams=6)
    for fault in FAULTS.values():
        for place in list(fault.places(fleet))[:1]:
            fault.plant(fleet, place, over)
    for endpoint in ("VARZ", "STATSZ", "SUBSZ", "ROUTEZ", "LEAFZ", "GATEWAYZ", "STATZ", "HEALTHZ"):
        sent = replies_to(fleet, endpoint)
        for reply in sent:
            del reply["server"]
        captured = JETSTREAM.get(endpoint, CAPTURED[endpoint])
        assert deviations(captured, sent) <= WHERE_PLANTED


def test_every_envelope_is_like_captured_ones(fleet: Fleet) -> None:
    sent = [reply for name in ENDPOINTS for reply in replies_to(fleet, name) if name != "IDZ"]
    assert deviations(CAPTURED["SERVER"], [reply["server"] for reply in sent]) == set()


def test_goodbyes_are_like_captured_ones(fleet: Fleet) -> None:
    sent = [json.loads(replies.farewell(fleet, server)) for server in fleet.servers]
    assert deviations(CAPTURED["SHUTDOWN"], sent) == set()


def test_heartbeats_are_like_captured_ones(fleet: Fleet) -> None:
    sent = [json.loads(replies.heartbeat(fleet, server)) for server in fleet.servers]
    for heartbeat in sent:
        del heartbeat["server"]
    assert deviations(CAPTURED["STATSZ"], sent) == set()


def test_rows_of_every_kind_are_there_to_compare(fleet: Fleet) -> None:
    rows = [row for r in replies_to(fleet, "CONNZ auth") for row in r["data"]["connections"]]
    kinds = {(row["kind"], row.get("type")) for row in rows}
    assert kinds == {
        ("Client", "nats"),
        ("Client", "websocket"),
        ("Client", "mqtt"),
        ("Leafnode", None),
    }


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        ({"a": 1, "b": [{"c": "x"}]}, set()),
        ({"a": "1", "b": []}, {("", "a", "string")}),
        ({"a": 1, "b": None}, {("", "b", "null")}),
        ({"b": []}, {("", "a", "left out")}),
        ({"a": 1, "b": [{"c": "x"}, {}]}, {(".b[]", "c", "left out")}),
        ({"a": 1, "b": [{"c": "x", "d": True}]}, {(".b[]", "d", "boolean")}),
    ],
)
def test_the_comparison_tells_what_differs(sent: Any, told: set[tuple[str, ...]]) -> None:
    captured = {"": "a:number b:array", ".b[]": "c:string"}
    assert deviations(captured, [sent]) == told
