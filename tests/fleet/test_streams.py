"""Streams are placed evenly, led while most of their servers run, and go wrong as was asked."""

from __future__ import annotations

from collections import Counter

import pytest

from nats_insights.lab.fleet.model import Fleet
from nats_insights.lab.fleet.plant import HEALTHY, Faults, plant
from nats_insights.lab.fleet.plant_streams import recover, trouble
from nats_insights.lab.fleet.truth import stream_truth

FAULTS = Faults(lagging_replicas=3, leaderless_streams=2, unacknowledging_consumers=4)


def codes(fleet: Fleet) -> Counter[str]:
    return Counter(code for code, _ in stream_truth(fleet))


@pytest.fixture
def healthy() -> Fleet:
    return plant(3, 20, streams=20, faults=HEALTHY)


@pytest.mark.parametrize("seed", range(5))
def test_what_was_planted_is_wrong_and_nothing_else(seed: int) -> None:
    # All three members of a group know that nobody leads it.
    planted = {"JETSTREAM_001": 3, "OPT_SYS_009": 6, "OPT_SYS_003": 4}
    assert codes(plant(9, 40, clusters=2, streams=40, faults=FAULTS, seed=seed)) == planted
    assert codes(plant(9, 40, clusters=2, streams=40, faults=HEALTHY, seed=seed)) == {}


def test_no_more_goes_wrong_than_there_are_streams() -> None:
    fleet = plant(3, 5, streams=4, faults=HEALTHY)
    trouble(fleet, lagging_replicas=3, leaderless_streams=3, unacknowledging_consumers=3)
    assert Counter(code for code, _ in stream_truth(fleet)) == {
        "JETSTREAM_001": 3,
        "OPT_SYS_009": 3,
    }


def test_all_is_well_once_streams_recover(healthy: Fleet) -> None:
    trouble(healthy, lagging_replicas=2, leaderless_streams=1, unacknowledging_consumers=1)
    healthy.clusters[0].streams[0].consumers[0].lose_leader()
    assert len(stream_truth(healthy)) >= 2 + 3 + 1
    recover(healthy)
    assert stream_truth(healthy) == set()


def test_every_server_has_as_many_replicas_as_were_asked_for() -> None:
    fleet = plant(10, 5, clusters=3, streams=30)
    assert {len(server.streams) for server in fleet.servers} == {30}
    for cluster in fleet.clusters:
        assert all(len(set(stream.servers)) == 3 for stream in cluster.streams)
        assert {stream.account for stream in cluster.streams} <= set(cluster.jetstream)


def test_the_same_seed_plants_the_same_streams() -> None:
    def told(seed: int) -> list[tuple[object, ...]]:
        fleet = plant(6, 5, streams=10, seed=seed)
        streams = [stream for cluster in fleet.clusters for stream in cluster.streams]
        return [(s.name, s.group, s.last, *(c.acknowledged for c in s.consumers)) for s in streams]

    assert told(7) == told(7)
    assert told(7) != told(8)


def test_the_next_server_leads_as_long_as_most_of_them_run(healthy: Fleet) -> None:
    stream = healthy.clusters[0].streams[0]
    first, second, third = stream.servers
    leaders = [stream.leader]
    for server in (first, second):
        healthy.kill(server)
        leaders.append(stream.leader)
    healthy.restart(second)
    assert [*leaders, stream.leader] == [first, second, None, second]
    assert third.streams == healthy.clusters[0].streams


def test_a_consumer_that_acknowledges_nothing_is_wrong_from_four_fifths_on(healthy: Fleet) -> None:
    stream = healthy.clusters[0].streams[0]
    consumer = stream.consumers[0]
    for waiting, wrong in ((799, {}), (800, {"OPT_SYS_003": 1})):
        consumer.leave_unacknowledged(waiting)
        assert codes(healthy) == wrong


def test_a_replica_lags_that_lacks_more_than_a_tenth(healthy: Fleet) -> None:
    stream = healthy.clusters[0].streams[0]
    tenth = stream.last // 10
    stream.fall_behind(stream.servers[1], tenth)
    assert codes(healthy) == {}
    stream.fall_behind(stream.servers[1], tenth + 1)
    assert codes(healthy) == {"JETSTREAM_001": 1}
    # One that has nothing at all is new, and is left out.
    stream.fall_behind(stream.servers[1], stream.last)
    assert codes(healthy) == {}
