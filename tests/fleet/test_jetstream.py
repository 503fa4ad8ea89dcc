"""What servers say of their streams agrees, among them and with what was planted."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from kit.fleet.asking import ask, reply
from nats_insights.lab.fleet.model import Fleet, Server
from nats_insights.lab.fleet.plant import HEALTHY, Faults, plant
from nats_insights.lab.fleet.plant_streams import recover, trouble
from nats_insights.lab.fleet.truth import Fact, stream_truth

EVERYTHING = {"accounts": True, "streams": True, "consumer": True, "config": True, "raft": True}
FAULTS = Faults(lagging_replicas=3, leaderless_streams=2, unacknowledging_consumers=4)

Row = tuple[str, str, dict[str, Any]]


@pytest.fixture(scope="module", params=[1, 2, 3])
def fleet(request: pytest.FixtureRequest) -> Fleet:
    return plant(9, 40, clusters=2, streams=40, faults=FAULTS, seed=request.param)


@pytest.fixture
def healthy() -> Fleet:
    return plant(3, 20, streams=20, faults=HEALTHY)


def jsz(fleet: Fleet, server: Server, **options: Any) -> Any:
    return ask(fleet, server, "JSZ", options)["data"]


def streams(fleet: Fleet, server: Server, **options: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """The account and the detail of each stream that a server tells of."""
    for account in jsz(fleet, server, **{**EVERYTHING, **options}).get("account_details", []):
        for stream in account.get("stream_detail", []):
            yield account["name"], stream


def told(fleet: Fleet) -> Iterator[Row]:
    """All streams of all servers that run: cluster and server, and the stream's detail."""
    for server in fleet.running:
        for account, stream in streams(fleet, server):
            yield server.cluster.name, server.name, {"account": account, **stream}


def groups(fleet: Fleet, server: Server) -> dict[tuple[str, str], dict[str, Any]]:
    """All groups that a server is a member of, by account and name."""
    return {
        (account, group): row
        for account in server.cluster.jetstream
        for group, row in ask(fleet, server, "RAFTZ", {"account": account})["data"]
        .get(account, {})
        .items()
    }


def found(fleet: Fleet) -> set[Fact]:
    """What is wrong by the replies alone."""
    rows = list(told(fleet))
    last = {(c, s["account"], s["name"]): 0 for c, _, s in rows}
    for cluster, server, stream in rows:
        if stream["cluster"].get("leader") == server:
            last[cluster, stream["account"], stream["name"]] = stream["state"]["last_seq"]
    facts: set[Fact] = set()
    for cluster, server, stream in rows:
        name = (cluster, stream["account"], stream["name"])
        if 0 < stream["state"]["last_seq"] < 0.9 * last[name]:
            facts.add(("JETSTREAM_001", (*name, server)))
        for consumer in stream["consumer_detail"]:
            if consumer["num_ack_pending"] >= 0.8 * consumer["config"]["max_ack_pending"]:
                facts.add(("OPT_SYS_003", (*name, consumer["name"])))
    for one in fleet.running:
        for (account, group), row in groups(fleet, one).items():
            if row["ever_had_leader"] and not row.get("leader"):
                facts.add(("OPT_SYS_009", (one.cluster.name, one.name, account, group)))
    return facts


def test_the_replies_show_what_is_wrong_and_nothing_else(fleet: Fleet) -> None:
    planted = Counter(code for code, _ in stream_truth(fleet))
    # All three members of a group know that nobody leads it.
    assert planted == {"JETSTREAM_001": 3, "OPT_SYS_009": 6, "OPT_SYS_003": 4}
    assert found(fleet) == stream_truth(fleet)


def test_of_a_healthy_fleet_nothing_is_wrong(healthy: Fleet) -> None:
    assert stream_truth(healthy) == found(healthy) == set()


def test_what_went_wrong_is_gone_when_all_recovers(healthy: Fleet) -> None:
    trouble(healthy, lagging_replicas=2, leaderless_streams=1, unacknowledging_consumers=1)
    assert len(stream_truth(healthy)) == 2 + 3 + 1
    assert found(healthy) == stream_truth(healthy)
    recover(healthy)
    assert found(healthy) == stream_truth(healthy) == set()


def test_every_server_holds_as_many_replicas_as_were_asked_for(fleet: Fleet) -> None:
    held = {len(list(streams(fleet, server))) for server in fleet.servers}
    assert held <= {39, 40, 41}
    assert {jsz(fleet, server)["streams"] for server in fleet.servers} == held


