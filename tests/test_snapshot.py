"""The snapshot: nouns with exact figures, and Missing wherever a reply did not come."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from nats_insights.check import (
    LEAFZ,
    ROUTEZ,
    Account,
    AccountInCluster,
    Cluster,
    Noun,
    Server,
    System,
    User,
)
from nats_insights.errors import Missing
from nats_insights.facts import Coverage
from nats_insights.gather.stepwise import at_once
from nats_insights.judge.audit import audit
from nats_insights.model import build as build_module
from nats_insights.model.fold import by_user
from nats_insights.model.snapshot import Snapshot
from scenario import FOUNDING, Story, cluster, dead, hung, left, lone, recorded, system
from scenario import Server as Held

KINDS = (Server, Cluster, Account, AccountInCluster, User, System)


def snapshot(given, lost=()) -> Snapshot:
    """What one epoch hears, with all checks asking and all connections read."""
    story = Story('[gather]\nsweep = "all"')
    story.hears(given, lost)
    return story.snapshot


def noun(here: Snapshot, kind: type[Noun], *names: str) -> Noun:
    """The noun of these names."""
    return next(one for one in here.each(kind) if one.names == names)


def names(here: Snapshot, kind: type[Noun]) -> list[tuple[str, ...]]:
    """The names of all nouns of a kind."""
    return sorted(noun.names for noun in here.each(kind))


# --- What is there.


def test_recorded_replies_become_nouns():
    here = snapshot(recorded("2.15.1"))
    assert {kind.__name__: names(here, kind) for kind in KINDS} == {
        "Server": [("C1", "S1"), ("C1", "S2"), ("C1", "S3")],
        "Cluster": [("C1",)],
        "Account": [("APP",), ("BIG",)],
        "AccountInCluster": [("APP", "C1"), ("BIG", "C1")],
        "User": [("APP", "app"), ("BIG", "big")],
        "System": [("system",)],
    }


def test_recorded_replies_become_figures():
    here = snapshot(recorded("2.15.1"))
    s1, s2, s3 = here.clusters["C1"].servers
    assert [server.connections for server in (s1, s2, s3)] == [12, 4, 1]
    assert [server.varz.connections for server in (s1, s2, s3)] == [12, 4, 2]
    assert [server.own_connections for server in (s1, s2, s3)] == [0, 0, 1]
    assert noun(here, Account, "APP").connections == 15
    assert noun(here, AccountInCluster, "APP", "C1").by_server() == {"S1": 12, "S2": 2, "S3": 1}
    assert here.folded(by_user) == {("APP", "app"): 15, ("BIG", "big"): 2}


def test_routed_interest_is_left_out_though_all_totals_are_alike():
    here = snapshot(recorded("2.15.1"))
    servers = here.clusters["C1"].servers
    assert [server.varz.subscriptions for server in servers] == [4990, 4990, 4990]
    assert [server.local_interest // 100 for server in servers] == [48, 0, 0]


def test_a_server_without_a_cluster_is_in_none():
    (server,) = snapshot(system(lone(n1=1))).each(Server)
    assert (server.cluster, server.names) == (None, ("", "n1"))


def test_an_empty_system_is_a_system():
    here = snapshot(system())
    assert [names(here, kind) for kind in KINDS] == [
        [],
        [],
        [],
        [],
        [],
        [("system",)],
    ]


# --- Who counts.

COVERAGES = {
    "all answer": (system(cluster(n1=1, n2=1)), (2, 2, []), True),
    "one hangs": (system(cluster(n1=1, n2=hung)), (2, 1, ["n2"]), False),
    "one died": (system(cluster(n1=1, n2=dead)), (2, 1, ["n2"]), False),
    "one left": (system(cluster(n1=1, n2=left)), (1, 1, []), True),
    "nobody answers": (system(cluster(n1=hung)), (1, 0, ["n1"]), False),
    "there is nobody": (system(), (0, 0, []), False),
}


@pytest.mark.parametrize(("given", "expected", "complete"), COVERAGES.values(), ids=COVERAGES)
def test_coverage_names_who_is_missing(given, expected, complete):
    coverage = snapshot(given).coverage
    known, answered, missing = expected
    assert coverage == Coverage(servers_known=known, servers_answered=answered, missing=missing)
    assert coverage.complete is complete


def test_who_is_expected_and_was_never_seen_is_part_of_the_coverage():
    given = replace(system(cluster(n1=1, n2=hung)), expect=["n1", "n2", "n0", "n9"])
    coverage = snapshot(given).coverage
    assert coverage == Coverage(servers_known=4, servers_answered=1, missing=["n0", "n2", "n9"])


def test_a_number_of_servers_that_were_never_seen_makes_the_coverage_incomplete():
    coverage = snapshot(replace(system(cluster(n1=1, n2=1)), expect=3)).coverage
    assert coverage == Coverage(servers_known=3, servers_answered=2, missing=[])
    assert not coverage.complete


def test_a_hung_server_keeps_its_cluster_unknown_for_ever():
    story = Story(checks=[FOUNDING["connection_hotspot"]])
    story.hears(system(cluster(n1=60, n2=15, n3=15)))
    for _ in range(10):
        story.hears(system(cluster(n1=60, n2=15, n3=hung)))
    assert [server.name for server in story.snapshot.clusters["C1"].servers] == ["n1", "n2", "n3"]
    assert set(story.audit.unknown.values()) == {"STATZ of n3"}


def test_a_killed_server_is_unknown_once_and_then_out_of_the_mean():
    story = Story(checks=[FOUNDING["connection_hotspot"]])
    story.hears(system(cluster(n1=40, n2=0, n3=45)))
    # All of the connections on one of two: hot, as soon as n3 is out of the mean.
    killed = system(cluster(n1=40, n2=0, n3=dead))
    told = [story.hears(killed) for _ in range(3)]
    assert told == [[], [], ["opened OPT_BALANCE_002 C1 n1"]]


def test_a_killed_server_keeps_its_findings_for_a_grace_and_then_takes_them_along():
    story = Story("lifecycle.gone_after = '90s'", [FOUNDING["connection_hotspot"]])
    for _ in range(2):
        story.hears(system(cluster(n1=60, n2=15, n3=15)))
    killed = system(cluster(n1=dead, n2=15, n3=15))
    told = [story.hears(killed) for _ in range(3)]
    (life,) = story.lives.values()
    assert (told, life.stale) == ([[]] * 3, "STATZ of n1")
    assert story.hears(killed) == []  # It is gone, which takes two epochs to be believed.
    assert (story.hears(killed), story.told[0].reason, story.told[0].life.summary) == (
        ["resolved OPT_BALANCE_002 C1 n1"],
        "entity_gone",
        "server n1 is gone",
    )


def test_what_a_killed_server_held_stays_part_of_every_sum_for_a_grace():
    story = Story("lifecycle.gone_after = '90s'", [FOUNDING["excessive_user_connections"]])
    story.hears(system(cluster(n1=40, n2=40, n3=40)))
    killed = system(cluster(n1=40, n2=40, n3=dead))
    told = [story.hears(killed) for _ in range(5)]
    assert told == [[], [], [], [], ["resolved USER_002 APP app"]]
    assert story.told[0].reason == "condition_cleared"


def test_shares_of_an_account_are_unknown_while_a_killed_server_may_come_back():
    story = Story("lifecycle.gone_after = '90s'", [FOUNDING["account_connection_concentration"]])
    story.hears(system(cluster(n1=30, n2=30, n3=1, n4=1)))
    killed = system(cluster(n1=30, n2=dead, n3=1, n4=1))
    told = [story.hears(killed) for _ in range(5)]
    assert told == [[], [], [], [], ["opened OPT_BALANCE_006 APP C1"]]


def test_the_findings_of_a_whole_cluster_that_died_stay_for_a_grace():
    story = Story("lifecycle.gone_after = '90s'", [FOUNDING["account_connection_concentration"]])
    others = cluster("US", u1=1, u2=1, u3=1, u4=1)
    for _ in range(2):
        story.hears(system(cluster("EU", e1=30, e2=1, e3=1), others))
    died = system(cluster("EU", e1=dead, e2=dead, e3=dead), others)
    told = [story.hears(died) for _ in range(5)]
    assert told == [[], [], [], [], ["resolved OPT_BALANCE_006 APP EU"]]


@pytest.mark.parametrize("epochs", [1, 100])
def test_while_the_agent_is_cut_off_nothing_is_known(epochs):
    of_replies = [check for check in FOUNDING.values() if check.needs]
    story = Story("lifecycle.remind_every = '1d'", of_replies)
    full = Held(95, max_connections=100)
    for _ in range(2):
        story.hears(system(cluster(n1=60, n2=15, n3=full, n4=15)))
    assert len(story.lives) == 3
    # n1 is no hotspot any more, as far as the agent can see.
    cut = system(cluster(n1=1, n2=15, n3=dead, n4=dead))
    assert [story.hears(cut) for _ in range(epochs)] == [[]] * epochs
    whys = {outcome.why for outcome in story.audit.outcomes.values()}
    assert whys == {"the agent is cut off from half of the servers or more"}


def test_after_a_cut_all_is_as_it_was():
    story = Story(checks=[check for check in FOUNDING.values() if check.needs])
    whole = system(cluster(n1=60, n2=15, n3=Held(95, max_connections=100), n4=15))
    for _ in range(2):
        story.hears(whole)
    cut = system(cluster(n1=60, n2=15, n3=dead, n4=dead))
    assert [story.hears(one) for one in (*[cut] * 9, *[whole] * 3)] == [[]] * 12


def test_a_peer_tells_no_version_of_a_server():
    story = Story(checks=[FOUNDING["connection_count_high"]])
    story.hears(system(cluster(n1=1, n2=hung)))
    (n1, n2) = (story.snapshot.servers["C1", name] for name in ("n1", "n2"))
    story.auditor.roster.by_id("id of C1 n2").version = ""  # As if only n1 had named it.
    story.hears(system(cluster(n1=1, n2=hung)))
    (n1, n2) = (story.snapshot.servers["C1", name] for name in ("n1", "n2"))
    assert n1.version == "2.15.1"
    with pytest.raises(Missing):
        _ = n2.version


def test_a_server_that_said_goodbye_is_out_of_the_mean_at_once():
    story = Story(checks=[FOUNDING["connection_hotspot"]])
    story.hears(system(cluster(n1=40, n2=0, n3=45)))
    story.hears(system(cluster(n1=40, n2=0, n3=left)))
    assert story.found == {"C1 n1"}


def test_a_restarted_server_keeps_its_finding():
    story = Story(checks=[FOUNDING["connection_hotspot"]])
    before = system(cluster(n1=60, n2=15, n3=15))
    after = system(cluster(n1=Held(60, id="another"), n2=15, n3=15))
    told = [story.hears(one) for one in (before, before, after, after)]
    assert told == [[], ["opened OPT_BALANCE_002 C1 n1"], [], []]
    assert [life.entity["id"] for life in story.lives.values()] == ["another"]


def test_a_server_of_which_only_a_peer_knows_makes_its_cluster_unknown():
    story = Story(checks=[FOUNDING["connection_hotspot"]])
    story.hears(system(cluster(n1=60, n2=15, n3=dead)))
    assert story.snapshot.coverage.missing == ["n3"]
    assert story.audit.unknown == {("OPT_BALANCE_002", ("C1", "n1")): "STATZ of n3"} | {
        ("OPT_BALANCE_002", ("C1", "n2")): "STATZ of n3",
        ("OPT_BALANCE_002", ("C1", "n3")): "STATZ of n3",
    }


# --- What is lacking raises.

LOST = {
    "VARZ": lambda server: server.varz,
    "ROUTEZ": lambda server: server.reply(ROUTEZ),
    "LEAFZ": lambda server: server.reply(LEAFZ),
    "STATZ": lambda server: server.connections,
    "CONNZ": lambda server: server.folded(by_user),
}


@pytest.mark.parametrize(("endpoint", "figure"), LOST.items(), ids=LOST)
def test_a_figure_whose_reply_was_lost_is_missing(endpoint, figure):
    here = snapshot(system(cluster(n1=1, n2=1)), [("n1", endpoint)])
    n1, n2 = sorted(here.clusters["C1"].servers, key=lambda server: server.name)
    figure(n2)
    with pytest.raises(Missing, match=f"{endpoint} of n1"):
        figure(n1)


def test_a_figure_that_nobody_asked_for_is_missing():
    story = Story(checks=[FOUNDING["connection_count_high"]])
    story.hears(system(cluster(n1=1)))
    (server,) = story.snapshot.each(Server)
    with pytest.raises(Missing, match="ROUTEZ of n1"):
        _ = server.reply(ROUTEZ)


def test_a_sum_over_all_servers_is_exact_or_missing_and_seen_is_at_least():
    whole = snapshot(system(cluster(n1=3, n2=4)))
    partly = snapshot(system(cluster(n1=3, n2=4)), [("n2", "STATZ"), ("n2", "CONNZ")])
    app = noun(partly, Account, "APP")
    assert (noun(whole, Account, "APP").connections, app.seen_connections) == (7, 3)
    (user,) = partly.each(User)
    assert user.seen_connections == 3
    for one in (app, user):
        with pytest.raises(Missing):
            _ = one.connections


def test_an_account_in_a_cluster_needs_every_server_of_that_cluster_only():
    both = system(cluster("EU", n1=3, n2=4), cluster("US", u1=5))
    here = snapshot(both, [("u1", "STATZ")])
    assert noun(here, AccountInCluster, "APP", "EU").by_server() == {"n1": 3, "n2": 4}
    partly = snapshot(both, [("n2", "STATZ")])
    with pytest.raises(Missing, match="STATZ of n2"):
        noun(partly, AccountInCluster, "APP", "EU").by_server()


# --- What silence proves.


def test_silence_about_a_server_needs_its_own_reply_only():
    here = snapshot(system(cluster(n1=1, n2=1)), [("n1", "VARZ")])
    n1, n2 = sorted(here.clusters["C1"].servers, key=lambda server: server.name)
    assert [here.lacks(server, ["VARZ"]) for server in (n1, n2)] == ["VARZ of n1", ""]


def test_silence_about_a_cluster_needs_all_of_its_servers():
    both = system(cluster("EU", n1=1, n2=1), cluster("US", u1=1))
    here = snapshot(both, [("n2", "VARZ")])
    assert [here.lacks(one, ["STATZ", "VARZ"]) for one in here.each(Cluster)] == ["STATZ of n2", ""]


@pytest.mark.parametrize(("kind", "expected"), [(Account, "STATZ of n2"), (User, "STATZ of n2")])
def test_silence_about_an_account_or_a_user_needs_every_server(kind, expected):
    here = snapshot(system(cluster("EU", n1=1), cluster("US", n2=1)), [("n2", "STATZ")])
    assert {here.lacks(noun, ["STATZ"]) for noun in here.each(kind)} == {expected}


def test_accounts_beyond_the_bound_are_counted_and_nothing_of_them_resolves(monkeypatch):
    many = Held(users={f"A{n} user": 12 for n in range(5)})
    story = Story()
    for _ in range(2):
        story.hears(system(cluster(n1=many, n2=0, n3=0)))
    held = set(story.lives)
    monkeypatch.setattr(build_module, "MOST_ACCOUNTS", 2)
    told = [story.hears(system(cluster(n1=many, n2=0, n3=0))) for _ in range(3)]
    assert (told, set(story.lives)) == ([[], [], []], held)
    assert story.snapshot.lacking.dropped_accounts == 3
    outcome = story.audit.outcomes["OPT_BALANCE_006"]
    assert (outcome.found, outcome.unknown) == (2, 3)
    assert outcome.why == "STATZ in full: there are more accounts than the agent counts"


def test_only_sums_over_all_servers_are_torn():
    story = Story()
    busy = Held(150, max_connections=160)
    story.hears(system(cluster(n1=busy, n2=1, n3=1)))
    story.snapshot.torn = True
    again = at_once(audit(story.snapshot, story.auditor.rules, {}, 0.0))
    assert {key.code for key, found in again.found.items() if found.torn} == {"USER_002"}
    assert {key.code for key in again.found} > {"USER_002", "SERVER_011"}
