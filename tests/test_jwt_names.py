"""In operator mode accounts and users are keys: findings show the names of their JWTs."""

from __future__ import annotations

import json

import msgspec
import pytest

from kit.published import AGENT, BY_CODE, tell
from nats_insights.checks.conn.client_pending_pressure import client_pending_pressure
from nats_insights.commands import show
from nats_insights.facts import Access, Cost
from nats_insights.gather.stepwise import at_once
from nats_insights.judge.auditor import Auditor, Known
from nats_insights.judge.naming import MOST_USERS
from nats_insights.model import jwt_names
from nats_insights.replies.jsz import AccountDetail
from nats_insights.tell import queries
from nats_insights.tell.view import View
from scenario import FOUNDING, Server, Story, cluster, dead, row, system

APP, OTHER = "A" + 55 * "P", "A" + 55 * "Q"
WEB, CRON = "U" + 55 * "W", "U" + 55 * "C"
QUIET = "checks.account_connection_concentration.min_connections = 10_000\n"
SOMEBODY = Access(mode="system", account="S", user="u")
NAMES = {APP: "APP", OTHER: "APP", WEB: "web", CRON: "cron"}
USERS, ACCOUNTS = "USER_002", "OPT_BALANCE_006"


def three(names=NAMES, version="2.15.1", **users):
    """A cluster whose first server has these users; `WEB_APP=5` is five connections of WEB."""
    keys = {"WEB": WEB, "CRON": CRON, "APP": APP, "OTHER": OTHER}
    held = {" ".join(keys[part] for part in who.split("_")[::-1]): n for who, n in users.items()}
    return system(
        cluster(
            n1=Server(users=held, names=names, version=version),
            n2=Server(version=version),
            n3=Server(version=version),
        )
    )


def story(config="", *codes):
    """An agent with these checks. It reads account statistics, which name accounts."""
    more = "" if ACCOUNTS in codes else QUIET
    return Story(more + config, [BY_CODE[code] for code in {*codes, ACCOUNTS}])


def heard(*systems, codes, config=""):
    """All that an agent with these checks publishes."""
    told = story(config, *codes)
    said = []
    for one in systems:
        told.hears(one)
        said += [tell(item) for item in told.told]
    return said


def test_a_user_and_its_account_have_names_when_the_finding_opens():
    ((made, sent),) = heard(three(WEB_APP=101), codes=[USERS])
    entity = made.entity
    assert (made.transition, entity.id, entity.name) == ("opened", WEB, "web")
    assert (entity.account, entity.account_name, entity.user) == (APP, "APP", WEB)
    assert made.summary == "user web of account APP holds 101 connections"
    assert "connections of web in APP first" in made.remediation
    assert f".ACCOUNT._.{APP}.{USERS}." in sent.subject


def test_an_account_has_its_name():
    ((made, _),) = heard(three(WEB_APP=99), three(WEB_APP=99), codes=[ACCOUNTS])
    entity = made.entity
    assert (entity.id, entity.name, entity.account_name) == (APP, "APP", "APP")
    assert made.summary == "n1 holds 99 of the 99 connections of account APP in C1"


def test_without_names_the_keys_are_shown():
    ((made, _),) = heard(three({}, WEB_APP=101), codes=[USERS])
    assert (made.entity.id, made.entity.name, made.entity.account_name) == (WEB, WEB, "")
    assert made.summary == f"user {WEB} of account {APP} holds 101 connections"


def test_a_server_that_hides_the_token_leaves_the_key():
    ((made, _),) = heard(three(NAMES | {WEB: ""}, WEB_APP=101), codes=[USERS])
    assert (made.entity.name, made.entity.account_name) == (WEB, "APP")


def test_servers_before_2_11_do_not_name_accounts():
    ((made, _),) = heard(three(version="2.10.26", WEB_APP=101), codes=[USERS])
    assert (made.entity.name, made.entity.account_name) == ("web", "")
    assert made.summary == f"user web of account {APP} holds 101 connections"


def test_a_name_that_becomes_known_changes_neither_fingerprint_nor_subject():
    told = story("lifecycle.remind_every = '1s'", USERS, ACCOUNTS)
    before, after = [], []
    for names, said in (({}, before), ({}, before), (NAMES, after)):
        told.hears(three(names, WEB_APP=101))
        said += [tell(item) for item in told.told]
    last = {made.fingerprint: (made, sent) for made, sent in before}
    assert len(last) == len(after) == 2
    for made, sent in after:
        was, there = last[made.fingerprint]
        assert sent.subject == there.subject
        assert (was.entity.id, was.entity.account) == (made.entity.id, made.entity.account)
        assert was.entity.name in (WEB, APP)
        assert made.entity.name in ("web", "APP")


