"""History: what was told twice can be compared, and nothing else."""

from __future__ import annotations

import math
import struct
import tracemalloc
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nats_insights.check import Server
from nats_insights.errors import DeclarationError, Missing, TooSoon
from nats_insights.model.changes import MOST_CHANGES, Level, changes
from nats_insights.model.history import EPOCHS, History, Remembered
from nats_insights.model.samples import SPARE_PARTS, Series, samples

N1, N2 = ("C1", "n1"), ("C1", "n2")
NOW = 1_790_000_000.0


@changes(keep=3600)
def loaded(server: Server) -> str:
    return server.varz.config_load_time


@samples(keep=300, every=30)
def accepted(server: Server) -> int:
    return server.varz.total_connections


@samples(keep=600, every=1)
def every_one(server: Server) -> int:
    return server.varz.total_connections


def told(past, *points, names=N1, each=30.0) -> History:
    """A history of values, None where the figure was not told; the last at NOW."""
    remembered = History([past])
    for number, value in enumerate(points, 1 - len(points)):
        if value is not None:
            remembered.record(past, names, value, NOW + each * number)
    return remembered


def of(past, *points, each=30.0):
    return told(past, *points, each=each).of(past, N1, NOW)


def through_json(remembered: History) -> Remembered:
    return msgspec.json.decode(msgspec.json.encode(remembered.plain()), type=Remembered)


# Declarations.


def test_a_past_knows_the_noun_that_it_is_a_figure_of():
    assert loaded.about is Server
    assert (loaded.name, loaded.key) == ("loaded", f"{__name__}:loaded")


def test_two_pasts_of_one_name_are_two():
    other = changes(keep=3600)(loaded.figure)
    remembered = History([loaded, other])
    remembered.record(loaded, N1, "a", NOW)
    with pytest.raises(Missing):
        remembered.of(other, N1, NOW)


@pytest.mark.parametrize(
    "declare",
    [
        lambda: changes(keep=0),
        lambda: changes(keep=math.inf),
        lambda: samples(keep=-1, every=-2),
        lambda: samples(keep=30, every=31),
        lambda: samples(keep=30, every=0),
        lambda: samples(keep=1025, every=1),
    ],
)
def test_a_past_of_no_length_or_of_too_many_points_is_refused(declare):
    with pytest.raises(DeclarationError):
        declare()


def test_a_past_of_one_point_or_of_the_most_points_is_none_of_these():
    assert samples(keep=30, every=30)(accepted.figure).every == 30
    assert samples(keep=1024, every=1)(accepted.figure).keep == 1024


def unannotated(server):
    return 0


def of_two(server: Server, other: Server) -> int:
    return 0


@pytest.mark.parametrize("figure", [unannotated, of_two, lambda: 0])
def test_a_figure_that_names_no_noun_is_refused(figure):
    with pytest.raises(DeclarationError, match="annotated with a noun"):
        _ = changes(keep=1)(figure).about


# Changes.


def test_the_first_value_is_no_change_and_needs_a_second_epoch():
    past = of(loaded, "a")
    assert past.now == "a"
    for read in (
        lambda: past.before,
        lambda: past.last_change,
        lambda: past.since,
        lambda: past.changed_within(60),
        lambda: past.times_within(60),
        lambda: past.same_for(60),
    ):
        with pytest.raises(TooSoon, match=r"^loaded of n1: needs a second epoch$"):
            read()


def test_a_value_that_stays_never_differed():
    past = of(loaded, "a", "a", "a")
    assert (past.now, past.before, past.last_change, past.since) == ("a", "a", None, NOW - 60)
    assert not past.changed_within(3600)


def test_a_value_that_differs_is_a_change_for_as_long_as_is_asked():
    past = of(loaded, "a", "b", "b")
    assert (past.now, past.before, past.last_change, past.since) == ("b", "a", 30, NOW - 30)
    assert past.changed_within(30)
    assert not past.changed_within(29)


