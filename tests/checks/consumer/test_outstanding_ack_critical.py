"""CONSUMER_006: more deliveries wait for acknowledgement than the owner of the consumer allows."""

from __future__ import annotations

import pytest

from nats_insights.checks.consumer.outstanding_ack_critical import outstanding_ack_critical as check
from scenario import (
    Story,
    System,
    cluster,
    consumer,
    finding,
    found,
    jetstream,
    lone,
    stream,
    system,
)

KEY = "io.nats.monitor.outstanding-ack-critical"
MINE = {"io.nats.monitor.enabled": "true", KEY: "50"}


def waiting(count: int, metadata: dict[str, str] | None = None, leader: str = "n2") -> System:
    """A consumer that n2 leads, of a stream that n1 leads, and how much is not acknowledged."""
    metadata = MINE if metadata is None else metadata
    told = consumer("worker", leader=leader, ack_pending=count, metadata=metadata)
    return system(cluster(**jetstream(stream(n1=0, n2=0, n3=0, consumers=[told]))))


WORKER = "APP ORDERS C1 worker"
CASES = {
    "fires at the limit of the owner": (waiting(50), {WORKER}),
    "quiet just below it": (waiting(49), set()),
    "quiet where the owner sets no limit": (waiting(9_999, {}), set()),
    "quiet where the owner does not say that it is enabled": (waiting(50, {KEY: "50"}), set()),
    "quiet where the limit is 0, which is none": (waiting(50, MINE | {KEY: "0"}), set()),
    "fires about a stream in no cluster": (
        system(
            lone(
                **jetstream(stream(n1=0, consumers=[consumer("c", ack_pending=50, metadata=MINE)]))
            )
        ),
        {"APP ORDERS n1 c"},
    ),
    "fires for each consumer by its own limit": (
        system(
            cluster(
                **jetstream(
                    stream(
                        n1=0,
                        consumers=[
                            consumer("lax", ack_pending=99, metadata=MINE | {KEY: "100"}),
                            consumer("strict", ack_pending=99, metadata=MINE),
                        ],
                    )
                )
            )
        ),
        {"APP ORDERS C1 strict"},
    ),
}
AGAIN = {"after": 300.0}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


@pytest.mark.parametrize(("limit", "expected"), [(30, {WORKER}), (31, set())])
def test_the_configuration_may_set_a_limit_for_all(limit, expected):
    config = f"checks.outstanding_ack_critical.messages = {limit}"
    assert found(check, waiting(30, {}), config) == expected


def test_it_says_what_waits():
    said = finding(check, waiting(1234))
    assert (said.summary, said.value, said.threshold, said.unit) == (
        "consumer worker of stream ORDERS waits for 1,234 acknowledgements",
        1234,
        50,
        "messages",
    )
    assert said.evidence["leader"] == "n2"


def test_it_eases_and_resolves_at_the_next_reading():
    story = Story(checks=[check])
    told = [story.hears(waiting(count), **AGAIN) for count in (50, 45, 44)]
    assert told == [[f"opened CONSUMER_006 {WORKER}"], [], [f"resolved CONSUMER_006 {WORKER}"]]


def test_while_nobody_leads_the_consumer_nothing_is_known():
    story = Story(checks=[check])
    story.hears(waiting(50))
    assert story.hears(waiting(0, leader=""), **AGAIN) == []
    assert story.hears(waiting(0), [("n2", "JSZ_STREAMS")], **AGAIN) == []
    assert story.hears(waiting(0), **AGAIN) == [f"resolved CONSUMER_006 {WORKER}"]