def test_an_account_that_is_renamed_keeps_its_finding():
    told = story("lifecycle.remind_every = '1s'", ACCOUNTS)
    assert told.hears(three(WEB_APP=50)) == []
    assert told.hears(three(WEB_APP=50)) == [f"opened {ACCOUNTS} {APP} C1"]
    assert told.hears(three(NAMES | {APP: "SHOP"}, WEB_APP=50)) == [f"reminded {ACCOUNTS} {APP} C1"]
    assert "account SHOP in C1" in told.told[0].life.summary


def test_two_accounts_of_one_name_are_two_entities():
    told = story("", USERS)
    told.hears(three(WEB_APP=101, WEB_OTHER=102))
    made = [tell(item)[0] for item in told.told]
    assert {one.entity.account_name for one in made} == {"APP"}
    assert {one.entity.account for one in made} == {APP, OTHER}
    assert len({one.fingerprint for one in made}) == 2


def test_a_name_is_read_once_and_stays_as_long_as_the_finding():
    told = story("lifecycle.remind_every = '1s'", USERS)
    told.hears(three(WEB_APP=101))
    told.hears(three({}, WEB_APP=101))
    assert told.told[0].life.entity["name"] == "web"
    told.hears(three({}, WEB_APP=101), lost={("n1", "CONNZ")})
    assert told.told[0].life.entity["name"] == "web"
    told.hears(three({}, WEB_APP=1))
    told.hears(three({}, WEB_APP=1))
    assert told.told[0].transition == "resolved"
    assert tell(told.told[0])[0].entity.name == "web"
    told.hears(three({}, WEB_APP=1))
    assert told.auditor.jwt_names.users == {}


def test_what_is_gone_is_told_by_its_name():
    told = story("", USERS)
    told.hears(three(WEB_APP=101))
    told.hears(three(CRON_APP=1))
    told.hears(three(CRON_APP=1))
    ((made, _),) = [tell(item) for item in told.told]
    assert made.summary == "user web of account APP has no connections any more"


def test_the_users_with_most_connections_are_named_first():
    digits = str.maketrans("0123456789", "ABCDEFGHIJ")
    keys = [f"U{number:055}".translate(digits) for number in range(150)]
    names = {key: f"u{number}" for number, key in enumerate(keys)}
    users = {f"{APP} {key}": 200 + number for number, key in enumerate(keys)}
    many = system(cluster(n1=Server(users=users, names=names)))
    told = story("", USERS)
    told.hears(many)
    first = {name for (_, _), name in told.auditor.jwt_names.users.items()}
    assert first == {f"u{number}" for number in range(150 - MOST_USERS, 150)}
    told.hears(many)
    assert {life.entity["name"] for life in told.lives.values()} == {*names.values()}


def test_another_process_knows_the_names_of_its_findings():
    told = story("", USERS)
    told.hears(three(WEB_APP=101))
    said = msgspec.json.decode(msgspec.json.encode(told.auditor.known), type=Known)
    other = Auditor(told.auditor.checks, told.auditor.config)
    other.restore(said, told.now)
    told.auditor = other
    told.hears(three({}, WEB_APP=150))
    assert told.told[0].life.summary == "user web of account APP holds 150 connections"


# --- Overrides.


def limit(match, connections):
    return f"""
[[override]]
match = {match}
excessive_user_connections.max_connections = {connections}
"""


MATCHES = {
    "the user's name": "{ user = 'web' }",
    "the user's key": f"{{ user = '{WEB}' }}",
    "the account's name": "{ account = 'APP' }",
    "the account's key": f"{{ account = '{APP}' }}",
    "both names": "{ user = 'w*', account = 'A?P' }",
    "a name and a key": f"{{ user = '{WEB}', account = 'APP' }}",
}


@pytest.mark.parametrize("match", MATCHES.values(), ids=MATCHES)
def test_an_override_matches_by_name_or_key(match):
    assert heard(three(WEB_APP=150), config=limit(match, 200), codes=[USERS]) == []
    ((made, _),) = heard(three(WEB_APP=25), config=limit(match, 20), codes=[USERS])
    assert (made.value, made.threshold) == (25, 20)


@pytest.mark.parametrize("match", ["{ user = 'cron' }", "{ account = 'B' }", "{ user = 'we' }"])
def test_another_name_does_not_match(match):
    ((made, _),) = heard(three(WEB_APP=150), config=limit(match, 200), codes=[USERS])
    assert made.threshold == 100


def test_a_user_whose_name_may_match_is_unknown_until_it_was_read():
    told = story(limit("{ user = 'web' }", 200), USERS)
    assert told.hears(three({}, WEB_APP=150)) == []
    assert told.auditor.outcomes[USERS].why == f"the name of user {WEB}"
    assert told.hears(three(NAMES | {WEB: "cron"}, WEB_APP=150)) == [f"opened {USERS} {APP} {WEB}"]


def test_a_user_whose_name_is_hidden_matches_by_its_key_only():
    told = story(limit("{ user = 'web' }", 200), USERS)
    assert told.hears(three({WEB: ""}, WEB_APP=150)) == [f"opened {USERS} {APP} {WEB}"]
    told = story(limit(f"{{ user = '{WEB}' }}", 200), USERS)
    assert told.hears(three({WEB: ""}, WEB_APP=150)) == []


