"""Accounts that servers have loaded: each is read once in a while, a few in each epoch."""

from __future__ import annotations

import json
import math
from collections import Counter
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import nats.errors
import pytest
from msgspec.structs import replace
from nats.aio.msg import Msg

from nats_insights.check import (
    ACCOUNTZ_DETAIL,
    JSZ_STREAMS,
    STATZ,
    WARNING,
    Finding,
    JwtAccount,
    check,
)
from nats_insights.errors import Missing, TooSoon
from nats_insights.gather.accounts import read_accounts
from nats_insights.gather.asking import Asker
from nats_insights.gather.stepwise import at_once
from nats_insights.gather.window import Window
from nats_insights.model import loaded
from nats_insights.model.loaded import Detail, Import, Loaded
from nats_insights.replies import accountz
from nats_insights.replies.accountz import (
    AccountClaims,
    AccountDetail,
    DecodedJwt,
    ImportClaim,
)
from nats_insights.replies.heard import AccountOn
from nats_insights.replies.statz import AccountStat, Statz
from nats_insights.testing import account, key
from replies.recordings import VERSIONS, recorded
from scenario import Server, Story, cluster, lone, system

APP, BIG, SYS = key("APP"), key("BIG"), key("SYS")
NEEDS = (STATZ, ACCOUNTZ_DETAIL)


@check("ACCOUNTS_999", WARNING, "health", needs=NEEDS, open_after=1, resolve_after=1)
def limited(account: JwtAccount) -> Finding | None:
    """It has a limit.

    Finds: it does. Why: it matters. Do: mend it.
    """
    return Finding(summary="it has one") if account.detail.connections > 0 else None


def story(every: str = "5m") -> Story:
    return Story(f'gather.every = {{ ACCOUNTZ_DETAIL = "{every}" }}\n', [limited])


def having(conn: int = 5, **more: Server):
    """Two servers that have loaded an account with this limit, and another server."""
    servers = {name: Server(accounts=account("APP", conn=conn)) for name in ("n1", "n2")}
    return system(cluster(**servers, n3=3, **more))


def asked(told: Story) -> list[tuple[str, str]]:
    """The servers that would be asked next, and for which accounts."""
    return [(names[-1], key[0]) for key, (_, names) in told.auditor.loaded._waiting]


# --- What is read of whom.


def test_an_account_with_a_jwt_is_read_of_one_server_and_any_other_in_each_cluster():
    app = {f"n{i}": Server(users={f"{APP} app": i}, accounts=account("APP")) for i in (1, 2, 3)}
    told = story()
    told.auditor.loaded.next = lambda share: []
    told.hears(system(cluster("EU", **app, n4=2), cluster("US", n5=1, n6=2), lone(n7=1)))
    assert sorted(asked(told)) == sorted([("n3", APP), ("n4", "APP"), ("n6", "APP"), ("n7", "APP")])


def test_the_server_that_was_asked_is_asked_again_while_it_has_the_account():
    told = story()
    told.hears(having())
    (before,) = {detail.server for detail in told.auditor.loaded.accounts.values() if detail} - {
        ("C1", "n3")
    }
    other = "n1" if before[-1] == "n2" else "n2"
    busy = Server(users={f"{APP} app": 9}, accounts=account("APP", conn=5))
    given = system(cluster(**{before[-1]: Server(accounts=account("APP", conn=5)), other: busy}))
    told.hears(given, after=600)
    assert told.auditor.loaded.detail((APP, "")).server == before
    told.hears(system(cluster(**{before[-1]: 1, other: busy})), after=300)
    assert told.auditor.loaded.detail((APP, "")).server == ("C1", other)


def test_accounts_are_spread_over_servers_that_have_them():
    names = [f"A{n}" for n in range(60)]
    every = {name: one for n in names for name, one in account(n).items()}
    told = story()
    told.hears(system(cluster(n1=Server(accounts=every), n2=Server(accounts=every))))
    on = Counter(one.server[-1] for one in told.auditor.loaded.accounts.values() if one)
    assert min(on["n1"], on["n2"]) > 15


def test_it_is_read_again_only_when_it_is_due():
    told = story()
    told.hears(having(conn=5))
    assert told.found == {APP}
    told.hears(having(conn=-1))
    assert told.found == {APP}
    told.hears(having(conn=-1), after=270)
    assert told.found == set()


