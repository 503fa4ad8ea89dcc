"""SERVER_002: servers of one cluster run different versions."""

from __future__ import annotations

import itertools

import pytest
from msgspec.structs import replace

from nats_insights.checks.server.version_mismatch import newness
from nats_insights.checks.server.version_mismatch import version_mismatch as check
from scenario import Server, Story, cluster, dead, finding, found, hung, left, lone, system

OLD, NEW, NEWEST = (Server(version=version) for version in ("2.10.26", "2.11.4", "2.15.1"))
CASES = {
    "fires for two versions": (system(cluster(n1=OLD, n2=NEW, n3=NEW)), {"C1"}),
    "quiet for one version": (system(cluster(n1=NEW, n2=NEW, n3=NEW)), set()),
    "fires for a candidate of the same release": (
        system(cluster(n1=Server(version="2.15.1-RC.1"), n2=NEWEST)),
        {"C1"},
    ),
    "quiet where the clusters differ": (
        system(cluster("EU", a=OLD, b=OLD), cluster("US", c=NEW, d=NEW)),
        set(),
    ),
    "fires in the cluster that is mixed": (
        system(cluster("EU", a=OLD, b=OLD), cluster("US", c=OLD, d=NEW)),
        {"US"},
    ),
    "quiet about servers without a cluster": (system(lone(n1=OLD), lone(n2=NEW)), set()),
    "quiet while nobody knows what a silent peer runs": (
        system(cluster(n1=NEW, n2=NEW, n3=replace(OLD, state="hung"))),
        set(),
    ),
    "fires whatever a silent peer runs": (system(cluster(n1=OLD, n2=NEW, n3=hung)), {"C1"}),
    "quiet about an old server that died": (
        system(cluster(n1=NEW, n2=NEW, n3=replace(OLD, state="dead"))),
        set(),
    ),
    "quiet about an old server that left": (
        system(cluster(n1=NEW, n2=NEW, n3=replace(OLD, state="left"))),
        set(),
    ),
    "fires though a peer died": (system(cluster(n1=OLD, n2=NEW, n3=dead, n4=left)), {"C1"}),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


def test_a_server_that_only_peers_name_has_no_version():
    # Its version is "" in what its peers say, which is not a version of its own.
    story = Story(checks=[check])
    story.hears(system(cluster(n1=NEW, n2=replace(hung, version=""))))
    assert (story.found, [*story.audit.unknown.values()]) == (set(), [])
    assert story.audit.outcomes[check.code].why == "VARZ of n2"


def test_it_lists_the_versions_and_their_servers():
    said = finding(check, system(cluster(n1=OLD, n2=NEW, n3=NEW, n4=NEWEST)))
    assert (said.summary, said.value, said.threshold, said.unit, said.evidence) == (
        "2 of 4 servers of C1 do not run 2.11.4 but 2.15.1, 2.10.26",
        3,
        2,
        "versions",
        {
            "versions": {"2.11.4": ["n2", "n3"], "2.15.1": ["n4"], "2.10.26": ["n1"]},
            "servers": {"2.11.4": 2, "2.15.1": 1, "2.10.26": 1},
            "left_out": 0,
        },
    )


def test_of_equally_many_the_newest_is_right_in_whatever_order_they_answer():
    said = set()
    for order in itertools.permutations(cluster(n1=OLD, n2=NEW, n3=OLD, n4=NEW)):
        one = finding(check, system(order))
        said.add((one.summary, str(one.evidence)))
    ((summary, _),) = said
    assert summary == "2 of 4 servers of C1 do not run 2.11.4 but 2.10.26"


def test_versions_are_compared_as_numbers():
    versions = ["2.9.25", "2.10.3", "2.10.26", "2.11.0-RC.1", "2.15.1"]
    assert sorted(versions, key=newness) == versions
    assert newness("a version of " + 5000 * "9")[0]  # No number is too long.


def test_no_version_is_told_without_end():
    many = {f"n{i}": Server(version=f"2.10.{i // 2}") for i in range(60)}
    said = finding(check, system(cluster(**many)))
    assert (len(said.evidence["versions"]), said.evidence["left_out"]) == (10, 20)
    assert said.summary.endswith("but 2.10.28, 2.10.27, 2.10.26")


def test_a_rolling_upgrade_is_no_finding():
    story = Story(checks=[check], settle=120.0)
    heard = []
    for upgraded in range(4):
        # 5 minutes for each server, the first two of which the cluster settles.
        for age in range(0, 300, 30):
            servers = {
                f"n{i}": replace(NEW if i < upgraded else OLD, up=age if i == upgraded - 1 else 1e4)
                for i in range(3)
            }
            heard += story.hears(system(cluster(**servers)))
    assert heard == []


def test_an_upgrade_that_stopped_half_way_is_found_and_its_end_too():
    half, whole = system(cluster(n1=NEW, n2=OLD)), system(cluster(n1=NEW, n2=NEW))
    story = Story(checks=[check])
    told = [story.hears(half) for _ in range(20)]
    assert (told[:-1], told[-1]) == (19 * [[]], ["opened SERVER_002 C1"])
    assert story.hears(whole) == ["resolved SERVER_002 C1"]
    assert list(story.auditor.transitions)[-1].life.summary == "all servers of C1 run one version"