def test_the_figures_of_a_server_are_the_sums_of_its_streams(fleet: Fleet) -> None:
    for server in fleet.servers:
        whole, own = jsz(fleet, server, raft=True), [s for _, s in streams(fleet, server)]
        consumers = [consumer for stream in own for consumer in stream["consumer_detail"]]
        assert whole["messages"] == sum(stream["state"]["messages"] for stream in own)
        assert whole["bytes"] == sum(stream["state"]["bytes"] for stream in own)
        assert whole["consumers"] == sum(stream["state"]["consumer_count"] for stream in own)
        assert whole["consumers"] == len(consumers)
        leads = [
            sum(a["cluster"].get("leader") == server.name for a in of) for of in (own, consumers)
        ]
        assert [whole["streams_leader"], whole["consumers_leader"]] == leads
        assert whole["storage"] == whole["bytes"]
        assert whole["ha_assets"] == 1 + len(own) + len(consumers)


def test_a_leader_and_its_followers_tell_the_same(healthy: Fleet) -> None:
    seen: dict[tuple[str, str, str], dict[str, Any]] = {}
    for cluster, _, stream in told(healthy):
        for consumer in stream["consumer_detail"]:
            # Only the leader of a consumer knows how much is left for it.
            consumer.pop("num_pending")
            consumer["cluster"] = consumer["cluster"]["leader"]
        stream["cluster"] = stream["cluster"]["leader"]
        first = seen.setdefault((cluster, stream["account"], stream["name"]), stream)
        assert stream == first
    assert len(seen) == 20


def test_only_the_leader_knows_who_lags_and_by_how_much(fleet: Fleet) -> None:
    lags = {}
    for cluster, server, stream in told(fleet):
        for replica in stream["cluster"]["replicas"]:
            if "lag" in replica:
                assert (stream["cluster"]["leader"], replica["current"]) == (server, False)
                name = (cluster, stream["account"], stream["name"], replica["name"])
                lags[name] = stream["state"]["last_seq"] - replica["lag"]
    own = {
        (c, s["account"], s["name"], server): s["state"]["last_seq"] for c, server, s in told(fleet)
    }
    assert set(lags) == {names for code, names in stream_truth(fleet) if code == "JETSTREAM_001"}
    assert lags == {name: own[name] for name in lags}


def test_groups_are_told_as_jsz_tells_of_them(fleet: Fleet) -> None:
    for server in fleet.servers:
        expected = {}
        for account, stream in streams(fleet, server):
            for one in (stream, *stream["consumer_detail"]):
                expected[account, one["cluster"]["raft_group"]] = one["cluster"].get("leader")
        told_of = groups(fleet, server)
        ids = {ask(fleet, s, "RAFTZ")["data"]["SYS"]["_meta_"]["id"]: s.name for s in fleet.servers}
        leaders = {name: ids.get(row.get("leader", "")) for name, row in told_of.items()}
        assert leaders == expected
        for row in told_of.values():
            others = {ids[peer]: told["name"] for peer, told in row["peers"].items()}
            assert server.name not in others
            assert all(key == name for key, name in others.items())
            assert row["state"] in ("LEADER", "FOLLOWER", "CANDIDATE")
            assert (row["state"] == "LEADER") == (row.get("leader") == row["id"])


def test_one_group_may_be_asked_for(fleet: Fleet) -> None:
    server = fleet.servers[0]
    (account, group), row = next(iter(groups(fleet, server).items()))
    alone = ask(fleet, server, "RAFTZ", {"account": account, "group": group})["data"]
    assert alone == {account: {group: row}}
    assert ask(fleet, server, "RAFTZ", {"account": "NOBODY"})["data"] == {}


def test_an_account_is_answered_alone_whatever_the_page(fleet: Fleet) -> None:
    server = fleet.servers[0]
    whole = list(streams(fleet, server))
    for account in server.cluster.jetstream:
        alone = jsz(fleet, server, **EVERYTHING, account=account, offset=3, limit=1)
        assert [one["name"] for one in alone["account_details"]] == [account]
        expected = [(name, stream) for name, stream in whole if name == account]
        assert list(streams(fleet, server, account=account)) == expected
        assert alone["total"] == 8


def test_an_account_without_jetstream_is_no_filter(fleet: Fleet) -> None:
    # As 2.15.1 has it: without details nothing is listed, with details everything is.
    server = fleet.servers[0]
    assert "account_details" not in jsz(fleet, server, account="NOBODY")
    everybody = list(streams(fleet, server, account="NOBODY"))
    assert everybody == list(streams(fleet, server))


