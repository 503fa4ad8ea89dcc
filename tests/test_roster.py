"""The roster: who belongs to the system, by what was heard and what was not."""

from __future__ import annotations

import pytest

from nats_insights.model import roster as roster_module
from nats_insights.model.roster import Entry, Roster
from nats_insights.replies.fields import ServerInfo
from nats_insights.replies.heard import Heard

DAY = 86_400.0


def info(name: str = "n1", id: str = "", cluster: str = "C1", version: str = "") -> ServerInfo:
    """Who answered; an id is the name unless told."""
    return ServerInfo(name=name, id=id or name, cluster=cluster, ver=version)


def told(script: str, others: int = 2, gone_after: float = 3.0, deaf: bool = False) -> Roster:
    """A roster of n1 and some others after a script with a letter for each epoch, a second apart.

    One that is deaf has missed events until now.

    a it answered  h it hung  d nobody took its request  L lame duck mode  S shutdown
    r it answered under a new id
    """
    roster, id = Roster(gone_after=gone_after), "n1"
    roster.listens_since = 0.0
    for now, letter in enumerate(script):
        if deaf:
            roster.listens_since = now
        for number in range(others):
            roster.heard(info(f"other{number}"), now)
        if letter == "r":
            id = f"n1 since {now}"
        if letter in "ar":
            roster.heard(info(id=id), now)
        elif letter in "hd":
            roster.unheard(id, "hung" if letter == "h" else "dead", now)
        else:
            roster.goodbye(id, now, gone=letter == "S")
        roster.close(now)
    return roster


def n1(roster: Roster) -> Entry:
    """The server that the script was about."""
    (entry,) = roster.by_name("n1")
    return entry


# What a server is after a script, whether it is part of every mean, and of every sum.
STATES = {
    "a": ("answering", True, True),
    "aaa": ("answering", True, True),
    # Hung stays, however long.
    "ah": ("hung", True, True),
    "ahhhhhhhh": ("hung", True, True),
    "aha": ("answering", True, True),
    # Dead leaves the means when it was told twice in a row, and the sums three seconds later.
    "ad": ("dead", True, True),
    "add": ("dead", False, True),
    "addd": ("dead", False, True),
    "adddd": ("dead", False, False),
    "adad": ("dead", True, True),
    "adhd": ("dead", True, True),
    "adddhddd": ("dead", False, True),
    "adda": ("answering", True, True),
    "adddda": ("answering", True, True),
    # A goodbye ends nobody who answers: only who is silent after it has left.
    "aS": ("answering", True, True),
    "aSa": ("answering", True, True),
    "aSd": ("left", False, False),
    "aSh": ("hung", True, True),
    "aSad": ("dead", True, True),
    "aSda": ("answering", True, True),
    "aSdd": ("left", False, False),
    # In lame duck mode it answers until it has left.
    "aL": ("answering", True, True),
    "aLa": ("answering", True, True),
    "aLad": ("left", False, False),
    "aLd": ("left", False, False),
    "aLh": ("hung", True, True),
    "aLhd": ("left", False, False),
    # A restart is the same server, and takes the goodbye back.
    "ar": ("answering", True, True),
    "aSr": ("answering", True, True),
    "aSdr": ("answering", True, True),
    "addr": ("answering", True, True),
    "aLrd": ("dead", True, True),
}


@pytest.mark.parametrize(("script", "expected"), STATES.items(), ids=STATES)
def test_a_server_is_what_was_heard_of_it(script, expected):
    entry = n1(told(script))
    assert (entry.state, entry.counts, entry.belongs) == expected


# Whether the process before the present one crashed, after a script, by a roster that hears all
# events, and by one that has missed some since the last reply of that process.
CRASHED = {
    "a": (False, False),
    "ar": (True, False),
    "addr": (True, False),
    "ahr": (True, False),
    "aSr": (False, False),
    "aLr": (False, False),
    "aLdSdr": (False, False),
    "aSar": (True, False),  # That SHUTDOWN was not its own.
    "arSr": (False, False),
    "ara": (True, False),
}


@pytest.mark.parametrize(("script", "expected"), CRASHED.items(), ids=CRASHED)
def test_who_ends_without_a_goodbye_that_would_have_been_heard_has_crashed(script, expected):
    assert (n1(told(script)).crashed, n1(told(script, deaf=True)).crashed) == expected