def test_a_change_is_forgotten_after_keep():
    remembered = told(loaded, "a", "b")
    for after in (3600, 3601):
        remembered.record(loaded, N1, "b", NOW + after)
        past = remembered.of(loaded, N1, NOW + after)
        seen = (past.before, past.last_change, past.times_within(3600))
        assert seen == (("a", 3600, 1) if after == 3600 else ("b", None, 0))
    assert past.since == NOW


def test_epochs_in_which_it_was_not_told_are_no_change():
    past = of(loaded, "a", None, None, None, "a")
    assert (past.last_change, past.before) == (None, "a")


def test_another_value_after_lost_epochs_is_a_change_when_it_is_told():
    past = of(loaded, "a", None, None, "b")
    assert (past.last_change, past.before) == (0, "a")


def test_each_time_that_it_differed_is_counted_up_to_a_bound():
    assert of(loaded, "a", "b", "a", "a", "c").times_within(3600) == 3
    assert of(loaded, "a", "b", "a", "a", "c").times_within(59) == 1
    assert of(loaded, "a", "b", "a", "a", "c").times_within(60) == 2
    past = of(loaded, *range(40))
    assert (past.times_within(3600), past.last_change, past.before) == (MOST_CHANGES, 0, 38)


def test_it_was_the_same_for_as_long_as_it_was_told():
    past = of(loaded, "a", "b", "b", "b")
    assert past.same_for(59)
    assert not past.same_for(60)


def test_how_long_it_was_the_same_is_not_known_before_it_was_told_for_so_long():
    past = of(loaded, "a", "a", "a")
    assert past.same_for(60)
    with pytest.raises(TooSoon, match=r"^loaded of n1: needs 1m1s of history$"):
        past.same_for(61)


@pytest.mark.parametrize("seconds", [0, -1, 3601])
def test_more_than_is_kept_cannot_be_asked_for(seconds):
    with pytest.raises(ValueError, match="kept for 3600 s"):
        of(loaded, "a", "b").changed_within(seconds)
    with pytest.raises(ValueError, match="is kept for 300 s"):
        of(accepted, 1, 2).growth(seconds)


def test_all_that_is_kept_can_be_asked_for():
    assert of(loaded, "a", "b").changed_within(3600)
    assert of(accepted, 1, 2, each=300).growth(300) == 1


@pytest.mark.parametrize(
    "value", [None, ["a"], math.nan, math.inf, ("a", None), (("a",),), 2**63, -(2**63) - 1]
)
def test_a_value_that_could_not_be_written_down_is_refused(value):
    remembered = told(loaded, "a")
    for names in (N1, N2):
        with pytest.raises(ValueError, match=r"^loaded: .* is no figure to remember$"):
            remembered.record(loaded, names, value, NOW + 30)
    assert remembered.of(loaded, N1, NOW).now == "a"
    assert len(remembered) == 1


@pytest.mark.parametrize("value", [2**63 - 1, -(2**63), 0.5, True, "", (), ("a", 1, 2.5, False)])
def test_numbers_words_and_tuples_of_these_are_remembered(value):
    assert of(loaded, "a", value).now == value


values = st.none() | st.sampled_from(["a", "b", ("a", 1)])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 900), values), min_size=1, max_size=12))
def test_changes_are_those_between_values_that_were_told(epochs):
    remembered, now, seen = History([loaded]), NOW, []
    for after, value in epochs:
        now += after
        if value is not None:
            remembered.record(loaded, N1, value, now)
            seen.append((now, value))
    if not seen or seen[-1][0] != now or len(seen) < 2:
        return
    past = remembered.of(loaded, N1, now)
    differed = [(at, was) for (_, was), (at, is_) in pairwise(seen) if was != is_]
    recent = [(at, was) for at, was in differed if now - at <= 3600]
    assert past.now == seen[-1][1]
    assert past.times_within(3600) == len(recent)
    assert past.last_change == (now - recent[-1][0] if recent else None)
    assert past.before == (recent[-1][1] if recent else past.now)
    assert past.since == (differed[-1][0] if differed else seen[0][0])


# Samples.


