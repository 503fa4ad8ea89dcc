"""Links and listeners: which there are, what they are called, and what they rest on."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from nats_insights.check import (
    GATEWAYZ,
    INFO,
    LEAFZ,
    ROUTEZ,
    ROUTEZ_DETAIL,
    Gateway,
    Leaf,
    Listener,
    Route,
    Server,
    check,
)
from nats_insights.errors import Missing, NotTold, TooSoon
from nats_insights.replies.connz import Connection
from nats_insights.replies.gatewayz import Gateway as Link
from nats_insights.replies.gatewayz import Gatewayz
from nats_insights.replies.varz import (
    ClusterOptions,
    GatewayOptions,
    LeafOptions,
    MqttOptions,
    RemoteGateway,
    WebsocketOptions,
)
from nats_insights.testing import leaf
from scenario import Server as Holding
from scenario import Story, cluster, dead, hung, left, lone, system, whole


@check("TEST_001", INFO, "health", needs=(ROUTEZ, ROUTEZ_DETAIL, GATEWAYZ, LEAFZ))
def linked(server: Server) -> None:
    """A server that has links.

    Finds: nothing, but asks for the links of all servers.

    Why: the nouns of this file rest on these replies.

    Do: nothing.
    """


def snapshot(given, lost=()):
    story = Story(checks=[linked])
    story.hears(given, lost)
    return story.snapshot


def named(kind, given, lost=()):
    return [noun.names for noun in snapshot(given, lost).each(kind)]


def gatewayz(outbound=(), inbound=()):
    link = Link(connection=Connection())
    return Gatewayz(
        outbound_gateways=dict.fromkeys(outbound, link),
        inbound_gateways={name: [link] for name in inbound},
    )


def meeting(*configured, outbound=(), inbound=(), **more):
    """A server of cluster C1 with gateways, its own cluster being in the configuration, too."""
    options = GatewayOptions(
        name="C1", port=7222, gateways=tuple(RemoteGateway(name=one) for one in configured)
    )
    links = gatewayz(outbound, inbound)
    return Holding(varz={"gateway": options}, replies={"GATEWAYZ": links}, **more)


# --- Which there are.


def test_routes_are_named_after_the_servers_that_they_connect():
    assert named(Route, whole("2.15.1")) == [
        ("EU", "eu1", "eu2"),
        ("EU", "eu1", "eu3"),
        ("EU", "eu2", "eu1"),
        ("EU", "eu2", "eu3"),
        ("EU", "eu3", "eu1"),
        ("EU", "eu3", "eu2"),
        ("US", "us1", "us2"),
        ("US", "us2", "us1"),
    ]


def test_a_route_has_every_connection_of_its_pool():
    (route, *_) = snapshot(whole("2.15.1")).each(Route)
    assert sorted(one.account for one in route.connections) == ["", "", "", "SYS"]
    assert route.other_end == ("EU", "eu2")


def test_the_round_trip_of_a_gateway_is_that_of_what_it_sends():
    (eu1, *_) = snapshot(whole("2.15.1")).each(Gateway)
    eu1.outbound.rtt, eu1.inbound[0].rtt = "71.5ms", "90ms"
    assert eu1.rtt == 71.5
    eu1.outbound.rtt = "0s"
    with pytest.raises(TooSoon, match="round trip of eu1 to US: needs a ping's reply"):
        assert eu1.rtt
    unlinked = next(iter(snapshot(system(cluster(n1=meeting("C2")))).each(Gateway)))
    assert unlinked.rtt == 0.0


def test_a_server_is_routed_to_each_peer_once():
    servers = snapshot(whole("2.15.1")).servers
    eu1, eu2, eu3 = (servers["EU", name] for name in ("eu1", "eu2", "eu3"))
    assert eu1.routed == {eu2.id, eu3.id}
    with pytest.raises(Missing, match="ROUTEZ of n1"):
        assert snapshot(system(cluster(n1=1)), [("n1", "ROUTEZ")]).servers["C1", "n1"].routed


def test_both_ends_of_a_leaf_connection_have_a_leaf_in_each_account():
    assert sorted(named(Leaf, whole("2.15.1"))) == [
        ("EU", "eu1", "APP", "edge"),
        ("EU", "eu1", "APP", "private"),
        ("EU", "eu1", "SYS", "edge"),
        ("edge", "edge", "APP", "eu1"),
        ("edge", "edge", "SYS", "eu1"),
    ]


def test_only_the_hub_of_a_leaf_connection_is_its_second_end():
    leafs = snapshot(whole("2.15.1")).each(Leaf)
    assert {leaf.names for leaf in leafs if leaf.is_second_end} == {
        ("EU", "eu1", "APP", "edge"),
        ("EU", "eu1", "SYS", "edge"),
    }


LEAF_NODES = {
    "it is a server of another system": system(lone(hub=Holding(leafs=(leaf("edge"),)))),
    "another server has its name": system(lone(hub=Holding(leafs=(leaf("edge"),)), edge=1)),
    "both are hubs of leaf nodes of these names": system(
        lone(hub=Holding(leafs=(leaf("edge"),)), edge=Holding(leafs=(leaf("hub"),)))
    ),
}


@pytest.mark.parametrize("given", LEAF_NODES.values(), ids=LEAF_NODES)
def test_a_hub_is_the_only_end_where_its_leaf_node_does_not_list_it(given):
    assert not any(leaf.is_second_end for leaf in snapshot(given).each(Leaf))


def test_where_the_leaf_node_lost_its_reply_nobody_knows_whether_it_lists_its_hub():
    leafs = snapshot(whole("2.15.1"), [("edge", "LEAFZ")]).each(Leaf)
    hub = next(leaf for leaf in leafs if leaf.remote == "edge")
    with pytest.raises(Missing, match="LEAFZ of edge"):
        _ = hub.is_second_end


def test_gateways_are_named_after_the_other_cluster():
    assert named(Gateway, whole("2.15.1")) == [
        ("EU", "eu1", "US"),
        ("EU", "eu2", "US"),
        ("EU", "eu3", "US"),
        ("US", "us1", "EU"),
        ("US", "us2", "EU"),
    ]


def test_a_gateway_tells_both_directions():
    (eu1, *_) = snapshot(whole("2.15.1")).each(Gateway)
    assert eu1.outbound is not None
    assert (len(eu1.inbound), eu1.configured) == (1, True)


def test_a_gateway_that_one_server_lacks_is_a_gateway_too():
    given = system(
        cluster(
            n1=meeting("C1", "C2", outbound=["C2"]), n2=meeting("C1"), n3=meeting(inbound=["X"])
        )
    )
    gateways = list(snapshot(given).each(Gateway))
    assert [(*one.names, one.outbound is not None, one.configured) for one in gateways] == [
        ("C1", "n1", "C2", True, True),
        ("C1", "n1", "X", False, False),
        ("C1", "n2", "C2", False, False),
        ("C1", "n2", "X", False, False),
        ("C1", "n3", "C2", False, False),
        ("C1", "n3", "X", False, False),
    ]


def test_a_server_that_does_not_reply_has_no_figures_of_gateways():
    given = system(cluster(n1=meeting("C2"), n2=meeting("C2")))
    gateways = {one.names[1]: one for one in snapshot(given, [("n1", "GATEWAYZ")]).each(Gateway)}
    assert gateways["n2"].outbound is None
    assert gateways["n1"].configured
    for figure in ("outbound", "inbound"):
        with pytest.raises(Missing, match="GATEWAYZ of n1"):
            getattr(gateways["n1"], figure)


@pytest.mark.parametrize(
    ("others", "silent"),
    [
        ({"m1": hung, "m2": dead}, {("C2", "m1"), ("C2", "m2")}),
        ({"m1": 1, "m2": dead}, set()),
        ({"m1": hung, "m2": left}, {("C2", "m1")}),
    ],
)
def test_the_other_end_is_silent_when_none_of_its_servers_answers(others, silent):
    given = system(cluster(n1=meeting("C2", outbound=["C2"])), cluster("C2", **others))
    (gateway,) = snapshot(given).each(Gateway)
    assert set(gateway.silent_end) == silent


LISTENERS = {
    "cluster": ClusterOptions(cluster_port=6222),
    "gateway": GatewayOptions(port=7222),
    "leaf": LeafOptions(port=7422),
    "mqtt": MqttOptions(port=1883),
    "websocket": WebsocketOptions(port=8080),
}


def test_every_listener_that_has_a_port_is_one():
    given = system(cluster(n1=Holding(varz=LISTENERS)), lone(n2=1))
    assert named(Listener, given) == [
        ("C1", "n1", "client"),
        ("C1", "n1", "websocket"),
        ("C1", "n1", "mqtt"),
        ("C1", "n1", "leafnode"),
        ("C1", "n1", "gateway"),
        ("C1", "n1", "cluster"),
        ("", "n2", "client"),
    ]


def test_what_is_configured_without_a_port_does_not_listen():
    closed = {
        "cluster": ClusterOptions(name="n1"),
        "gateway": GatewayOptions(),
        "leaf": LeafOptions(remotes=()),
        "mqtt": MqttOptions(),
        "websocket": WebsocketOptions(),
    }
    assert named(Listener, system(lone(n1=Holding(varz=closed)))) == [("", "n1", "client")]


# --- What they are called.

ENTITIES = {
    Route: {"id": "eu1/eu2", "name": "eu2", "remote": "eu2"},
    Gateway: {"id": "eu1/US", "name": "US", "remote": "US"},
    Leaf: {"id": "eu1/edge", "name": "edge", "remote": "edge", "account": "APP"},
    Listener: {"id": "eu1/client", "name": "client", "listener": "client"},
}


@pytest.mark.parametrize("kind", ENTITIES, ids=lambda kind: kind.kind)
def test_each_says_who_it_is_and_where(kind):
    noun = next(one for one in snapshot(whole("2.15.1")).each(kind) if one.home == "EU")
    where = {"kind": kind.kind, "server": "eu1", "cluster": "EU"}
    assert noun.entity() == ENTITIES[kind] | where
    assert tuple(sorted(noun.labels())) == kind.labelled
    assert (noun.home, noun.rests_on) == ("EU", ("EU", "eu1"))
    assert noun.tags == ("region:eu", "disk:ssd")


# --- Certificates.

ENDS = datetime(2027, 6, 1, tzinfo=UTC)
OLD = "2.10.26"


def ends(kind, version="2.15.1", **options):
    member = {"leafnode": "leaf"}.get(kind, kind)
    varz = options if kind == "client" else {member: type(LISTENERS[member])(port=1, **options)}
    given = system(lone(n1=Holding(varz=varz, version=version)))
    (listener,) = (one for one in snapshot(given).each(Listener) if one.name == kind)
    return listener.certificate_ends


@pytest.mark.parametrize("kind", ["client", "websocket", "mqtt"])
def test_a_listener_tells_when_its_certificate_ends(kind):
    assert ends(kind, tls_cert_not_after=ENDS) == ENDS
    assert ends(kind) is None


@pytest.mark.parametrize("kind", ["leafnode", "gateway"])
def test_a_listener_for_servers_tells_it_too(kind):
    assert ends(kind, tls_required=True, tls_cert_not_after=ENDS) == ENDS
    assert ends(kind) is None


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("client", {}),
        ("client", {"tls_required": True}),
        ("mqtt", {}),
        ("websocket", {}),
        ("leafnode", {"tls_required": True}),
        ("gateway", {"tls_required": True}),
    ],
)
def test_an_old_server_does_not_tell_when_a_certificate_ends(kind, options):
    with pytest.raises(NotTold, match=r"tls_cert_not_after of n1: not told by 2\.10\.26"):
        ends(kind, OLD, **options)


@pytest.mark.parametrize(
    ("kind", "options"), [("websocket", {"no_tls": True}), ("leafnode", {}), ("gateway", {})]
)
def test_of_an_old_server_it_is_known_where_there_is_none(kind, options):
    assert ends(kind, OLD, **options) is None