def test_of_many_accounts_some_are_read_in_each_epoch_and_the_oldest_first():
    names = [f"A{n}" for n in range(loaded.LEAST_AT_A_TIME + 10)]
    every = {name: one for n in names for name, one in account(n).items()}
    given, told = system(cluster(n1=Server(accounts=every))), story()

    def known():
        return sum(detail is not None for detail in told.auditor.loaded.accounts.values())

    told.hears(given)
    assert known() == loaded.LEAST_AT_A_TIME
    outcome = told.audit.outcomes["ACCOUNTS_999"]
    assert (outcome.excused, outcome.unknown) == (True, 10)
    assert outcome.why == "needs a reading of each account, a few in each epoch"
    told.hears(given)
    assert known() == len(names)
    assert told.audit.outcomes["ACCOUNTS_999"].why == ""
    first = [key[0] for key, one in told.auditor.loaded.accounts.items() if one.at < told.now]
    told.auditor.loaded.next = lambda share: []
    told.hears(given, after=600)
    assert {name for _, name in asked(told)[: len(first)]} == set(first)


SHARES = {
    (10, 0.1): 10,
    (1000, 0.1): 100,
    (1000, 0.01): loaded.LEAST_AT_A_TIME,
    (1000, 1.0): loaded.MOST_AT_A_TIME,
    (1000, 7.0): loaded.MOST_AT_A_TIME,
}


@pytest.mark.parametrize(("given", "read"), SHARES.items())
def test_the_number_of_readings_is_bounded(given, read):
    accounts, share = given
    kept = Loaded()
    at_once(kept.plan([_server(accounts)], complete=True))
    assert len(kept.next(share)) == read
    assert len(kept._waiting) == accounts - read


def _server(accounts: int, first: int = 0) -> Any:
    numbers = range(first, first + accounts)
    stats = [AccountStat(acc=key(str(number))) for number in numbers]
    replies = {"STATZ": Statz(account_statz=stats)}
    return SimpleNamespace(names=("C1", "n1"), id="N1", replies=replies)


def test_the_number_of_accounts_is_bounded(monkeypatch):
    monkeypatch.setattr(loaded, "MOST", 3)
    kept = Loaded()
    at_once(kept.plan([_server(5)], complete=True))
    assert len(kept.accounts) == 3
    # What servers do not tell any more is kept while one is silent, and counts too.
    for first in (2, 5, 9):
        at_once(kept.plan([_server(2, first)], complete=False))
        assert len(kept.accounts) == 3
        assert {(key(str(first)), ""), (key(str(first + 1)), "")} < set(kept.accounts)


# --- What is missing.


def test_an_account_that_cannot_be_read_is_missing_and_what_was_read_is_kept_for_a_while():
    told, lost = story("0s"), {("n1", "ACCOUNTZ_DETAIL"), ("n2", "ACCOUNTZ_DETAIL")}
    told.hears(having(), lost)
    assert told.audit.unknown == {("ACCOUNTS_999", (APP,)): f"ACCOUNTZ_DETAIL of {APP}"}
    told.hears(having())
    for _ in range(loaded.TRIES - 1):
        told.hears(having(), lost)
        assert told.found == {APP}
    told.hears(having(), lost)
    assert told.found == set()
    assert [life.is_open for life in told.lives.values()] == [True]
    told.hears(having())
    assert told.found == {APP}


def test_an_account_is_gone_only_when_every_server_says_so():
    told = story("0s")
    told.hears(having())
    nobody = system(cluster(n1=1, n2=1, n3=3))
    for lost in ({("n1", "STATZ")}, {("n1", "VARZ")}):
        assert told.hears(nobody, lost) == []
        assert (APP, "") in told.auditor.loaded.accounts
    assert told.hears(nobody) == [f"resolved ACCOUNTS_999 {APP}"]
    (gone,) = told.told
    assert gone.reason == "entity_gone"
    assert gone.life.summary == "no server has account APP loaded any more"


def test_after_a_restart_a_finding_stays_until_all_is_known():
    before, after = story(), story()
    before.hears(having())
    after.auditor.restore(before.auditor.known, before.now)
    after.now = before.now
    nobody = system(cluster(n1=1, n2=1, n3=3))
    assert after.hears(nobody, {("n1", "STATZ")}) == []
    assert after.hears(nobody) == []  # What n1 has loaded is known with the next plan.
    assert after.hears(nobody, after=600) == [f"resolved ACCOUNTS_999 {APP}"]


def test_a_server_that_does_not_answer_is_not_asked_for_accounts():
    told = story()
    told.hears(having())
    told.auditor.loaded.next = lambda share: [AccountOn(("C1", "n1"), "N1", APP)]
    assert len(told.auditor.due_accounts()) == 1
    told.auditor._unresponsive = frozenset({"N1"})
    assert told.auditor.due_accounts() == []