def test_growth_and_rate_need_two_points_as_far_apart_as_the_window():
    with pytest.raises(TooSoon, match=r"^accepted of n1: needs a second epoch$"):
        of(accepted, 5).rate(60)
    with pytest.raises(TooSoon, match=r"^accepted of n1: needs 1m of history$"):
        of(accepted, 5, 8).rate(60)
    past = of(accepted, 5, 8, 17)
    assert (past.growth(60), past.rate(60)) == (12, 0.2)
    assert (past.growth(30), past.rate(30)) == (9, 0.3)
    assert past.now == 17


def test_epochs_that_are_a_little_short_are_no_less_a_window():
    assert of(accepted, 5, 8, 17, each=27).growth(60) == 12
    with pytest.raises(TooSoon):
        of(accepted, 5, 8, 17, each=26.9).growth(60)


def test_where_epochs_were_lost_the_rate_is_over_the_time_that_went_by():
    past = of(accepted, 0, None, None, 90)
    assert (past.rate(30), past.growth(30)) == (1.0, 90)


def test_a_counter_that_falls_began_again_at_zero():
    past = of(accepted, 100, 150, 20, 25)
    assert past.growth(90) == 50 + 20 + 5
    assert past.growth(30) == 5
    assert past.difference(90) == -75


def test_a_counter_that_fell_between_two_points_that_are_kept_began_again_too():
    past = of(accepted, 100, 150, 20, 40, 10, 15, each=10)
    assert past.growth(50) == 50 + 20 + 20 + 10 + 5


def test_a_gauge_has_values_and_a_share_of_steps_that_did_not_fall():
    past = of(accepted, 50, 10, 40, 30, 30)
    assert past.values(90) == (10, 40, 30, 30)
    assert past.rising(90) == 2 / 3
    assert past.difference(90) == 20


def test_a_trend_is_the_slope_through_all_points_however_far_apart():
    assert of(accepted, 7, None, 127, 187).trend() == pytest.approx(2)
    assert of(accepted, 187, 127, None, 7).trend(3) == pytest.approx(-2)
    assert of(accepted, 0, 90, 0).trend() == pytest.approx(0)


def test_a_trend_of_fewer_points_than_asked_for_comes_too_soon():
    with pytest.raises(TooSoon, match=r"^accepted of n1: needs 3 points$"):
        of(accepted, 1, 2).trend(3)
    for points in (0, 1, 2):
        with pytest.raises(TooSoon, match=r"^accepted of n1: needs a second epoch$"):
            of(accepted, 1).trend(points)


def test_points_are_as_far_apart_as_declared_and_the_last_is_the_present():
    past = of(accepted, *range(100), each=10)
    assert past.values(300) == (*range(69, 99, 3), 99)
    assert past.now == 99


def test_epochs_that_are_a_little_short_are_points_of_their_own():
    assert of(accepted, *range(5), each=29).values(116) == (0, 1, 2, 3, 4)


def test_points_are_kept_no_longer_than_declared_but_for_the_one_where_the_longest_window_begins():
    past = of(accepted, *range(100))
    assert len(past.at) == 11
    assert past.growth(300) == 10


def test_two_points_are_kept_however_long_epochs_take():
    assert of(accepted, 1, 3, 7, each=1000).rate(60) == 4 / 1000


@pytest.mark.parametrize("value", [math.nan, math.inf, "1", None, ["a"], {"n1": math.nan}])
def test_what_is_no_number_is_no_sample(value):
    remembered = told(accepted, 1)
    for names in (N1, N2):
        with pytest.raises(ValueError, match=r"^accepted: .* is no figure to remember$"):
            remembered.record(accepted, names, value, NOW + 30)
    assert len(remembered) == 1


def test_falls_are_kept_no_longer_than_the_points_between_which_they_were():
    past = of(accepted, *[number % 2 for number in range(999)], each=10)
    assert len(past.at) == 12
    assert len(past.falls) == 11 * 16
    assert past.growth(300) == 14  # Each odd epoch of the last 29.


