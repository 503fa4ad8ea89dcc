"""Folds: what is remembered of connection rows, exact or known to be short of something."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nats_insights.errors import DeclarationError
from nats_insights.model.fold import (
    CAP,
    Sweep,
    Tally,
    by_user,
    fold,
    local_subscriptions,
    row_fields,
)
from nats_insights.model.ledger import Ledger
from nats_insights.replies.connz import Connection, Page, PageDecoder
from nats_insights.replies.fields import ServerInfo

WHO = ServerInfo(name="n1", id="N1")


def row(cid: int, user: str = "app", account: str = "APP", **more: Any) -> Connection:
    """One client row."""
    return Connection(
        **{"cid": cid, "kind": "Client", "account": account, "authorized_user": user, **more}
    )


def sweep(*pages: list[Connection], total: int | None = None, bad: int = 0) -> Sweep:
    """All pages of one server, whose total is told on each."""
    swept = Sweep({by_user: None, local_subscriptions: None}, frozenset({"SYS"}))
    for rows in pages:
        told = sum(map(len, pages)) if total is None else total
        swept.page(Page(WHO, rows, told, bad))
    return swept


# --- Tally.


def tally(counts: dict[Any, int]) -> Tally:
    """A tally that counted these."""
    made = Tally()
    for key, count in counts.items():
        made[key] += count
    return made


def counted(tally: Tally) -> dict[Any, int]:
    return dict(tally.items())


counts = st.dictionaries(st.integers(0, 60), st.integers(1, 9), max_size=60)


@settings(max_examples=50, deadline=None)
@given(st.lists(counts, max_size=5), st.integers(1, 10))
def test_a_tally_lacks_no_more_than_it_says(parts, cap):
    true, tally = Counter(), Tally()
    for part in parts:
        true.update(part)
        tally.update(Counter(part).elements())
        tally.bound(cap)
    assert len(tally) <= 2 * cap
    assert all(0 <= true[key] - tally[key] <= tally.error for key in true)


def test_a_tally_drops_the_rarest_and_counts_them():
    held = tally({"often": 9, "twice": 2, "also twice": 2, "once": 1, "only once": 1})
    held.bound(2)
    assert (counted(held), held.error, held.dropped) == ({"often": 9}, 2, 4)


def test_a_tally_keeps_what_it_may():
    held = tally({"a": 9, "b": 8, "c": 1, "d": 1, "e": 1})
    held.bound(2)
    assert (counted(held), held.error) == ({"a": 9, "b": 8}, 1)


def test_a_tally_within_its_bound_lacks_nothing():
    held = tally(dict.fromkeys("abcd", 1))
    held.bound(2)
    assert (len(held), held.error, held.dropped) == (4, 0, 0)


def test_a_large_count_survives_a_flood_of_names():
    tally = Tally()
    for epoch in range(20):
        tally.update([f"name {epoch} {n}" for n in range(100)] + ["leak"] * 10)
        tally.bound(50)
    assert tally["leak"] == 200


@fold("cid")
def too_many(rows: list[Connection], tally: Tally, params: object) -> None:
    """More keys than may be held for any time."""
    tally.update(range(2 * CAP + 1))


def test_a_page_that_names_too_many_is_bounded_at_once():
    swept = Sweep({too_many: None}, frozenset())
    swept.page(Page(WHO, [row(1)], 1))
    assert len(swept.parts[too_many]) <= 2 * CAP


# --- The shared folds.


def test_connections_are_counted_by_account_and_user():
    swept = sweep([row(1), row(2), row(3, "bob"), row(4, "app", "B")])
    assert counted(swept.parts[by_user]) == {("APP", "app"): 2, ("APP", "bob"): 1, ("B", "app"): 1}


ANONYMOUS = {
    "no user": (row(1, ""), False),
    "the name that servers make up in $G": (row(1, "nats-a1B2c3D4", "$G"), False),
    "the same in another account": (row(1, "nats-a1B2c3D4", "APP"), True),
    "a shorter name": (row(1, "nats-a1B2c3D", "$G"), True),
    "a longer name": (row(1, "nats-a1B2c3D45", "$G"), True),
    "a name with a sign": (row(1, "nats-a1B2-3D4", "$G"), True),
    "a real user of $G": (row(1, "bob", "$G"), True),
}


@pytest.mark.parametrize(("given", "expected"), ANONYMOUS.values(), ids=ANONYMOUS)
def test_anonymous_clients_are_nobodys(given, expected):
    assert bool(len(sweep([given]).parts[by_user])) is expected


NO_CLIENTS = {
    "the system account": row(1, account="SYS", subscriptions=5),
    "a leaf node": row(1, kind="Leafnode", subscriptions=5),
    "a router": row(1, kind="Router", subscriptions=5),
}


@pytest.mark.parametrize("given", NO_CLIENTS.values(), ids=NO_CLIENTS)
def test_no_fold_sees(given):
    parts = sweep([given]).parts
    assert (counted(parts[by_user]), parts[local_subscriptions]["subscriptions"]) == ({}, 0)


def test_rows_without_a_kind_are_all_clients():
    swept = Sweep({by_user: None}, frozenset({"SYS"}))
    rows = [row(1), row(2, account="SYS"), row(3, user="")]
    page = PageDecoder(["account", "authorized_user"]).decode(
        msgspec.json.encode(
            {"server": {"id": "N1"}, "data": {"total": 3, "connections": rows}}, enc_hook=repr
        )
    )
    swept.page(page)
    assert (counted(swept.parts[by_user]), swept.unnamed) == ({("APP", "app"): 1}, 1)
    assert (swept.rows, swept.exact) == (3, True)


def test_subscriptions_of_clients_are_summed():
    swept = sweep([row(1, subscriptions=400), row(2, subscriptions=3), row(3)])
    assert counted(swept.parts[local_subscriptions]) == {"subscriptions": 403}


# --- Pages.


def test_a_row_that_moved_to_the_next_page_is_counted_once():
    swept = sweep([row(1), row(2)], [row(2), row(3)], total=3)
    assert (counted(swept.parts[by_user]), swept.rows, swept.exact) == (
        {("APP", "app"): 3},
        3,
        True,
    )


EXACT = {
    "every row": (100, 100, True),
    "two of a hundred short": (98, 100, True),
    "three of a hundred short": (97, 100, False),
    "two of a hundred more": (102, 100, True),
    "three of a hundred more": (103, 100, False),
    "one of one short": (0, 1, False),
    "nobody": (0, 0, True),
}


@pytest.mark.parametrize(("rows", "total", "expected"), EXACT.values(), ids=EXACT)
def test_a_sweep_is_exact_within_two_percent_of_the_total(rows, total, expected):
    assert sweep([row(cid) for cid in range(rows)], total=total).exact is expected


def test_a_sweep_without_a_page_is_not_exact():
    assert sweep().exact is False


def test_the_total_is_that_of_the_last_page():
    swept = Sweep({}, frozenset())
    swept.page(Page(WHO, [row(n) for n in range(100)], 100))
    swept.page(Page(WHO, [row(100)], 101))
    assert swept.exact is True


@pytest.mark.parametrize(("closed", "exact"), [(2, True), (3, False)])
def test_what_closed_between_pages_may_have_hidden_others(closed, exact):
    swept = Sweep({}, frozenset())
    swept.page(Page(WHO, [row(n) for n in range(50)], 100 + closed))
    swept.page(Page(WHO, [row(n) for n in range(50, 100)], 100))
    assert swept.exact is exact


def test_rows_that_could_not_be_read_are_counted_and_lack():
    swept = sweep([row(cid) for cid in range(97)], total=100, bad=3)
    assert (swept.bad, swept.exact) == (3, False)


# --- Figures beyond all bounds, and names.


@fold("in_msgs", moves_with="local_interest")
def messages(rows: list[Connection], tally: Tally, params: object) -> None:
    """What each user published."""
    for one in rows:
        tally[one.authorized_user] += one.in_msgs


@pytest.mark.parametrize(("rows", "exact"), [(1024, True), (1025, False)])
def test_a_sweep_with_a_sum_that_no_ledger_can_hold_is_not_exact(rows, exact):
    swept = Sweep({messages: None}, frozenset())
    swept.page(Page(WHO, [row(cid, in_msgs=2**53 - 1) for cid in range(rows)], rows))
    assert swept.exact is exact
    if exact:
        ledger = Ledger()
        ledger.put(("C1", "n1"), swept.parts[messages])
        ledger.put(("C1", "n2"), swept.parts[messages])
        assert ledger["app"] == 2 * 1024 * (2**53 - 1)


@pytest.mark.parametrize(("more", "whole"), [(0, True), (1, False)])
def test_long_names_are_shortened_where_rows_take_more_than_a_kibibyte(more, whole):
    swept, name = Sweep({by_user: None}, frozenset()), 300 * "n"
    swept.page(Page(WHO, [row(1, name), row(2, name)], 2, size=2 * 1024 + more))
    ((_, user),) = swept.parts[by_user]
    assert (user == name, len(user)) == (whole, 300 if whole else 256)


@pytest.mark.parametrize(("length", "whole"), [(256, True), (257, False)])
def test_a_name_of_256_characters_stays_as_it_is(length, whole):
    swept, name = Sweep({by_user: None}, frozenset()), length * "n"
    swept.page(Page(WHO, [row(1, name)], 1, size=4096))
    ((_, user),) = swept.parts[by_user]
    assert (user == name, len(user)) == (whole, 256)


# --- Declaration.


def test_a_fold_of_a_field_that_no_row_has_is_refused():
    with pytest.raises(DeclarationError, match="no field 'jwt'"):
        fold("jwt")


@pytest.mark.parametrize("field", ["pending_bytes", "in_msgs", "subscriptions", "idle", "rtt"])
def test_a_fold_that_would_have_every_server_swept_in_every_epoch_is_refused(field):
    with pytest.raises(DeclarationError, match=f"reads '{field}', which changes while"):
        fold("name", field)
    assert fold("name", field, moves_with="local_interest")


@pytest.mark.parametrize("field", ["tls_version", "mqtt_client", "name_tag", "start"])
def test_what_is_true_of_a_connection_for_good_needs_no_such_figure(field):
    assert fold(field)


def test_a_decoder_reads_what_folds_declare_each_once():
    assert row_fields([by_user, local_subscriptions, by_user]) == [
        "cid",
        "kind",
        "account",
        "authorized_user",
        "subscriptions",
    ]
