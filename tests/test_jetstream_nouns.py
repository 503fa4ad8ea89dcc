"""Streams, replicas, consumers and Raft groups: what servers told becomes nouns, and what lacks."""

from __future__ import annotations

from typing import Annotated

import pytest
from msgspec.structs import replace

from nats_insights.check import (
    CRITICAL,
    JSZ_STREAMS,
    OFF,
    RAFTZ,
    VARZ,
    Consumer,
    Finding,
    MetaGroup,
    Params,
    RaftGroup,
    Stream,
    StreamReplica,
    check,
    limit,
)
from nats_insights.errors import Missing
from scenario import (
    VERSIONS,
    Story,
    System,
    cluster,
    consumer,
    dead,
    hung,
    jetstream,
    lone,
    stream,
    system,
    whole,
)

EVERY_VERSION = pytest.mark.parametrize("version", VERSIONS)
MINE = {"io.nats.monitor.enabled": "true"}


class Lag(Params, frozen=True):
    most: Annotated[
        int, limit("operations", ">", ge=0, metadata="io.nats.monitor.lag", description="behind")
    ] = OFF


@check("JETSTREAM_999", CRITICAL, "consistency", needs=(JSZ_STREAMS,), resolve_after=1)
def lags(replica: StreamReplica, params: Lag) -> Finding | None:
    """A replica lags behind.

    Finds: it does. Why: it matters. Do: mend it.
    """
    reached = params.reached(replica.peer.lag)
    return reached and reached.finding(f"{replica.names[3]} lags")


@check("CONSUMER_999", CRITICAL, "saturation", needs=(JSZ_STREAMS,), resolve_after=1)
def waits(consumer: Consumer) -> Finding | None:
    """A consumer waits.

    Finds: it does. Why: it matters. Do: mend it.
    """
    return Finding(summary="it waits") if consumer.told.num_ack_pending else None


@check("META_999", CRITICAL, "health", needs=(VARZ, RAFTZ))
def any_group(group: MetaGroup) -> Finding | None:
    """There is a group.

    Finds: it does. Why: it matters. Do: mend it.
    """
    return None


CHECKS = (lags, waits, any_group)


def heard(given: System, lost: set[tuple[str, str]] | None = None) -> Story:
    story = Story(checks=CHECKS)
    story.hears(given, lost or set())
    return story


# --- What real servers told.


@EVERY_VERSION
def test_each_stream_is_there_once_with_the_servers_that_have_a_replica(version):
    streams = list(Stream.all(heard(whole(version)).snapshot))
    assert sorted(one.names for one in streams) == [
        ("APP", "EVERYTHING", "EU"),
        ("APP", "ORDERS", "EU"),
        ("APP", "ORDERS-COPY", "EU"),
        ("BIG", "METRICS", "EU"),
    ]
    assert {one.names[1]: len(one.rows) for one in streams} == {
        "EVERYTHING": 1,
        "ORDERS": 3,
        "ORDERS-COPY": 1,
        "METRICS": 1,
    }
    for one in streams:
        assert one.leader in one.rows
        assert (one.home, one.rests_on) == ("EU", ())


@EVERY_VERSION
def test_the_leader_tells_the_configuration_and_what_the_owner_wrote(version):
    stream = Stream.find(heard(whole(version)).snapshot, ("APP", "ORDERS", "EU"))
    assert stream.metadata["io.nats.monitor.peer-lag-critical"] == "100"
    assert stream.told.config.num_replicas == 3
    assert stream.entity() == {
        "kind": "stream",
        "id": "ORDERS",
        "name": "ORDERS",
        "account": "APP",
        "stream": "ORDERS",
        "cluster": "EU",
    }
    # Of the replicas of others, and of what another server tells better, nothing is kept.
    followers = [row for name, row in stream.rows.items() if name != stream.leader]
    assert [(row.config, row.cluster.replicas) for row in followers] == [(None, None)] * 2
    assert all(row.state.last_seq == stream.told.state.last_seq for row in followers)


@EVERY_VERSION
def test_each_replica_is_told_by_the_leader_alone(version):
    # Followers of 2.10 say of each other that they lag behind by 41 operations.
    replicas = [
        one
        for one in StreamReplica.all(heard(whole(version)).snapshot)
        if one.names[:2] == ("APP", "ORDERS")
    ]
    assert sorted(one.names[3] for one in replicas) == ["eu1", "eu2", "eu3"]
    assert {(one.peer.lag, one.peer.current, one.peer.offline) for one in replicas} == {
        (0, True, False)
    }
    assert {one.server for one in replicas} == {("EU", f"eu{n}") for n in (1, 2, 3)}
    assert {one.entity()["name"] for one in replicas} >= {"ORDERS on eu2"}
    assert {one.metadata["io.nats.monitor.peer-lag-critical"] for one in replicas} == {"100"}


