"""JETSTREAM_022: a replica is further behind its leader than the owner of the stream allows."""

from __future__ import annotations

from typing import Any

import pytest

from nats_insights.checks.jetstream.peer_lag_critical import peer_lag_critical as check
from nats_insights.checks.server.server_not_answering import server_not_answering
from scenario import Story, System, cluster, finding, found, hung, jetstream, stream, system

KEY = "io.nats.monitor.peer-lag-critical"
MINE = {"io.nats.monitor.enabled": "true", KEY: "100"}


def lagging(lag: int, metadata: dict[str, str] | None = None, **told: Any) -> System:
    """A stream that n1 leads, and whose replica on n3 lags behind."""
    metadata = MINE if metadata is None else metadata
    return system(cluster(**jetstream(stream(n1=0, n2=0, n3=lag, metadata=metadata, **told))))


LATE = "APP ORDERS C1 n3"
CASES = {
    "fires above the limit of the owner": (lagging(101), {LATE}),
    "quiet at the limit": (lagging(100), set()),
    "quiet where the owner sets no limit": (lagging(9_999_999, {}), set()),
    "quiet where the owner does not say that it is enabled": (lagging(101, {KEY: "100"}), set()),
    "quiet where the owner switches it off": (lagging(101, MINE | {KEY: "0"}), set()),
    "quiet where nobody can read the limit": (lagging(101, MINE | {KEY: "many"}), set()),
    "quiet where nobody leads the stream": (lagging(101, leader=""), set()),
    "quiet about what a follower says of another": (
        system(cluster(**jetstream(stream(n1=0, n2=101, n3=0, metadata=MINE, leader="n2")))),
        set(),
    ),
    "fires for each stream by its own limit": (
        system(
            cluster(
                **jetstream(
                    stream("LAX", n1=0, n2=500, n3=0, metadata=MINE | {KEY: "1000"}),
                    stream("STRICT", n1=0, n2=500, n3=0, metadata=MINE),
                )
            )
        ),
        {"APP STRICT C1 n2"},
    ),
}
AGAIN = {"after": 300.0}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


@pytest.mark.parametrize(("limit", "expected"), [(50, {LATE}), (51, set())])
def test_the_configuration_may_set_a_limit_for_all(limit, expected):
    config = f"checks.peer_lag_critical.operations = {limit}"
    assert found(check, lagging(51, {}), config) == expected


def test_it_says_how_far_behind_it_is():
    said = finding(check, lagging(1234))
    assert (said.summary, said.value, said.threshold, said.unit, said.involves) == (
        "the replica of stream ORDERS on n3 is 1,234 operations behind",
        1234,
        100,
        "operations",
        (("C1", "n3"),),
    )
    assert said.evidence == {"leader": "n1", "current": False, "offline": False, "seen_seconds": 0}


def test_it_is_explained_by_a_server_that_does_not_answer():
    told = stream(n1=0, n2=0, n3=500, metadata=MINE)
    well, late = (jetstream(one) for one in (stream(n1=0, n2=0, n3=0, metadata=MINE), told))
    story = Story(checks=[check, server_not_answering])
    story.hears(system(cluster(**well)))
    for _ in range(2):
        story.hears(system(cluster(**late | {"n3": hung})), **AGAIN)
    lives = {key.code: life for key, life in story.lives.items()}
    assert lives["JETSTREAM_022"].explained_by == lives["SERVER_901"].fingerprint


def test_it_eases_and_resolves_at_the_next_reading():
    story = Story(checks=[check])
    told = [story.hears(lagging(lag), **AGAIN) for lag in (101, 91, 90)]
    assert told == [[f"opened JETSTREAM_022 {LATE}"], [], [f"resolved JETSTREAM_022 {LATE}"]]


def test_while_the_leader_does_not_tell_nothing_is_known():
    story = Story(checks=[check])
    story.hears(lagging(101))
    assert story.hears(lagging(0), [("n1", "JSZ_STREAMS")], **AGAIN) == []
    assert story.hears(lagging(0), **AGAIN) == [f"resolved JETSTREAM_022 {LATE}"]
