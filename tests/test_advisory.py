"""Advisories: what is told of a transition, where, and under which id."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import jsonschema_rs
import pytest
from msgspec.structs import replace

from kit.published import AGENT, BY_CODE, COVERAGE, openings, tell, uneven
from nats_insights.facts import Cost, Coverage
from nats_insights.judge.lifecycle import Told
from nats_insights.tell.advisory import (
    advisory,
    at,
    brief,
    counts,
    finding_state,
    heartbeat_message,
)
from nats_insights.tell.messages import Heartbeat, OpenCounts
from nats_insights.tell.schemas import schemas
from scenario import FOUNDING, START, Server, Story, cluster, hung, left, system

# --- What is said.


def test_an_advisory_tells_everything():
    made, sent = tell(next(openings()))
    assert sent.subject == f"$INSIGHTS.ADVISORY.CRITICAL.SERVER.n1.n1.SERVER_011.{made.fingerprint}"
    said = json.loads(sent.payload)
    varying = {key: said.pop(key) for key in ("id", "fingerprint", "remediation", "title")}
    assert all(varying.values())
    assert said == {
        "type": "insights.advisory.v1.finding",
        "timestamp": "2027-01-15T08:00:30Z",
        "transition": "opened",
        "reason": "condition_met",
        "state": "open",
        "code": "SERVER_011",
        "name": "connection_count_high",
        "category": "saturation",
        "severity": "critical",
        "entity": {
            "kind": "server",
            "id": "id of n1 n1",
            "name": "n1",
            "cluster": "n1",
            "server": "n1",
        },
        "summary": "n1 has 120 of 120 connections (100 %)",
        "value": 100.0,
        "threshold": 95.0,
        "unit": "%",
        "evidence": {"connections": 120, "max_connections": 120},
        "opened_at": "2027-01-15T08:00:30Z",
        "updated_at": "2027-01-15T08:00:30Z",
        "revision": 1,
        "valid_until": "2027-01-15T08:31:30Z",
        "resolved_at": None,
        "muted": None,
        "stale": None,
        "explained_by": None,
        "clearing": False,
        "names": ["n1", "n1"],
        "agent": {
            "id": "agent",
            "instance": 32 * "f",
            "version": "1.0",
            "epoch": 7,
            "role": "leader",
        },
        "coverage": {"servers_known": 3, "servers_answered": 3, "missing": []},
    }


def test_the_remediation_names_the_entity():
    made, _ = tell(next(openings()))
    assert "raise `max_connections` of n1 together" in made.remediation


def full(connections: int = 99):
    """A server that takes 100 connections."""
    return system(cluster(n1=Server(connections, max_connections=100), n2=0))


ENDS = {
    "condition_cleared": [full(10), full(10)],
    "entity_gone": [system(cluster(n1=left, n2=0)), system(cluster(n1=left, n2=0))],
    "severity_changed": [full(80)],
}


@pytest.mark.parametrize(("reason", "after"), ENDS.items(), ids=ENDS)
def test_an_end_is_true_when_it_is_told_and_no_longer(reason, after):
    story = Story(checks=[FOUNDING["connection_count_high"]])
    for one in (full(), full(), *after):
        story.hears(one)
    made, _ = tell(story.told[0])
    assert (made.state, made.reason) == ("resolved", reason)
    assert {made.updated_at, made.resolved_at, made.valid_until} == {made.timestamp}


def test_what_is_open_may_be_believed_from_when_it_was_last_found_or_told():
    # Found and told, found, not found but told again.
    story = Story("lifecycle.remind_every = '60s'", [FOUNDING["connection_count_high"]])
    said = []
    for one in (full(), full(), system(cluster(n1=hung, n2=0))):
        story.hears(one)
        (life,) = story.lives.values()
        members = finding_state(life, BY_CODE["SERVER_011"], valid_for=100.0)
        times = (members["updated_at"], members["valid_until"])
        said.append(tuple((time - at(START)).total_seconds() for time in times))
    assert said == [(30, 130), (60, 160), (60, 190)]


def test_a_change_of_severity_is_told_on_both_subjects():
    story = Story(checks=[FOUNDING["connection_count_high"]])
    for connections in (80, 99):
        story.hears(system(cluster(n1=Server(connections, max_connections=100))))
    told = [json.loads(tell(one)[1].payload) for one in story.told]
    assert [
        (one["state"], one["severity"], one.get("severity_before"), one.get("severity_now"))
        for one in told
    ] == [
        ("resolved", "warning", None, "critical"),
        ("open", "critical", "warning", None),
    ]
    assert [tell(one)[1].subject.split(".")[2] for one in story.told] == ["WARNING", "CRITICAL"]
    assert len({one["fingerprint"] for one in told}) == 1


def test_what_is_only_a_lower_bound_says_so():
    story = Story(checks=[FOUNDING["excessive_user_connections"]])
    story.hears(system(cluster(n1=60, n2=60, n3=hung)))
    made, _ = tell(story.told[0])
    assert made.evidence["lower_bound"] == "without CONNZ of n3"


def test_what_is_stale_says_since_when():
    story = Story("lifecycle.remind_every = '30s'", [FOUNDING["connection_count_high"]])
    full = Server(99, max_connections=100)
    for one in (full, hung):
        story.hears(system(cluster(n1=one)))
    made, _ = tell(story.told[0])
    assert (made.transition, made.stale) == ("reminded", made.opened_at)
    assert made.opened_at < made.timestamp


SCOPES = {
    "SERVER_011": "CRITICAL.SERVER.n1.n1",
    "USER_002": "WARNING.ACCOUNT._.n1",
    "OPT_BALANCE_002": "INFO.SERVER.n1.n1",
    "OPT_BALANCE_003": "INFO.SERVER.n1.n1",
    "OPT_BALANCE_006": "INFO.ACCOUNT.n1.n1",
}


def test_a_subject_tells_severity_scope_cluster_and_name():
    subjects = {one.life.key.code: tell(one)[1].subject for one in openings()}
    assert {code: told.split(".", 2)[2].rsplit(".", 2)[0] for code, told in subjects.items()} == (
        SCOPES
    )


# --- Identity.


def lives() -> list[Told]:
    """Every transition that there is: opened, updated, reminded, changed, resolved, opened."""
    story = Story("lifecycle.remind_every = '60s'", [FOUNDING["connection_count_high"]])
    told = []
    for connections in (80, 89, 89, 89, 99, 80, 80, 80, 10, 10, 80):
        story.hears(system(cluster(n1=Server(connections, max_connections=100))))
        told += story.told
    return told


def test_every_message_of_a_finding_has_an_id_of_its_own():
    told = lives()
    assert [one.transition for one in told] == [
        *("opened", "updated", "reminded"),
        *("resolved", "opened", "resolved", "opened"),
        *("reminded", "resolved", "opened"),
    ]
    assert len({tell(one)[0].id for one in told}) == len(told)


def test_the_same_transition_has_the_same_id_whoever_tells_it():
    other = replace(AGENT, id="another", instance=32 * "0", epoch=99)
    ids = [
        [advisory(one, BY_CODE[one.life.key.code], agent, COVERAGE, 1.0).id for one in lives()]
        for agent in (AGENT, other)
    ]
    assert ids[0] == ids[1]


def test_the_fingerprint_stays_over_a_restart_and_differs_by_cluster_and_name():
    def of(cluster_name: str, name: str, id: str = "") -> str:
        story = Story(checks=[FOUNDING["connection_count_high"]])
        story.hears(system(cluster(cluster_name, **{name: Server(99, max_connections=100, id=id)})))
        return tell(story.told[0])[0].fingerprint

    assert of("EU", "n1") == of("EU", "n1", id="after a restart")
    assert len({of("EU", "n1"), of("US", "n1"), of("EU", "n2"), of("", "n1"), of("E", "Un1")}) == 5


def test_two_checks_of_one_entity_have_two_fingerprints():
    told = [tell(one)[0] for one in openings()]
    assert len({one.fingerprint for one in told}) == len(told) == 5


HEADERS = {
    "Nats-Msg-Id",
    "ce-specversion",
    "ce-id",
    "ce-type",
    "ce-source",
    "ce-time",
    "ce-subject",
    "ce-dataschema",
    "ce-datacontenttype",
    "ce-severity",
    "ce-state",
}


def test_only_these_headers_are_sent():
    _, sent = tell(next(openings()))
    assert set(sent.headers) == HEADERS


def test_the_message_id_is_that_of_the_advisory():
    made, sent = tell(next(openings()))
    assert (sent.headers["Nats-Msg-Id"], sent.headers["ce-id"]) == (made.id, made.id)


# --- The heartbeat.


def test_a_heartbeat_is_small_and_valid():
    heartbeat = Heartbeat(
        id=32 * "0",
        timestamp=datetime.fromtimestamp(0, UTC),
        agent=AGENT,
        coverage=brief(Coverage(servers_known=99, servers_answered=0, missing=[300 * "\x01"] * 99)),
        interval_seconds=30.0,
        silent_after_seconds=100.0,
        leading_since=None,
        open=OpenCounts(critical=1),
        cost=Cost(),
    )
    sent = heartbeat_message(heartbeat)
    schema = schemas()["insights.advisory.v1.heartbeat"]
    jsonschema_rs.validator_for(schema, validate_formats=True).validate(json.loads(sent.payload))
    assert (sent.subject, sent.headers) == (
        "$INSIGHTS.HEARTBEAT.agent",
        {"Nats-Msg-Id": 32 * "0"},
    )


def test_open_findings_are_counted_by_severity_and_pending_ones_are_not():
    story = Story()
    story.hears(uneven("n1"))
    assert counts(story.lives.values()) == OpenCounts(critical=1, warning=1, info=0)
    story.hears(uneven("n1"))
    assert counts(story.lives.values()) == OpenCounts(critical=1, warning=1, info=3)
