"""Ledgers: sums over servers that are put again and again, bounded and honest about it."""

from __future__ import annotations

import tracemalloc
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from nats_insights.model import ledger as module
from nats_insights.model.fold import Sweep, Tally, by_user
from nats_insights.model.ledger import Ledger
from nats_insights.replies.connz import Page
from nats_insights.replies.fields import ServerInfo
from nats_insights.testing import row

A, B, C = (("C1", name) for name in "abc")
counts = st.dictionaries(st.text("xyz", min_size=1, max_size=2), st.integers(0, 9), max_size=9)
puts = st.lists(st.tuples(st.sampled_from([A, B, C]), st.none() | counts), max_size=12)


def write(ledger: Ledger, puts) -> dict:
    """Put or drop one server after another; what each of them holds in the end."""
    held = {}
    for server, told in puts:
        if told is None:
            ledger.drop(server)
            held.pop(server, None)
        else:
            ledger.put(server, Tally(told))
            held[server] = Counter({key: count for key, count in told.items() if count})
        assert ledger.most() == max(dict(ledger.items()).values(), default=0)
    return held


@settings(max_examples=200, deadline=None)
@given(puts)
def test_the_sums_are_those_of_what_was_put_last(puts):
    ledger = Ledger()
    held = write(ledger, puts)
    total = sum(held.values(), Counter())
    assert dict(ledger.items()) == total
    assert len(ledger) == len(total)
    for figure in (float("-inf"), 3):
        above = {key: count for key, count in total.items() if count > figure}
        assert dict(ledger.above(figure)) == above
    assert all(ledger[key] == total[key] for key in ["x", "never", *total])
    for server, counted in held.items():
        part = ledger.part(server)
        assert dict(part.items()) == counted
        assert all(part[key] == counted[key] for key in ["x", "never", *total])
    for key in ["never", *total]:
        assert ledger.held_by(key) == {
            server: counted[key] for server, counted in held.items() if counted[key]
        }
    assert [ledger.part(server) for server in {A, B, C} - held.keys()] == [None] * (3 - len(held))


@settings(max_examples=200, deadline=None)
@given(st.permutations([A, B, C]), st.lists(counts, min_size=3, max_size=3), st.integers(1, 4))
def test_a_sum_lacks_no_more_than_the_ledger_says(servers, tallies, cap):
    ledger = Ledger(cap)
    held = write(ledger, zip(servers, tallies, strict=True))
    total = sum(held.values(), Counter())
    assert len(ledger) <= 2 * cap
    assert all(0 <= total[key] - ledger[key] <= ledger.error for key in total)
    assert len(total) <= len(ledger) + ledger.dropped


def test_the_rarest_go_first_and_are_counted():
    ledger = Ledger(cap=2)
    ledger.put(A, Tally({"often": 9, "twice": 2, "once": 1, "only once": 1}))
    assert not ledger.overflowed
    ledger.put(B, Tally({"often": 1, "also once": 1}))
    assert dict(ledger.items()) == {"often": 10, "twice": 2}
    assert (ledger.error, ledger.dropped, ledger.overflowed) == (1, 3, True)


def test_what_has_gone_is_of_no_server_any_more():
    ledger = Ledger(cap=1)
    ledger.put(A, Tally({"often": 9, "once": 1}))
    ledger.put(B, Tally({"also once": 1}))
    assert [dict(ledger.part(server).items()) for server in (A, B)] == [{"often": 9}, {}]
    assert ledger.held_by("once") == {}
    assert (ledger.part(A)["once"], ledger["once"]) == (0, 0)


def test_what_a_sweep_dropped_is_dropped_for_as_long_as_it_counts():
    cut = Tally({"a": 9, "b": 1, "c": 1, "d": 1})
    cut.bound(1)
    ledger = Ledger()
    ledger.put(A, cut)
    ledger.put(B, Tally({"a": 1}))
    assert (ledger["a"], ledger.error, ledger.dropped, ledger.overflowed) == (10, 1, 3, False)
    ledger.put(A, Tally({"a": 2}))
    assert (ledger["a"], ledger.error, ledger.dropped) == (3, 0, 0)


def test_a_large_server_is_put_in_steps_and_dropped_keys_too(monkeypatch):
    monkeypatch.setattr(module, "_AT_A_STEP", 10)
    ledger = Ledger(cap=40)
    assert len(list(ledger.putting(A, Tally({f"a{n}": 1 for n in range(80)})))) == 8
    # One more after the rare ones were counted, and before each ten that go.
    assert len(list(ledger.putting(B, Tally({f"b{n}": 2 for n in range(40)})))) == 4 + 1 + 8
    assert dict(ledger.items()) == {f"b{n}": 2 for n in range(40)}


