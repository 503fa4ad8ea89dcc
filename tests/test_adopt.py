"""A successor goes on with what its predecessor told, as if that had gone on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from kit.published import BY_CODE, HOSTILE, openings, tell
from nats_insights import checks
from nats_insights.facts import Access, Cost
from nats_insights.judge.audit import Key
from nats_insights.judge.auditor import Auditor
from nats_insights.judge.declare import Check, discover
from nats_insights.judge.finding import WARNING
from nats_insights.judge.lifecycle import Life
from nats_insights.judge.mutes import Mute
from nats_insights.model import loaded
from nats_insights.model.nouns.export import Export
from nats_insights.model.nouns.noun import Noun
from nats_insights.model.nouns.service import Service
from nats_insights.model.roster import Entry, Roster
from nats_insights.tell import adopt, queries
from nats_insights.tell.advisory import finding_state
from nats_insights.tell.messages import (
    Advisory,
    AgentInfo,
    FindingsReply,
    FindingState,
    MutesReply,
    ServersReply,
)
from nats_insights.tell.view import View
from scenario import START, Server, Story, cluster, hung, left, lone, system, whole

ALL = {check.code: check for check in discover(checks)}
MIB = 1024 * 1024


def read(view: View, name: str, into: Any) -> Any:
    return msgspec.json.decode(queries.answer(view, name, b'{"limit": 1000}'), type=into)


def succeed(story: Story, *, heard: Iterable[Advisory] = ()) -> Story:
    """Another agent takes over, which asked for all that this one knows, or heard of it."""
    agent = AgentInfo(id="a", instance=32 * "a", version="1", epoch=1, role="leader")
    access = Access(mode="system", account="SYS", user="agent")
    view = View.of(story.auditor, agent, access, Cost(), MIB)
    states = heard or read(view, "FINDINGS", FindingsReply).findings
    servers = read(view, "SERVERS", ServersReply).servers
    auditor = Auditor(story.auditor.checks, story.auditor.config)
    auditor.roster.listens_since = story.auditor.roster.listens_since
    auditor.roster.adopt(filter(None, map(adopt.entry, servers)))
    by_code = {check.code: check for check in auditor.checks}
    mutes = map(adopt.mute, read(view, "MUTES", MutesReply).mutes)
    auditor.adopt(filter(None, [adopt.life(state, by_code) for state in states]), mutes)
    other = Story(settle=story.settle)
    other.auditor, other.now = auditor, story.now
    return other


def published(story: Story) -> list[tuple[str, str, str]]:
    """Subject, id and transition of what the last epoch told."""
    made = [tell(told) for told in story.told]
    return [(sent.subject, said.id, said.transition) for said, sent in made]


# --- Every entity that a finding can be about.


def nouns() -> Iterator[tuple[Check, Noun]]:
    """A noun of each class that checks are about, of a cluster and of a server that is in none."""
    story = Story(checks=ALL.values())
    story.hears(whole("2.15.1"))
    for check in {check.about: check for check in ALL.values()}.values():
        found = list(check.about.all(story.snapshot))
        for placed in (True, False):
            yield from [(check, noun) for noun in found if bool(noun.home) is placed][:1]
    exported = loaded.Export(type="stream", subject="orders.>", private=False)
    for place in ("EU", "alone"):
        yield ALL["ACCOUNTS_004"], Export("APP", place, exported, story.snapshot)
    yield ALL["SERVICE_001"], Service(("APP", "orders"), story.snapshot)


NOUNS = {f"{type(noun).__name__} {'/'.join(noun.names)}": (c, noun) for c, noun in nouns()}


def life_of(check: Check, noun: Noun) -> Life:
    return Life(
        key=Key(check.code, noun.names),
        severity=WARNING,
        home=noun.home,
        rests_on=noun.rests_on,
        when_gone=noun.when_gone,
        scope=noun.scope,
        fingerprint=check.fingerprint(noun.kind, noun.names),
        entity=noun.entity(),
        is_open=True,
        revision=7,
        opened_at=START + 0.123456,
        updated_at=START + 60.5,
        told_at=START + 60.5,
        told_value=5.0,
        summary="it is so",
        value=5.0,
        threshold=4.0,
        unit="connections",
        evidence=msgspec.Raw(b'{"by_server":[["n1",3]]}'),
        clients={"top": [["a", 1]]},
        partial="CONNZ of n9",
        stale_since=START + 30.25,
        explained_by=32 * "e",
    )


@pytest.mark.parametrize("name", NOUNS)
def test_all_that_matters_of_a_finding_is_told(name):
    check, noun = NOUNS[name]
    life = life_of(check, noun)
    told = msgspec.json.encode(FindingState(**finding_state(life, check, 60.0)))
    assert adopt.life(msgspec.json.decode(told, type=FindingState), ALL) == life


def test_entities_of_every_kind_that_has_checks_were_tried():
    tried = {type(noun).kind for _, noun in NOUNS.values()}
    assert {check.about.kind for check in ALL.values()} - tried == set()


# --- As if the predecessor had gone on.

HOT = system(
    cluster("EU", n1=Server(120, subscriptions=500, max_connections=120), n2=1, n3=0, n4=0)
)
COOL = system(cluster("EU", n1=Server(3, max_connections=120), n2=1, n3=0, n4=0))


@pytest.mark.parametrize("by", ["what it heard", "what it asked for"])
def test_a_successor_ends_what_is_over_with_the_same_ids(by):
    first, said = Story(), []
    for _ in range(2):
        first.hears(HOT)
        said += [tell(told)[0] for told in first.told]
    assert len(said) == 5
    second = succeed(first, heard=said if by == "what it heard" else ())
    assert second.hears(HOT) == first.hears(HOT) == []
    for _ in range(2):
        assert sorted(second.hears(COOL)) == sorted(first.hears(COOL))
        assert published(second) == published(first)
    assert second.lives == first.lives == {}


def test_what_nobody_answers_for_stays_and_is_stale():
    first = Story()
    for _ in range(2):
        first.hears(HOT)
    second = succeed(first)
    silent = system(cluster("EU", n1=hung, n2=1, n3=0, n4=0))
    for _ in range(3):
        assert second.hears(silent) == []
    assert {life.stale_since is not None for life in second.lives.values()} == {True}
    assert second.snapshot.coverage.missing == ["n1"]


def test_a_server_that_the_predecessor_knew_as_gone_stays_gone():
    first = Story()
    first.hears(HOT)
    for _ in range(2):
        first.hears(system(cluster("EU", n1=left, n2=1, n3=0, n4=0)))
    second = succeed(first)
    assert {entry.name: entry.state for entry in second.auditor.roster}["n1"] == "left"


def test_a_common_finding_is_gone_on_with():
    check = next(check for check in ALL.values() if check.common)
    life = replace(
        life_of(check, NOUNS["System system"][1]),
        fingerprint=check.fingerprint("system", ("system",)),
        is_common=True,
    )
    said = FindingState(**finding_state(life, check, 60.0))
    assert adopt.life(said, ALL) == life


answering = st.builds(
    lambda clients, most: Server(clients, max_connections=most, subscriptions=5 * clients),
    st.integers(0, 200),
    st.sampled_from([100, 200]),
)
names = dict.fromkeys(("n1", "n2", "n3"))
calm = st.fixed_dictionaries(dict.fromkeys(names, answering))
epochs = st.lists(
    st.fixed_dictionaries(dict.fromkeys(names, answering | st.just(hung))), min_size=1, max_size=5
)


@given(epochs, epochs, calm)
@settings(deadline=None, max_examples=50)
def test_once_all_answer_both_have_the_same_open_findings(before, after, calm):
    first = Story()
    for held in before:
        first.hears(system(cluster("EU", **held)))
    second = succeed(first)
    was_open = {life.fingerprint: life.opened_at for life in first.lives.values() if life.is_open}
    ended: set[str] = set()
    for held in (*after, *3 * [calm]):
        for story in (first, second):
            story.hears(system(cluster("EU", **held)))
        for told in second.told:
            # Nothing that was open opens again before it has ended.
            if told.transition == "opened" and told.reason != "severity_changed":
                assert told.life.fingerprint not in was_open.keys() - ended
            if told.transition == "resolved" and told.reason != "severity_changed":
                ended.add(told.life.fingerprint)
    open_now = [
        {life.fingerprint for life in story.lives.values() if life.is_open}
        for story in (first, second)
    ]
    # A successor does not know for how many epochs a condition had been clear already, so what lies
    # between both limits may still be open there.
    between = {life.fingerprint for life in second.lives.values() if life.is_open and life.eased}
    assert open_now[0] <= open_now[1] <= open_now[0] | between
    for life in second.lives.values():
        if life.is_open and life.fingerprint in was_open.keys() - ended:
            assert life.opened_at == was_open[life.fingerprint]


# --- What is not adopted.


def opened() -> Advisory:
    return tell(next(openings()))[0]


OTHERS = {
    "the names of another entity": {"names": ["n1", "n2"]},
    "no names, as of an older agent": {"names": []},
    "another fingerprint": {"fingerprint": 32 * "0"},
    "a check that this agent does not have": {"code": "OTHER_001"},
    "another check, about the same kind of entity": {"code": "OPT_BALANCE_002"},
    "a resolved finding": {"state": "resolved"},
    "a revision that no agent can count on from": {"revision": 2**53},
    "a value that cannot be told again": {"value": -(10**300)},
    "a threshold that cannot be told again": {"threshold": 2**70},
}


@pytest.mark.parametrize("what", OTHERS)
def test_what_is_not_adopted(what):
    said = opened()
    assert adopt.life(said, BY_CODE) is not None
    assert adopt.life(replace(said, **OTHERS[what]), BY_CODE) is None


@pytest.mark.parametrize("name", HOSTILE)
def test_names_of_any_kind_are_adopted_unless_they_were_cut(name):
    said, sent = tell(next(openings(name)))
    adopted = adopt.life(msgspec.json.decode(sent.payload, type=Advisory), BY_CODE)
    if len(name) > 256:
        assert adopted is None
    else:
        assert adopted is not None
        assert adopted.key.names == (name, name)
        assert adopted.opened_at == said.opened_at.timestamp()


def test_a_server_whose_name_was_cut_is_not_adopted():
    story = Story()
    story.hears(system(cluster("EU", n1=1), lone(**{300 * "x": 1})))
    second = succeed(story)
    assert [entry.name for entry in second.auditor.roster] == ["n1"]


# --- The servers.


def known(name: str, **more: Any) -> Entry:
    return Entry(
        **{"cluster": "EU", "name": name, "id": name, "first_seen": 1.0, "last_seen": 2.0} | more
    )


def test_a_server_is_known_as_the_predecessor_knew_it():
    first = Story()
    first.hears(system(cluster("EU", n1=1, n2=1)))
    first.hears(system(cluster("EU", n1=hung, n2=1)), after=30.5)
    second = succeed(first)
    for name in ("n1", "n2"):
        theirs, ours = (one.auditor.roster.at(("EU", name)) for one in (first, second))
        assert theirs is not None
        assert ours is not None
        for field in ("id", "version", "state", "first_seen", "last_seen", "last_error"):
            assert getattr(ours, field) == getattr(theirs, field)


def test_a_goodbye_that_was_heard_here_outlives_what_another_agent_says():
    roster = Roster()
    roster.adopt([known("n1"), known("n2")])
    roster.goodbye("n1", 5.0, gone=True)
    roster.adopt([known("n1"), known("n3")])
    assert {entry.name: entry.goodbye for entry in roster} == {"n1": "shutdown", "n3": ""}
    assert (roster.by_id("n1"), roster.by_id("n2")) == (roster.at(("EU", "n1")), None)
    assert roster.news() == []


def test_only_servers_that_answer_were_seen_with_the_last_heartbeat():
    roster = Roster()
    roster.adopt([known("n1"), known("n2", state="dead")])
    roster.seen(9.0)
    assert {entry.name: entry.last_seen for entry in roster} == {"n1": 9.0, "n2": 2.0}


def test_when_it_was_told_is_known_of_an_advisory():
    said = replace(opened(), updated_at=datetime(2027, 1, 1, tzinfo=UTC))
    later = replace(said, timestamp=said.updated_at + timedelta(minutes=5))
    adopted = adopt.life(later, BY_CODE)
    assert adopted is not None
    assert (adopted.updated_at, adopted.told_at - adopted.updated_at) == (
        said.updated_at.timestamp(),
        300.0,
    )


def test_what_is_muted_stays_muted_until_its_time():
    story = Story()
    story.hears(system(lone(n1=Server(80, max_connections=100))))
    until = story.now + 100.5
    one = Mute(code="SERVER_011", server="n1", until=until, at=story.now, who="ada", why="a test")
    story.auditor.mutes.add(one)
    story.hears(system(lone(n1=Server(80, max_connections=100))))
    other = succeed(story)
    assert list(other.auditor.mutes) == [one]
    assert [life.muted for life in other.lives.values()] == [until]
    assert other.hears(system(lone(n1=Server(80, max_connections=100)))) == []
    assert other.hears(system(lone(n1=Server(80, max_connections=100))), after=60.0) == [
        "updated SERVER_011 n1"
    ]
    assert other.told[0].reason == "unmuted"