class Naive:
    """Every value that was told, and which of them would be kept as points."""

    def __init__(self, keep: float, every: float) -> None:
        self.keep, self.every = keep, every
        self.seen: list[tuple[float, int]] = []
        self.kept: list[int] = []

    def tell(self, at: float, value: int) -> None:
        kept, times = self.kept, [at for at, _ in self.seen]
        if len(kept) > 1 and times[kept[-1]] - times[kept[-2]] < self.every * 0.9:
            kept.pop()
        self.seen.append((at, value))
        kept.append(len(self.seen) - 1)

    def growth(self, seconds: float) -> tuple[float, float] | None:
        """Growth, and the seconds that it took; None where the window is not covered."""
        now = self.seen[-1][0]
        bases = [n for n in self.kept[:-1] if self.seen[n][0] <= now - seconds * 0.9]
        if not bases:
            return None
        base = min(bases, key=lambda n: abs(now - seconds - self.seen[n][0]))
        values = [value for _, value in self.seen[base:]]
        grown = sum(b - a if b >= a else b for a, b in pairwise(values))
        return grown, now - self.seen[base][0]


steps = st.lists(
    st.tuples(
        st.sampled_from([1, 5, 10, 29, 30, 31, 60, 200, 700]),
        st.sampled_from(["told", "told", "told", "lost", "restarted"]),
        st.integers(0, 50),
    ),
    min_size=2,
    max_size=40,
)


@settings(max_examples=500, deadline=None)
@given(steps, st.sampled_from([accepted, every_one]), st.sampled_from([1, 30, 60, 270, 300]))
def test_growth_is_that_of_a_naive_count_through_restarts_and_lost_epochs(steps, past, seconds):
    remembered, naive, now, value = History([past]), Naive(past.keep, past.every), NOW, 0
    for after, what, more in steps:
        now += after
        value = more if what == "restarted" else value + more
        if what != "lost":
            remembered.record(past, N1, value, now)
            naive.tell(now, value)
    if not naive.seen or naive.seen[-1][0] != now:
        return
    expected = naive.growth(seconds)
    if expected is None:
        with pytest.raises(TooSoon):
            remembered.of(past, N1, now).growth(seconds)
    else:
        read = remembered.of(past, N1, now)
        assert read.growth(seconds) == expected[0]
        assert read.rate(seconds) == expected[0] / expected[1]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 300), st.booleans()), min_size=2, max_size=30),
    st.integers(0, 1000),
)
def test_the_rate_of_a_steady_counter_is_the_same_however_epochs_are_spaced(epochs, per_second):
    remembered, now, told_at = History([accepted]), NOW, []
    for after, lost in epochs:
        now += after
        if not lost:
            remembered.record(accepted, N1, per_second * (now - NOW), now)
            told_at.append(now)
    if len(told_at) > 1 and told_at[-1] - told_at[0] >= 60:
        assert remembered.of(accepted, N1, told_at[-1]).rate(60) == pytest.approx(per_second)


# Mappings.


def test_parts_grow_one_by_one():
    past = of(accepted, {"a": 10, "b": 100}, {"a": 13, "b": 100}, {"a": 13, "b": 105})
    assert past.growth(60) == 8
    assert past.growth(30) == 5


def test_a_part_that_is_lost_and_one_that_began_again_take_nothing_away():
    past = of(accepted, {"a": 10, "b": 100}, {"b": 2}, {"a": 15, "b": 4}, each=30)
    assert past.growth(60) == 2 + 5 + 2


def test_a_part_that_is_told_for_the_first_time_has_not_grown():
    assert of(accepted, {"a": 10}, {"a": 10, "b": 5000}).growth(30) == 0
    assert of(accepted, {"a": 10}, {"a": 10, "b": 5000}, {"b": 5001}).growth(30) == 1


def test_parts_may_have_names_of_a_cluster_and_a_server():
    assert of(accepted, {N1: 1, N2: 1}, {N2: 3, N1: 2}).growth(30) == 3


def test_parts_that_are_told_no_more_do_not_pile_up():
    remembered = History([accepted])
    for number in range(500):
        remembered.record(accepted, N1, {"a": 0, f"p{number}": 1}, NOW + 30 * number)
    ((_, series),) = remembered.plain().samples[accepted.key]
    assert len(series.parts) <= 2 * 2 + SPARE_PARTS
    assert {"a", "p499"} <= set(series.parts)