def test_what_is_not_requested_in_an_epoch_cannot_be_denied():
    told = Story(checks=[replace(limited, endpoints=(*limited.endpoints, JSZ_STREAMS))])
    told.hears(having())
    assert told.auditor.may_be_denied == {"ACCOUNTZ_DETAIL", "JSZ_STREAMS"}
    told.hears(having())
    assert told.auditor.may_be_denied == {"ACCOUNTZ_DETAIL"}


def test_without_permission_nothing_is_known():
    told = story()
    for _ in range(3):
        told.hears(having(), denied=["ACCOUNTZ_DETAIL"])
        assert told.audit.outcomes["ACCOUNTS_999"].why == "not permitted: ACCOUNTZ_DETAIL"


def test_what_is_not_needed_is_not_read():
    told = Story(checks=[])
    told.hears(having())
    assert told.auditor.loaded.accounts == {}


def test_missing_says_whether_it_will_come():
    kept = Loaded()
    at_once(kept.plan([_server(1)], complete=True))
    ((name, place),) = kept.accounts
    with pytest.raises(TooSoon):
        kept.detail((name, place))
    kept.next(1.0)
    with pytest.raises(Missing) as missing:
        kept.detail((name, place))
    assert not isinstance(missing.value, TooSoon)
    kept.take((name, place), Detail(("C1", "n1"), 1.0))
    assert kept.detail((name, place)).at == 1.0
    assert kept.unseen((name, place)) == ""
    kept.take(("another", ""), Detail(("C1", "n1"), 1.0))
    assert list(kept.accounts) == [(name, place)]


def test_failed_readings_of_an_account_that_is_gone_are_forgotten():
    kept = Loaded()
    for _ in range(loaded.TRIES):
        at_once(kept.plan([_server(1)], complete=True))
        kept.next(1.0)
    assert kept.stale == set(kept.accounts) != set()
    at_once(kept.plan([_server(0)], complete=True))
    at_once(kept.plan([_server(1)], complete=True))
    with pytest.raises(TooSoon):
        kept.detail(*kept.accounts)


def test_those_are_read_first_that_were_read_longest_ago():
    kept = Loaded()
    at_once(kept.plan([_server(4)], complete=True))
    keys = list(kept.accounts)
    for name, at in zip(keys, (5.0, 1.0, 9.0), strict=False):
        kept.take(name, Detail(("C1", "n1"), at))
    at_once(kept.plan([_server(4)], complete=True))
    first = [keys[3], keys[1], keys[0], keys[2]]
    assert [(one.account, "") for one in kept.next(1.0)] == first


def test_why_an_import_is_not_in_force_is_not_known_before_all_servers_told():
    kept = Loaded()
    at_once(kept.plan([_server(1)], complete=False))
    assert kept.why_inactive(Import(APP, "stream", "a", ""), 5.0) == ""
    at_once(kept.plan([_server(1)], complete=True))
    assert kept.why_inactive(Import(APP, "stream", "a", ""), 5.0) != ""


def test_a_jwt_that_does_not_expire_has_forever_left():
    told = story()
    told.hears(having())
    (account,) = JwtAccount.all(told.snapshot)
    assert account.days_left == math.inf
    assert account.expires == ""


# --- What is kept of a reply.


def test_a_wildcard_of_an_import_that_renames_is_one_in_the_subject():
    claim = ImportClaim(account=APP, type="service", subject="old.*", to="svc.$1.x")
    jwt = DecodedJwt(nats=AccountClaims(imports=[claim]))
    valid = accountz.Import(account=APP, type="service", subject="svc.*.x", local_subject="old.*")
    told = AccountDetail(imports=[valid], decoded_jwt=jwt)
    detail = loaded.read(told, ("C1", "n1"), 5.0, "SYS")
    assert detail.inactive == ()
    assert [(one.subject, one.local) for one in detail.imports] == [("svc.*.x", "old.*")]


def details(version: str) -> dict[str, Any]:
    """The recorded accounts by the name in their JWT, or their own without one."""
    found = {}
    for payload in recorded(version, "ACCOUNTZ_DETAIL"):
        _, told = ACCOUNTZ_DETAIL.decode(payload)
        one = told.account_detail
        name = one.decoded_jwt.name if one.decoded_jwt else f"plain {one.account_name}"
        found[name] = loaded.read(one, ("", "n1"), 5.0, told.system_account)
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_the_jwt_of_an_account_is_understood(version):
    app, brief = details(version)["APP"], details(version)["BRIEF"]
    assert (app.connections, app.leafnodes, app.subscriptions) == (5, 0, 3)
    assert (app.server, app.at, app.expired, brief.expired) == (("", "n1"), 5.0, False, True)
    assert datetime.fromtimestamp(app.issued, UTC).year == 2026
    assert 29.9 < app.life_days <= 30.1
    assert (brief.connections, brief.expires - brief.issued <= 5) == (-1, True)
    assert 3000 < app.size < 8000