def test_accounts_are_listed_page_by_page_in_the_order_of_their_names(fleet: Fleet) -> None:
    server = fleet.servers[0]
    pages = [jsz(fleet, server, accounts=True, offset=3 * n, limit=3) for n in range(4)]
    names = [one["name"] for page in pages for one in page.get("account_details", [])]
    assert names == sorted(server.cluster.jetstream)
    assert [page["total"] for page in pages] == [8, 8, 8, 8]
    assert "account_details" not in pages[3]


def test_details_are_as_deep_as_was_asked(fleet: Fleet) -> None:
    def keys(**options: Any) -> set[str]:
        return set(next(iter(streams(fleet, fleet.servers[0], **options)))[1])

    nothing = dict.fromkeys(EVERYTHING, False)
    assert keys(**nothing | {"streams": True}) == {"name", "created", "cluster", "state"}
    assert "consumer_detail" in keys(**nothing | {"consumer": True})
    assert "config" in keys(**nothing | {"streams": True, "config": True})
    assert "stream_raft_group" in keys(**nothing | {"streams": True, "raft": True})
    assert not list(
        streams(
            fleet,
            fleet.servers[0],
            **nothing,
        )
    )


def test_a_stream_is_listed_once_where_only_leaders_list_it(fleet: Fleet) -> None:
    once = Counter(
        (server.cluster.name, account, stream["name"])
        for server in fleet.servers
        for account, stream in streams(fleet, server, stream_leader_only=True)
    )
    everything = {(c, s["account"], s["name"]) for c, _, s in told(fleet)}
    leaderless = {
        (c, s["account"], s["name"]) for c, _, s in told(fleet) if "leader" not in s["cluster"]
    }
    assert set(once) == everything - leaderless
    assert set(once.values()) == {1}
    assert len(leaderless) == 2


def test_only_the_leader_of_the_meta_group_answers_where_that_is_asked(fleet: Fleet) -> None:
    answers = [ask(fleet, server, "JSZ", {"leader_only": True}) for server in fleet.servers]
    leaders = {one["server"]["name"] for one in answers if one}
    assert leaders == {jsz(fleet, server)["meta_cluster"]["leader"] for server in fleet.servers}
    assert len(leaders) == 2


def test_the_next_server_leads_what_a_dead_one_led(healthy: Fleet) -> None:
    dead = healthy.servers[0]
    led = {name for _, name in _led(healthy, dead)}
    healthy.kill(dead)
    assert led
    assert stream_truth(healthy) == found(healthy) == set()
    for server in healthy.running:
        assert led.isdisjoint(
            name for name, leader in _leaders(healthy, server) if leader == dead.name
        )
        for _, stream in streams(healthy, server):
            offline = {r["name"] for r in stream["cluster"]["replicas"] if r.get("offline")}
            assert offline == {dead.name}


def test_without_most_of_its_members_a_group_has_no_leader(healthy: Fleet) -> None:
    last = healthy.servers[2]
    for server in healthy.servers[:2]:
        healthy.kill(server)
    assert {leader for _, leader in _leaders(healthy, last)} == {None}
    assert "leader" not in jsz(healthy, last)["meta_cluster"]
    assert found(healthy) == stream_truth(healthy) != set()
    health = ask(healthy, last, "HEALTHZ")["data"]
    assert health["error"] == "JetStream has not established contact with a meta leader"


def test_streams_outlive_the_restart_of_a_server(healthy: Fleet) -> None:
    server = healthy.servers[1]
    before = list(streams(healthy, server))
    healthy.restart(server)
    assert list(streams(healthy, server)) == before


@pytest.mark.parametrize("servers", [1, 2])
def test_where_servers_are_few_streams_have_one_replica_and_no_group(servers: int) -> None:
    fleet = plant(servers, 5, streams=12, faults=HEALTHY)
    rows = list(told(fleet))
    assert len(rows) == 12 * servers
    assert all(row["cluster"] == {"name": c, "leader": server} for c, server, row in rows)
    assert all(groups(fleet, server) == {} for server in fleet.servers)


def test_a_fleet_without_streams_has_jetstream_off() -> None:
    fleet = plant(3, 5)
    reply = ask(fleet, fleet.servers[0], "JSZ", EVERYTHING)
    assert (reply["server"]["jetstream"], reply["data"]["disabled"]) == (False, True)
    assert ask(fleet, fleet.servers[0], "RAFTZ")["data"] == {}
    assert ask(fleet, fleet.servers[0], "VARZ")["data"]["jetstream"] == {}