@EVERY_VERSION
def test_a_consumer_is_told_by_its_own_leader(version):
    consumers = {one.names[3]: one for one in Consumer.all(heard(whole(version)).snapshot)}
    assert {name: one.told.num_ack_pending for name, one in consumers.items()} == {
        "billing": 5,
        "dashboard": 25,
    }
    billing = consumers["billing"]
    assert billing.names == ("APP", "ORDERS", "EU", "billing")
    assert billing.metadata["io.nats.monitor.outstanding-ack-critical"] == "50"
    assert (billing.entity()["name"], billing.entity()["stream"]) == ("billing", "ORDERS")
    assert Consumer.find(billing.snapshot, billing.names).leader == billing.leader


@EVERY_VERSION
def test_every_server_with_jetstream_is_a_member_of_the_meta_group(version):
    snapshot = heard(whole(version)).snapshot
    groups = list(RaftGroup.all(snapshot))
    assert [one.names for one in groups] == [("EU", f"eu{n}", "SYS", "_meta_") for n in (1, 2, 3)]
    assert all(one.told.leader and one.told.ever_had_leader for one in groups)
    (meta,) = MetaGroup.all(snapshot)
    assert (meta.names, meta.size, meta.quorum, meta.online) == (("EU",), 3, 2, 3)
    assert meta.leader in ("eu1", "eu2", "eu3")


@EVERY_VERSION
@pytest.mark.parametrize("server", ["eu1", "eu2", "eu3"])
def test_without_the_reply_of_one_server_silence_about_streams_proves_nothing(version, server):
    story = heard(whole(version), {(server, "JSZ_STREAMS")})
    snapshot = story.snapshot
    for one in (*Stream.all(snapshot), *StreamReplica.all(snapshot), *Consumer.all(snapshot)):
        assert snapshot.lacks(one, [JSZ_STREAMS.key]) == f"JSZ_STREAMS of {server}"
    gone = ("APP", "GONE", "EU")
    assert snapshot.lacks_for(Stream, gone, "EU", (), ["JSZ_STREAMS"])
    assert story.audit.outcomes["CONSUMER_999"].why == f"JSZ_STREAMS of {server}"


@EVERY_VERSION
def test_servers_without_jetstream_owe_nothing(version):
    snapshot = heard(whole(version)).snapshot
    assert not snapshot.lacking.owed["JSZ_STREAMS"]
    assert not snapshot.lacking.owed["RAFTZ"]
    assert heard(whole(version), {("us1", "JSZ_STREAMS")}).audit.outcomes["CONSUMER_999"].why == ""


@EVERY_VERSION
@pytest.mark.parametrize("server", ["eu1", "eu2", "eu3"])
def test_without_its_leader_what_a_stream_is_like_is_unknown(version, server):
    snapshot = heard(whole(version), {(server, "JSZ_STREAMS")}).snapshot
    stream = Stream.find(snapshot, ("APP", "ORDERS", "EU"))
    leads = Stream.find(heard(whole(version)).snapshot, ("APP", "ORDERS", "EU")).leader
    if server != leads:
        assert stream.told.config
        return
    with pytest.raises(Missing, match="leader"):
        stream.told  # noqa: B018
    assert StreamReplica.find(snapshot, (*stream.names, "eu1")) is None
    assert StreamReplica.unseen(snapshot, (*stream.names, "eu1")) == "the leader of stream ORDERS"


# --- What may be told.

WELL = system(cluster(**jetstream(stream(n1=0, n2=0, n3=0, metadata=MINE))))


def lagging(**leader: str) -> System:
    told = stream(n1=0, n2=0, n3=9, metadata=MINE | {"io.nats.monitor.lag": "5"}, **leader)
    return system(cluster(**jetstream(told)))


def test_a_stream_without_a_leader_keeps_its_findings():
    story = Story(checks=[lags])
    every = {"after": JSZ_STREAMS.every}
    assert story.hears(lagging(), **every) == ["opened JETSTREAM_999 APP ORDERS C1 n3"]
    assert story.hears(lagging(leader=""), **every) == []
    assert list(story.audit.unknown.values()) == ["the leader of stream ORDERS"]
    assert story.hears(WELL, **every) == ["resolved JETSTREAM_999 APP ORDERS C1 n3"]