def test_a_goodbye_of_the_own_server_is_heard_before_its_connection_closes():
    roster = four([])
    heard = Heard(own="n2")
    heard.infos = {name: info(name) for name in ("n1", "n2", "n3", "n4")}
    roster.take(heard, 5.0)
    roster.listens_since = 6.0  # By another connection.
    for name in ("n2", "n3"):
        roster.heard(info(name, id=f"{name} again"), 7.0)
    assert [entry.name for entry in roster if entry.crashed] == ["n2"]
    roster.heard(info("n2", id="once more"), 8.0)
    roster.listens_since = 9.0
    roster.heard(info("n2", id="and again"), 10.0)
    assert [entry.name for entry in roster if entry.crashed] == []


def test_who_hears_no_events_takes_nothing_for_a_crash():
    roster = Roster()
    for now, id in enumerate(("n1", "n1 again")):
        heard = Heard(own=id)
        heard.infos = {id: info("n1", id=id)}
        roster.take(heard, now)
    assert [entry.crashed for entry in roster] == [False]


def test_a_new_version_is_no_crash():
    roster = four([])
    roster.heard(info("n2", id="new", version="2.15.1"), 5.0)
    assert not roster.by_id("new").crashed


@pytest.mark.parametrize("goodbye", [False, True])
def test_a_peer_that_names_a_new_process_first_changes_nothing(goodbye):
    roster = four([])
    if goodbye:
        roster.goodbye("n2", 4.0, gone=True)
    heard = Heard()
    heard.named = {"new": info("n2", id="new", version="?")}
    roster.take(heard, 5.0)
    roster.heard(info("n2", id="new"), 6.0)
    assert roster.by_id("new").crashed is not goodbye


def test_a_peer_that_names_an_old_process_changes_nothing():
    roster = four([])
    roster.goodbye("n2", 4.0, gone=True)
    roster.heard(info("n2", id="new"), 5.0)
    heard = Heard()
    heard.named = {"n2": info("n2", id="n2")}
    roster.take(heard, 6.0)
    roster.heard(info("n2", id="new"), 7.0)
    entry = roster.by_id("new")
    assert (entry.crashed, entry.shared_at) == (False, None)


def test_two_processes_that_take_turns_are_two_servers_and_no_crash():
    roster = four([])
    seen = []
    for now, id in enumerate(("other", "n2", "n2", "other"), 5):
        roster.heard(info("n2", id=id), now)
        entry = roster.by_id(id)
        seen.append((entry.crashed, entry.shared_at, entry.before))
    assert seen == [
        (True, None, "n2"),  # It may be one server that restarted.
        (False, 6, "other"),
        (False, 6, "other"),
        (False, 8, "n2"),
    ]


# Of four servers so many fall silent at once: does the agent take itself to be cut off?
CUT_OFF = {
    "nobody": ([], []),
    "one": (["n2"], []),
    "half": (["n2", "n3"], ["n2", "n3"]),
    "more than half": (["n2", "n3", "n4"], ["n2", "n3", "n4"]),
}


def four(
    silent: list[str], state: str = "dead", epochs: int = 1, gone_after: float = 3.0
) -> Roster:
    """Four servers, of which some do not answer from the second epoch on."""
    roster = Roster(gone_after=3.0, forget_after=100.0)
    roster.listens_since = 0.0
    for now in range(epochs + 1):
        for name in ("n1", "n2", "n3", "n4"):
            if now and name in silent:
                roster.unheard(name, state, now)
            else:
                roster.heard(info(name), now)
        roster.close(now)
    return roster


@pytest.mark.parametrize(("silent", "expected"), CUT_OFF.values(), ids=CUT_OFF)
def test_half_of_the_servers_gone_at_once_means_that_we_are_cut_off(silent, expected):
    assert four(silent).cut_off == expected


def test_while_the_agent_is_cut_off_nobody_is_given_up():
    roster = four(["n2", "n3"], epochs=50)
    assert [entry.counts for entry in roster] == [True] * 4


def test_who_is_still_silent_after_a_cut_has_its_time_from_then_on():
    roster = four(["n2", "n3"], epochs=50)
    roster.heard(info("n2"), 51)
    belongs = []
    for now in range(51, 56):
        roster.unheard("n3", "dead", now)
        roster.close(now)
        belongs.append(roster.by_id("n3").belongs)
    assert (roster.cut_off, belongs) == ([], [True, True, False, False, False])


def test_hung_servers_cut_nobody_off():
    assert four(["n2", "n3", "n4"], "hung").cut_off == []


def test_servers_that_said_goodbye_cut_nobody_off():
    roster = four([])
    for name in ("n2", "n3", "n4"):
        roster.goodbye(name, 2, gone=True)
        roster.unheard(name, "dead", 3)
    roster.close(3)
    assert roster.cut_off == []


def test_servers_that_die_one_after_another_cut_nobody_off():
    roster = four(["n2"], epochs=10)
    roster.unheard("n3", "dead", 11)
    roster.close(11)
    assert roster.cut_off == []