def test_varz_and_accountz_know_of_jetstream_too(fleet: Fleet) -> None:
    for server in fleet.servers:
        own, whole = ask(fleet, server, "VARZ")["data"]["jetstream"], jsz(fleet, server)
        assert own["meta"] == whole["meta_cluster"]
        assert own["stats"].items() <= whole.items()
        assert ask(fleet, server, "STATSZ")["statsz"]["jetstream"]["stats"] == own["stats"]
    accounts = ask(fleet, fleet.servers[0], "ACCOUNTZ")["data"]["accounts"]
    on = {a for a in accounts if _detail(fleet, a)["jetstream_enabled"]}
    assert on == set(fleet.servers[0].cluster.jetstream)


def test_a_thousand_streams_are_some_megabytes_and_compress_well() -> None:
    fleet = plant(3, 5, streams=1000)
    for options in (EVERYTHING, EVERYTHING | {"account": fleet.clusters[0].jetstream[0]}):
        answer = reply(fleet, fleet.servers[0], "JSZ", options)
        assert answer is not None
        plain, (_, packed) = answer.plain(), answer.encoded("gzip")
        assert gzip.decompress(packed) == plain
        assert len(packed) < len(plain) / 5
        json.loads(plain)
    assert 3_000_000 < len(reply(fleet, fleet.servers[0], "JSZ", EVERYTHING).plain()) < 4_000_000


def test_a_replica_that_lags_makes_its_server_unhealthy(fleet: Fleet) -> None:
    lagging = {(n[0], n[3]): n for code, n in stream_truth(fleet) if code == "JETSTREAM_001"}
    for server in fleet.servers:
        health = ask(fleet, server, "HEALTHZ", {"details": True})["data"]
        errors = {(e["type"], e["account"], e["stream"]) for e in health.get("errors", [])}
        expected = {
            ("STREAM", n[1], n[2])
            for code, n in stream_truth(fleet)
            if code == "JETSTREAM_001" and (n[0], n[3]) == (server.cluster.name, server.name)
        }
        assert errors == expected
        assert health["status_code"] == (
            503 if (server.cluster.name, server.name) in lagging else 200
        )
        assert ask(fleet, server, "HEALTHZ", {"js-enabled-only": True})["data"]["status"] == "ok"


@pytest.mark.parametrize(
    ("options", "code", "error"),
    [
        ({"stream": "S"}, 400, '"account" must not be empty when checking stream health'),
        (
            {"account": "ORDERS", "consumer": "C"},
            400,
            '"stream" must not be empty when checking consumer health',
        ),
        ({"account": "NOBODY"}, 404, 'JetStream account "NOBODY" not found'),
        (
            {"account": "{account}", "stream": "S"},
            404,
            'JetStream stream "S" not found on account "{account}"',
        ),
        (
            {"account": "{account}", "stream": "{stream}", "consumer": "C"},
            404,
            'JetStream consumer "C" not found for stream "{stream}" on account "{account}"',
        ),
        ({"account": "{account}", "stream": "{stream}"}, 200, None),
    ],
)
def test_healthz_tells_what_it_cannot_find(
    healthy: Fleet, options: dict[str, str], code: int, error: str | None
) -> None:
    server = healthy.servers[0]
    names = {"account": server.streams[0].account, "stream": server.streams[0].name}
    asked = {key: value.format(**names) for key, value in options.items()}
    told_of = ask(healthy, server, "HEALTHZ", asked)["data"]
    assert (told_of["status_code"], told_of.get("error")) == (code, error and error.format(**names))


def test_queues_that_are_empty_are_told_of_only_if_asked_for(healthy: Fleet) -> None:
    def queues(**options: Any) -> set[str]:
        return set(ask(healthy, healthy.servers[0], "IPQUEUESZ", options)["data"])

    assert queues() == {"System recvQ"}
    assert queues(all=True) > {"System recvQ", "JetStream API queue"}
    assert queues(all=True, filter="System s") == {"System sendQ"}
    assert queues(filter="JetStream") == set()


def _led(fleet: Fleet, server: Server) -> list[tuple[str, str]]:
    return [(a, s["name"]) for a, s in streams(fleet, server, stream_leader_only=True)]


def _leaders(fleet: Fleet, server: Server) -> list[tuple[str, str | None]]:
    return [(s["name"], s["cluster"].get("leader")) for _, s in streams(fleet, server)]


def _detail(fleet: Fleet, account: str) -> dict[str, Any]:
    reply = ask(fleet, fleet.servers[0], "ACCOUNTZ", {"account": account})
    return dict(reply["data"]["account_detail"])