def test_no_name_is_needed_where_the_account_does_not_match():
    told = story(limit(f"{{ user = 'web', account = '{OTHER}' }}", 200), USERS)
    assert told.hears(three({}, WEB_APP=150)) == [f"opened {USERS} {APP} {WEB}"]


def test_an_override_follows_an_account_that_is_renamed():
    told = story(limit("{ account = 'SHOP' }", 200), USERS)
    assert told.hears(three(WEB_APP=150)) == [f"opened {USERS} {APP} {WEB}"]
    renamed = three(NAMES | {APP: "SHOP"}, WEB_APP=150)
    assert told.hears(renamed) + told.hears(renamed) == [f"resolved {USERS} {APP} {WEB}"]


# --- Filters and evidence.


def view(told, access=SOMEBODY):
    return View.of(told.auditor, AGENT, access, Cost(), 2**20)


def found(told, **wanted):
    """What FINDINGS answers: accounts by key."""
    reply = json.loads(queries.answer(view(told), "FINDINGS", json.dumps(wanted).encode()))
    return [one["entity"]["account"] for one in reply["findings"]]


def test_findings_are_filtered_by_the_name_or_the_key_of_an_account():
    told = story("", USERS)
    told.hears(three(NAMES | {OTHER: "B"}, WEB_APP=101, WEB_OTHER=102))
    assert found(told, account="APP") == found(told, account=APP) == [APP]
    assert found(told, account="B") == found(told, account=OTHER) == [OTHER]
    assert found(told, account="web") == []
    told.hears(three(CRON_APP=1))
    told.hears(three(CRON_APP=1))
    assert found(told, account="B", state="resolved") == [OTHER]


def test_evidence_has_the_name_of_an_account_beside_its_key():
    slow = row(account=APP, authorized_user=WEB, pending_bytes=2**21, cid=7)
    told = Story("", [client_pending_pressure])
    told.hears(system(cluster(n1=Server(rows=(slow,), names=NAMES))))
    (one,) = told.audit.found.values()
    (client,) = json.loads(bytes(one.evidence))["connections"]["top"]
    assert (client["account"], client["account_name"], client["user"]) == (APP, "APP", WEB)
    assert one.finding.summary.endswith("for a client of account APP")


def test_streams_name_accounts_where_statistics_do_not():
    told = story("lifecycle.remind_every = '1s'", USERS)
    old = three(version="2.10.26", WEB_APP=101)
    told.hears(old)
    assert told.told[0].life.entity.get("account_name") is None
    detail = AccountDetail(id=APP, name="APP")
    at_once(told.auditor.take_streams(("C1", "n1"), [detail]))
    told.hears(old)
    assert told.told[0].life.summary == "user web of account APP holds 101 connections"


def test_a_list_of_findings_shows_the_beginnings_of_keys(capsys):
    told = story("", USERS, ACCOUNTS)
    told.hears(three(WEB_APP=101, CRON_OTHER=5))
    told.hears(three(WEB_APP=101, CRON_OTHER=5))
    show.findings(queries.findings(view(told)))
    printed = capsys.readouterr().out
    assert f"web {WEB[:8]}… (APP {APP[:8]}…)" in printed
    assert f"APP {APP[:8]}… (C1)" in printed
    assert WEB not in printed


def test_status_shows_the_names_of_the_agent_itself(capsys):
    told = story("", USERS)
    told.hears(three(WEB_APP=1))
    access = Access(mode="system", account=APP, user=WEB, account_name="SYS", user_name="agent")
    show.status(queries.status(view(told, access)))
    assert f"user agent {WEB[:8]}… of account SYS {APP[:8]}…" in capsys.readouterr().out


def test_names_in_a_configuration_are_no_keys():
    told = Story("", FOUNDING.values())
    told.hears(system(cluster(n1=Server(users={"APP web": 101}, names={"APP": "x", "web": "y"}))))
    assert (told.auditor.jwt_names.accounts, told.auditor.jwt_names.users) == ({}, {})


def test_a_server_that_died_keeps_no_name_from_being_read():
    there = three(WEB_APP=101)
    told = story("", USERS)
    told.hears(there)
    gone = system(cluster(n1=dead, n2=Server(users={f"{APP} {CRON}": 120}, names=NAMES), n3=0))
    told.hears(gone)
    assert told.auditor.jwt_names.users[APP, CRON] == "cron"


def test_the_names_of_accounts_are_bounded(monkeypatch):
    monkeypatch.setattr(jwt_names, "MOST", 2)
    names = jwt_names.JwtNames()
    keys = [f"A{letter * 55}" for letter in "BCD"]
    for number, key in enumerate(keys, 1):
        names.begin()
        names.take_account(key, f"account {number}")
    assert len(names.accounts) == 3
    names.begin()
    assert names.accounts == {}
