"""OPT_IDLE_005: nobody has used an account for a long time."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from nats_insights.checks.opt_idle.inactive_account import inactive_account as check
from nats_insights.replies.statsz import SplitTraffic
from nats_insights.replies.statz import AccountTraffic, StatzTraffic
from nats_insights.testing import (
    DAY,
    Epochs,
    Server,
    Story,
    System,
    cluster,
    finding,
    found,
    hung,
    jetstream,
    stream,
    system,
    then,
)

OFTEN = "gather.every = { JSZ_STREAMS = 0.0, STATZ_TRAFFIC = 0.0 }\n"


def used(messages: int = 0, connections: int = 0, account: str = "OLD") -> Server:
    """A server that counted so many messages of an account, and has so many connections of it."""
    stat = AccountTraffic(
        acc=account,
        total_conns=connections,
        sent=SplitTraffic(msgs=messages),
        received=SplitTraffic(msgs=1),
    )
    return Server(5, replies={"STATZ_TRAFFIC": StatzTraffic(account_statz=[stat])})


def keeping_a_stream() -> Server:
    """A server that keeps a stream of this account."""
    keeps = jetstream(stream(account="OLD", n1=0))["n1"]
    return replace(keeps, replies=used(7).replies | keeps.replies)


def at(*servers: Server) -> System:
    return system(cluster(**{f"n{number}": one for number, one in enumerate(servers, 1)}))


def days(*looks: System) -> Epochs:
    """A look each day."""
    return then(*looks, every=DAY)


IDLE = at(used(7), used(9))
WEEK = 8 * [IDLE]
CASES = {
    "fires after a week": (days(*WEEK), {"OLD"}),
    "quiet a day before": (days(*WEEK[1:]), set()),
    "quiet with a connection on one server": (days(*7 * [IDLE], at(used(7), used(9, 1))), set()),
    "quiet with a client that stays and says nothing": (
        days(*8 * [at(used(7, 1), used(9))]),
        set(),
    ),
    "quiet with a connection in that week": (
        days(IDLE, *2 * [at(used(7, 1), used(9))], *7 * [IDLE]),
        set(),
    ),
    "quiet with a message in that week": (days(IDLE, *7 * [at(used(7), used(10))]), set()),
    "fires a week after the last message": (days(IDLE, *9 * [at(used(7), used(10))]), {"OLD"}),
    "quiet about the global account": (days(*8 * [at(used(account="$G"))]), set()),
    "quiet about the system account": (days(*8 * [at(used(account="$SYS"))]), set()),
    "quiet where it keeps a stream": (days(*8 * [at(keeping_a_stream(), used(9))]), set()),
    "quiet while a server hangs": (days(*WEEK, at(used(7), hung)), set()),
    "quiet in a week in which a server that counted for it was restarted": (
        days(*4 * [IDLE], *5 * [at(used(0), used(9))]),
        set(),
    ),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given, OFTEN) == expected


def test_an_account_that_was_never_used_is_found_too():
    never = Server(
        5, replies={"STATZ_TRAFFIC": StatzTraffic(account_statz=[AccountTraffic(acc="NEVER")])}
    )
    assert found(check, days(*8 * [at(never)]), OFTEN) == {"NEVER"}


def test_half_of_all_accounts_at_once_are_one_finding():
    stats = [AccountTraffic(acc=f"A{number}") for number in range(5)]
    given = at(Server(5, replies={"STATZ_TRAFFIC": StatzTraffic(account_statz=stats)}))
    story = Story(OFTEN, [check])
    assert story.hears(days(*8 * [given])) == ["opened OPT_IDLE_005 system"]


SETTINGS = {'window = "8d"': set(), 'window = "7d"': {"OLD"}}


@pytest.mark.parametrize(("setting", "expected"), SETTINGS.items(), ids=SETTINGS)
def test_its_parameter_can_be_set(setting, expected):
    config = f"{OFTEN}[checks.inactive_account]\n{setting}"
    assert found(check, days(*WEEK), config) == expected


def test_the_profile_insights_waits_for_a_day():
    assert found(check, days(IDLE, IDLE), f'{OFTEN}profile = "insights"') == {"OLD"}


def test_it_says_how_long():
    said = finding(check, days(*WEEK), OFTEN)
    assert said.summary == "account OLD had no connections and no messages for 7 days"
    assert (said.value, said.evidence) == (None, {"messages_before": 18})


def test_it_is_excused_until_it_can_know():
    story = Story(OFTEN, [check])
    story.hears(days(IDLE, IDLE))
    outcome = story.audit.outcomes[check.code]
    assert (outcome.why, outcome.excused) == ("needs 7d of history", True)


BACK = {
    "with a client": at(used(7, 1), used(9)),
    "in the configuration no more": at(used(account="NEW"), used(account="NEW")),
}


@pytest.mark.parametrize("after", BACK.values(), ids=BACK)
def test_it_opens_once_and_ends_with_the_account_or_its_use(after):
    story = Story(f'{OFTEN}lifecycle.remind_every = "60d"', [check])
    told = [story.hears(one, after=DAY) for one in [*WEEK, IDLE, after]]
    assert told == [*7 * [[]], ["opened OPT_IDLE_005 OLD"], [], ["resolved OPT_IDLE_005 OLD"]]