@settings(max_examples=200, deadline=None)
@given(puts, counts, st.integers(0, 9))
def test_a_put_that_is_given_up_has_not_been(puts, counts, steps):
    size, module._AT_A_STEP = module._AT_A_STEP, 2
    try:
        ledger = Ledger()
        held = write(ledger, puts)
        putting = ledger.putting(A, Tally(counts))
        ended = any(next(putting, "the end") for _ in range(steps))
        putting.close()
    finally:
        module._AT_A_STEP = size
    if ended:
        held[A] = Counter({key: count for key, count in counts.items() if count})
    total = sum(held.values(), Counter())
    assert dict(ledger.items()) == total
    assert len(ledger.numbers) == len(total)
    ledger.put(B, Tally({"new": 1}))
    assert dict(ledger.items()) == sum({**held, B: Counter(new=1)}.values(), Counter())


def test_names_that_come_and_go_leave_nothing_behind():
    ledger = Ledger()
    for round_ in range(100):
        ledger.put(A, Tally({f"{round_} {n}": 1 for n in range(10)}))
    assert len(ledger) == len(ledger.numbers) == 10
    assert len(ledger.numbers.keys_of) <= 20


def test_new_names_have_numbers_of_their_own_beside_known_ones():
    ledger = Ledger()
    ledger.put(A, Tally({"a": 1, "b": 2}))
    ledger.put(B, Tally({"x": 3, "b": 4, "y": 5, "a": 6, "z": 7}))
    assert dict(ledger.items()) == {"a": 7, "b": 6, "x": 3, "y": 5, "z": 7}
    assert ledger.held_by("y") == {B: 5}
    ledger.drop(B)  # Three numbers are free now, and given again one by one.
    ledger.put(C, Tally({"v": 1, "b": 1, "w": 2}))
    assert dict(ledger.items()) == {"a": 1, "b": 3, "v": 1, "w": 2}
    assert len(ledger.numbers.keys_of) == 5


def test_new_names_that_are_long_are_short_beside_others():
    ledger, name = Ledger(), 300 * "u"
    ledger.put(A, Tally({("APP", "app"): 1, ("APP", name): 2}))
    ledger.put(B, Tally({("APP", "bob"): 1, ("APP", name): 3}))
    assert sorted(len(user) for _, user in ledger.numbers) == [3, 3, 256]
    assert ledger.most() == 5


def test_an_account_has_one_name_however_many_users_it_has():
    ledger = Ledger()
    for number, server in enumerate((A, B)):
        account = "".join(["A", "PP"])  # As a reply of each server has a string of its own.
        ledger.put(server, Tally({(account, f"{number} {n}"): 1 for n in range(9)}))
    ledger.put(C, Tally({"subscriptions": 7, (): 1, ("APP", "c"): 1}))
    assert len({id(key[0]) for key in ledger.numbers if isinstance(key, tuple) and key}) == 1
    assert (len(ledger), ledger["subscriptions"], ledger[()]) == (21, 7, 1)


def test_first_names_are_forgotten_where_there_are_too_many(monkeypatch):
    monkeypatch.setattr("nats_insights.model.ledger.CAP", 10)
    ledger = Ledger()
    for number in range(100):
        ledger.put(A, Tally({(f"account {number}", "app"): 1}))
        ledger.put(B, Tally({(f"account {number}", "bob"): 1}))
    assert len(ledger.numbers._first_names) <= 11
    assert len(ledger) == 2


def test_a_large_part_that_is_searched_often_tells_the_same(monkeypatch):
    monkeypatch.setattr("nats_insights.model.ledger._LARGE", 4)
    monkeypatch.setattr("nats_insights.model.ledger._MANY", 3)
    ledger, counts = Ledger(), {f"user{n}": n + 1 for n in range(9)}
    for shift in (0, 100):  # What is put anew is found anew.
        for server in (("C1", "n1"), ("C1", "n2")):
            ledger.put(server, Tally({key: count + shift for key, count in counts.items()}))
        for _ in range(3):
            held = {key: set(ledger.held_by(key).values()) for key in counts}
            assert held == {key: {count + shift} for key, count in counts.items()}
    ledger.drop(("C1", "n1"))
    assert ledger.held_by("user3") == {("C1", "n2"): 104}


def test_names_that_were_made_to_be_long_take_no_room():
    ledger = Ledger(cap=500)
    tracemalloc.start()
    try:
        for server in range(10):
            sweep = Sweep({by_user: None}, frozenset())
            sweep.page(hostile(server))
            ledger.put(("C1", f"n{server}"), sweep.parts[by_user])
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # 50 MB of names came; 1,000 of 256 characters may stay, and a number for each row.
    assert kept < 2**20
    assert ledger.dropped + len(ledger) == 5000
    assert ledger.error >= 1


def test_long_names_stay_apart():
    sweep = Sweep({by_user: None}, frozenset())
    sweep.page(hostile(0))
    counted = dict(sweep.parts[by_user].items())
    assert set(counted.values()) == {1}
    assert {len(user) for _, user in counted} == {256}


def hostile(server: int) -> Page:
    """500 clients, each with a name of its own that fills 10 KB and differs at its very end."""
    names = [f"{'x' * 10_000}{server} {number}" for number in range(500)]
    rows = [row(cid=n, authorized_user=name) for n, name in enumerate(names)]
    return Page(ServerInfo(), rows, len(rows), size=10_400 * len(rows))
