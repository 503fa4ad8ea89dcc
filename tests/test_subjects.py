"""Subjects: any name becomes one token, by the rule that subscribers rely on."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nats_insights import subjects

PERMISSIONS = Path(__file__).parents[1] / "examples" / "servers" / "agent-permissions.conf"
TOKENS = {
    "a plain name": ("n1", "n1"),
    "what stays as it is": ("Az09-_@:/+=", "Az09-_@:/+="),
    "an account key": ("A" + 55 * "B", "A" + 55 * "B"),
    "nothing": ("", "_"),
    "an underscore": ("_", "%5F"),
    "two underscores": ("__", "__"),
    "a dot": ("a.b", "a%2Eb"),
    "a blank": ("a b", "a%20b"),
    "wildcards": ("*>", "%2A%3E"),
    "the system's sign": ("$G", "%24G"),
    "a tilde": ("~", "%7E"),
    "a percent sign": ("%41", "%2541"),
    "two bytes": ("é", "%C3%A9"),
    "four bytes": ("🐇", "%F0%9F%90%87"),
    "control characters": ("\0\r\n\x7f", "%00%0D%0A%7F"),
    "half a surrogate pair": ("\ud800", "%ED%A0%80"),
    "128 characters": (128 * "a", 128 * "a"),
    "129 characters": (129 * "a", 96 * "a" + "~c12cb024a2e5551c"),
    "a cut within an encoded byte": (95 * "a" + 20 * "é", 95 * "a" + "~cbaf05a1cc450848"),
    "a cut after the first sign of one": (94 * "a" + 20 * "é", 94 * "a" + "~a1a40b6757b6805f"),
    "5,000 dots": (5000 * ".", 32 * "%2E" + "~86b16aaef726b8b4"),
}


@pytest.mark.parametrize(("name", "expected"), TOKENS.values(), ids=TOKENS)
def test_a_name_is_one_token(name, expected):
    assert subjects.token(name) == expected


NAMES = st.text(st.characters(), max_size=300) | st.text("a_%~.", max_size=200)


@settings(max_examples=150, deadline=None)
@given(NAMES)
def test_a_token_is_short_and_safe(name):
    token = subjects.token(name)
    assert 1 <= len(token.encode()) <= 128
    assert re.fullmatch(r"(?:[A-Za-z0-9\-_@:/+=]|%[0-9A-F]{2})+(?:~[0-9a-f]{16})?", token)


@settings(max_examples=150, deadline=None)
@given(NAMES)
def test_a_token_tells_its_name(name):
    token = subjects.token(name)
    if "~" not in token:
        told = unquote("" if token == "_" else token, errors="surrogatepass")
        assert told == name


def test_long_names_that_begin_alike_are_two_tokens():
    assert len({subjects.token(500 * "a" + end) for end in ("", "a", "b")}) == 3


SUBJECTS = {
    "$INSIGHTS.ADVISORY.WARNING.SERVER.EU.n1.SERVER_011.0f": subjects.advisory(
        "warning", "SERVER", "EU", "n1", "SERVER_011", "0f"
    ),
    "$INSIGHTS.ADVISORY.INFO.ACCOUNT._.APP.USER_002.0f": subjects.advisory(
        "info", "ACCOUNT", "", "APP", "USER_002", "0f"
    ),
    "$INSIGHTS.ADVISORY.CRITICAL.SYSTEM._._.AGENT_001.0f": subjects.advisory(
        "critical", "SYSTEM", "", "", "AGENT_001", "0f"
    ),
    "$INSIGHTS.HEARTBEAT.my%2Ehost": subjects.heartbeat("my.host"),
    "INSIGHTS.API.STATUS": subjects.api("STATUS"),
    "$SRV.PING.insights-agent": subjects.PING_SERVICE,
    "$SYS.REQ.SERVER.PING.VARZ": subjects.server_request("VARZ"),
    "$SYS.REQ.SERVER.NABC.CONNZ": subjects.server_request("CONNZ", "NABC"),
    "$SYS.REQ.ACCOUNT.PING.STATZ": subjects.server_request("STATZ"),
}


@pytest.mark.parametrize(("expected", "subject"), SUBJECTS.items(), ids=SUBJECTS)
def test_a_subject_is_spelt(expected, subject):
    assert subject == expected


@settings(max_examples=50, deadline=None)
@given(NAMES, NAMES)
def test_no_name_makes_a_subject_too_long_or_of_other_parts(cluster, name):
    subject = subjects.advisory("critical", "ACCOUNT", cluster, name, "OPT_BALANCE_006", 32 * "0")
    assert len(subject.encode()) < 1000
    assert subject.count(".") == 7


@pytest.mark.parametrize(
    ("denied", "allowed"),
    [
        (subjects.server_request("VARZ", "NCBMX"), "$SYS.REQ.SERVER.*.VARZ"),
        (subjects.server_request("VARZ"), "$SYS.REQ.SERVER.*.VARZ"),
        (subjects.server_request("STATZ"), "$SYS.REQ.ACCOUNT.PING.STATZ"),
        ("$SYS.REQ.SERVER.PING", "$SYS.REQ.SERVER.PING"),
        (subjects.USER_INFO, "$SYS.REQ.USER.INFO"),
        (subjects.EVENTS[0], "$SYS.SERVER.*.SHUTDOWN"),
        (subjects.api("STATUS"), "INSIGHTS.API.*"),
        (subjects.advisory("info", "SERVER", "C", "n", "X_001", "f"), "$INSIGHTS.>"),
        (subjects.heartbeat("agent"), "$INSIGHTS.>"),
        ("$INSIGHTS.HEARTBEAT.*", "$INSIGHTS.HEARTBEAT.*"),
        ("$INSIGHTS.ADVISORY.>", "$INSIGHTS.ADVISORY.>"),
        (subjects.PING_SERVICE, "$SRV.PING.insights-agent"),
        ("$SRV.INFO.insights-agent.HBV7", "$SRV.>"),
    ],
)
def test_what_is_to_be_allowed_is_a_line_of_the_list_of_permissions(denied, allowed):
    assert subjects.permission(denied) == allowed
    assert f'  "{allowed}"\n' in PERMISSIONS.read_text()


@pytest.mark.parametrize("what", ["CREATE", "MSG.NEXT", "DELETE"])
def test_consumers_are_allowed_whatever_their_name(what):
    asked = f"$JS.hub.API.CONSUMER.{what}.INSIGHTS.insights-1.$INSIGHTS.ADVISORY.*"
    assert subjects.permission(asked) == f"$JS.hub.API.CONSUMER.{what}.INSIGHTS.>"
    assert subjects.permission("$JS.API.STREAM.INFO.INSIGHTS") == "$JS.API.STREAM.INFO.INSIGHTS"


def test_what_stands_in_no_list_is_to_be_allowed_as_it_is():
    assert subjects.permission("billing.orders") == "billing.orders"


COVERED = {
    ("a.b", "a.b"): True,
    ("a.b", "a.c"): False,
    ("a.*", "a.b"): True,
    ("a.*", "a.*"): True,
    ("a.b", "a.*"): False,
    ("a.*", "a.>"): False,
    ("a.*", "a.b.c"): False,
    ("a.>", "a.b.c"): True,
    ("a.>", "a.*.c"): True,
    ("a.>", "a.>"): True,
    ("a.>", "a"): False,
    ("a.>", "b.c"): False,
    (">", "a"): True,
    ("a.*.>", "a.>"): False,
}


@pytest.mark.parametrize(("pair", "covered"), COVERED.items())
def test_which_subjects_are_part_of_another_one(pair, covered):
    assert subjects.covers(*pair) is covered


@pytest.mark.parametrize(
    ("subject", "sent"),
    [
        ("$SYS.REQ.SERVER.PING.VARZ", "mon.req.SERVER.PING.VARZ"),
        ("$SYS.REQ.ACCOUNT.PING.STATZ", "mon.req.ACCOUNT.PING.STATZ"),
        ("$SYS.REQ.USER.INFO", "$SYS.REQ.USER.INFO"),
        ("$SYS.REQ.SERVERS.X", "$SYS.REQ.SERVERS.X"),
        ("$SYS.SERVER.*.SHUTDOWN", "$SYS.SERVER.*.SHUTDOWN"),
        ("INSIGHTS.API.STATUS", "INSIGHTS.API.STATUS"),
    ],
)
def test_how_an_account_sends_requests_that_it_imports(subject, sent):
    assert subjects.requests_of("mon.req", subject) == sent
    assert subjects.requests_of(subjects.SYS_REQ, subject) == subject


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("agent-1_a", "agent-1_a"),
        ("", "_"),
        ("_", "=5F"),
        ("a.b", "a=2Eb"),
        ("=5F", "=3D5F"),
        ("a/b:c@d", "a=2Fb=3Ac=40d"),
        ("é", "=C3=A9"),
    ],
)
def test_a_name_in_a_key_has_only_what_clients_take(name, expected):
    assert subjects.key(name) == expected


def test_a_long_name_in_a_key_is_cut_between_its_bytes_and_stays_its_own():
    keys = {subjects.key(95 * "a" + tail * "é") for tail in range(20, 24)}
    assert len(keys) == 4
    assert all(re.fullmatch(r"a{95}/[0-9a-f]{16}", key) for key in keys)
    assert subjects.key(128 * "a") == 128 * "a"