def test_a_cut_ends_when_its_servers_would_be_forgotten():
    assert four(["n2", "n3"], epochs=99).cut_off
    assert not four(["n2", "n3"], epochs=101).cut_off


def test_a_goodbye_is_no_news_until_it_has_left():
    # Else whoever forges them would keep every balance check waiting.
    roster = four([])
    roster.goodbye("n2", 5.0, gone=True)
    assert roster.by_id("n2").changed_at == 0.0
    roster.unheard("n2", "dead", 6.0)
    assert roster.by_id("n2").changed_at == 6.0


def test_lame_duck_mode_is_news_once():
    roster = four([])
    for now in (5.0, 6.0):
        roster.goodbye("n2", now, gone=False)
    assert roster.by_id("n2").changed_at == 5.0


def test_a_reply_from_before_the_goodbye_does_not_disprove_it():
    roster = four([])
    roster.goodbye("n2", 5.5, gone=True)
    roster.heard(info("n2"), 5.0)  # It was asked at 5.0.
    roster.unheard("n2", "dead", 6.0)
    assert roster.by_id("n2").state == "left"


NEVER_SEEN = {
    "nobody expects any": (0, (0, [])),
    "as many as there are": (4, (0, [])),
    "more than there are": (6, (2, [])),
    "fewer": (3, (0, [])),
    "by name": (["n1", "n4"], (0, [])),
    "by a name that nobody has": (["n1", "n9"], (1, ["n9"])),
    "by cluster and name": (["C1/n1", "C2/n1"], (1, ["C2/n1"])),
}


@pytest.mark.parametrize(("expect", "missing"), NEVER_SEEN.values(), ids=NEVER_SEEN)
def test_who_is_expected_and_was_never_seen_is_missing(expect, missing):
    assert four(["n4"]).never_seen(expect) == missing


def test_what_changed_is_told_once():
    roster = four([])
    joined = roster.news()
    roster.unheard("n2", "hung", 2.0, "it did not answer in time")
    roster.goodbye("n3", 2.0, gone=True)
    roster.unheard("n3", "dead", 2.0)
    silent = roster.news()
    roster.heard(info("n2"), 3.0)
    roster.heard(info("n3", id="new"), 3.0)
    assert (joined, silent, roster.news(), roster.news()) == (
        [f"server n{number} (C1) joined" for number in (1, 2, 3, 4)],
        [
            "server n2 (C1) does not answer (hung): it did not answer in time",
            "server n3 (C1) left",
        ],
        ["server n2 (C1) answers again", "server n3 (C1) answers again"],
        [],
    )


def test_it_is_told_who_was_forgotten():
    roster = four(["n2"])
    roster.news()
    roster.remove(roster.by_id("n2"))
    assert (roster.news(), roster.news()) == (["server n2 (C1) is forgotten"], [])


def test_nothing_is_told_of_a_server_that_left_before_anybody_heard_it():
    roster = Roster()
    roster.meet(info("n1"), 0.0)
    roster.goodbye("n1", 0.0, gone=True)
    roster.unheard("n1", "dead", 0.0)
    assert roster.news() == []


def test_a_server_without_a_cluster_is_told_by_its_name():
    roster = Roster()
    roster.heard(info(cluster=""), 0.0)
    assert roster.news() == ["server n1 joined"]


def test_who_was_taken_out_by_hand_is_gone_until_it_comes_back():
    roster = four(["n2"])
    roster.remove(roster.by_id("n2"))
    assert (roster.by_id("n2"), roster.forgotten) == (None, {("C1", "n2")})
    assert roster.missing() == []
    roster.heard(info("n2"), 9.0)
    assert roster.forgotten == set()


# When the server last changed what its cluster can hold: its clients go elsewhere, or come back.
NEVER = 0.0
CHANGED = {
    # A server that was just met tells itself when it started.
    "a": NEVER,
    "aaaa": NEVER,
    "aaar": 3,
    "aaaS": NEVER,  # A goodbye alone is no news: it may be forged.
    "aaaSd": 4,
    "aaaL": 3,
    "aaaLa": 3,
    # The first silence counts, however often it is confirmed.
    "ad": 1,
    "addd": 1,
    "adda": 3,
    "addr": 3,
    "aSaa": NEVER,
    # Who hangs keeps its clients.
    "ah": NEVER,
    "ahha": NEVER,
    "ahhd": 3,
    "ahhr": 3,
}


@pytest.mark.parametrize(("script", "expected"), CHANGED.items(), ids=CHANGED)
def test_a_server_that_goes_comes_back_or_restarts_changed_its_cluster(script, expected):
    assert n1(told(script)).changed_at == expected