def test_as_many_parts_as_are_told_may_be_lost_and_come_back():
    parts = {f"p{number}": 1 for number in range(1000)}
    few = dict.fromkeys(list(parts)[:500], 1)
    past = of(accepted, parts, few, {**few, "new": 0}, dict.fromkeys(parts, 2))
    assert past.growth(90) == 1000


# What is read belongs to the epoch in which it is read.


@pytest.mark.parametrize("past", [loaded, accepted])
def test_what_was_not_told_in_this_epoch_is_missing(past):
    remembered = told(past, 1, 2, None)
    for names in (N1, N2):
        with pytest.raises(Missing, match=rf"^{past.name} of {names[1]}$") as missing:
            remembered.of(past, names, NOW)
        assert not isinstance(missing.value, TooSoon)


def test_what_comes_too_soon_is_missing_and_says_what_it_needs():
    soon = TooSoon("accepted", "n1", "a second epoch")
    assert isinstance(soon, Missing)
    assert (soon.what, soon.whose) == ("accepted", "n1")
    assert str(soon) == "accepted of n1: needs a second epoch"


def test_the_first_figure_of_an_epoch_stands():
    for past in (loaded, accepted):
        remembered = told(past, 1, 2)
        remembered.record(past, N1, 3, NOW)
        assert remembered.of(past, N1, NOW).now == 2
    assert remembered.of(accepted, N1, NOW).growth(30) == 1


@pytest.mark.parametrize("past", [loaded, accepted])
def test_nouns_have_pasts_of_their_own(past):
    remembered = told(past, 1, 2)
    remembered.record(past, N2, 7, NOW)
    assert remembered.of(past, N2, NOW).now == 7
    assert remembered.of(past, N1, NOW).now == 2


def test_a_clock_that_was_set_back_makes_no_change_and_no_rate():
    remembered = told(loaded, "a", "b", "b")
    for now in (NOW - 1000, NOW - 970):
        remembered.record(loaded, N1, "b", now)
    past = remembered.of(loaded, N1, NOW - 970)
    assert (past.before, past.last_change, past.times_within(3600)) == ("a", 30, 1)

    remembered = told(accepted, 100, 20, 30)
    remembered.record(accepted, N1, 40, NOW - 1000)
    with pytest.raises(TooSoon):
        remembered.of(accepted, N1, NOW - 1000).growth(30)
    remembered.record(accepted, N1, 41, NOW - 970)
    assert remembered.of(accepted, N1, NOW - 970).growth(30) == 1


def test_a_level_that_was_never_told_twice_stays_so_when_the_clock_is_set_back():
    remembered = told(loaded, "a", "a")
    remembered.record(loaded, N1, "a", NOW - 1000)
    with pytest.raises(TooSoon):
        _ = remembered.of(loaded, N1, NOW - 1000).before


# Bounds.


@pytest.mark.parametrize("past", [loaded, accepted])
def test_nouns_that_there_is_no_room_for_are_counted_and_missing(past):
    remembered = History([past], most=2)
    for now in (NOW, NOW + 30):
        remembered.forget(now)
        for name in "abcde":
            remembered.record(past, (name,), 1, now)
        assert (len(remembered), remembered.left_out) == (2, 3)
    assert remembered.of(past, ("b",), now).now == 1
    with pytest.raises(Missing, match=r"of c$"):
        remembered.of(past, ("c",), now)


@pytest.mark.parametrize(("past", "keep"), [(loaded, 3600), (accepted, 300)])
def test_a_noun_that_was_not_told_for_as_long_as_it_is_kept_is_forgotten(past, keep):
    remembered = told(past, {"a": 9} if past is accepted else 9)
    remembered.record(past, N2, 1, NOW)
    for now in range(0, keep + 1, 30):
        remembered.forget(NOW + now)
        remembered.record(past, N2, 1, NOW + now)
        assert len(remembered) == 2
    remembered.forget(NOW + keep + 30)
    assert len(remembered) == 1
    plain = remembered.plain()
    assert [names for names, _ in (*plain.changes.values(), *plain.samples.values())[0]] == [N2]


