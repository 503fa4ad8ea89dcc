"""Lines break between words, whatever the width of the terminal."""

from __future__ import annotations

import re
from datetime import datetime
from io import StringIO
from typing import Literal

import pytest
from msgspec.structs import replace
from rich.console import Console
from rich.text import Text

from kit.published import openings, tell
from nats_insights.commands import lines, show

KEY = "UDL3WICAJI3BI2UCEZIMHOUTNA5PSYV54VYQ3CS2GZP2BDXHG4F42TVE"
TOLD = (
    ("USER_002", "user billing of account APP holds 105 connections"),
    ("SERVER_011", "n3 has 52 of 60 connections (87 %)"),
    ("OPT_BALANCE_003", "n2 holds 907 local subscriptions, 3.0 times the mean of DEMO"),
    ("USER_002", f"user {KEY} of account {KEY} holds 105 connections"),
)
SHOWN = {
    60: """
14:05:44 opened   INFO     USER_002
         user billing of account APP holds 105 connections
14:05:44 opened   INFO     SERVER_011
         n3 has 52 of 60 connections (87 %)
14:05:44 opened   INFO     OPT_BALANCE_003
         n2 holds 907 local subscriptions, 3.0 times the
         mean of DEMO
14:05:44 opened   INFO     USER_002
         user
         UDL3WICAJI3BI2UCEZIMHOUTNA5PSYV54VYQ3CS2GZP2BDXHG4F42TVE
         of account
         UDL3WICAJI3BI2UCEZIMHOUTNA5PSYV54VYQ3CS2GZP2BDXHG4F42TVE
         holds 105 connections
""",
    80: """
14:05:44 opened   INFO     USER_002        user billing of account APP holds 105
                                           connections
14:05:44 opened   INFO     SERVER_011      n3 has 52 of 60 connections (87 %)
14:05:44 opened   INFO     OPT_BALANCE_003 n2 holds 907 local subscriptions, 3.0
                                           times the mean of DEMO
14:05:44 opened   INFO     USER_002
         user UDL3WICAJI3BI2UCEZIMHOUTNA5PSYV54VYQ3CS2GZP2BDXHG4F42TVE of
         account UDL3WICAJI3BI2UCEZIMHOUTNA5PSYV54VYQ3CS2GZP2BDXHG4F42TVE holds
         105 connections
""",
    100: """
14:05:44 opened   INFO     USER_002        user billing of account APP holds 105 connections
14:05:44 opened   INFO     SERVER_011      n3 has 52 of 60 connections (87 %)
14:05:44 opened   INFO     OPT_BALANCE_003 n2 holds 907 local subscriptions, 3.0 times the mean of
                                           DEMO
14:05:44 opened   INFO     USER_002        user
                                           UDL3WICAJI3BI2UCEZIMHOUTNA5PSYV54VYQ3CS2GZP2BDXHG4F42TVE
                                           of account
                                           UDL3WICAJI3BI2UCEZIMHOUTNA5PSYV54VYQ3CS2GZP2BDXHG4F42TVE
                                           holds 105 connections
""",
}
COLOUR = re.compile(r"\x1b\[[\d;]*m")
Colours = Literal["standard"] | None


def shown(width: int, colours: Colours = None, terminal: bool = True) -> str:
    """What is shown of these advisories."""
    out = Console(
        file=StringIO(),
        width=width,
        force_terminal=terminal,
        color_system=colours,
        highlight=False,
        soft_wrap=True,
        markup=False,
    )
    advisory, _ = tell(next(openings()))
    at = datetime(2026, 1, 2, 14, 5, 44).astimezone()
    for code, summary in TOLD:
        show.transition(
            replace(advisory, timestamp=at, severity="info", code=code, summary=summary), out
        )
    assert isinstance(out.file, StringIO)
    return out.file.getvalue()


@pytest.mark.parametrize("width", SHOWN)
def test_a_row_that_is_too_long_goes_on_below_its_last_column_or_its_second(width):
    assert shown(width) == SHOWN[width].removeprefix("\n")


@pytest.mark.parametrize("width", [*SHOWN, 200])
def test_colours_change_no_line(width):
    coloured = shown(width, "standard")
    assert "\x1b[36m" in coloured
    assert COLOUR.sub("", coloured) == shown(width)


@pytest.mark.parametrize("width", [1, 9, 10, 30, 60, 80, 100, 200])
def test_no_word_is_broken_and_none_is_lost_at_any_width(width):
    told = [word for code, summary in TOLD for word in [code, *summary.split()]]
    head = ["14:05:44", "opened", "INFO"]
    assert [word for word in shown(width).split() if word not in head] == told
    for line in shown(width).splitlines():
        assert len(line) <= width or len(line.split()) == 1 or line.startswith("14:05:44 ")


@pytest.mark.parametrize("terminal", [True, False])
def test_each_advisory_is_one_line_where_the_terminal_is_wide_or_there_is_none(terminal):
    assert len(shown(200, terminal=terminal).splitlines()) == len(TOLD)
    assert len(shown(60, terminal=False).splitlines()) == len(TOLD)


def test_the_lines_of_a_paragraph_are_as_long_as_the_terminal_allows():
    out = Console(file=StringIO(), width=20, soft_wrap=True)
    lines.prose(out, "Four problems are fixed.", "Problem 1 stays.")
    assert isinstance(out.file, StringIO)
    assert out.file.getvalue() == "Four problems are\nfixed. Problem 1\nstays.\n"


def test_a_wide_character_takes_two_columns():
    out = Console(file=StringIO(), width=50, force_terminal=True)
    assert lines.row(Text("14:05:44"), 8 * "東京東京東 ", out).plain.splitlines() == [
        "14:05:44 東京東京東 東京東京東 東京東京東",
        "         東京東京東 東京東京東 東京東京東",
        "         東京東京東 東京東京東",
    ]
