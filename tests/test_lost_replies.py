"""Whatever reply is lost: nothing opens, changes or resolves because of it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scenario import FOUNDING, VERSIONS, Server, Story, System, cluster, lone, recorded, system

ENDPOINTS = ("VARZ", "STATZ", "ROUTEZ", "LEAFZ", "CONNZ")
# A server that does not answer is a finding itself: the others rest on replies.
OF_REPLIES = [check for check in FOUNDING.values() if check.needs]
HOT = system(cluster(n1=60, n2=15, n3=15))
# Findings on small systems, and at once.
EAGER = """
    [checks.connection_hotspot]
    min_connections = 2
    open_after = 1
    [checks.subscription_hotspot]
    min_subscriptions = 2
    open_after = 1
    [checks.account_connection_concentration]
    min_connections = 2
    min_servers = 2
    open_after = 1
    [checks.excessive_user_connections]
    max_connections = 5
"""


@pytest.mark.parametrize("version", VERSIONS)
def test_a_real_system_tells_what_is_wrong_with_it(version):
    story = Story(checks=OF_REPLIES)
    told = [story.hears(recorded(version)) for _ in range(3)]
    assert told == [
        [],
        [
            "opened OPT_BALANCE_002 C1 S1",
            "opened OPT_BALANCE_003 C1 S1",
            "opened OPT_BALANCE_006 APP C1",
        ],
        [],
    ]


@pytest.mark.parametrize("epochs", [1, 5])
@pytest.mark.parametrize("version", VERSIONS)
def test_a_lost_reply_changes_nothing(version, epochs):
    real = recorded(version)
    changed = {}
    for reply in [(one.info.name, endpoint) for one in real.servers for endpoint in ENDPOINTS]:
        story = Story(checks=OF_REPLIES)
        for _ in range(3):
            story.hears(real)
        told = [story.hears(real, [reply]) for _ in range(epochs)]
        told += [story.hears(real) for _ in range(3)]
        if any(told):
            changed[reply] = told
    assert changed == {}


@pytest.mark.parametrize(("moved", "resolves"), [(178, False), (35, False), (34, True)])
def test_a_finding_stays_while_a_server_that_accepted_connections_was_not_read(moved, resolves):
    def users(n2: int, n3: int) -> System:
        return system(
            cluster(
                n1=Server(users={"APP worker": 56}),
                n2=Server(users={"APP worker": n2}),
                n3=Server(users={"APP worker": n3, "APP other": 20}),
            )
        )

    story = Story(checks=[FOUNDING["excessive_user_connections"]])
    for _ in range(3):
        story.hears(users(178, 0))
    assert {life.key.code for life in story.lives.values() if life.is_open} == {"USER_002"}
    told = [story.hears(users(0, moved), [("n3", "CONNZ")]) for _ in range(5)]
    assert any(told) is resolves
    told = [story.hears(users(0, moved)) for _ in range(5)]
    assert "resolved" not in str(told)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_reply_lost_before_it_opens_delays_it_at_most(version):
    real = recorded(version)
    expected = {"OPT_BALANCE_002", "OPT_BALANCE_003", "OPT_BALANCE_006"}
    opened = {}
    for reply in [(one.info.name, endpoint) for one in real.servers for endpoint in ENDPOINTS]:
        story = Story(checks=OF_REPLIES)
        told = [story.hears(real, lost) for lost in ([], [reply], [], [])]
        opened[reply] = {one.split()[1] for epoch in told for one in epoch}
    assert set(map(frozenset, opened.values())) == {frozenset(expected)}


servers = st.builds(
    Server,
    connections=st.integers(1, 12),
    users=st.dictionaries(st.sampled_from(["APP bob", "B bob", "$G nats-a1B2c3D4"]), st.just(4)),
    subscriptions=st.integers(0, 9),
    max_connections=st.sampled_from([-1, 0, 10, 65_536]),
)
NAMES = ("n1", "n2", "n3", "n4")


@st.composite
def fleets(draw) -> System:
    """One cluster of up to four servers, another of two, and a server without a cluster."""
    first = draw(st.lists(servers, min_size=1, max_size=4))
    second = draw(st.lists(servers, min_size=2, max_size=2))
    return system(
        cluster("EU", **dict(zip(NAMES, first, strict=False))),
        cluster("US", **dict(zip(("u1", "u2"), second, strict=True))),
        lone(alone=draw(servers)),
    )


losses = st.sets(
    st.tuples(st.sampled_from([*NAMES, "u1", "u2", "alone"]), st.sampled_from(ENDPOINTS)),
    max_size=6,
)


@settings(max_examples=25, deadline=None)
@given(fleets(), losses)
def test_what_is_found_without_some_replies_is_found_with_them(fleet, lost):
    whole, partly = Story(EAGER, OF_REPLIES), Story(EAGER, OF_REPLIES)
    whole.hears(fleet)
    partly.hears(fleet, lost)
    assert partly.audit.found.keys() - whole.audit.found.keys() == set()


@settings(max_examples=25, deadline=None)
@given(fleets(), st.lists(losses, max_size=4))
def test_an_unchanged_system_tells_nothing_whatever_is_lost(fleet, lost):
    story = Story(EAGER, OF_REPLIES)
    for _ in range(2):
        story.hears(fleet)
    assert [story.hears(fleet, replies) for replies in lost] == [[] for _ in lost]


@settings(max_examples=25, deadline=None)
@given(fleets(), fleets(), st.lists(losses, min_size=3, max_size=3))
def test_a_change_tells_nothing_that_it_would_not_tell_with_all_replies(before, after, lost):
    # A user is judged by what its silent servers held last, so it has tests of its own.
    config = f"{EAGER}\nenabled = false"
    whole, partly = Story(config, OF_REPLIES), Story(config, OF_REPLIES)
    for _ in range(2):
        whole.hears(before)
        partly.hears(before)
    full = {told for _ in lost for told in whole.hears(after)}
    seen = {told for replies in lost for told in partly.hears(after, replies)}
    assert {told for told in seen - full if not told.startswith("updated")} == set()


def test_a_lower_bound_is_no_news():
    big = system(cluster(n1=60, n2=60, n3=60))
    story = Story(checks=[FOUNDING["excessive_user_connections"]])
    told = [story.hears(big, lost) for lost in ([], [("n3", "CONNZ")], [])]
    assert told == [["opened USER_002 APP app"], [], []]


def test_a_hundred_epochs_of_an_unchanged_system_tell_one_thing_once():
    story = Story("lifecycle.remind_every = 100000.0", OF_REPLIES)
    told = [one for _ in range(100) for one in story.hears(HOT)]
    assert told == ["opened OPT_BALANCE_002 C1 n1"]


def test_the_order_of_servers_is_of_no_consequence():
    told = []
    for real in (recorded("2.15.1"), System(recorded("2.15.1").servers[::-1], own="S3")):
        story = Story(checks=OF_REPLIES)
        told.append([story.hears(real) for _ in range(3)])
    assert told[0] == told[1]
