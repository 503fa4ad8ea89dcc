"""`watch`: which findings pass its filters, and what it says of the agents that it hears."""

from __future__ import annotations

import logging
from argparse import Namespace
from datetime import timedelta

import msgspec
import pytest
from msgspec.structs import replace
from nats.aio.msg import Msg

from kit.published import HOSTILE, openings, tell
from kit.told import AGENT, FINDINGS, NOW, finding, heartbeat, listing, status
from nats_insights import subjects
from nats_insights.commands import wanted, watch
from nats_insights.commands.leading import MOST, Leading
from nats_insights.commands.wanted import Wanted
from nats_insights.errors import RequestError
from nats_insights.tell.messages import Advisory, Entity, Heartbeat

USER = Entity(kind="user", id="u", name="app", account="APP", user="app")
SERVER = finding("SERVER_011", "warning", "n1 is nearly full")
PERSON = finding("USER_002", "info", "many connections", entity=USER)

FILTERS = {
    "no filter": ({}, {"SERVER_011", "USER_002"}),
    "the least severity": ({"severity": "info"}, {"SERVER_011", "USER_002"}),
    "a severity and worse ones": ({"severity": "warning"}, {"SERVER_011"}),
    "a severity that nothing has": ({"severity": "critical"}, set()),
    "a check": ({"codes": frozenset({"USER_002"})}, {"USER_002"}),
    "two checks": ({"codes": frozenset({"USER_002", "SERVER_011"})}, {"USER_002", "SERVER_011"}),
    "a cluster": ({"cluster": "EU"}, {"SERVER_011"}),
    "a server": ({"server": "n1"}, {"SERVER_011"}),
    "an account": ({"account": "APP"}, {"USER_002"}),
    "a user": ({"user": "app"}, {"USER_002"}),
    "two that no finding passes": ({"user": "app", "severity": "warning"}, set()),
    "the beginning of a name": ({"user": "ap"}, set()),
}


NAMED = Entity(
    kind="user", id="UKEY", name="billing", account="AKEY", account_name="APP", user="UKEY"
)


@pytest.mark.parametrize(
    "given",
    [{"account": "APP"}, {"account": "AKEY"}, {"user": "billing"}, {"user": "UKEY"}],
    ids=str,
)
def test_in_operator_mode_filters_take_names_and_keys(given):
    assert Wanted(**given).admits(finding("USER_002", "info", "many", entity=NAMED))
    assert not Wanted(**given).admits(PERSON) or given == {"account": "APP"}
    assert Wanted(**given).request == given


@pytest.mark.parametrize(("given", "codes"), FILTERS.values(), ids=FILTERS)
def test_a_finding_passes_that_has_all_that_is_asked_for(given, codes):
    assert {one.code for one in (SERVER, PERSON) if Wanted(**given).admits(one)} == codes


@pytest.mark.parametrize("name", HOSTILE)
def test_the_subject_has_what_passes(name):
    told = next(openings(HOSTILE[name]))
    advisory, sent = tell(told)
    names = {"cluster": told.life.entity.get("cluster", ""), "codes": frozenset({advisory.code})}
    parts = Wanted(**names).subject.split(".")
    assert len(parts) == 8
    assert all(one in ("*", two) for one, two in zip(parts, sent.subject.split("."), strict=True))


SUBJECTS = {
    "no filter": (Wanted(), "*.*.*.*.*.*"),
    "the worst severity": (Wanted(severity="critical"), "CRITICAL.*.*.*.*.*"),
    "several severities": (Wanted(severity="warning"), "*.*.*.*.*.*"),
    "one check": (Wanted(codes=frozenset({"A_001"})), "*.*.*.*.A_001.*"),
    "several checks": (Wanted(codes=frozenset({"A_001", "A_002"})), "*.*.*.*.*.*"),
    "a cluster": (Wanted(cluster="E U"), "*.*.E%20U.*.*.*"),
    "what no subject tells": (Wanted(server="n1", account="A", user="u"), "*.*.*.*.*.*"),
}


@pytest.mark.parametrize(("of", "end"), SUBJECTS.values(), ids=SUBJECTS)
def test_the_subject_is_as_narrow_as_it_can_be(of, end):
    assert of.subject == f"{subjects.ADVISORY}.{end}"