@pytest.mark.parametrize("version", VERSIONS)
def test_imports_that_are_not_in_force_are_told_from_those_that_are(version):
    app = details(version)["APP"]
    imports = app.imports
    assert {(one.type, one.subject, one.local): one not in app.inactive for one in imports} == {
        ("service", "svc.a", "my.a"): True,
        ("service", "svc.b", "old.b"): True,
        ("service", "svc.*.x", "w.$1"): True,
        ("stream", "str.a", "l.a"): True,
        ("stream", "str.b", "pre"): True,
        ("stream", "priv.d", ""): True,
        ("stream", "priv.b", ""): False,
        ("stream", "priv.a", ""): False,
        ("service", "none.a", ""): False,
        ("stream", "g.a", ""): False,
    }
    tokens = {one.subject: one.expires > 0 for one in imports if one.activated}
    assert tokens == {"priv.d": True, "priv.b": True}
    assert max(one.expires for one in imports if one.subject == "priv.b") < 2_000_000_000


@pytest.mark.parametrize("version", VERSIONS)
def test_accounts_without_a_jwt_have_imports_and_exports_too(version):
    app, exporter = details(version)["plain APP"], details(version)["plain EXP"]
    assert {(one.account, one.subject) for one in app.imports} == {
        ("EXP", "svc.a"),
        ("EXP", "priv.>"),
    }
    assert (app.connections, app.size, app.expires) == (-1, 0, 0)
    assert {(one.type, one.subject, one.private) for one in exporter.exports} == {
        ("service", "svc.>", False),
        ("stream", "priv.>", True),
    }


@pytest.mark.parametrize("version", VERSIONS)
def test_an_export_that_needs_a_token_is_private(version):
    assert {(one.subject, one.private) for one in details(version)["EXP"].exports} == {
        ("svc.>", False),
        ("str.*", False),
        ("priv.>", True),
    }


# --- The requests.


class Answering(Asker):
    """An asker whose requests are answered as a server would, or as `spoiled` says."""

    def __init__(self, spoiled: Any = None) -> None:
        self.spoiled = spoiled
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self.denied: set[str] = set()
        self.timeout = 1.0

    def expect(self, endpoint: Any, replies: int) -> int:
        return 100

    async def ask(
        self, endpoint: Any, server_id: str, body: Any = None, timeout: Any = None
    ) -> Msg:
        name = json.loads(body)["account"]
        self.asked.append(name)
        reply: Any = {
            "server": {"id": server_id},
            "data": {"account_detail": {"account_name": name}},
        }
        if self.spoiled is not None:
            reply = self.spoiled(reply)
        return Msg(None, data=json.dumps(reply).encode())  # type: ignore[arg-type]

    def complain(self, endpoint: Any, whose: str, problem: object) -> None:
        self.complaints.append(str(problem))


async def reading(server: Answering, count: int = 3) -> list[str]:
    """The accounts that were taken."""
    wanted = [AccountOn(("C1", "n1"), "N1", f"A{n}") for n in range(count)]
    taken: list[str] = []
    await read_accounts(
        wanted,
        server,
        Window(1000),
        lambda one, told: taken.append(told.account_detail.account_name),
    )
    return taken


async def test_each_account_is_requested_once():
    server = Answering()
    assert await reading(server) == ["A0", "A1", "A2"]
    assert server.asked == ["A0", "A1", "A2"]


async def test_the_reply_of_another_server_is_not_taken():
    server = Answering(lambda reply: reply | {"server": {"id": "N2"}})
    assert await reading(server, 1) == []
    assert server.complaints == ["another server's reply"]


async def test_an_account_that_is_not_loaded_any_more_is_not_taken():
    error = {"code": 500, "description": "Account A0 does not exist"}
    server = Answering(lambda reply: {"server": reply["server"], "error": error})
    assert await reading(server, 1) == []
    assert server.complaints == ["ACCOUNTZ_DETAIL answered with error 500 and no data"]


async def test_after_some_timeouts_no_more_is_requested():
    def silent(reply: Any) -> Any:
        raise nats.errors.TimeoutError

    server = Answering(silent)
    assert await reading(server, 100) == []
    assert 8 <= len(server.asked) <= 16


async def test_without_permission_no_more_is_requested():
    server = Answering()
    server.denied.add("ACCOUNTZ_DETAIL")
    assert await reading(server) == []
    assert server.asked == []
