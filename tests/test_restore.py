"""What one process knows is enough for another to go on from: it publishes the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nats_insights.check import (
    HEALTHZ,
    INFO,
    STATZ,
    VARZ,
    Account,
    Finding,
    changes,
    check,
    samples,
)
from nats_insights.check import Server as Noun
from nats_insights.gather.stepwise import at_once
from nats_insights.judge.auditor import Auditor, Known
from nats_insights.replies.healthz import Healthz
from scenario import START, Server, Story, cluster, hung, system

# --- Checks that need all that is to be remembered.


@changes(keep=600)
def limited(server: Noun) -> int:
    return server.varz.max_connections


@samples(keep=300, every=30)
def accepted(server: Noun) -> int:
    return server.varz.total_connections


@samples(keep=300, every=60)
def subscribed(server: Noun) -> int:
    return server.varz.subscriptions


@samples(keep=300, every=30)
def clients(account: Account) -> Mapping[str, int]:
    servers = account.snapshot.servers.values()
    return {
        one.name: one.accounts.get(account.name, 0) for one in servers if "STATZ" in one.replies
    }


@check("TEST_001", INFO, "change", needs=(VARZ, limited))
def limit_changed(server: Noun) -> Finding | None:
    """The limit of a server changed.

    Finds: it. Why: it matters. Do: nothing.
    """
    if not server.past(limited).changed_within(120):
        return None
    return Finding(summary=f"from {server.past(limited).before} to {server.past(limited).now}")


@check("TEST_002", INFO, "performance", needs=(VARZ, accepted), open_after=2, resolve_after=2)
def many_accepted(server: Noun) -> Finding | None:
    """A server accepts many connections.

    Finds: it. Why: it matters. Do: nothing.
    """
    rate = server.past(accepted).rate(60)
    return Finding(summary="many", value=rate, threshold=0.5, unit="/s") if rate >= 0.5 else None


@check("TEST_003", INFO, "performance", needs=(VARZ, subscribed))
def more_subscribed(server: Noun) -> Finding | None:
    """A server has more subscriptions than five minutes ago.

    Finds: it. Why: it matters. Do: nothing.
    """
    more = server.past(subscribed).difference(180)
    return Finding(summary="more", value=more, threshold=1, unit="more") if more >= 1 else None


@check("TEST_004", INFO, "performance", needs=(STATZ, clients))
def account_grows(account: Account) -> Finding | None:
    """An account gets more clients.

    Finds: it. Why: it matters. Do: nothing.
    """
    more = account.past(clients).growth(120)
    return Finding(summary="more", value=more, threshold=5, unit="more") if more >= 5 else None


@check("TEST_005", INFO, "health", needs=(HEALTHZ,), open_after=2, resolve_after=2)
def unhealthy(server: Noun) -> Finding | None:
    """A server says that it is not healthy.

    Finds: it. Why: it matters. Do: nothing.
    """
    bad = server.reply(HEALTHZ).status == "unavailable"
    return Finding(summary="not healthy") if bad else None


CHECKS = [limit_changed, many_accepted, more_subscribed, account_grows, unhealthy]
CONFIG = 'lifecycle.remind_every = "2m"\nlifecycle.gone_after = "90s"\n'

answering = st.builds(
    lambda clients, accepted, most, more, healthy: Server(
        clients,
        accepted=accepted,
        max_connections=most,
        varz={"subscriptions": more},
        replies={"HEALTHZ": Healthz(status="ok" if healthy else "unavailable")},
    ),
    st.integers(0, 20),
    st.integers(20, 200),
    st.sampled_from([100, 200]),
    st.integers(0, 3),
    st.booleans(),
)
servers = answering | st.just(hung)
epochs = st.lists(
    st.tuples(
        st.fixed_dictionaries(dict.fromkeys(("n1", "n2", "n3"), servers)),
        st.sets(st.sampled_from([("n1", "STATZ"), ("n2", "VARZ"), ("n3", "HEALTHZ")])),
        st.sampled_from([30.0, 30.0, 31.5, 60.0, 1.0]),
        st.booleans(),
    ),
    min_size=2,
    max_size=12,
)


def through_json(known: Known) -> Known:
    return msgspec.json.decode(msgspec.json.encode(known), type=Known)


def revived(story: Story) -> None:
    """Another process goes on from what this one wrote down."""
    auditor = Auditor(story.auditor.checks, story.auditor.config)
    auditor.restore(through_json(story.auditor.known), story.now)
    story.auditor = auditor


def hears(story: Story, epoch: Any) -> list[Any]:
    held, lost, after, counts = epoch
    story.hears(system(cluster(**held)), lost, after=after, counts=counts)
    return json.loads(msgspec.json.encode(story.told))  # Where 5 and 5.0 are the same.


@given(epochs, st.data())
@settings(deadline=None)
def test_an_agent_that_is_stopped_and_started_publishes_what_it_would_have(told, data):
    stops = data.draw(st.sets(st.integers(0, len(told) - 1)))
    steady, stopped = Story(CONFIG, CHECKS), Story(CONFIG, CHECKS)
    for number, epoch in enumerate(told):
        if number in stops:
            revived(stopped)
        assert hears(stopped, epoch) == hears(steady, epoch)
    assert stopped.auditor.outcomes == steady.auditor.outcomes


CHANGING = {
    "TEST_001 C1 n1": [Server(1, max_connections=most) for most in (100, 200)],
    "TEST_002 C1 n1": [Server(1, accepted=n) for n in (0, 100, 200, 300)],
    "TEST_003 C1 n1": [Server(1, varz={"subscriptions": n}) for n in (*7 * [5], 6)],
    "TEST_004 APP": [Server(n) for n in (1, 1, 1, 1, 1, 7)],
    "TEST_005 C1 n1": [Server(1, replies={"HEALTHZ": Healthz(status="unavailable")})] * 3,
}


@pytest.mark.parametrize("what", CHANGING)
def test_each_of_these_checks_can_find_something(what):
    # Else that they find the same would say nothing.
    story = Story(CONFIG, CHECKS)
    heard = []
    for one in CHANGING[what]:
        heard += story.hears(system(cluster(n1=one, n2=1)), after=60.0)
    assert f"opened {what}" in heard


def test_a_server_that_was_forgotten_just_before_the_stop_is_gone_for_that_reason():
    story = Story(CONFIG, [unhealthy])
    bad = Server(1, replies={"HEALTHZ": Healthz(status="unavailable")})
    for _ in range(2):
        story.hears(system(cluster(n1=bad, n2=1, n3=1)), after=60.0)
    roster = story.auditor.roster
    roster.remove(roster.at(("C1", "n1")))
    revived(story)
    heard = [story.hears(system(cluster(n2=1, n3=1)), after=60.0) for _ in range(2)]
    assert heard[-1] == ["resolved TEST_005 C1 n1"]
    assert story.told[0].reason == "forgotten"


def test_an_endpoint_that_was_just_asked_is_not_asked_again_after_a_start():
    story = Story(CONFIG, [unhealthy])
    story.hears(system(cluster(n1=1, n2=1)))
    revived(story)
    assert HEALTHZ not in story.auditor.begin(story.now + 30).endpoints
    assert HEALTHZ in story.auditor.begin(story.now + 60).endpoints


def test_what_the_checks_do_not_ask_any_more_is_left_out():
    story = Story(CONFIG, [unhealthy])
    story.hears(system(cluster(n1=1, n2=1)))
    auditor = Auditor([limit_changed], story.auditor.config)
    auditor.restore(through_json(story.auditor.known), story.now)
    assert auditor.begin(story.now + 30).endpoints == {VARZ}


def test_everything_is_asked_at_once_when_the_clock_was_set_back():
    story = Story(CONFIG, [unhealthy])
    story.hears(system(cluster(n1=1, n2=1)))
    assert story.auditor.begin(START - 3600).endpoints == {VARZ, HEALTHZ}


def test_the_past_goes_on_without_what_was_told_while_it_was_blind():
    story = Story(CONFIG, CHECKS)
    story.hears(system(cluster(n1=1, n2=1)))
    before = story.auditor.history.plain().samples
    story.auditor.begin(story.now + 30)
    story.auditor.fail(RuntimeError("a mistake"))
    at_once(story.auditor.judge())
    assert story.auditor.history.plain().samples == before
