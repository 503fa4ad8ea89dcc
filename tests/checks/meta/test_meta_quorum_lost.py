"""META_006: too few members of the meta group are left to elect a leader."""

from __future__ import annotations

from typing import Any

import pytest

from nats_insights.checks.meta.meta_quorum_lost import meta_quorum_lost as check
from scenario import Server, Story, cluster, dead, finding, found, hung, lone, system


def member(leader: str = "", size: int = 3, domain: str = "", **told: Any) -> Server:
    """A server with JetStream, and what it says of the meta group."""
    meta = {"leader": leader, "cluster_size": size, **told}
    return Server(varz={"jetstream": {"config": {"domain": domain}, "meta": meta}})


# Servers without JetStream, so that the agent is not cut off from most of the system.
REST = cluster("REST", **{f"r{n}": 1 for n in range(6)})
WELL = system(cluster(n1=member("n2"), n2=member("n2"), n3=member("n2")), REST)
LOST = system(cluster(n1=member(), n2=dead, n3=dead), REST)

CASES = {
    "fires when two of three died": (LOST, {"C1"}),
    "fires when too few are left whatever hangs": (
        system(cluster(n1=member(size=5), n2=hung, n3=dead, n4=dead, n5=dead), REST),
        {"C1"},
    ),
    "fires when exactly half of four are left": (
        system(cluster(n1=member(size=4), n2=member(size=4), n3=dead, n4=dead), REST),
        {"C1"},
    ),
    "fires when a server of an old version is left": (
        system(
            cluster(
                n1=Server(
                    version="2.10.26",
                    varz={"jetstream": {"config": {}, "meta": {"cluster_size": 3}}},
                ),
                n2=dead,
                n3=dead,
            ),
            REST,
        ),
        {"C1"},
    ),
    "fires where the servers say that more must agree": (
        system(cluster(n1=member(quorum_needed=3), n2=member(), n3=dead), REST),
        {"C1"},
    ),
    "fires in the cluster of the domain that lost it": (
        system(
            cluster("EU", n1=member(domain="eu"), n2=dead, n3=dead),
            cluster("US", **{f"u{n}": member("u1", domain="us") for n in (1, 2, 3)}),
            REST,
        ),
        {"EU"},
    ),
    "quiet while there is a leader": (WELL, set()),
    "quiet when one of three died": (
        system(cluster(n1=member("n2"), n2=member("n2"), n3=dead), REST),
        set(),
    ),
    "quiet between two leaders, when enough are left to elect one": (
        system(cluster(n1=member(), n2=member(), n3=dead), REST),
        set(),
    ),
    "quiet where the last leader has yet to give up": (
        system(cluster(n1=member("n1"), n2=dead, n3=dead), REST),
        set(),
    ),
    "quiet where one server alone knows no leader": (
        system(cluster(n1=member("n2"), n2=member("n2"), n3=member()), REST),
        set(),
    ),
    "quiet where members are in other clusters": (
        system(
            cluster("EU", n1=member(size=5), n2=member(size=5)),
            cluster("US", u1=member(size=5), u2=dead, u3=dead),
            REST,
        ),
        set(),
    ),
    "quiet about a server that is in no cluster": (
        system(lone(n1=Server(varz={"jetstream": {"config": {}}}))),
        set(),
    ),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


def test_it_is_unknown_while_those_that_hang_may_make_the_difference():
    story = Story(checks=[check])
    story.hears(system(cluster(n1=member(), n2=dead, n3=hung), REST))
    assert list(story.audit.unknown.values()) == ["VARZ of n3"]


def test_it_says_how_many_are_left():
    said = finding(check, LOST)
    assert (said.summary, said.value, said.threshold, said.evidence) == (
        "1 of 3 members of the meta group of C1 answer, 2 must agree: JetStream has no leader",
        1,
        2,
        {"members": 3, "online": 1, "quorum": 2, "answering": ["n1"]},
    )


def test_it_opens_in_the_second_epoch_and_resolves_once_there_is_a_leader():
    story = Story(checks=[check])
    assert [story.hears(one) for one in (WELL, LOST, LOST, WELL, WELL)] == [
        [],
        [],
        ["opened META_006 C1"],
        [],
        ["resolved META_006 C1"],
    ]
    assert story.told[0].life.summary == "the meta group of C1 can elect a leader again"


def test_nobody_knows_of_a_cluster_whose_servers_are_all_silent():
    story = Story(checks=[check])
    silent = system(cluster(n1=hung, n2=dead, n3=dead), REST)
    assert [story.hears(one) for one in (WELL, LOST, LOST, silent, silent, LOST)][3:] == [[]] * 3
