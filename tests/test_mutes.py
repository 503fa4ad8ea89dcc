"""Mutes: what a person silences until a time is marked, counts apart, and ends by itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from msgspec.structs import replace

from kit.asked import AGENT, ask, view
from nats_insights.check import INFO, VARZ, Finding, check
from nats_insights.check import Server as ServerNoun
from nats_insights.facts import Coverage
from nats_insights.gather.stepwise import at_once
from nats_insights.judge.auditor import Auditor, Known
from nats_insights.judge.mutes import MOST, Mute, Mutes
from nats_insights.tell import advisory, muting
from nats_insights.tell.advisory import at
from nats_insights.tell.requests import Refused
from nats_insights.tell.schemas import schemas
from nats_insights.testing.story import Story as AnyStory
from scenario import FOUNDING, START, Server, Story, cluster, hung, lone, system

FULL, NEAR, EASY = (Server(n, max_connections=100) for n in (99, 80, 5))
CHECK = FOUNDING["connection_count_high"]
HOUR, DAY = 3600.0, 86_400.0


def mutes(story: AnyStory, now: float | None = None, **body: Any) -> Mute:
    """What a request to mute made, at the time of the last epoch or at `now`."""
    request = json.dumps({"until": "1h", **body}).encode()
    now = story.now if now is None else now
    return muting.mute(view(story), story.auditor.mutes, request, now)


def unmutes(story: AnyStory, **body: Any) -> Mute:
    return muting.unmute(view(story), story.auditor.mutes, json.dumps(body).encode())


def told(story: AnyStory) -> list[tuple[str, str, float]]:
    """Transitions of the last epoch, why, and for how many seconds longer each is muted."""
    return [
        (one.transition, one.reason, one.life.muted and one.life.muted - story.now)
        for one in story.told
    ]


def near(**config: str) -> Story:
    """Server n1 of cluster EU is near its limit, which is open."""
    story = Story(config.get("config", ""), [CHECK])
    story.hears(system(cluster("EU", n1=NEAR)))
    return story


def hears_near(story: AnyStory, **more: Any) -> None:
    story.hears(system(cluster("EU", n1=NEAR)), **more)


# --- The life of a muted finding.


def test_an_open_finding_is_told_to_be_muted_once():
    story = near()
    mutes(story, code="SERVER_011")
    hears_near(story)
    assert told(story) == [("updated", "muted", HOUR - 30)]
    hears_near(story)
    assert told(story) == []


def test_a_mute_ends_by_itself_and_that_is_told():
    story = near()
    mutes(story, code="SERVER_011", until="100s")
    for _ in range(3):
        hears_near(story)
    assert told(story) == []
    hears_near(story, after=9.9)  # Until then there is a tenth of a second left.
    assert (told(story), len(story.auditor.mutes)) == ([], 1)
    hears_near(story, after=0.1)
    assert (told(story), len(story.auditor.mutes)) == ([("updated", "unmuted", 0)], 0)
    hears_near(story)
    assert told(story) == []


def test_unmute_ends_it_with_the_next_epoch():
    story = near()
    mutes(story, code="SERVER_011", who="ada")
    hears_near(story)
    ended = unmutes(story, code="connection_count_high", who="bob")
    assert (ended.code, ended.who) == ("SERVER_011", "bob")
    hears_near(story)
    assert told(story) == [("updated", "unmuted", 0)]


def test_another_mute_of_the_same_takes_the_place_of_the_first():
    story = near()
    mutes(story, code="SERVER_011", until="2h", who="ada")
    hears_near(story)
    mutes(story, code="SERVER_011", until="1h", who="bob")
    hears_near(story)
    assert told(story) == [("updated", "muted", HOUR - 30)]
    assert [one.who for one in story.auditor.mutes] == ["bob"]


def test_a_mute_that_was_made_anew_is_the_newest():
    story = near()
    for server in ("n1", "n2", "n1"):
        mutes(story, server=server)
    hears_near(story)
    assert [one["server"] for one in ask(view(story), "MUTES")["mutes"]] == ["n1", "n2"]


def test_of_several_mutes_that_fit_the_longest_counts():
    story = near()
    mutes(story, code="SERVER_011", until="1h")
    mutes(story, cluster="EU", until="3h")
    mutes(story, server="n1", until="2h")
    hears_near(story)
    assert told(story) == [("updated", "muted", 3 * HOUR - 30)]
    unmutes(story, cluster="EU")
    hears_near(story)
    assert told(story) == [("updated", "muted", 2 * HOUR - 60)]


def test_what_opens_while_it_is_muted_says_so_at_once():
    story = Story(checks=[CHECK])
    story.hears(system(cluster("EU", n1=EASY)))
    mutes(story, code="SERVER_011")
    hears_near(story)
    assert told(story) == [("opened", "condition_met", HOUR - 30)]


def test_what_resolves_while_it_is_muted_says_so():
    story = near()
    mutes(story, code="SERVER_011")
    for _ in range(3):
        story.hears(system(cluster("EU", n1=EASY)))
    assert [one.transition for one in story.auditor.transitions] == [
        "opened",
        "updated",
        "resolved",
    ]
    (resolved,) = view(story).resolved
    assert resolved.life.muted == START + 30 + HOUR


def test_what_changes_its_severity_stays_muted():
    story = near()
    mutes(story, code="SERVER_011")
    hears_near(story)
    story.hears(system(cluster("EU", n1=FULL)))
    assert told(story) == [
        ("resolved", "severity_changed", HOUR - 60),
        ("opened", "severity_changed", HOUR - 60),
    ]


def test_a_mute_that_begins_with_another_severity_is_told_with_it():
    story = near()
    mutes(story, code="SERVER_011")
    story.hears(system(cluster("EU", n1=FULL)))
    assert told(story) == [
        ("resolved", "severity_changed", 0),
        ("opened", "severity_changed", HOUR - 30),
    ]


NEWS = {"a reminder": NEAR, "a new figure": Server(90, max_connections=100)}


@pytest.mark.parametrize("n1", NEWS.values(), ids=NEWS)
def test_there_is_one_message_where_an_epoch_has_more_to_tell(n1):
    story = near(config='lifecycle.remind_every = "30s"')
    mutes(story, code="SERVER_011")
    story.hears(system(cluster("EU", n1=n1)))
    assert told(story) == [("updated", "muted", HOUR - 30)]
    (one,) = story.told
    assert (one.life.revision, one.life.value) == (2, n1.connections)
    assert story.lives[one.life.key] == one.life


def test_a_message_about_a_mute_counts_as_a_reminder():
    story = near(config='lifecycle.remind_every = "60s"')
    mutes(story, code="SERVER_011")
    hears_near(story)
    hears_near(story)
    assert told(story) == []
    hears_near(story)
    assert told(story) == [("reminded", "still_open", HOUR - 90)]


def test_an_epoch_that_comes_too_soon_mutes_too():
    story = near()
    mutes(story, code="SERVER_011")
    hears_near(story, after=1.0, counts=False)
    assert told(story) == [("updated", "muted", HOUR - 1)]


def test_what_is_unknown_is_muted_too():
    story = near()
    mutes(story, code="SERVER_011")
    story.hears(system(cluster("EU", n1=hung)))
    assert told(story) == [("updated", "muted", HOUR - 30)]


def test_what_is_pending_is_muted_when_it_opens():
    story = Story(checks=[FOUNDING["connection_hotspot"]])
    hot = system(cluster(n1=60, n2=15, n3=15))
    story.hears(hot)
    mutes(story, code="OPT_BALANCE_002")
    assert story.hears(hot) == ["opened OPT_BALANCE_002 C1 n1"]
    assert told(story) == [("opened", "condition_met", HOUR - 30)]
    assert ask(view(story), "MUTES")["mutes"][0]["findings"] == 1


def test_what_is_pending_is_not_told_of():
    story = Story("checks.connection_hotspot.open_after = 3", [FOUNDING["connection_hotspot"]])
    hot = system(cluster(n1=60, n2=15, n3=15))
    story.hears(hot)
    mutes(story, code="OPT_BALANCE_002")
    assert story.hears(hot) == []
    assert ask(view(story), "MUTES")["mutes"][0]["findings"] == 0


# --- What a mute fits.


def several() -> Story:
    """Findings about servers of two clusters, users and accounts."""
    story = Story()
    given = system(
        cluster("EU", n1=Server(users={"A bob": 120}, max_connections=120), n2=0, n3=0),
        cluster("US", n1=Server(users={"B eve": 101}, max_connections=120), n2=0, n3=0),
    )
    for _ in range(2):
        story.hears(given)
    story.given = given
    return story


EVERYTHING = [
    *("OPT_BALANCE_002 EU n1", "OPT_BALANCE_002 US n1"),
    *("OPT_BALANCE_006 A EU", "OPT_BALANCE_006 B US"),
    *("SERVER_011 EU n1", "SERVER_011 US n1"),
    *("USER_002 A bob", "USER_002 B eve"),
]
FITTING = {
    "a code": ({"code": "SERVER_011"}, ["SERVER_011 EU n1", "SERVER_011 US n1"]),
    "a name": ({"code": "Excessive-User-Connections"}, ["USER_002 A bob", "USER_002 B eve"]),
    "a cluster": ({"cluster": "EU"}, [one for one in EVERYTHING if " EU" in one]),
    "a server": ({"server": "n1"}, [one for one in EVERYTHING if " n1" in one]),
    "an account": ({"account": "A"}, ["OPT_BALANCE_006 A EU", "USER_002 A bob"]),
    "a user": ({"user": "eve"}, ["USER_002 B eve"]),
    "a server of a cluster": (
        {"cluster": "US", "server": "n1"},
        ["OPT_BALANCE_002 US n1", "SERVER_011 US n1"],
    ),
    "a code and a label": ({"code": "SERVER_011", "cluster": "US"}, ["SERVER_011 US n1"]),
    "a code and another label": ({"code": "SERVER_011", "account": "A"}, []),
    "nobody": ({"account": "NOBODY"}, []),
}


@pytest.mark.parametrize(("body", "expected"), FITTING.values(), ids=FITTING)
def test_a_mute_fits_what_fits_all_that_it_names(body, expected):
    story = several()
    mutes(story, **body)
    heard = story.hears(story.given)
    assert sorted(heard) == sorted(f"updated {one}" for one in expected)
    marked = [one for one in ask(view(story), "FINDINGS")["findings"] if one["muted"]]
    assert len(marked) == len(expected)
    assert ask(view(story), "MUTES")["mutes"][0]["findings"] == len(expected)


@pytest.mark.parametrize("write", [str, str.upper])
def test_a_fingerprint_is_one_finding(write):
    story = several()
    (eve,) = ask(view(story), "FINDINGS", user="eve")["findings"]
    mutes(story, fingerprint=write(eve["fingerprint"]))
    assert story.hears(story.given) == ["updated USER_002 B eve"]


KEYS = {"account": "AKEY", "user": "UKEY"}
NAMES = {"account": "APP", "user": "app"}


@pytest.mark.parametrize("account", [KEYS["account"], NAMES["account"], "OTHER"])
@pytest.mark.parametrize("user", [KEYS["user"], NAMES["user"], "other"])
def test_an_account_and_a_user_are_named_by_key_or_by_name(account, user):
    story = near()
    (life,) = story.lives.values()
    entity = {"kind": "user", "id": "UKEY", "name": "app", "account_name": "APP", **KEYS}
    story.lives[life.key] = replace(life, entity=entity)
    fits = "OTHER" not in account and "other" not in user
    for one in ({"account": account, "user": user}, {"account": account}, {"user": user}):
        auditor = story.auditor
        mutes(story, **one)
        at_once(auditor.mutes.mark(story.lives, [], story.now))
    counts = [one["findings"] for one in ask(view(story), "MUTES")["mutes"]]
    assert counts == [user != "other", account != "OTHER", fits]


def test_a_finding_without_a_cluster_has_no_label_of_that_name():
    story = Story(checks=[CHECK])
    story.hears(system(lone(n1=NEAR)))
    mutes(story, cluster="EU")
    story.hears(system(lone(n1=NEAR)))
    assert told(story) == []


# --- What is answered.


def test_the_verdict_is_that_of_what_is_not_muted_and_the_others_are_counted():
    story = several()
    assert ask(view(story), "STATUS")["verdict"] == "critical"
    mutes(story, code="SERVER_011")
    mutes(story, user="eve")
    story.hears(story.given)
    status = ask(view(story), "STATUS")
    assert (status["verdict"], status["mutes"]) == ("warning", 2)
    muted = {one["severity"] for one in ask(view(story), "FINDINGS", code="SERVER_011")["findings"]}
    assert "critical" in muted
    assert sum(status["muted"].values()) == 3
    assert sum(status["open"].values()) == len(EVERYTHING) - 3


def test_muted_findings_come_after_all_others():
    story = near()
    story.hears(system(cluster("EU", n1=FULL, n2=NEAR)))
    mutes(story, server="n1")
    story.hears(system(cluster("EU", n1=FULL, n2=NEAR)))
    page = ask(view(story), "FINDINGS")
    assert [(one["entity"]["name"], one["severity"]) for one in page["findings"]] == [
        ("n2", "warning"),
        ("n1", "critical"),
    ]
    assert (page["muted"], page["counts"]["critical"]) == (1, 1)
    assert ask(view(story), "FINDINGS", server="n2")["muted"] == 0


def test_an_advisory_says_until_when():
    story = near()
    mutes(story, code="SERVER_011")
    hears_near(story)
    (one,) = story.told
    nobody = Coverage(servers_known=1, servers_answered=1, missing=[])
    said = advisory.advisory(one, CHECK, AGENT, nobody, 60.0)
    assert (said.muted, said.reason, said.state) == (at(story.now - 30 + HOUR), "muted", "open")
    assert advisory.counts(story.lives.values()).warning == 0
    assert advisory.counts(story.lives.values(), muted=True).warning == 1


def test_what_is_muted_is_told_with_who_and_why_and_the_last_first():
    story = near()
    mutes(story, code="SERVER_011", who="ada", why="load test")
    hears_near(story)
    mutes(story, cluster="US", server="n9", until="2027-01-15T12:00:00+01:00")
    hears_near(story)
    reply = ask(view(story), "MUTES")
    assert reply["mutes"] == [
        {
            "cluster": "US",
            "server": "n9",
            "until": "2027-01-15T11:00:00Z",
            "at": "2027-01-15T08:01:00Z",
            "findings": 0,
        },
        {
            "code": "SERVER_011",
            "until": "2027-01-15T09:00:30Z",
            "at": "2027-01-15T08:00:30Z",
            "who": "ada",
            "why": "load test",
            "findings": 1,
        },
    ]
    assert (reply["total"], reply["more"]) == (2, False)
    schema = schemas()["insights.api.v1.mutes_response"]
    jsonschema_rs.validator_for(schema, validate_formats=True).validate(reply)
    assert ask(view(story), "MUTES", offset=1)["mutes"] == reply["mutes"][1:]


def test_a_mute_that_is_not_yet_in_force_has_muted_nothing():
    story = near()
    mutes(story, code="SERVER_011")
    assert [one["findings"] for one in ask(view(story), "MUTES")["mutes"]] == [0]


def test_as_many_mutes_as_there_can_be_fit_into_pages():
    story, wide = near(), "ä"
    for number in range(MOST):
        name = wide * 124 + f"{number:04}"
        texts = dict.fromkeys(("cluster", "server", "account", "user"), name)
        mutes(story, **texts, who=64 * wide, why=200 * wide)
    hears_near(story)
    for max_payload in (1024 * 1024, 4096):
        of, found = view(story, max_payload=max_payload), 0
        while found < MOST:
            page = muting.muted(of, json.dumps({"offset": found}).encode())
            found += len(page.mutes)
            assert len(msgspec.json.encode(page)) <= max_payload
        assert (found, page.more) == (MOST, False)


# --- What is kept.


def revived(story: AnyStory) -> None:
    """Another process goes on from what this one wrote down."""
    auditor = Auditor(story.auditor.checks, story.auditor.config)
    written = msgspec.json.encode(story.auditor.known)
    auditor.restore(msgspec.json.decode(written, type=Known), story.now)
    story.auditor = auditor


def test_mutes_are_known_after_a_restart_and_still_end():
    story = near()
    mutes(story, code="SERVER_011", until="100s", who="ada", why="load test")
    hears_near(story)
    before = list(story.auditor.mutes)
    revived(story)
    assert list(story.auditor.mutes) == before != []
    hears_near(story)
    assert told(story) == []
    revived(story)
    hears_near(story, after=40.0)
    assert told(story) == [("updated", "unmuted", 0)]


def test_a_finding_whose_mute_is_not_known_any_more_is_unmuted():
    story = near()
    mutes(story, code="SERVER_011")
    hears_near(story)
    known = story.auditor.known
    known.mutes = []
    story.auditor.restore(known, story.now)
    hears_near(story)
    assert told(story) == [("updated", "unmuted", 0)]


def test_who_starts_over_has_no_mutes():
    story = near()
    mutes(story, code="SERVER_011")
    story.auditor.start_over()
    assert len(story.auditor.mutes) == 0


def test_an_epoch_that_is_undone_is_marked_again():
    story = near()
    mutes(story, code="SERVER_011", until="60s")
    hears_near(story)
    before = dict(story.lives)
    hears_near(story)
    assert told(story) == [("updated", "unmuted", 0)]
    story.auditor.lives = before  # The connection broke: nothing of this was published.
    hears_near(story)
    assert told(story) == [("updated", "unmuted", 0)]


@check("TEST_001", INFO, "health", needs=(VARZ,))
def anything(server: ServerNoun) -> Finding | None:
    """A server is there.

    Finds: it. Why: it matters. Do: nothing.
    """
    return Finding(summary="there")


def test_many_findings_are_marked_in_steps():
    story = AnyStory(checks=[anything])
    given = system(lone(**{f"n{i:04}": 1 for i in range(3000)}))
    story.hears(given)
    auditor = story.auditor
    auditor.mutes.add(Mute(code="TEST_001", until=story.now + HOUR, at=story.now))
    steps = auditor.mutes.mark(auditor.lives, [], story.now)
    assert sum(1 for _ in steps) >= 3
    assert {life.muted for life in auditor.lives.values()} == {story.now + HOUR}


def test_a_mute_that_is_made_during_an_epoch_is_in_force_in_the_next():
    story = near()
    hears_near(story)
    auditor = story.auditor
    auditor.mutes = Mutes()
    steps = auditor.mutes.mark(auditor.lives, [], story.now)
    next(steps)  # The agent answers requests between two steps.
    mutes(story, code="SERVER_011")
    assert list(steps) == []
    hears_near(story)
    assert told(story) == [("updated", "muted", HOUR - 30)]


# --- What is refused.

A_TIME = "a time such as 2026-11-22T14:00:00Z, or a duration such as 2h"
BOUND = (
    "until is more than 30d from now: what should be silent for good belongs into the "
    "configuration of the agent"
)
REFUSED = {
    "nothing": ({}, 400, "name at least one of code, fingerprint, cluster, server, account, user"),
    "who alone": (
        {"who": "ada"},
        400,
        "name at least one of code, fingerprint, cluster, server, account, user",
    ),
    "an unknown check": (
        {"code": "SERVER_O11"},
        404,
        "there is no check SERVER_O11; did you mean SERVER_011?",
    ),
    "an unknown field": (
        {"codes": "SERVER_011"},
        400,
        "there is no field codes; did you mean code?",
    ),
    "a wrong type": ({"code": 11}, 400, "code is text, not 11"),
    "a part of a fingerprint": (
        {"fingerprint": 31 * "a"},
        400,
        "fingerprint is 32 hex characters, the last token of the subject",
    ),
    "a fingerprint with a line": (
        {"fingerprint": 32 * "a" + "\n"},
        400,
        "fingerprint is 32 hex characters, the last token of the subject",
    ),
    "no time": ({"server": "n1", "until": "soon"}, 400, f"until is {A_TIME}, not 'soon'"),
    "an empty time": ({"server": "n1", "until": ""}, 400, f"until is {A_TIME}, not ''"),
    "a number for a time": ({"server": "n1", "until": 60}, 400, "until is text, not 60"),
    "a time in the past": (
        {"server": "n1", "until": "2027-01-15T08:00:29.999Z"},
        400,
        "until is in the past",
    ),
    "this moment": (
        {"server": "n1", "until": "2027-01-15T08:00:30Z"},
        400,
        "until is in the past",
    ),
    "no time at all": ({"server": "n1", "until": "0s"}, 400, "until is in the past"),
    "a time too far away": ({"server": "n1", "until": "30d1s"}, 400, BOUND),
    "a date too far away": ({"server": "n1", "until": "9999-12-31T23:59:59Z"}, 400, BOUND),
    "a time beyond all bounds": ({"server": "n1", "until": 400 * "9" + "d"}, 400, BOUND),
    **{
        f"a long {name}": (
            {"server": "n1", name: (most + 1) * "x"},
            400,
            f"{name} is text of at most {most} characters that can be printed",
        )
        for name, most in {
            **dict.fromkeys(("cluster", "server", "account", "user"), 128),
            "who": 64,
            "why": 200,
        }.items()
    },
    **{
        f"a {name} with colours": (
            {"server": "n1", name: "\x1b[31m"},
            400,
            f"{name} is text of at most {most} characters that can be printed",
        )
        for name, most in (("account", 128), ("who", 64), ("why", 200))
    },
}


@pytest.mark.parametrize(("body", "code", "why"), REFUSED.values(), ids=REFUSED)
def test_a_mute_is_refused_for(body, code, why):
    story = near()
    with pytest.raises(Refused) as refused:
        mutes(story, **body)
    assert (refused.value.code, str(refused.value)) == (code, why)
    assert len(story.auditor.mutes) == 0


def test_a_mute_needs_an_end():
    story = near()
    with pytest.raises(Refused, match="the request lacks until"):
        muting.mute(view(story), story.auditor.mutes, b'{"server": "n1"}', story.now)


ALLOWED: dict[str, dict[str, str]] = {
    "the longest time": {"until": "30d"},
    "the shortest time": {"until": "1ms"},
    "the longest texts": {
        **dict.fromkeys(("cluster", "server", "account", "user"), 128 * "x"),
        "who": 64 * "x",
        "why": 200 * "x",
    },
    "a time of another zone": {"until": "2027-01-15T20:00:00+09:00"},
}


@pytest.mark.parametrize("body", ALLOWED.values(), ids=ALLOWED)
def test_a_mute_may_have(body):
    story = near()
    made = mutes(story, **{"server": "n1"} | body)
    assert list(story.auditor.mutes) == [made]
    assert made.at == story.now < made.until <= story.now + 30 * DAY


def test_there_are_at_most_so_many_mutes():
    story = near()
    for number in range(MOST):
        mutes(story, server=f"n{number}")
    page = (Path(__file__).parents[1] / "docs" / "muting.md").read_text()
    assert f"there are at most {MOST}." in page
    with pytest.raises(Refused) as refused:
        mutes(story, server="one more")
    assert (refused.value.code, str(refused.value)) == (
        409,
        "there are 100 mutes already: end one of them by UNMUTE",
    )
    mutes(story, server="n7", until="2h")  # In the place of an earlier one.
    unmutes(story, server="n8")
    mutes(story, server="one more")
    assert len(story.auditor.mutes) == MOST


def test_nothing_can_be_unmuted_where_nothing_is_muted():
    with pytest.raises(Refused) as refused:
        unmutes(near(), code="SERVER_011")
    assert (refused.value.code, str(refused.value)) == (404, "nothing is muted")


def test_only_what_a_mute_names_exactly_is_unmuted():
    story = near()
    mutes(story, code="SERVER_011", cluster="EU")
    mutes(story, account="A")
    with pytest.raises(Refused) as refused:
        unmutes(story, code="SERVER_011")
    assert (refused.value.code, str(refused.value)) == (
        404,
        "no mute names exactly that; there are (account A) (code SERVER_011, cluster EU)",
    )
    for number in range(3):
        mutes(story, server=f"n{number}")
    with pytest.raises(Refused, match=r"\(account A\) \(code SERVER_011, cluster EU\)$"):
        unmutes(story, code="SERVER_011")
    for number in (3, 4):
        mutes(story, server=f"n{number}")
    with pytest.raises(Refused) as refused:
        unmutes(story, code="SERVER_011")
    assert str(refused.value).endswith(
        "(server n4) (server n3) (server n2) (server n1) (server n0) and 2 more"
    )


UNMUTED = {
    "nothing": ({}, 400, "name at least one of code, "),
    "an unknown check": ({"code": "SERVER_O11"}, 404, "did you mean SERVER_011?"),
    "a time": ({"code": "SERVER_011", "until": "1h"}, 400, "there is no field until"),
    "a long who": ({"code": "SERVER_011", "who": 65 * "x"}, 400, "who is text of at most 64"),
}


@pytest.mark.parametrize(("body", "code", "why"), UNMUTED.values(), ids=UNMUTED)
def test_unmute_is_refused_for(body, code, why):
    story = near()
    mutes(story, code="SERVER_011")
    with pytest.raises(Refused) as refused:
        unmutes(story, **body)
    assert refused.value.code == code
    assert why in str(refused.value)
    assert len(story.auditor.mutes) == 1
