"""The life of a finding as scripts: one letter for what each epoch saw, one for what it told.

f found  w found as a warning  c found as critical  1-9 found with this value
- not found  = not found, its figure is 1  ? unknown  . not due
g its entity is gone  x the check is disabled
capital letters: an epoch that came too soon after the last

o opened  u updated  m reminded  r resolved  s resolved and opened with another severity
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from nats_insights import checks
from nats_insights.check import Server
from nats_insights.config import parse
from nats_insights.gather.stepwise import at_once
from nats_insights.judge.audit import NOTHING, Audit, Found, Key
from nats_insights.judge.declare import CRITICAL, INFO, WARNING, Finding, discover
from nats_insights.judge.lifecycle import Told, advance
from nats_insights.judge.rules import rules
from nats_insights.model.snapshot import Snapshot

CHECK = next(check for check in discover(checks) if check.code == "OPT_BALANCE_002")
SERVER = Server("n1", None, Snapshot(0, 0.0))
KEY = Key(CHECK.code, SERVER.names)
SEVERITIES = {"f": INFO, "w": WARNING, "c": CRITICAL}
LETTERS = {
    (): ".",
    ("opened",): "o",
    ("updated",): "u",
    ("reminded",): "m",
    ("resolved",): "r",
    ("resolved", "opened"): "s",
}


def live(
    script: str,
    *,
    open_after: int = 2,
    resolve_after: int = 2,
    remind_every: float = 900.0,
    clients: dict[str, Any] | None = None,
    torn: bool = False,
) -> Iterator[list[Told]]:
    """What each epoch of a script tells; epochs are 30 seconds apart, the first is at 30.

    After each epoch its findings name these clients.
    """
    (rule,) = rules(
        [CHECK],
        parse(
            f"[checks.connection_hotspot]\nopen_after={open_after}\nresolve_after={resolve_after}"
        ),
    )
    lives = {}
    for number, letter in enumerate(script, 1):
        lives, told = at_once(
            advance(
                lives,
                seen(letter.lower(), torn),
                [] if letter in "xX" else [rule],
                30.0 * number,
                remind_every=remind_every,
                counts=letter == letter.lower(),
            )
        )
        lives = {key: replace(life, clients=clients or {}) for key, life in lives.items()}
        yield told


def seen(letter: str, torn: bool = False) -> Audit:
    """The audit of one epoch, whose letter this is."""
    result = Audit()
    if letter in SEVERITIES or letter.isdigit():
        value = float(letter) if letter.isdigit() else 5.0
        finding = Finding(summary=f"{value:g} of it", value=value)
        result.found[KEY] = Found(CHECK, SERVER, finding, SEVERITIES.get(letter, INFO), torn=torn)
    if letter == "=":
        result.last_word[KEY] = Finding(summary="1 of it", value=1.0), NOTHING
    if letter == "?":
        result.unknown[KEY] = "STATZ of n2"
    if letter == ".":
        result.not_due.add(CHECK.code)
    if letter == "g":
        result.gone[KEY] = "entity_gone"
    return result


def tells(script: str, **settings: Any) -> str:
    """One letter for what each epoch of a script tells."""
    return "".join(
        LETTERS[tuple(told.transition for told in epoch)] for epoch in live(script, **settings)
    )


def stories(script: str, **settings: Any) -> list[Told]:
    """All that a script tells, in order."""
    return [told for epoch in live(script, **settings) for told in epoch]


SCRIPTS = {
    # Opening: so many evaluations in a row.
    "f": ".",
    "ff": ".o",
    "fff": ".o.",
    "f-f": "...",
    "f-ff": "...o",
    # Resolving: the same.
    "ff?--": ".o..r",
    "ff--": ".o.r",
    "ff-f--": ".o...r",
    "ff-f-f-f": ".o......",
    "ff--ff": ".o.r.o",
    "ff---": ".o.r.",
    # Unknown neither opens nor resolves, and moves no counter.
    "?": ".",
    "f?f": "..o",
    "f????f": ".....o",
    "f?-f": "....",
    "ff??????": ".o......",
    "ff-?-": ".o..r",
    "ff-?f-?-": ".o.....r",
    # Neither does what is not due.
    "f.f": "..o",
    "ff......": ".o......",
    "ff-.-": ".o..r",
    "ff.?.--": ".o....r",
    # An entity that is gone is no longer found.
    "ffgg": ".o.r",
    "fg": "..",
    "ffg?g": ".o..r",
    "ffg-": ".o.r",
    # A disabled check tells the end of what it told, at once.
    "ffx": ".or",
    "fx": "..",
    "ffxff": ".or.o",
    # Another severity is another story on another subject.
    "ffw": ".os",
    "ffwf": ".oss",
    "ffwww": ".os..",
    "wwcwwf": ".oss.s",
    "fw": ".o",
    "ffw--": ".os.r",
    "ff-w": ".o.s",
    "ff?w": ".o.s",
    # Only what moved by more than a tenth of what was last told is news.
    "5555": ".o..",
    "5566": ".ou.",
    "556655": ".ou.u.",
    "55?6": ".o.u",
    "5-56": "...o",
    # An epoch too soon refreshes figures and moves nothing.
    "FFFF": "....",
    "fF": "..",
    "fFf": "..o",
    "ffGG": ".o..",
    "ffW": ".o.",
    "ffWw": ".o.s",
    "ff-F--": ".o..r.",
    "ff-F-": ".o..r",
    "ff--F": ".o.r.",
    "ffX": ".or",
}


@pytest.mark.parametrize(("script", "expected"), SCRIPTS.items(), ids=SCRIPTS)
def test_an_epoch_tells_what_changed(script, expected):
    assert tells(script) == expected


AFTER = {
    ("f-", 1, 1): "or",
    ("fff", 3, 2): "..o",
    ("ff-fff", 3, 2): ".....o",
    ("f---", 1, 3): "o..r",
    ("f--f---", 1, 3): "o.....r",
    ("f?-?-?-", 1, 3): "o.....r",
}


@pytest.mark.parametrize(("case", "expected"), AFTER.items(), ids=map(str, AFTER))
def test_it_opens_and_resolves_after_so_many_evaluations(case, expected):
    script, open_after, resolve_after = case
    assert tells(script, open_after=open_after, resolve_after=resolve_after) == expected


TORN = {"f": ".", "ff": ".o", "f-f": "...", "f?f": "..o", "fff": ".o."}


@pytest.mark.parametrize(("script", "expected"), TORN.items(), ids=TORN)
def test_a_sum_that_may_count_twice_what_moved_opens_when_it_is_found_again(script, expected):
    assert tells(script, open_after=1, torn=True) == expected


def test_a_sum_that_was_torn_opens_at_once_when_it_is_found_whole():
    (rule,) = rules([CHECK], parse("[checks.connection_hotspot]\nopen_after=1"))
    lives, told = {}, []
    for torn in (True, False):
        result = seen("f")
        result.found[KEY] = replace(result.found[KEY], torn=torn)
        lives, news = at_once(advance(lives, result, [rule], 30.0, remind_every=900.0))
        told.append([one.transition for one in news])
    assert told == [[], ["opened"]]


def test_an_epoch_that_came_too_soon_opens_nothing_that_was_torn_before():
    (rule,) = rules([CHECK], parse("[checks.connection_hotspot]\nopen_after=1"))
    lives, told = {}, []
    for torn, counts in ((True, True), (False, False), (False, True)):
        audited = seen("f", torn)
        lives, news = at_once(
            advance(lives, audited, [rule], 30.0, remind_every=900.0, counts=counts)
        )
        told.append([one.transition for one in news])
    assert told == [[], [], ["opened"]]


# A reminder each 60 seconds, that is every second epoch.
REMINDERS = {
    "while it is found": ("fffffff", ".o.m.m."),
    "while it is unknown": ("ff?????", ".o.m.m."),
    "while it is not due": ("ff.....", ".o.m.m."),
    "counted from what was told last": ("555666666", ".o.u.m.m."),
    "counted from a change of severity": ("ffwwww", ".os.m."),
    "never of what is pending": ("f????", "....."),
    "never after its end": ("ff--------", ".o.r......"),
}


@pytest.mark.parametrize(("script", "expected"), REMINDERS.values(), ids=REMINDERS)
def test_an_open_finding_is_told_again(script, expected):
    assert tells(script, remind_every=60.0) == expected


@pytest.mark.parametrize("clearing", ["---", "-?-", "-??", "-.-"])
def test_nothing_is_told_again_while_it_is_clearing(clearing):
    # Its last word would contradict the reminder that it comes with.
    assert tells(f"ff{clearing}f", resolve_after=4, remind_every=60.0) == ".o...m"


# What was told, what is found now, and whether that is news.
NEWS = {
    "a tenth more": (100.0, 110.0, False),
    "over a tenth more": (100.0, 110.1, True),
    "a tenth less": (100.0, 90.0, False),
    "over a tenth less": (100.0, 89.9, True),
    "nothing, as before": (0.0, 0.0, False),
    "something after nothing": (0.0, 0.1, True),
    "of the other sign": (-5.0, 5.0, True),
    "no figure, as before": (None, None, False),
    "a figure after none": (None, 5.0, True),
    "none after a figure": (5.0, None, True),
}


@pytest.mark.parametrize(("before", "now", "expected"), NEWS.values(), ids=NEWS)
def test_only_a_material_change_is_news(before, now, expected):
    told = drift([before, now])
    assert ([one.transition for one in told] == ["opened", "updated"]) is expected


def test_a_slow_drift_is_news_in_the_end():
    told = drift([100.0, 105.0, 110.0, 115.0, 120.0])
    assert [(one.transition, one.life.value) for one in told] == [
        ("opened", 100.0),
        ("updated", 115.0),
    ]


def drift(values: list[float | None]) -> list[Told]:
    """All that is told of a finding that opens at once and has these values, epoch by epoch."""
    (rule,) = rules([CHECK], parse("[checks.connection_hotspot]\nopen_after=1"))
    lives, told = {}, []
    for number, value in enumerate(values, 1):
        result = Audit()
        finding = Finding(summary="a figure", value=value)
        result.found[KEY] = Found(CHECK, SERVER, finding, INFO)
        lives, news = at_once(advance(lives, result, [rule], 30.0 * number, remind_every=900.0))
        told += news
    return told


def test_the_revision_grows_with_every_message():
    told = stories("ffwwf56????--", remind_every=60.0)
    assert [one.life.revision for one in told] == list(range(1, len(told) + 1))


def test_a_change_of_severity_keeps_the_story():
    opened, ended, began = stories("ffw")
    assert (ended.life.opened_at, began.life.opened_at) == (opened.life.opened_at,) * 2


def test_a_change_of_severity_says_so_on_both_sides():
    _, ended, began = stories("ffw")
    assert [
        (one.reason, str(one.life.severity), one.severity_before, one.severity_now)
        for one in (ended, began)
    ] == [
        ("severity_changed", "info", None, WARNING),
        ("severity_changed", "warning", INFO, None),
    ]


def test_who_opens_again_has_a_new_story():
    first, _, second = stories("ff--ff")
    assert (first.life.opened_at, second.life.opened_at) == (60.0, 180.0)
    assert second.life.revision == 1


REASONS = {"ff--": "condition_cleared", "ffgg": "entity_gone", "ffx": "check_disabled"}


@pytest.mark.parametrize(("script", "expected"), REASONS.items(), ids=REASONS)
def test_an_end_has_its_reason(script, expected):
    assert stories(script)[-1].reason == expected


LAST_WORDS = {
    "ff---": ("no longer true: 5 of it", None),
    "ff===": ("1 of it", 1.0),
    "ff-==": ("1 of it", 1.0),
    "ffggg": ("server n1 is gone", None),
}


@pytest.mark.parametrize(("script", "expected"), LAST_WORDS.items(), ids=LAST_WORDS)
def test_an_end_says_how_things_are_now(script, expected):
    told = stories(script, resolve_after=3)[-1]
    assert told.transition == "resolved"
    assert (told.life.summary, told.life.value) == expected
    assert (told.life.evidence, told.life.clients) == (NOTHING, {})


@pytest.mark.parametrize("end", ["--", "==", "gg", "x", "w"])
def test_what_resolved_names_no_clients_of_the_time_before(end):
    told = stories(f"ff?{end}", clients={"sampled": 9})
    assert [one.life.clients for one in told if one.transition == "resolved"] == [{}]


def test_what_is_still_open_keeps_its_clients():
    told = stories("ff???59", clients={"sampled": 9}, remind_every=60.0)
    assert [(one.transition, one.life.clients) for one in told[1:]] == [
        ("reminded", {"sampled": 9}),
        ("reminded", {"sampled": 9}),
        ("updated", {"sampled": 9}),
    ]


def test_a_finding_is_stale_since_its_last_figures():
    _, reminded = stories("ff??", remind_every=60.0)
    assert (reminded.life.stale, reminded.life.stale_since) == ("STATZ of n2", 60.0)


STALE = {"ff?f": None, "ff?-": None, "ff..": None, "ff?.": 60.0, "ff??": 60.0}


@pytest.mark.parametrize(("script", "expected"), STALE.items(), ids=STALE)
def test_a_finding_is_stale_until_it_was_judged(script, expected):
    assert stories(script, remind_every=60.0)[-1].life.stale_since == expected


def test_a_hundred_epochs_without_a_change_tell_one_thing():
    assert tells("f" * 100, remind_every=1e9) == ".o" + 98 * "."