KNOWN = {
    "SERVER_011": "connection_count_high",
    "SERVER_003": "cpu_high",
    "IDLE_001": "server_idle",
    "ACME_001": "unnamed",
}
CODES = {
    "SERVER_011": {"SERVER_011"},
    "server_011": {"SERVER_011"},
    "cpu_high": {"SERVER_003"},
    "CPU-High": {"SERVER_003"},
    "server_*": {"SERVER_011", "SERVER_003"},
    "server_i*": {"IDLE_001"},
    "*_high": {"SERVER_011", "SERVER_003"},
    "acme_001": {"ACME_001"},
    "SERVER_01": "there is no check 'SERVER_01'; did you mean SERVER_011?",
    "cpu_hihg": "there is no check 'cpu_hihg'; did you mean cpu_high?",
    "JS_*": "there is no check 'JS_*'; `nats-insights checks` lists them",
}


@pytest.mark.parametrize(("given", "expected"), CODES.items(), ids=CODES)
def test_checks_are_named_by_code_name_or_pattern(given, expected):
    try:
        found = wanted.codes([given], KNOWN)
    except RequestError as refused:
        found = str(refused)
    assert found == expected


A, B = (replace(AGENT, id=name, instance=32 * name) for name in "ab")
REBORN = replace(A, instance=32 * "c", epoch=1)


def beat(of=A, epoch: int = 1, role: str = "leader", since: int = 0, **more) -> Heartbeat:
    """A heartbeat of an agent that leads since then; it may be silent for ten seconds."""
    return heartbeat(
        agent=replace(of, epoch=epoch, role=role),
        timestamp=NOW + timedelta(seconds=epoch),
        leading_since=NOW + timedelta(seconds=since),
        silent_after_seconds=10.0,
        **more,
    )


LOST = "it stopped, or lost its connection"
# What is heard and when, in seconds, and what is said at those times; None is to look only.
STORIES = {
    "the first one that is heard leads": ([(0, beat())], ["agent a leads"]),
    "as long as it is heard nothing is said": (
        [(0, beat()), (9, beat(epoch=2)), (18, None), (18.5, beat(epoch=3))],
        ["agent a leads"],
    ),
    "one that is silent is missed, once": (
        [(0, beat()), (10, None), (20, None)],
        ["agent a leads", f"no heartbeat of agent a for 10s: {LOST}"],
    ),
    "one that is back is named": (
        [(0, beat()), (12, None), (60, beat(epoch=2)), (61, beat(epoch=3))],
        ["agent a leads", f"no heartbeat of agent a for 12s: {LOST}", "agent a is back"],
    ),
    "an old heartbeat that comes late is none": (
        [(0, beat(epoch=5)), (12, None), (13, beat(epoch=4)), (14, beat(epoch=5))],
        ["agent a leads", f"no heartbeat of agent a for 12s: {LOST}"],
    ),
    "one that is restarted is back": (
        [(0, beat()), (12, None), (13, beat(REBORN, since=13))],
        ["agent a leads", f"no heartbeat of agent a for 12s: {LOST}", "agent a is back"],
    ),
    "one that is restarted at once is not missed": (
        [(0, beat()), (3, beat(REBORN, since=3)), (11, None), (12, beat(REBORN, 2, since=3))],
        ["agent a leads", "agent a was restarted"],
    ),
    "a standby is no leader": ([(0, beat(B, role="standby")), (60, None)], []),
    "one that is stopped is not called silent": (
        [(0, beat()), (1, beat(epoch=2, role="stopped")), (60, None)],
        ["agent a leads", "agent a was stopped"],
    ),
    "another one that takes over is named": (
        [(0, beat()), (12, None), (13, beat(B, since=13)), (14, beat(B, 2, since=13))],
        ["agent a leads", f"no heartbeat of agent a for 12s: {LOST}", "agent b leads"],
    ),
    "another one that took over before the first was missed is named": (
        [(0, beat()), (9, beat(B, since=9)), (10, None)],
        ["agent a leads", "agent b leads instead of a"],
    ),
    "of two that lead the one counts that has led for longer": (
        [(0, beat()), (1, beat(B, since=1)), (2, beat(epoch=2)), (3, beat(B, 2, since=1))],
        ["agent a leads"],
    ),
    "one that was frozen leads again": (
        [(0, beat()), (12, beat(B, since=12)), (13, beat(epoch=2))],
        ["agent a leads", "agent b leads instead of a", "agent a leads instead of b"],
    ),
    "names are safe to print": ([(0, beat(replace(A, id="\x1b[31m")))], ["agent \\x1b[31m leads"]),
}


@pytest.mark.parametrize(("heard", "said"), STORIES.values(), ids=STORIES)
def test_what_happens_to_agents_is_said_once(heard, said):
    leading, told = Leading(), []
    for now, one in heard:
        if one is not None:
            leading.hear(one, now)
        told.append(leading.news(now))
    assert [news.sentence for news in told if news] == said