# Since when it does not answer, and since when it is dead.
SILENT = {
    "a": (None, None),
    "ah": (1, None),
    "ahhh": (1, None),
    "addd": (1, 1),
    "aahd": (2, 3),
    "ahdd": (1, 2),
    "adhd": (1, 3),
    "addh": (1, None),
    # An answer ends a silence: the next one begins anew.
    "aha": (None, None),
    "adda": (None, None),
    "ahah": (3, None),
    "adad": (3, 3),
}


@pytest.mark.parametrize(("script", "expected"), SILENT.items(), ids=SILENT)
def test_a_silence_is_counted_from_its_first_epoch(script, expected):
    entry = n1(told(script))
    assert (entry.silent_since, entry.dead_since) == expected


def test_a_server_that_left_has_left_whatever_id_a_peer_remembers():
    roster = told("aSd")
    roster.meet(info(id="from before"), 3.0)
    roster.unheard("from before", "dead", 3.0)
    assert n1(roster).state == "left"


def test_the_servers_of_a_name_are_told_apart_by_their_cluster():
    roster = Roster()
    for cluster in ("HUB", "LEAF"):
        roster.heard(info(id=cluster, cluster=cluster), 0.0)
    assert [
        [entry.id for entry in roster.by_name(*names)]
        for names in (("n1",), ("n1", "LEAF"), ("n1", "C1"), ("n2", "LEAF"))
    ] == [["HUB", "LEAF"], ["LEAF"], [], []]


def test_who_does_not_answer_is_missing_and_known():
    roster = Roster()
    for name in ("n1", "n2", "n3", "n4"):
        roster.heard(info(name), 0.0)
    roster.unheard("n2", "hung", 1.0)
    roster.unheard("n3", "dead", 1.0)
    roster.goodbye("n4", 1.0, gone=True)
    roster.unheard("n4", "dead", 2.0)
    assert roster.missing() == ["n2", "n3"]
    assert [entry.name for entry in roster.known()] == ["n1", "n2", "n3"]
    assert roster.expected().belonging == {"n1", "n2", "n3"}


def test_who_was_given_up_is_no_longer_asked_but_still_missing():
    assert (told("add").expected().belonging, told("add").missing()) == (
        {"n1", "other0", "other1"},
        ["n1"],
    )
    assert (told("adddd").expected().belonging, told("adddd").missing()) == (
        {"other0", "other1"},
        ["n1"],
    )


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
    assert (roster.expected().belonging, roster.missing()) == ({"n9"}, ["n9"])


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
    "adddd": (DAY - 1, True),
    "adda": (DAY, True),
    "add": (DAY, True),
    "addddd": (DAY, False),
    "aSd": (DAY, False),
    "ah": (2 * DAY, True),
    "ad": (DAY, True),
}


@pytest.mark.parametrize(("script", "expected"), FORGOTTEN.items(), ids=FORGOTTEN)
def test_who_has_been_gone_for_a_day_is_forgotten(script, expected):
    roster, (now, stays) = told(script), expected
    roster.forget(now)
    assert bool(roster.by_name("n1")) is stays
    assert (roster.by_id("n1") is not None) is stays


@pytest.mark.parametrize("start", [0.0, 1_800_000_000.0])
def test_the_time_to_forget_runs_from_when_it_was_last_heard(start):
    roster = Roster(forget_after=100.0)
    for name in ("n1", "n2", "n3"):
        roster.heard(info(name), start)
    roster.goodbye("n1", start, gone=True)
    roster.unheard("n1", "dead", start + 1)
    stays = []
    for now in (start + 99, start + 100):
        roster.forget(now)
        stays.append(roster.by_id("n1") is not None)
    assert stays == [True, False]


@pytest.mark.parametrize("start", [0.0, 1_800_000_000.0])
def test_a_cut_lasts_from_when_its_servers_were_last_heard(start):
    roster = Roster(forget_after=100.0)
    for name in ("n1", "n2"):
        roster.heard(info(name), start)
    cut_off = []
    for now in (start + 99, start + 100):
        roster.heard(info("n1"), now)
        roster.unheard("n2", "dead", now)
        roster.close(now)
        cut_off.append(roster.cut_off)
    assert cut_off == [["n2"], []]


def test_who_was_forgotten_may_come_back():
    roster = told("adddd")
    roster.forget(DAY)
    roster.heard(info(), DAY + 1)
    assert n1(roster).first_seen == DAY + 1


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


def test_servers_that_another_process_knew_are_no_news():
    before = told("a")
    before.news()
    after = Roster()
    after.restore(before)
    assert [entry.key for entry in after] == [entry.key for entry in before]
    assert after.news() == []