@pytest.mark.parametrize("past", [loaded, accepted])
def test_a_noun_is_forgotten_as_soon_as_it_was_not_told_for_longer_and_no_sooner(past):
    remembered = told(past, 1)
    for now in range(60, 300, 30):
        remembered.forget(NOW + now)
        assert len(remembered) == 1
    remembered.forget(NOW + past.keep + 1)
    assert len(remembered) == 0


def test_a_noun_that_is_forgotten_leaves_nothing_behind():
    remembered = told(accepted, {"a": 9}, {"a": 3})
    remembered.record(accepted, N2, 5, NOW)
    remembered.record(accepted, N2, 3, NOW + 1)
    for now in range(1000, 2000, 30):
        remembered.forget(NOW + now)
    for names in (N1, N2):
        remembered.record(accepted, names, 7, NOW + 2000)
    assert remembered.plain().samples[accepted.key] == [
        (names, Series(struct.pack("<2d", NOW + 2000, 7))) for names in (N1, N2)
    ]


@pytest.mark.parametrize("past", [loaded, accepted])
def test_a_noun_that_was_told_in_one_of_the_last_epochs_stays_however_long_these_took(past):
    remembered = told(past, 1)
    for number in range(EPOCHS + 2):
        remembered.forget(NOW + 5000 * number)
        assert len(remembered) == (1 if number <= EPOCHS else 0)


def test_nouns_of_a_time_to_come_are_forgotten_after_the_clock_was_set_back():
    for past in (loaded, accepted):
        remembered = History([past])
        for now in range(0, 300, 30):
            remembered.forget(NOW + now)
            remembered.record(past, N1, 1, NOW + now)
            remembered.record(past, N2, 1, NOW + now)
        for number in range(EPOCHS + 1):
            assert len(remembered) == 2
            remembered.forget(NOW - 10_000 + 30 * number)
            remembered.record(past, N1, 1, NOW - 10_000 + 30 * number)
        assert len(remembered) == 1


def test_a_hundred_and_fifty_bytes_and_sixteen_a_point_are_held_of_each_noun():
    names = [("C1", f"stream-{number}") for number in range(10_000)]
    remembered = History([accepted])
    tracemalloc.start()
    for epoch in range(20):
        for number, name in enumerate(names):
            remembered.record(accepted, name, epoch * number, NOW + 30 * epoch)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held / len(names) < 170 + 16 * 11


def test_a_level_that_changed_takes_less_than_250_bytes():
    names = [("C1", f"stream-{number}") for number in range(10_000)]
    remembered = History([loaded])
    tracemalloc.start()
    for epoch in range(3):
        now = NOW + 30 * epoch
        for number, name in enumerate(names):
            remembered.record(loaded, name, number * 1000 + epoch, now)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held / len(names) < 250


# Plain data.


figures = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
    st.booleans(),
)
numbers = st.integers(0, 1000) | st.floats(0, 1e300)
mappings = st.dictionaries(st.text(max_size=3), numbers, max_size=4)
nouns = st.sampled_from([N1, N2, ("\u0000é",)])
after = st.floats(0.1, 100)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(nouns, after, figures | st.tuples(figures, figures)), max_size=12),
    st.lists(st.tuples(nouns, after, numbers | mappings), max_size=12),
)
def test_what_is_written_down_is_read_again_as_the_same(levels, points):
    written, now = History([loaded, accepted]), NOW
    for past, rows in ((loaded, levels), (accepted, points)):
        for names, later, value in rows:
            now += later
            written.record(past, names, value, now)
    read = History([loaded, accepted])
    read.restore(through_json(written), NOW)
    assert len(read) == 0 or now == NOW

    read.restore(through_json(written), now)
    fresh = [(N, s) for N, s in written.plain().samples[accepted.key] if _last(s) >= now - 300]
    assert read.plain().samples[accepted.key] == fresh
    assert repr(read.plain().changes) == repr(written.plain().changes)


