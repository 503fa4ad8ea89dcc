"""`watch --full`: what stands on the screen, in terminals of several sizes, and in which order."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace
from rich.cells import cell_len

from kit.screens import screen
from kit.terminal import ENTER, LEAVE, SHOW, colours, plain, terminal
from kit.told import FINDINGS, NOW, finding, heartbeat, listing, status
from nats_insights.commands import screen as screen_module
from nats_insights.commands.leading import Leading, News
from nats_insights.commands.rows import age
from nats_insights.commands.screen import Screen
from nats_insights.commands.wanted import Wanted
from nats_insights.tell.messages import Advisory, FindingState

# Each is what a terminal of so many columns shows; INSIGHTS_REGENERATE=1 writes them anew.
SCREENS = Path(__file__).parent / "screens"
PROGRAM = Path(__file__).parent / "kit" / "screens.py"
SIZES = {60: 24, 80: 16, 100: 16, 200: 11}


@pytest.mark.parametrize("coloured", [True, False], ids=["coloured", "plain"])
@pytest.mark.parametrize("columns", SIZES)
async def test_it_looks_as_it_did(columns, coloured):
    env = {"PATH": os.environ["PATH"], "TERM": "xterm-256color"}
    env |= {"PYTHONPATH": str(PROGRAM.parents[1])} | ({} if coloured else {"NO_COLOR": "1"})
    with terminal([str(PROGRAM)], columns, SIZES[columns], env) as shown:
        await shown.until(shown.screen)
        lines = shown.screen()
        before = shown.attributes
        shown.type("\x03")
        assert await shown.ended() == 0
        assert shown.attributes == before
    assert shown.text.startswith(ENTER)
    assert shown.text.endswith(SHOW + LEAVE)
    assert len(lines) == SIZES[columns]
    assert max(cell_len(plain(line)) for line in lines) <= columns
    # Bold, dim and their end are no colours.
    assert (colours("\n".join(lines)) <= {"", "0", "1", "2"}) == (not coloured)
    path = SCREENS / f"{columns}{'-coloured' if coloured else ''}.txt"
    seen = "\n".join(lines if coloured else map(plain, lines)).replace("\x1b", "␛") + "\n"
    if os.environ.get("INSIGHTS_REGENERATE"):
        path.write_text(seen, encoding="utf-8")
    assert seen == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("columns", SIZES)
def test_colours_change_no_word(columns):
    coloured = (SCREENS / f"{columns}-coloured.txt").read_text(encoding="utf-8")
    without = (SCREENS / f"{columns}.txt").read_text(encoding="utf-8")
    lines = plain(coloured.replace("␛", "\x1b")).splitlines()
    assert [line.rstrip() for line in lines] == without.splitlines()


def summaries(of: Screen) -> list[str]:
    return [one.summary for one in of.picture(NOW, 100.0).worst]


def test_the_worst_stand_first():
    assert [one[:24] for one in summaries(screen())] == [
        "n2 has 59 of 60 connecti",
        "user 東京 of account 大阪 ho",
        "n1 has 52 of 60 connecti",
        "user \x1b[31m\u202e of account A",
        "nnnnnnnnnnnnnnnnnnnnnnnn",  # What another one explains.
        "n1 holds 40 of the 41 co",
    ]


def advisory(of: FindingState, transition: str = "updated", **more) -> Advisory:
    """An advisory about a finding."""
    state = "resolved" if transition == "resolved" else "open"
    members = {name: getattr(of, name) for name in of.__struct_fields__}
    head = {"id": 32 * "b", "timestamp": NOW, "agent": heartbeat().agent, "transition": transition}
    own = {"coverage": heartbeat().coverage, "reason": "condition_met"}
    return Advisory(**members | head | own | {"state": state} | more)


def listed(*findings: FindingState) -> Screen:
    of = Screen(Leading())
    of.listed(listing(*findings), status(), Wanted())
    return of


ONE = finding("SERVER_011", "warning", "n1 is nearly full")
LATER = NOW + timedelta(hours=1)
TOLD = {
    "one that opens comes": ([advisory(FINDINGS[0], "opened")], 2),
    "one that resolves goes": ([advisory(ONE, "resolved", revision=2)], 0),
    "one that changes is the same one": ([advisory(ONE, revision=2)], 1),
    "one that became critical is the same one": (
        [
            advisory(ONE, "resolved", revision=2),
            advisory(ONE, "opened", severity="critical", revision=3),
        ],
        1,
    ),
    "an old message that comes late counts for nothing": (
        [advisory(ONE, revision=3), advisory(ONE, "resolved", revision=2)],
        1,
    ),
    "one of an agent that was restarted begins anew": (
        [advisory(ONE, "opened", revision=1, opened_at=NOW + timedelta(seconds=5))],
        1,
    ),
    "one that was not told again in time is not true": (
        [advisory(ONE, revision=2, valid_until=NOW - timedelta(seconds=1))],
        0,
    ),
}


@pytest.mark.parametrize(("advisories", "left"), TOLD.values(), ids=TOLD)
def test_what_is_open_follows_the_advisories(advisories, left):
    of = listed(ONE)
    for one in advisories:
        of.advisory(one, b"")
    assert len(summaries(of)) == left


def test_what_is_muted_stands_below_and_is_counted_apart():
    loud = finding("SERVER_011", "info", "n2 is nearly full")
    of = listed(replace(ONE, muted=LATER), loud)
    picture = of.picture(NOW, 0.0)
    assert [one.summary for one in picture.worst] == ["n2 is nearly full", "n1 is nearly full"]
    assert (picture.counts, picture.muted) == ({"info": 1}, 1)
    assert any("1 info; 1 muted" in line.plain for line in picture._head())
    of.advisory(advisory(ONE, revision=2, muted=None), b"")
    assert (of.picture(NOW, 0.0).counts, of.picture(NOW, 0.0).muted) == (
        {"info": 1, "warning": 1},
        0,
    )


def test_what_a_dead_agent_told_last_stays():
    of = listed(ONE)
    of.agent(News("silent", "east-1", "no heartbeat of agent east-1 for 100s"))
    picture = of.picture(LATER, 4000.0)
    assert picture.silence == "no heartbeat of agent east-1 for 100s"
    assert [one.summary for one in picture.worst] == ["n1 is nearly full"]
    of.listed(listing(), status(), Wanted())
    assert of.picture(LATER, 4000.0).silence == ""


def test_why_nobody_could_be_asked_stands_at_the_foot():
    of = Screen(Leading())
    of.unanswered("no agent answers\x1b[31m")
    assert of.picture(NOW, 0.0).note.endswith(" no agent answers\\x1b[31m")


def test_the_verdict_is_that_of_the_last_that_was_heard():
    of = listed(ONE)
    assert of.picture(NOW, 0.0).status == status()
    of.leading.hear(heartbeat(verdict="ok"), 10.0)
    picture = of.picture(NOW, 13.9)
    assert (picture.status.verdict, picture.heard) == (
        "ok",
        ", last heartbeat 3s ago, one every 30s",
    )
    newer = status(timestamp=LATER, verdict="warning")
    of.listed(listing(), newer, Wanted())
    assert of.picture(NOW, 20.0).status == newer


AGES = {0: "0s", 59: "59s", 60: "1m", 3599: "59m", 3600: "1h", 86399: "23h", 86400: "1d", -5: "0s"}


@pytest.mark.parametrize(("seconds", "said"), AGES.items())
def test_an_age_is_told_in_its_largest_unit(seconds, said):
    assert age(NOW - timedelta(seconds=seconds), NOW) == said


def test_of_very_many_the_worst_are_kept():
    many = [finding("USER_002", "info", f"user {n}", value=n, threshold=1) for n in range(1, 2001)]
    picture = listed(*many).picture(NOW, 0.0)
    assert picture.counts == {"info": 2000}
    assert picture.worst[0].summary == "user 2000"


def test_what_expired_is_forgotten_unless_nobody_could_publish_it_again():
    of = listed(finding("SERVER_011", "warning", "n1 is nearly full", valid_until=LATER))
    later = LATER + timedelta(seconds=1)
    of.agent(News("silent", "east-1", "no heartbeat"))
    assert len(of.picture(later, 100.0).worst) == 1
    of.agent(News("back", "east-1", "agent east-1 is back"))
    assert of.picture(later, 100.0).worst == []
    assert of.picture(NOW, 100.0).worst == []


def test_the_findings_that_are_kept_are_bounded(monkeypatch):
    monkeypatch.setattr(screen_module, "MOST", 2)
    of = listed()
    for number in range(4):
        of.advisory(advisory(finding(f"A_{number:03}", "info", f"the {number}th"), "opened"), b"")
    assert summaries(of) == ["the 0th", "the 1th"]
    of.advisory(advisory(finding("A_000", "warning", "the 0th"), revision=2), b"")
    assert [one.severity for one in of.picture(NOW, 100.0).worst] == ["warning", "info"]
