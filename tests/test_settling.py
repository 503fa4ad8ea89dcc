"""A cluster settles after a server of it started, drained or left: balance checks wait."""

from __future__ import annotations

import pytest

from scenario import FOUNDING, Server, Story, cluster, dead, left, system

HOT = system(cluster(n1=60, n2=15, n3=15))

# What is only known once the clients have come back, and what is wrong at once.
WAITS = {
    "connection_hotspot": True,
    "subscription_hotspot": True,
    "account_connection_concentration": True,
    "connection_count_high": False,
    "excessive_user_connections": False,
}


def unwell(up: float):
    """A server that is wrong in all these ways, and started so many seconds ago."""
    hot = Server(120, subscriptions=500, max_connections=120, up=up)
    return system(cluster(n1=hot, n2=1, n3=0))


@pytest.mark.parametrize(("name", "waits"), WAITS.items(), ids=WAITS)
def test_after_a_restart_checks_of_balance_wait_and_checks_of_limits_do_not(name, waits):
    told = {}
    for up in (60.0, 120.0):
        story = Story(checks=[FOUNDING[name]], settle=120.0)
        told[up] = [one for _ in range(2) for one in story.hears(unwell(up))]
    assert (told[60.0] == [], len(told[120.0])) == (waits, 1)


def test_a_cluster_settles_from_the_start_of_its_youngest_server():
    story = Story()
    story.hears(system(cluster(n1=1, n2=Server(1, up=100.0)), cluster("US", u1=1)))
    here = story.snapshot
    n1, u1 = here.servers["C1", "n1"], here.servers["US", "u1"]
    assert [here.settling(one, 120.0) for one in (n1, u1)] == [True, False]
    assert [here.settling(n1, settle) for settle in (100.0, 100.1, 0.0)] == [False, True, False]


def test_a_cluster_settles_from_the_last_of_several_departures():
    story = Story(checks=[FOUNDING["connection_hotspot"]])
    story.hears(system(cluster(n1=1, n2=1, n3=1)))
    story.auditor.roster.goodbye(
        "id of C1 n3", story.now, gone=False
    )  # n3 drains first, then n2 stops.
    without_n2 = system(cluster(n1=1, n2=left, n3=1))
    for _ in range(2):
        story.hears(without_n2, after=100.0)
    n1 = story.snapshot.servers["C1", "n1"]
    assert [story.snapshot.settling(n1, settle) for settle in (100.0, 101.0)] == [False, True]


def test_a_cluster_settles_from_the_first_silence_of_a_killed_server():
    story = Story()
    for one in (1, dead, dead):
        story.hears(system(cluster(n1=1, n2=one, n3=1)), after=30.0)
    n1 = story.snapshot.servers["C1", "n1"]
    assert [story.snapshot.settling(n1, settle) for settle in (30.0, 31.0)] == [False, True]


def test_a_cluster_settles_from_the_return_of_a_server():
    story = Story()
    away, back = (system(cluster(n1=1, n2=one, n3=1)) for one in (dead, 1))
    for given in (back, away, away, back):  # It did not restart: the network was cut.
        story.hears(given, after=200.0)
    n1 = story.snapshot.servers["C1", "n1"]
    assert [story.snapshot.settling(n1, settle) for settle in (0.0, 1.0)] == [False, True]


def test_a_settling_cluster_opens_nothing_and_resolves_nothing():
    story = Story(checks=[FOUNDING["connection_hotspot"]], settle=120.0)
    for _ in range(2):
        story.hears(HOT)
    young = Server(30, up=60.0)
    settling = system(cluster(n1=young, n2=30, n3=30))
    assert [story.hears(settling) for _ in range(4)] == [[], [], [], []]
    assert story.audit.unknown == {("OPT_BALANCE_002", ("C1", "n1")): "settling"}
    assert story.audit.outcomes["OPT_BALANCE_002"].why == "settling"


def test_a_cluster_settles_after_a_server_left():
    story = Story(checks=[FOUNDING["connection_hotspot"]], settle=120.0)
    story.hears(system(cluster(n1=20, n2=20, n3=20)))
    # The clients of n3 come to n1 first.
    alone = system(cluster(n1=60, n2=0, n3=Server(state="left")))
    told = [story.hears(alone, after=after) for after in (30.0, 60.0, 59.0, 1.0, 30.0)]
    assert told == [[], [], [], [], ["opened OPT_BALANCE_002 C1 n1"]]
