"""Servers that are older than an endpoint: unknown and excused, and nobody waits for them."""

from __future__ import annotations

import pytest

from nats_insights.check import INFO, Cluster, Endpoint, Finding, Server, check
from nats_insights.errors import NotTold
from nats_insights.replies.fields import Reply
from scenario import Server as Holding
from scenario import Story, cluster, system


class News(Reply, gc=False):
    """Something that old servers do not have."""

    bad: bool = False


NEWZ = Endpoint("NEWZ", News, since="2.12.0")


@check("TEST_001", INFO, "health", needs=(NEWZ,))
def bad_news(server: Server) -> Finding | None:
    """A server has bad news.

    Finds: a server says that something is bad.

    Why: a test needs a check.

    Do: nothing.
    """
    return Finding(summary=f"{server.name} has 1 problem") if server.reply(NEWZ).bad else None


@check("TEST_002", INFO, "health", needs=(NEWZ,))
def clusters_in_trouble(cluster: Cluster) -> Finding | None:
    """A cluster has bad news.

    Finds: a server that can tell says that something is bad.

    Why: a test needs a check.

    Do: nothing.
    """
    told = [one for one in cluster.servers if NEWZ.known_to(one.version)]
    bad = sum(server.reply(NEWZ).bad for server in told)
    return Finding(summary=f"{bad} problems") if bad else None


def new(bad=False):
    return Holding(replies={"NEWZ": News(bad=bad)})


OLD = Holding(version="2.11.11")


def after(check, *systems):
    story = Story(checks=[check])
    told = [story.hears(one) for one in systems]
    return story, told


def test_an_old_server_is_unknown_and_that_is_as_it_should_be():
    story, _ = after(bad_news, system(cluster(n1=OLD, n2=new())))
    outcome = story.audit.outcomes["TEST_001"]
    assert (outcome.why, outcome.excused) == ("NEWZ of n1: not told by 2.11.11", True)
    with pytest.raises(NotTold):
        story.snapshot.servers["C1", "n1"].reply(NEWZ)


def test_new_servers_beside_it_are_judged():
    _, told = after(bad_news, *[system(cluster(n1=OLD, n2=new(bad=True)))])
    assert told == [["opened TEST_001 C1 n2"]]


def test_its_cluster_does_not_wait_for_what_it_will_never_say():
    bad, good = (system(cluster(n1=OLD, n2=new(one))) for one in (True, False))
    _, told = after(clusters_in_trouble, bad, good, good)
    assert told == [["opened TEST_002 C1"], [], ["resolved TEST_002 C1"]]


def test_a_new_server_that_does_not_reply_owes_it():
    story = Story(checks=[bad_news])
    story.hears(system(cluster(n1=OLD, n2=new())), [("n2", "NEWZ")])
    outcome = story.audit.outcomes["TEST_001"]
    assert (outcome.why, outcome.excused) == ("NEWZ of n2", False)


@pytest.mark.parametrize(
    ("version", "known"),
    [("2.11.11", False), ("2.12.0-RC.1", False), ("2.12.0", True), ("2.15.1", True), ("", False)],
)
def test_an_endpoint_knows_which_versions_have_it(version, known):
    assert NEWZ.known_to(version) is known
    assert Endpoint("ALLZ", News).known_to(version)
