"""The roster: who belongs to the system, by what was heard and what was not."""

from __future__ import annotations

import pytest

from nats_insights import roster as roster_module
from nats_insights.roster import Roster
from nats_insights.wire import ServerInfo

DAY = 86_400.0


def info(name: str = "n1", id: str = "", cluster: str = "C1", version: str = "") -> ServerInfo:
    """Who answered; an id is the name unless told."""
    return ServerInfo(name=name, id=id or name, cluster=cluster, ver=version)


def told(script: str) -> Roster:
    """A roster of one server after a script with one letter for each epoch, one second apart.

    a it answered  h it hung  d nobody took its request  L lame duck mode  S shutdown
    r it answered under a new id
    """
    roster, id = Roster(), "n1"
    for now, letter in enumerate(script):
        if letter == "r":
            id = f"n1 since {now}"
        if letter in "ar":
            roster.heard(info(id=id), now)
        elif letter in "hd":
            roster.unheard(id, "hung" if letter == "h" else "dead", now)
        else:
            roster.goodbye(id, now, gone=letter == "S")
    return roster


# What a server is after a script, whether it is part of every sum, and whether it is asked by id.
STATES = {
    "a": ("answering", True),
    "aaa": ("answering", True),
    # Hung stays, however long.
    "ah": ("hung", True),
    "ahhhhh": ("hung", True),
    "aha": ("answering", True),
    # Dead has to be told twice in a row.
    "ad": ("dead", True),
    "add": ("dead", False),
    "addd": ("dead", False),
    "adad": ("dead", True),
    "adhd": ("dead", True),
    "adda": ("answering", True),
    # A goodbye is believed at once.
    "aS": ("left", False),
    "aSa": ("answering", True),
    "aL": ("answering", True),
    "aLa": ("answering", True),
    "aLd": ("left", False),
    "aLh": ("hung", True),
    "aLhd": ("left", False),
    # A restart is the same server, and takes the goodbye back.
    "ar": ("answering", True),
    "aSr": ("answering", True),
    "addr": ("answering", True),
    "aLrd": ("dead", True),
}


@pytest.mark.parametrize(("script", "expected"), STATES.items(), ids=STATES)
def test_a_server_is_what_was_heard_of_it(script, expected):
    (entry,) = told(script)
    assert (entry.state, entry.counts) == expected


def test_who_does_not_answer_is_missing_and_known():
    roster = Roster()
    for name in ("n1", "n2", "n3", "n4"):
        roster.heard(info(name), 0.0)
    roster.unheard("n2", "hung", 1.0)
    roster.unheard("n3", "dead", 1.0)
    roster.goodbye("n4", 1.0, gone=True)
    assert roster.missing() == ["n2", "n3"]
    assert [entry.name for entry in roster.known()] == ["n1", "n2", "n3"]
    assert roster.expected() == {"n1", "n2", "n3"}


def test_who_is_dead_for_good_is_no_longer_asked_but_still_missing():
    roster = told("add")
    assert (roster.expected(), roster.missing()) == (set(), ["n1"])


def test_a_restart_under_a_new_id_is_the_same_server():
    roster = Roster()
    roster.heard(info(id="old", version="2.10.26"), 0.0)
    roster.heard(info(id="new", version="2.15.1"), 60.0)
    (entry,) = roster
    assert (entry.id, entry.version, entry.first_seen, entry.last_seen) == (
        "new",
        "2.15.1",
        0.0,
        60.0,
    )
    assert roster.by_id("old") is None


def test_two_ids_that_answer_in_one_epoch_are_two_servers():
    roster, both = Roster(), ("NAAAAAAAAAAA", "NBBBBBBBBBBB")
    for now in (0.0, 30.0):
        for id in both:
            roster.heard(info(id=id), now, both)
    assert [entry.name for entry in roster] == ["n1", "n1#NBBBBBBB"]


def test_of_two_servers_of_one_name_each_may_restart():
    roster = Roster()
    for ids in (("id-1", "id-2"), ("id-3", "id-2")):
        for id in ids:
            roster.heard(info(id=id), 0.0, ids)
    assert [(entry.name, entry.id) for entry in roster] == [("n1", "id-3"), ("n1#id-2", "id-2")]


def test_one_name_in_two_clusters_is_two_servers():
    roster = Roster()
    roster.heard(info(id="hub", cluster="HUB"), 0.0)
    roster.heard(info(id="leaf", cluster="LEAF"), 0.0)
    assert [entry.key for entry in roster] == [("HUB", "n1"), ("LEAF", "n1")]


def test_a_server_without_a_name_has_its_id():
    roster = Roster()
    roster.heard(ServerInfo(id="NABC"), 0.0)
    assert [entry.name for entry in roster] == ["NABC"]


def test_who_is_only_named_by_a_peer_is_known_and_expected():
    roster = Roster()
    roster.meet(info("n9"), 0.0)
    roster.unheard("n9", "dead", 0.0, "nobody takes requests for it")
    assert (roster.expected(), roster.missing()) == ({"n9"}, ["n9"])


def test_the_version_is_told_by_the_server_itself():
    roster = Roster()
    roster.meet(info(), 0.0)  # A peer knows no version.
    roster.heard(info(version="2.15.1"), 0.0)
    roster.heard(info(), 1.0)
    assert [entry.version for entry in roster] == ["2.15.1"]


def test_a_silent_server_says_why_until_it_answers():
    roster = Roster()
    roster.heard(info(), 0.0)
    roster.unheard("n1", "hung", 1.0, "it did not answer in time")
    (entry,) = roster
    assert entry.last_error == "it did not answer in time"
    roster.heard(info(), 2.0)
    assert entry.last_error == ""


FORGOTTEN = {
    "a": (DAY, True),
    "add": (DAY - 1, True),
    "adda": (DAY, True),
    "addd": (DAY, False),
    "aS": (DAY, False),
    "ah": (2 * DAY, True),
    "ad": (DAY, True),
}


@pytest.mark.parametrize(("script", "expected"), FORGOTTEN.items(), ids=FORGOTTEN)
def test_who_has_been_gone_for_a_day_is_forgotten(script, expected):
    roster, (now, stays) = told(script), expected
    roster.forget(now)
    assert (len(roster) == 1) is stays
    assert (roster.by_id("n1") is not None) is stays


def test_who_was_forgotten_may_come_back():
    roster = told("add")
    roster.forget(DAY)
    roster.heard(info(), DAY + 1)
    assert [entry.first_seen for entry in roster] == [DAY + 1]


def test_the_roster_is_bounded_and_says_how_many_it_left_out(monkeypatch):
    monkeypatch.setattr(roster_module, "MOST", 3)
    roster = Roster()
    for number in range(5):
        roster.heard(info(f"n{number}"), 0.0)
    assert (len(roster), roster.overflow) == (3, 2)


def test_a_full_roster_still_hears_whom_it_knows(monkeypatch):
    monkeypatch.setattr(roster_module, "MOST", 1)
    roster = Roster()
    for now, id in enumerate(("old", "new")):
        roster.heard(info(id=id), float(now))
    assert [(entry.id, entry.last_seen) for entry in roster] == [("new", 1.0)]


@pytest.mark.parametrize("call", ["unheard", "goodbye"])
def test_what_is_said_of_a_stranger_is_of_no_consequence(call):
    roster = Roster()
    if call == "unheard":
        roster.unheard("nobody", "dead", 0.0)
    else:
        roster.goodbye("nobody", 0.0, gone=True)
    assert len(roster) == 0