def _last(series: Series) -> float:
    return struct.unpack_from("<d", series.points, -16)[0]


def test_what_was_read_again_goes_on_as_if_nothing_had_been():
    written = told(accepted, {"a": 5, N1: 9}, {"a": 2})
    written.record(accepted, N2, 9, NOW - 30)
    written.record(accepted, N2, 4, NOW)
    read = History([accepted])
    read.restore(through_json(written), NOW + 10)
    for remembered in (read, written):
        remembered.record(accepted, N1, {"a": 3, N1: 10}, NOW + 30)
        remembered.record(accepted, N2, 5, NOW + 30)
    assert read.of(accepted, N1, NOW + 30).growth(60) == 4
    assert read.of(accepted, N2, NOW + 30).growth(60) == 5
    assert read.plain() == written.plain()


def test_nouns_that_have_the_same_parts_keep_their_own_counts():
    written, both = History([accepted]), {"a": 5, "b": 1}
    for names in (N1, N2):
        written.record(accepted, names, both, NOW)
    written.record(accepted, N1, {"a": 7}, NOW + 30)  # Without `b`, which it still knows.
    read = History([accepted])
    read.restore(written.plain(), NOW + 30)
    assert read.plain() == written.plain()


def test_plain_data_does_not_move_with_the_history():
    remembered = told(loaded, "a")
    plain = remembered.plain()
    read = History([loaded])
    read.restore(plain, NOW)
    for one in (remembered, read):
        one.record(loaded, N1, "b", NOW + 30)
    assert plain == told(loaded, "a").plain()


def test_a_past_that_nobody_declares_any_more_is_left_out():
    plain = through_json(told(loaded, "a"))
    read = History([accepted])
    read.restore(plain, NOW)
    assert len(read) == 0
    assert read.plain() == Remembered(samples={accepted.key: []})


def test_what_was_told_longer_ago_than_it_is_kept_is_left_out():
    for past in (loaded, accepted):
        for late, kept in ((past.keep, 1), (past.keep + 1, 0)):
            read = History([past])
            read.restore(through_json(told(past, 1)), NOW + late)
            assert len(read) == kept


def test_no_more_nouns_are_read_than_there_is_room_for():
    for past in (loaded, accepted):
        written = told(past, 1)
        written.record(past, N2, 1, NOW)
        read = History([past], most=1)
        read.restore(through_json(written), NOW)
        assert len(read) == 1


def packed(*figures: float) -> bytes:
    return struct.pack(f"<{len(figures)}d", *figures)


@pytest.mark.parametrize(
    "level",
    [
        Level("a", "a", NOW, NOW + 1),
        Level("a", "a", NOW + 1, NOW),
        Level("a", "b", NOW - 9, NOW, packed(NOW + 1)),
        Level("a", "b", NOW - 9, NOW, packed(NOW - 10)),
        Level("a", "b", NOW - 9, NOW, packed(math.nan)),
        Level("a", "b", NOW - 9, NOW, b"abc"),
        Level({}, "b", NOW - 9, NOW),
        Level("a", None, NOW - 9, NOW),
    ],
)
def test_a_level_that_is_damaged_or_of_the_future_is_refused(level):
    read = History([loaded])
    read.restore(Remembered(changes={loaded.key: [(N1, level)]}), NOW)
    assert len(read) == 0


@pytest.mark.parametrize(
    "series",
    [
        Series(b""),
        Series(b"abc"),
        Series(packed(NOW + 1, 5)),
        Series(packed(NOW, 5, NOW - 1, 6)),
        Series(packed(NOW - 1, 5, NOW - 1, 6)),
        Series(packed(NOW, math.nan)),
        Series(packed(math.nan, 5)),
        Series(packed(NOW, 5), falls=packed(NOW)),
        Series(packed(NOW, 5), falls=packed(NOW, math.inf)),
        Series(packed(NOW, 5), parts=("a",)),
        Series(packed(NOW, 5), parts=("a",), counts=packed(math.inf)),
    ],
)
def test_a_series_that_is_damaged_or_of_the_future_is_refused(series):
    read = History([accepted])
    read.restore(Remembered(samples={accepted.key: [(N1, series)]}), NOW)
    assert len(read) == 0