def test_a_consumer_of_which_each_server_takes_another_for_its_leader_keeps_its_findings():
    def with_consumer(leader: str | None) -> System:
        told = consumer("worker", ack_pending=1, leader=leader)
        return system(cluster(**jetstream(stream(n1=0, n2=0, n3=0, consumers=[told]))))

    story = Story(checks=[waits])
    every = {"after": JSZ_STREAMS.every}
    assert story.hears(with_consumer("n2"), **every) == ["opened CONSUMER_999 APP ORDERS C1 worker"]
    for nobody in ("", "n9"):
        assert story.hears(with_consumer(nobody), **every) == []
        assert list(story.audit.unknown.values()) == ["the leader of consumer worker"]
    assert story.hears(WELL, **every) == ["resolved CONSUMER_999 APP ORDERS C1 worker"]
    assert story.told[0].life.summary == "consumer worker of stream ORDERS is gone"


def test_of_two_servers_that_claim_to_lead_the_one_leads_that_the_others_name():
    told = [cluster(**jetstream(stream(leader=name, n1=0, n2=0, n3=0))) for name in ("n1", "n2")]
    old, new = (dict(zip(("n1", "n2", "n3"), one, strict=True)) for one in told)
    snapshot = heard(system([old["n1"], new["n2"], new["n3"]])).snapshot
    assert [one.leader for one in Stream.all(snapshot)] == ["n2"]


def test_streams_of_one_name_in_two_places_are_two_streams():
    one = jetstream(stream(n1=0))
    snapshot = heard(system(cluster("EU", **one), cluster("US", **one), lone(**one))).snapshot
    found = {s.names: (s.home, s.rests_on) for s in Stream.all(snapshot)}
    assert found == {
        ("APP", "ORDERS", "EU"): ("EU", ()),
        ("APP", "ORDERS", "US"): ("US", ()),
        ("APP", "ORDERS", "n1"): ("", ("", "n1")),
    }


def test_a_server_in_no_cluster_that_does_not_tell_its_streams_hides_them():
    given = system(lone(**jetstream(stream(n1=0))))
    story = heard(given, {("n1", "JSZ_STREAMS")})
    gone = ("APP", "ORDERS", "n1")
    assert story.snapshot.lacks_for(Stream, gone, "", ("", "n1"), ["JSZ_STREAMS"])
    other = heard(given, {("n2", "JSZ_STREAMS")})
    assert not other.snapshot.lacks_for(Stream, gone, "", ("", "n1"), ["JSZ_STREAMS"])


@pytest.mark.parametrize("silent", [hung, dead])
def test_what_a_silent_server_of_the_cluster_leads_may_still_be_there(silent):
    orders, jobs = stream(n1=0, n2=0, n3=0), stream("JOBS", n3=0, consumers=[consumer("c")])
    whole = jetstream(orders, jobs)
    story = Story(checks=[waits])
    busy = replace(jobs, consumers=(consumer("c", ack_pending=1),))
    every = {"after": JSZ_STREAMS.every}
    story.hears(system(cluster(**jetstream(orders, busy))), **every)
    assert story.hears(system(cluster(**whole | {"n3": silent})), **every) == []
    assert list(story.audit.unknown.values()) == ["JSZ_STREAMS of n3"]
    assert story.hears(system(cluster(**whole)), **every) == ["resolved CONSUMER_999 APP JOBS C1 c"]


def test_between_two_readings_nothing_is_asked_kept_or_resolved():
    story = Story(checks=[lags])
    assert story.hears(lagging()) == ["opened JETSTREAM_999 APP ORDERS C1 n3"]
    for _ in range(8):
        assert story.hears(WELL) == []
        assert (list(story.snapshot.streams), story.audit.not_due) == ([], {"JETSTREAM_999"})
    assert story.hears(WELL, after=60) == ["resolved JETSTREAM_999 APP ORDERS C1 n3"]


def test_a_user_who_may_not_ask_for_streams_knows_nothing_of_them():
    story = Story(checks=[lags])
    story.hears(lagging(), denied=["JSZ_STREAMS"])
    outcome = story.audit.outcomes["JETSTREAM_999"]
    assert (outcome.why, outcome.excused) == ("not permitted: JSZ_STREAMS", False)


def test_who_need_not_ask_for_jsz_need_not_ask_for_streams():
    story = Story("access.without = ['JSZ']", [lags])
    story.hears(lagging(), denied=["JSZ_STREAMS"])
    assert story.audit.outcomes["JETSTREAM_999"].excused
