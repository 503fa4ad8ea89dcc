"""Whose connections are read: where they can tell anything new, and nowhere else."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from nats_insights.check import LEAFZ, ROUTEZ, Server
from nats_insights.gather.stepwise import at_once
from nats_insights.judge.declare import INFO, Finding, Params, check
from nats_insights.model.fold import by_user, local_subscriptions
from nats_insights.replies.varz import LeafOptions
from scenario import FOUNDING, Story, cluster, lone, system
from scenario import Server as Held

EAGER = """
    [checks.connection_hotspot]
    min_connections = 2
    [checks.subscription_hotspot]
    min_subscriptions = 20
    [checks.excessive_user_connections]
    max_connections = 8
    [[override]]
    match = { user = "bob" }
    excessive_user_connections = { max_connections = 4 }
    [[override]]
    match = { cluster = "C2" }
    subscription_hotspot = { ratio = 1.5, min_subscriptions = 10 }
"""
ALL = list(FOUNDING.values())
BUSY = Held(10, subscriptions=3000, internal=60)


def three(**changed):
    """Three busy servers, of which some are changed."""
    return system(cluster(**{name: changed.get(name, BUSY) for name in ("n1", "n2", "n3")}))


def accepted(server: Held, more: int) -> Held:
    """It after it accepted so many more connections of the same user."""
    total = server.accepted or server.connections
    return replace(server, connections=server.connections + more, accepted=total + more)


def sweeps(*systems, config: str = "", checks=ALL) -> list[int]:
    """How many servers were swept in each epoch."""
    story = Story(config, checks)
    return [(story.hears(one), story.swept)[1] for one in systems]


def test_where_nothing_moves_nobody_is_swept_again():
    assert sweeps(three(), three(), three()) == [3, 0, 0]


def test_all_are_swept_in_each_epoch_where_that_is_wanted():
    assert sweeps(three(), three(), config='[gather]\nsweep = "all"') == [3, 3]


@pytest.mark.parametrize(("more", "swept"), [(5, 0), (60, 0), (61, 1)])
def test_who_may_have_passed_a_limit_is_looked_for_where_something_moved(more, swept):
    # User app holds 30, and the limit of 100 is 90 for what is open.
    moved = accepted(BUSY, more)
    assert sweeps(three(), three(n1=moved), three(n1=moved)) == [3, swept, 0]


BY_ACCOUNT = [FOUNDING["excessive_user_connections"], FOUNDING["connection_hotspot"]]


@pytest.mark.parametrize(("more", "swept"), [(60, 0), (61, 3)])
def test_no_user_has_more_than_its_account_has_on_all_servers(more, swept):
    # Account APP holds 30 more, and the limit of 100 is 90 for what is open.
    assert sweeps(three(n1=accepted(BUSY, more)), checks=BY_ACCOUNT) == [swept]


def test_accounts_rule_nothing_out_unless_each_server_tells_them():
    lost, alone = Story(checks=BY_ACCOUNT), Story(checks=BY_ACCOUNT[:1])
    lost.hears(three(), lost=[("n1", "STATZ")])
    alone.hears(three())  # Nobody asks for STATZ.
    assert (lost.swept, alone.swept) == (3, 3)


def test_a_user_is_looked_for_as_soon_as_its_account_has_so_many():
    story = Story(checks=BY_ACCOUNT)
    assert (story.hears(three()), story.swept) == ([], 0)
    users = {"APP bob": 30, "APP app": 60}
    many = replace(BUSY, users=users, accepted=110)
    assert (story.hears(three(n2=many)), story.swept) == ([], 3)
    many = replace(many, users={"APP bob": 30, "APP app": 71}, accepted=130)
    assert "opened USER_002 APP app" in story.hears(three(n2=many))


def test_too_many_accounts_to_count_rule_nothing_out(monkeypatch):
    monkeypatch.setattr("nats_insights.model.build.MOST_ACCOUNTS", 1)
    two = replace(BUSY, users={"B bob": 1})
    assert sweeps(three(n1=two), checks=BY_ACCOUNT) == [3]


def test_a_connection_that_took_the_place_of_another_is_seen():
    story = Story(config := "[checks.excessive_user_connections]\nmax_connections = 30")
    story.hears(three())
    changed = replace(BUSY, connections=9, users={"APP bob": 1}, accepted=11)
    story.hears(three(n1=changed))
    assert (story.swept, dict(story.snapshot.sweeps.ledgers[by_user].items())) == (
        1,
        {("APP", "app"): 29, ("APP", "bob"): 1},
    ), config


def test_what_is_open_is_counted_exactly_as_soon_as_it_moves():
    config = "[checks.excessive_user_connections]\nmax_connections = 20"
    story = Story(config)
    assert story.hears(three()) == ["opened USER_002 APP app"]
    story.hears(three(n2=accepted(BUSY, 1)))
    (only,) = story.audit.found.values()
    assert (story.swept, only.finding.value) == (1, 31)


def test_a_server_accepted_all_that_it_holds_since_it_was_restarted():
    again = replace(BUSY, id="another", connections=71)
    assert sweeps(three(), three(n3=again), three(n3=again)) == [3, 1, 0]


def test_clients_that_have_yet_to_say_who_they_are_may_be_anybody():
    silent = replace(BUSY, users={"APP ": 81})
    named = replace(BUSY, connections=91)
    story = Story(checks=[FOUNDING["excessive_user_connections"]])
    told = [story.hears(three(n1=one)) for one in (silent, silent, named)]
    assert (told, story.swept) == ([[], [], ["opened USER_002 APP app"]], 1)


def test_a_client_that_has_yet_to_say_who_it_is_is_looked_for_again():
    silent = replace(BUSY, users={"APP ": 1})
    named = replace(BUSY, connections=11)
    story = Story("[checks.excessive_user_connections]\nmax_connections = 30")
    assert [story.hears(three(n1=one)) for one in (silent, named)] == [
        [],
        ["opened USER_002 APP app"],
    ]


def test_subscriptions_far_from_the_limit_are_nobodys_business():
    more = replace(BUSY, subscriptions=3400)
    assert sweeps(three(), three(n1=more)) == [3, 0]


def test_subscriptions_near_the_limit_are_counted():
    more = replace(BUSY, subscriptions=12_000)
    story = Story()
    told = [story.hears(one) for one in (three(), three(n1=more), three(n1=more))]
    assert (told, story.swept) == ([[], [], ["opened OPT_BALANCE_003 C1 n1"]], 0)


# Internal subscriptions before and after, on servers whose interest hides what their clients
# dropped: it doubled, or it came from nothing.
HIDDEN = {
    "as many again": (
        (Held(10, subscriptions=2000, internal=1000), Held(10, subscriptions=1000, internal=1999)),
        Held(10, subscriptions=4000),
    ),
    "a hundred more": (
        (Held(10, subscriptions=100), Held(10, internal=99)),
        Held(10, subscriptions=110),
    ),
}


@pytest.mark.parametrize(("peers", "hot"), HIDDEN.values(), ids=HIDDEN)
def test_internal_subscriptions_may_become_more_without_hiding_a_hotspot(peers, hot):
    before, after = peers
    story = Story(checks=[FOUNDING["subscription_hotspot"]])
    epochs = [three(n1=before, n2=before, n3=before)] + 2 * [three(n1=hot, n2=after, n3=after)]
    assert [story.hears(one) for one in epochs] == [[], [], ["opened OPT_BALANCE_003 C1 n1"]]


def test_what_is_open_is_counted_though_it_is_far_from_the_limit_now():
    story = Story()
    hot = three(n1=replace(BUSY, subscriptions=12_000))
    epochs = [(story.hears(one), story.swept) for one in (hot, hot, three(), three())]
    assert epochs[2:] == [([], 1), (["resolved OPT_BALANCE_003 C1 n1"], 0)]


def test_internal_subscriptions_open_nothing():
    story = Story()
    more = replace(BUSY, internal=12_000)
    assert [story.hears(one) for one in (three(), three(n1=more), three(n1=more))] == [[], [], []]


def test_a_cluster_that_is_quiet_is_left_alone_while_another_moves():
    def both(more: int):
        far = replace(BUSY, subscriptions=3000 + more)
        return system(cluster("EU", e1=far, e2=BUSY, e3=BUSY), cluster("US", u1=BUSY))

    assert sweeps(both(0), both(9000)) == [4, 1]


@check("TEST_908", INFO, "health", needs=(by_user, local_subscriptions, ROUTEZ, LEAFZ))
def subscribed_users(server: Server, params: Params) -> Finding | None:
    """A check of two folds, of which one moves while connections last.

    Finds: nothing.

    Why: it is a test.

    Do: nothing.
    """
    assert server.folded(by_user)["nobody", "x"] == 0


def test_a_server_is_read_again_unless_all_that_a_check_reads_of_it_stands():
    more = three(n1=replace(BUSY, subscriptions=BUSY.subscriptions + 1))
    assert sweeps(three(), three(), more, checks=[subscribed_users]) == [3, 0, 1]


def test_servers_that_may_have_leaf_nodes_are_read_with_the_kinds_of_connections():
    leaf = {name: replace(BUSY, varz={"leaf": LeafOptions(port=n)}) for n, name in enumerate("ab")}
    story = Story()
    story.hears(system(cluster(**leaf)))
    story.auditor.sweeps.last.clear()
    targets = at_once(story.auditor.due())
    assert {target.key[-1]: target.leafs for target in targets} == {"a": False, "b": True}


def test_a_server_that_left_holds_nothing():
    story = Story()
    story.hears(three())
    gone = Held(state="left")
    for _ in range(2):
        story.hears(three(n3=gone))
    assert dict(story.snapshot.sweeps.ledgers[by_user].items()) == {("APP", "app"): 20}


def test_where_names_overflow_all_is_read_again(monkeypatch):
    story = Story()
    for ledger in story.auditor.sweeps.ledgers.values():
        ledger.cap = 1
    many = replace(BUSY, users={f"APP user{n}": 1 for n in range(5)})
    story.hears(three(n1=many))
    assert story.snapshot.sweeps.dropped > 0
    assert story.audit.outcomes["USER_002"].why.startswith("CONNZ in full")
    story.hears(three(n1=many))
    assert story.swept == 3


# --- The reference: a sweep of all finds the same.

steps = st.lists(
    st.tuples(
        st.sampled_from(["open", "close", "subscribe", "internal", "restart", "rest"]),
        st.integers(0, 4),
        st.sampled_from(["APP app", "APP bob", "B bob", "APP "]),
        st.sampled_from([1, 2, 7, 40, 900]),
    ),
    max_size=14,
)
NAMES = (("C1", "n1"), ("C1", "n2"), ("C2", "n3"), ("C2", "n4"), ("", "n5"))


class World:
    """Five servers, two clusters and a lone one, to which something happens from step to step."""

    def __init__(self) -> None:
        self.held = [Held(3, users={"B bob": 1}, subscriptions=30, internal=60) for _ in NAMES]
        self.held = [replace(one, accepted=4) for one in self.held]

    def happens(self, what: str, where: int, who: str, many: int) -> None:
        one = self.held[where]
        users = dict(one.users)
        if what == "open":
            users[who] = users.get(who, 0) + min(many, 7)
            one = replace(one, users=users, accepted=one.accepted + min(many, 7))
        elif what == "close" and users.get(who):
            users[who] -= 1
            one = replace(one, users=users)
        elif what == "subscribe":
            one = replace(one, subscriptions=many)
        elif what == "internal":
            one = replace(one, internal=60 + min(many, 100))
        elif what == "restart":
            one = replace(
                one,
                id=f"{one.id or NAMES[where]} again",
                accepted=one.connections + sum(users.values()),
            )
        self.held[where] = one

    def system(self):
        by_cluster = {}
        for (home, name), one in zip(NAMES, self.held, strict=True):
            by_cluster.setdefault(home, {})[name] = one
        return system(
            *(cluster(home, **held) if home else lone(**held) for home, held in by_cluster.items())
        )


@settings(max_examples=60, deadline=None)
@given(steps)
def test_both_find_the_same(steps):
    world = World()
    moved, reference = Story(EAGER), Story(EAGER + '\n[gather]\nsweep = "all"')
    for step in [("rest", 0, "", 0), *steps, ("rest", 0, "", 0), ("rest", 0, "", 0)]:
        world.happens(*step)
        now = world.system()
        assert moved.hears(now) == reference.hears(now)
        values = [
            {key: found.finding.value for key, found in story.audit.found.items()}
            for story in (moved, reference)
        ]
        assert values[0] == values[1]
        assert moved.swept <= reference.swept
