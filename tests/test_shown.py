"""What lists look like at several widths: kept as text in `tests/shown`.

`INSIGHTS_REGENERATE=1 pytest tests/test_shown.py` writes the files anew.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path

import pytest
from msgspec.structs import asdict, replace
from rich.console import Console

from kit.asked import view
from kit.told import AGENT, COVERAGE, finding, status
from nats_insights.commands import rows, show
from nats_insights.facts import Coverage
from nats_insights.judge.mutes import Mute
from nats_insights.tell import queries
from nats_insights.tell.advisory import at
from nats_insights.tell.history import history
from nats_insights.tell.messages import (
    Entity,
    EpochInfo,
    FindingsReply,
    Group,
    HistoryReply,
    OpenCounts,
    PublishingState,
    TransitionState,
)
from nats_insights.tell.muting import muted
from nats_insights.tell.view import View
from scenario import START, Server, Story, cluster, dead, hung, left, lone, system

KEPT = Path(__file__).parent / "shown"
WIDTHS = (60, 80, 100, 200)
NOW = START + 4000.0
FULL = Server(80, max_connections=100)


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Times of day are those of one zone, whatever the machine's is."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.fixture(scope="module")
def known() -> View:
    """Findings of each severity in two clusters: some new, some clearing, some not known now."""
    story = Story()
    leak = {"ORDERS billing": 180, "ORDERS a-service-with-quite-a-long-name": 101}
    for third in (Server(users={"SHOP web": 10}), Server(users={"SHOP web": 10}), hung):
        story.hears(
            system(
                cluster("EU", n1=Server(users=leak, max_connections=290), n2=0, n3=third),
                cluster("US", n1=Server(80, max_connections=100), n2=70, n4=dead, n5=left),
            ),
            after=1200.0,
        )
    story.hears(
        system(
            cluster("EU", n1=Server(users=leak | {"ORDERS billing": 95}), n2=0, n3=hung),
            cluster("US", n1=Server(79, max_connections=100), n2=70, n4=dead, n5=left),
        )
    )
    return view(story)


def of_now(reply: FindingsReply) -> FindingsReply:
    return replace(reply, timestamp=at(NOW))


def findings(of: View, body: bytes = b"") -> FindingsReply:
    return of_now(queries.findings(of, body))


MUTES = [
    Mute(fingerprint=8 * "01ef", until=NOW + 60.0, at=START, why="known, and being repaired"),
    Mute(server="n3", cluster="EU", until=NOW + 86_400.0, at=START, who="grace", why="new disks"),
    Mute(code="USER_002", account="BILLING", until=NOW + 7200.0, at=START, who="ada"),
]
LISTS: dict[str, Callable[[View], None]] = {
    "findings": lambda of: show.findings(findings(of)),
    "groups": lambda of: show.groups(findings(of, b'{"by": "server"}'), "open", "server"),
    "servers": lambda of: show.servers(replace(queries.servers(of), timestamp=at(NOW))),
    "checks": lambda of: show.checks(queries.checks(of)),
    "history": lambda of: show.history(replace(history(of), timestamp=at(NOW))),
    "mutes": lambda of: show.mutes(replace(muted(replace(of, mutes=MUTES)), timestamp=at(NOW))),
}
# What contains the time of now, and the text of a check.
OTHERS: dict[str, Callable[[View], None]] = {
    "status": lambda of: show.status(queries.status(of)),
    "explain": lambda of: show.explain(queries.explain(of, b'{"code": "SERVER_011"}')),
}


def shown(monkeypatch: pytest.MonkeyPatch, of: View, name: str, width: int, colour: bool) -> str:
    """What a terminal of this width gets."""
    screen = StringIO()
    system = "standard" if colour else None
    out = Console(
        file=screen,
        width=width,
        force_terminal=True,
        color_system=system,  # type: ignore[arg-type]
        highlight=False,
        soft_wrap=True,
        markup=False,
        legacy_windows=False,
        no_color=False,
    )
    monkeypatch.setattr(show, "console", lambda: out)
    (LISTS | OTHERS)[name](of)
    return screen.getvalue()


@pytest.mark.parametrize("name", LISTS)
def test_lists_look_as_they_were_kept(name, known, monkeypatch):
    screens = [
        f"--- {width} columns\n{shown(monkeypatch, known, name, width, False)}" for width in WIDTHS
    ]
    screens.append(f"--- 80 columns, in colour\n{shown(monkeypatch, known, name, 80, True)}")
    text = "".join(screens).replace("\x1b", "ESC")
    kept = KEPT / f"{name}.txt"
    if os.environ.get("INSIGHTS_REGENERATE"):
        kept.write_text(text)
    assert text == kept.read_text()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", LISTS | OTHERS)
def test_no_line_is_wider_than_the_terminal_and_no_word_is_broken(name, width, known, monkeypatch):
    lines = shown(monkeypatch, known, name, width, False).splitlines()
    words = {word for line in lines for word in line.split()}
    whole = {
        w
        for line in shown(monkeypatch, known, name, 1000, False).splitlines()
        for w in line.split()
    }
    assert max(map(len, lines)) <= width
    assert words <= whole


@pytest.mark.parametrize("name", LISTS)
def test_what_is_piped_has_a_line_for_each_row(name, known, monkeypatch, capsys):
    LISTS[name](known)
    piped = capsys.readouterr().out
    wide = shown(monkeypatch, known, name, 1000, False)
    assert piped == wide


def headed(of: View, **changed) -> str:
    return rows.headline(replace(findings(of), **changed), "open").plain


HEADS: dict[str, tuple[dict, str]] = {
    "of this moment": ({"timestamp": at(START + 59)}, "1 open: 1 warning"),
    "late": ({"timestamp": at(START + 330)}, "1 open: 1 warning; as it was 5m ago"),
    "in part": (
        {
            "timestamp": at(START),
            "coverage": Coverage(servers_known=3, servers_answered=2, missing=["n3"]),
        },
        "1 open: 1 warning; 2 of 3 servers answered",
    ),
}


@pytest.mark.parametrize(("changed", "expected"), HEADS.values(), ids=HEADS)
def test_the_first_line_counts_and_says_what_is_missing(changed, expected):
    story = Story()
    story.hears(system(lone(n1=FULL)), after=0.0)
    assert headed(view(story), **changed) == expected


def test_nothing_is_told_in_words():
    story = Story()
    story.hears(system(cluster(n1=1, n2=1)))
    assert headed(view(story), timestamp=at(START)) == "nothing open"


FIGURES: dict[str, tuple[float | None, float | None, str, str]] = {
    "a count": (105, 100, "connections", "105 of 100"),
    "large counts": (12_345, 10_000, "connections", "12,345 of 10,000"),
    "a share": (83.3, 80, "%", "83.3 of 80 %"),
    "times": (2.41, 2.0, "x", "2.41 of 2 x"),
    "a duration": (95.2, 60, "s", "1m35s of 1m"),
    "a short duration": (0.25, 0.1, "s", "250ms of 100ms"),
    "bytes": (12_582_912, 1_048_576, "bytes", "12 MiB of 1 MiB"),
    "few bytes": (900, 100, "bytes", "900 of 100"),
    "less than none": (-3.5, 14, "days", "-3.5 of 14 days"),
    "no limit": (5, None, "times", "5"),
    "a limit of none": (6, 0, "s", "6s"),
    "no figure": (None, 5, "", ""),
}


@pytest.mark.parametrize(("value", "limit", "unit", "expected"), FIGURES.values(), ids=FIGURES)
def test_a_value_is_shown_with_its_limit(value, limit, unit, expected, known):
    some = findings(known).findings[0]
    assert rows.measured(replace(some, value=value, threshold=limit, unit=unit)) == expected


MARKED = {
    "muted": ({}, "n1 is full (muted until 10:00:00)"),
    "muted for days": (
        {"muted": at(START + 90_000)},
        "n1 is full (muted until 2027-01-16 09:00:00)",
    ),
    "muted and clearing": ({"clearing": True}, "n1 is full (clearing) (muted until 10:00:00)"),
    "loud": ({"muted": None}, "n1 is full"),
}


@pytest.mark.parametrize(("more", "expected"), MARKED.values(), ids=MARKED)
def test_a_muted_finding_says_until_when(more, expected):
    muted = finding("SERVER_011", "warning", "n1 is full", muted=at(START + 7200))
    assert rows.sentence(replace(muted, **more), at(START)).plain == expected


HAPPENED = {
    "opened": ("opened", "condition_met", {}, "n1 is full"),
    "a new figure": ("updated", "value_changed", {}, "n1 is full"),
    "resolved": ("resolved", "condition_cleared", {}, "n1 is full"),
    "gone": ("resolved", "entity_gone", {}, "n1 is full (entity gone)"),
    "forgotten": ("resolved", "forgotten", {}, "n1 is full (forgotten)"),
    "worse": (
        *("resolved", "severity_changed"),
        {"severity_now": "critical"},
        "n1 is full (now critical)",
    ),
    "worse than before": (
        *("opened", "severity_changed"),
        {"severity_before": "info"},
        "n1 is full (was info)",
    ),
    "muted": (
        *("updated", "muted"),
        {"muted": at(START + 7200)},
        "n1 is full (muted until 10:00:00)",
    ),
    "unmuted": ("updated", "unmuted", {}, "n1 is full (unmuted)"),
}


@pytest.mark.parametrize(("transition", "why", "more", "expected"), HAPPENED.values(), ids=HAPPENED)
def test_a_transition_says_why(transition, why, more, expected):
    members = asdict(finding("SERVER_011", "warning", "n1 is full"))
    own = {"id": 32 * "a", "timestamp": at(START), "transition": transition, "reason": why}
    one = TransitionState(**members | own | more)
    assert rows.happened(one, at(START)).plain == expected


MUTED = OpenCounts(critical=1, warning=2)
STATUSES = {
    "some": (
        {"mutes": 1, "muted": MUTED},
        "; 3 muted",
        "  muted   1 critical, 2 warning, by 1 mute",
    ),
    "none that is open": ({"mutes": 2}, "", "  muted   nothing that is open, by 2 mutes"),
    "none": ({}, "", ""),
}


@pytest.mark.parametrize(("more", "end", "row"), STATUSES.values(), ids=STATUSES)
def test_the_status_tells_how_much_is_muted(more, end, row, capsys):
    show.status(status(**more))
    first, *lines = capsys.readouterr().out.splitlines()
    assert first.endswith(f"not n8, n9{end}")
    assert [line for line in lines if "mute" in line] == ([row] if row else [])


ON = {"server": "nats://a:4222", "stream": "INSIGHTS"}
PUBLISHING = {
    "all is well": (ON, "on nats://a:4222, stream INSIGHTS"),
    "no stream": ({"server": "nats://a:4222"}, "on nats://a:4222, no stream"),
    "some is not stored": (
        ON | {"unstored": 3, "dropped": 1, "problem": "it is full"},
        "on nats://a:4222, stream INSIGHTS, 3 not stored, 1 lost: it is full",
    ),
    "away": (
        {"stream": "INSIGHTS", "waiting": 2, "problem": "refused"},
        "2 wait: refused",
    ),
    "away, and nothing waits": ({"problem": "refused"}, "refused"),
    "well again": (
        ON | {"last_problem": "it was full"},
        "on nats://a:4222, stream INSIGHTS (it was: it was full)",
    ),
}


@pytest.mark.parametrize(("now", "row"), PUBLISHING.values(), ids=PUBLISHING)
def test_the_status_tells_of_the_second_connection(now, row, capsys):
    show.status(status(publishing=PublishingState(**now)))
    lines = capsys.readouterr().out.splitlines()
    (said,) = [line for line in lines if line.split()[0] == "publishing"]
    assert " ".join(said.split()[1:]) == row


def test_the_status_says_nothing_of_a_second_connection_where_there_is_none(capsys):
    show.status(status())
    assert "publishing" not in capsys.readouterr().out


def told_history(**more: object) -> HistoryReply:
    page = {"total": 0, "offset": 0, "more": False, "transitions": []}
    now = {"timestamp": at(NOW), "known_since": at(NOW)}
    return HistoryReply(agent=AGENT, coverage=COVERAGE, **now, **page, **more)


def test_the_history_names_the_stream_and_why_it_was_not_read(capsys):
    show.history(told_history())
    (plain_line,) = capsys.readouterr().out.splitlines()
    show.history(told_history(stream="INSIGHTS"))
    assert capsys.readouterr().out.splitlines() == [f"{plain_line}, with stream INSIGHTS"]
    show.history(told_history(problem="ask again"))
    assert capsys.readouterr().out.splitlines() == [plain_line, "ask again"]


def test_the_first_line_of_findings_counts_the_muted_ones(known):
    assert headed(known, timestamp=at(START), muted=2).endswith("; 4 of 6 servers answered")
    assert "3 info; 2 muted; " in headed(known, timestamp=at(START), muted=2)


def test_what_is_left_out_of_a_history_is_counted(known, capsys):
    show.history(history(known, b'{"limit": 3}'))
    first, left, _, *lines = capsys.readouterr().out.splitlines()
    assert (first.partition(";")[0], len(lines)) == ("8 transitions", 3)
    assert left == "5 more before these; `--limit 0` lists all"


NOTHING = {
    "history": (lambda of: show.history(history(of)), "nothing happened; known since "),
    "mutes": (lambda of: show.mutes(muted(of)), "nothing is muted"),
}


@pytest.mark.parametrize(("show_it", "expected"), NOTHING.values(), ids=NOTHING)
def test_nothing_is_one_line(show_it, expected, capsys):
    story = Story()
    story.hears(system(cluster(n1=1, n2=1)))
    show_it(view(story))
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(expected)


AGES = {0: "0s", 59: "59s", 60: "1m", 3599: "59m", 3600: "1h", 86_399: "23h", 200_000: "2d"}


@pytest.mark.parametrize(("seconds", "expected"), AGES.items(), ids=map(str, AGES))
def test_an_age_is_in_its_largest_unit(seconds, expected):
    assert rows.age(at(START), at(START + seconds)) == expected


def test_what_resolved_is_shown_with_its_time(capsys):
    story = Story()
    for full in (80, 80, 10, 10):
        story.hears(system(lone(n1=Server(full, max_connections=100))))
    reply = findings(view(story), b'{"state": "resolved"}')
    (one,) = reply.findings
    assert one.resolved_at is not None
    show.findings(replace(reply, timestamp=one.resolved_at), "resolved")
    first, heading, row = capsys.readouterr().out.splitlines()
    assert first == "1 resolved: 1 warning"
    assert heading.split() == ["severity", "check", "value", "resolved"]
    assert f"{one.resolved_at.astimezone():%H:%M:%S}" in row


KEY, ACCOUNT = "UAOZAKP5UC", "ADOUPDVG2P"
NAMED = Entity(kind="user", id=KEY, name="app", account=ACCOUNT, account_name="APP", user=KEY)


def test_who_is_named_by_a_jwt_is_shown_with_the_beginnings_of_keys(known, capsys):
    some = findings(known).findings[0]
    rows.listed([replace(some, entity=NAMED)], at(NOW), show.console())
    heading, row = capsys.readouterr().out.splitlines()
    assert heading.split()[-1] == "of"
    assert "  app UAOZAKP5… (APP ADOUPDVG…)  " in row


def test_groups_are_shown_by_name_with_the_beginning_of_the_key(capsys):
    group = Group(account=ACCOUNT, account_name="APP", user=KEY, user_name="app", warning=2)
    rows.grouped([group], "user", show.console())
    assert capsys.readouterr().out.splitlines()[1].split() == [
        *("2", "APP", "ADOUPDVG…", "app", "UAOZAKP5…"),
    ]


def test_an_epoch_is_part_of_the_reply_so_that_old_news_can_be_told(known):
    assert isinstance(findings(known).epoch, EpochInfo)
