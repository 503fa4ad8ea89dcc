"""OPT_SYS_009: a server knows no leader of a Raft group that had one."""

from __future__ import annotations

from typing import Any

import pytest

from nats_insights.checks.opt_sys.leaderless_raft_group import leaderless_raft_group as check
from scenario import Server, Story, cluster, dead, finding, found, lone, system

PEERS = {"idOfN2": {"name": "n2", "known": True}, "idOfN3": {"name": "n3", "known": True}}


def member(leader: str = "", *, ever: bool = True, **told: Any) -> Server:
    """A server with JetStream, and what it says of the meta group."""
    group = {"leader": leader, "ever_had_leader": ever, "size": 3, "quorum_needed": 2, **told}
    return Server(varz={"jetstream": {"config": {}}}, replies={"RAFTZ": {"SYS": {"_meta_": group}}})


WELL = system(cluster(n1=member("idOfN2"), n2=member("idOfN2"), n3=member("idOfN2")))
CUT_OFF = system(
    cluster(n1=member(state="CANDIDATE", peers=PEERS), n2=member("idOfN2"), n3=member("idOfN2"))
)
CASES = {
    "fires on a server that knows no leader": (CUT_OFF, {"C1 n1 SYS _meta_"}),
    "fires on each server that knows none": (
        system(cluster(n1=member(), n2=member(), n3=dead)),
        {"C1 n1 SYS _meta_", "C1 n2 SYS _meta_"},
    ),
    "quiet where each knows one": (WELL, set()),
    "quiet on a server that has just started": (
        system(cluster(n1=member(ever=False), n2=member("idOfN2"), n3=member("idOfN2"))),
        set(),
    ),
    "quiet where there is no group": (system(lone(n1=1), cluster(n2=1)), set()),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


def test_it_says_who_the_other_members_are():
    said = finding(check, CUT_OFF)
    assert said.summary == (
        "n1 knows no leader of _meta_, of which 3 servers are members and 2 must agree"
    )
    assert said.evidence == {
        "state": "candidate",
        "members": 3,
        "quorum": 2,
        "peers": ["n2", "n3"],
    }


def test_an_election_is_waited_for():
    story = Story(checks=[check])
    assert [story.hears(one) for one in (WELL, CUT_OFF, WELL, CUT_OFF, CUT_OFF, WELL)] == [
        [],
        [],
        [],
        [],
        ["opened OPT_SYS_009 C1 n1 SYS _meta_"],
        ["resolved OPT_SYS_009 C1 n1 SYS _meta_"],
    ]


def test_it_is_unknown_while_the_server_does_not_tell():
    story = Story(checks=[check])
    for one in (WELL, CUT_OFF, CUT_OFF):
        story.hears(one)
    assert story.hears(WELL, [("n1", "RAFTZ")]) == []
    assert list(story.audit.unknown.values()) == ["RAFTZ of n1"]