@pytest.mark.parametrize("past", [samples(keep=300, every=30), changes(keep=300)])
def test_what_was_told_too_long_ago_is_no_past_whenever_it_is_dropped(past):
    past = past(accepted.figure)
    remembered = History([past])
    for epoch in range(12):
        remembered.forget(NOW + 30 * epoch)
        if epoch in (0, 11):
            remembered.record(past, N1, 5, NOW + 30 * epoch)
    found = remembered.of(past, N1, NOW + 330)
    assert found.now == 5
    with pytest.raises(TooSoon, match="needs a second epoch"):
        _ = found.before if past.every == 0 else found.growth(30)


def test_what_is_known_of_the_past_can_be_asked_for():
    past = of(accepted, 0, None, 10, 20)
    assert (past.known_for, past.span(30), past.span(60), past.span(80)) == (90, 30, 90, 90)
    assert past.growth(min(300, past.known_for)) == 20
    with pytest.raises(TooSoon, match=r"^accepted of n1: needs a second epoch$"):
        _ = of(accepted, 0).known_for


def test_values_that_were_told_throughout_can_be_asked_for():
    assert of(accepted, *range(6)).unbroken(150) == (0, 1, 2, 3, 4, 5)
    with pytest.raises(TooSoon, match=r"^accepted of n1: needs 5 points$"):
        of(accepted, *range(6)).unbroken(90)
    assert of(accepted, *range(6)).unbroken(90, points=4) == (2, 3, 4, 5)
    with pytest.raises(TooSoon, match=r"^accepted of n1: needs 180 s without a pause$"):
        of(accepted, 0, 1, 2, None, 3, 4, 5).unbroken(180)
    assert of(accepted, 0, None, 2, 3, 4, 5, 6).unbroken(120) == (2, 3, 4, 5, 6)


def test_nouns_may_tell_one_mapping_and_differ_later():
    remembered = History([of_parts])
    for epoch, (one, other) in enumerate([(0, 0), (0, 0), (0, 3), (2, 3)]):
        same = dict.fromkeys(map(str, range(1000)), 0)
        for names, more in ((N1, one), (N2, other)):
            told = {**same, "7": more} if more else same
            remembered.record(of_parts, names, told, NOW + 30 * epoch)
    at = NOW + 90
    grown = [remembered.of(of_parts, names, at).growth(90) for names in (N1, N2)]
    assert grown == [2, 3]
    again = History([of_parts])
    again.restore(through_json(remembered), at)
    assert [again.of(of_parts, names, at).growth(90) for names in (N1, N2)] == grown


def test_nouns_that_tell_one_mapping_hold_it_once():
    told = {("C1", f"n{i}"): 0 for i in range(1000)}
    remembered = History([of_parts])
    tracemalloc.start()
    try:
        for epoch in range(2):
            for number in range(1000):
                remembered.record(of_parts, (str(number),), told, NOW + 30 * epoch)
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size < 1_000 * 1_000


@samples(keep=600, every=30)
def of_parts(server: Server) -> dict[Any, int]:
    return {}


@given(
    st.lists(st.floats(0.5, 100.0), min_size=2, max_size=20),
    st.floats(1.0, 600.0),
)
def test_a_window_begins_at_the_point_nearest_to_its_begin(steps, seconds):
    remembered, at = History([every_one]), [NOW]
    for step in steps:
        at.append(at[-1] + step)
    for number, one in enumerate(at):
        remembered.record(every_one, N1, number, one)
    past = remembered.of(every_one, N1, at[-1])
    kept = [at[int(value)] for value in past.values(past.known_for)]
    enough = [one for one in kept if one <= at[-1] - 0.9 * seconds]
    if not enough:
        with pytest.raises(TooSoon):
            past.span(seconds)
        return
    nearest = min(enough, key=lambda one: abs(one - (at[-1] - seconds)))
    assert past.span(seconds) == at[-1] - nearest