WORDS = {
    "no filter": ({}, ""),
    "the least severity": ({"severity": "info"}, ""),
    "severity": ({"severity": "warning"}, "warning and worse"),
    "the worst severity": ({"severity": "critical"}, "critical"),
    "checks as they were given": ({"checks": "A_*, b", "codes": frozenset("X")}, "A_*, b"),
    "names": ({"cluster": "EU", "user": "\x1b"}, "cluster EU, user \\x1b"),
}


@pytest.mark.parametrize(("given", "words"), WORDS.values(), ids=WORDS)
def test_filters_are_said_in_words(given, words):
    assert Wanted(**given).words() == words


def test_one_that_answered_and_is_never_heard_is_missed():
    leading = Leading()
    leading.answered(A, 2.0, 0.0)
    told = [leading.news(now) for now in (0, 15, 16, 17)]
    assert [news and news.event for news in told] == [None, None, "silent", None]


def test_what_was_sent_while_the_connection_was_lost_is_not_missed():
    leading = Leading()
    leading.hear(beat(), 0.0)
    leading.news(0.0)
    leading.listen_again(60.0)
    assert [leading.news(now) for now in (60, 69)] == [None, None]
    assert leading.news(70).event == "silent"


def test_agents_are_forgotten_where_there_are_too_many():
    leading = Leading()
    for number in range(2 * MOST):
        other = replace(A, id=f"a{number}", instance=f"{number:032x}")
        leading.hear(beat(other), float(number))
    assert len(leading._beats) == MOST


@pytest.fixture(params=HOSTILE)
def hostile(request) -> Advisory:
    """An advisory of a system in which everything has a hostile name."""
    advisory, _ = tell(next(openings(HOSTILE[request.param])))
    return replace(advisory, entity=replace(advisory.entity, name=HOSTILE[request.param]))


def is_line(text: str) -> bool:
    """Whether this is one line that a terminal shows as it stands."""
    return text.endswith("\n") and text[:-1].isprintable()


def test_lines_of_json_are_safe_and_equal(hostile, capsys):
    lines = watch._JsonLines()
    watch._take(message(hostile), Wanted(), Leading(), lines)
    said = capsys.readouterr().out
    assert is_line(said)
    assert msgspec.json.decode(said, type=Advisory) == hostile


def test_findings_that_are_open_are_lines_of_json_then_their_number(capsys):
    watch._JsonLines().listed(listing(*FINDINGS), status(), Wanted())
    *findings, last = capsys.readouterr().out.splitlines()
    read = [msgspec.json.decode(line, type=watch.OpenLine) for line in findings]
    assert [(one.summary, one.agent) for one in read] == [(f.summary, AGENT) for f in FINDINGS]
    end = msgspec.json.decode(last, type=watch.AgentLine)
    assert (end.event, end.open, end.agent) == ("listed", len(FINDINGS), AGENT.id)


def message(of: object, subject: str = "S") -> Msg:
    """A message with this payload."""
    data = of if isinstance(of, bytes) else msgspec.json.encode(of)
    return Msg(_client=None, subject=subject, data=data)


NO_MESSAGES = [b"", b"\xff", b"{", b"\x1b[31m", b'{"id": "\xff"}', b"[" * 100_000]


@pytest.mark.parametrize("data", NO_MESSAGES, ids=range(len(NO_MESSAGES)))
@pytest.mark.parametrize("kind", ["advisory", "heartbeat"])
def test_a_message_that_is_none_is_logged_and_not_shown(kind, data, capsys, caplog):
    # A `check` in this process may have made it less talkative.
    caplog.set_level(logging.WARNING, logger="nats_insights")
    subject = f"$INSIGHTS.{kind.upper()}.\x1b[31m"
    watch._take(message(data, subject), Wanted(), Leading(), watch._TextLines())
    assert capsys.readouterr().out == ""
    (said,) = caplog.messages
    an = "an advisory" if kind == "advisory" else "a heartbeat"
    assert said == f"received a message on $INSIGHTS.{kind.upper()}.\\x1b[31m that is not {an}"


def test_an_advisory_that_does_not_pass_is_not_shown(capsys):
    advisory, _ = tell(next(openings()))
    watch._take(message(advisory), Wanted(cluster="NOPE"), Leading(), watch._TextLines())
    assert capsys.readouterr().out == ""


ENOUGH = {"severity": None, "code": [], "cluster": None, "account": None}


async def test_without_a_check_nobody_is_asked():
    args = Namespace(**ENOUGH, of_server="n1", of_user=None)
    assert await wanted.wanted(args, None) == Wanted(server="n1")
