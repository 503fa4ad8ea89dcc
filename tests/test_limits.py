"""Limits: they know their side, can be off, are written as people write them, and ease."""

from __future__ import annotations

import math
from typing import Annotated

import pytest
from msgspec import defstruct

from nats_insights.errors import ConfigError, DeclarationError
from nats_insights.judge.finding import CRITICAL, INFO, WARNING, Finding
from nats_insights.judge.limits import (
    OFF,
    Parameter,
    Params,
    all_off,
    choice,
    duration,
    eased,
    flag,
    limit,
    loosest,
    owned,
    parameters_of,
    text,
    unlimited,
    values,
)


class Ladder(Params, frozen=True):
    low: Annotated[
        float, limit("%", severity=WARNING, clear=0.9, gt=0, le=100, description="of it")
    ] = 80.0
    high: Annotated[
        float, limit("%", severity=CRITICAL, clear=0.9, gt=0, le=100, description="of it")
    ] = 90.0


class Days(Params, frozen=True):
    few: Annotated[
        float, limit("days", "<=", severity=WARNING, clear=1.5, ge=0, le=365, description="left")
    ] = 30.0
    none: Annotated[
        float, limit("days", "<", severity=CRITICAL, clear=1.5, ge=0, lt=365, description="left")
    ] = OFF


class Various(Params, frozen=True):
    lag: Annotated[
        int, limit("messages", ">", clear=0.5, ge=1, metadata="lag", description="d")
    ] = OFF
    age: Annotated[float, duration(clear=0.5, ge=1, metadata="age", description="d")] = 300.0
    least: Annotated[int, limit("sources", "<", ge=1, metadata="least", description="d")] = OFF
    most: Annotated[int, limit("rows", gt=0, description="d")] = 10
    mean: Annotated[str, choice("mean", "median", description="d")] = "mean"
    tag: Annotated[str, text(metadata="tag", description="d")] = ""
    pinned: Annotated[bool, flag(metadata="pinned", description="d")] = False


def parameter(params: type[Params], name: str) -> Parameter:
    """One parameter by its name."""
    return next(one for one in parameters_of(params) if one.name == name)


# --- What a figure reaches.

REACHED = {
    "nothing": (Ladder(), 79.9, None),
    "the lower limit": (Ladder(), 80.0, (80.0, WARNING)),
    "both limits, of which the worse counts": (Ladder(), 90.0, (90.0, CRITICAL)),
    "the worse alone, where it is the lower one": (Ladder(high=50.0), 60.0, (50.0, CRITICAL)),
    "the lower, where the higher is off": (Ladder(high=OFF), 99.0, (80.0, WARNING)),
    "the worse, where the lower is off": (Ladder(low=OFF), 99.0, (90.0, CRITICAL)),
    "nothing, where both are off": (Ladder(low=OFF, high=OFF), math.inf, "all are off"),
    "nothing above a lower limit": (Days(), 30.1, None),
    "a limit where less is worse": (Days(), 30.0, (30.0, WARNING)),
    "nothing below a limit that is off": (Days(few=OFF), -1e9, None),
    "nothing at a limit that has to be passed": (Days(none=7.0), 7.0, (30.0, WARNING)),
    "a limit that is passed": (Days(none=7.0), 6.9, (7.0, CRITICAL)),
}


@pytest.mark.parametrize(("params", "figure", "expected"), REACHED.values(), ids=REACHED)
def test_a_figure_reaches(params, figure, expected):
    if expected == "all are off":
        assert all_off(params)
        return
    reached = params.reached(figure)
    assert (reached and (reached.threshold, reached.severity)) == expected


def test_of_two_limits_of_one_severity_the_later_is_told():
    class Two(Params, frozen=True):
        one: Annotated[int, limit("x", severity=INFO, ge=0, description="d")] = 1
        two: Annotated[int, limit("x", severity=INFO, ge=0, description="d")] = 2

    assert [Two().reached(n).threshold for n in (1, 2)] == [1, 2]


def test_the_only_limit_is_the_one_that_is_meant():
    class One(Params, frozen=True):
        most: Annotated[int, limit("rows", ge=1, description="d")] = 3
        strict: Annotated[bool, flag(description="d")] = False

    reached = One().reached(3)
    assert (reached.threshold, reached.unit, reached.severity) == (3, "rows", None)


def test_of_several_limits_those_are_named_that_are_meant():
    assert Various().reached(10, "most").threshold == 10
    assert Various().reached(9, "most", "age") is None
    assert Ladder().reached(95.0, "low").severity is WARNING
    with pytest.raises(DeclarationError, match="Various has several limits: name those"):
        Various().reached(10)


def test_what_is_reached_makes_the_finding():
    made = (
        Ladder()
        .reached(92.345)
        .finding("it is full", servers=("n1",), cleared="it is empty", cpu=3, cores=4)
    )
    assert made == Finding(
        summary="it is full",
        value=92.3,
        threshold=90.0,
        unit="%",
        severity=CRITICAL,
        evidence={"cpu": 3, "cores": 4},
        servers=("n1",),
        cleared="it is empty",
    )


FIGURES = {123456: 123456, 1234.56: 1234.6, 80.09: 80.1, 2.345: 2.35, 0.012345: 0.0123, 0.0: 0.0}


@pytest.mark.parametrize(("figure", "told"), FIGURES.items())
def test_a_figure_is_told_with_the_digits_that_people_read(figure, told):
    class Any_(Params, frozen=True):
        most: Annotated[float, limit("x", ge=0, description="d")] = 0.0

    assert Any_().reached(figure).finding("it is").value == told


# --- Off.


def test_a_limit_that_is_off_is_reached_by_nothing_however_it_is_compared():
    off = Various()
    assert [off.lag, off.least, Various(least=OFF).least] == [OFF, -OFF, -OFF]
    assert off.least < -(2**63) < 2**63 < off.lag


def test_parameters_are_all_off_when_no_limit_is_left():
    assert not all_off(Various())
    assert not all_off(Params())
    assert not all_off(Ladder(low=OFF))
    assert all_off(Days(few=OFF))


CAN_BE_OFF = {
    (Ladder, "low"): True,
    (Various, "lag"): True,
    (Various, "age"): True,
    (Various, "least"): True,
    (Various, "most"): False,
    (Various, "tag"): False,
    (Various, "pinned"): False,
}


@pytest.mark.parametrize(("of", "expected"), CAN_BE_OFF.items())
def test_a_limit_can_be_off_that_is_one_of_several_or_somebody_elses(of, expected):
    assert parameter(*of).can_be_off is expected


# --- By their side.

LOOSEST = {
    (Ladder, "low"): 1e-9,
    (Days, "few"): 365.0,
    (Days, "none"): 365.0 - 1e-9,
    (Various, "lag"): 1,
    (Various, "most"): 1,
    (Various, "least"): 2**63 - 1,
}


@pytest.mark.parametrize(("of", "expected"), LOOSEST.items())
def test_the_loosest_value_is_that_which_most_figures_reach(of, expected):
    assert parameter(*of).loosest == expected


def test_a_limit_without_a_bound_on_its_side_has_a_loosest_value_too():
    class Open(Params, frozen=True):
        above: Annotated[float, limit("x", le=5, description="d")] = 1.0
        below: Annotated[int, limit("x", "<", lt=5, description="d")] = 1

    assert [one.loosest for one in parameters_of(Open)] == [1 - 2**63, 4]


def test_of_several_limits_the_loosest_is_taken_by_side():
    several = [Days(few=20.0, none=OFF), Days(few=40.0, none=5.0), Days(few=OFF)]
    assert loosest(several) == Days(few=40.0, none=5.0)
    assert loosest([Ladder(low=OFF), Ladder(low=50.0, high=OFF)]) == Ladder(low=50.0)


def test_what_an_owner_may_set_counts_as_the_loosest_there_can_be():
    assert loosest([Various(mean="median")]) == Various(
        lag=1, age=1, least=2**63 - 1, mean="median"
    )


EASED = {
    "more is worse": (Ladder(), Ladder(low=72.0, high=81.0)),
    "less is worse": (Days(none=7.0), Days(few=45.0, none=10.5)),
    "off stays off": (Days(), Days(few=45.0)),
    "a whole number that is off stays off": (Various(), Various(age=150.0)),
    "a whole number stays whole": (Various(lag=5), Various(lag=2, age=150.0)),
    "a small whole number eases as its figures do": (Various(lag=1), Various(lag=0, age=150.0)),
}


@pytest.mark.parametrize(("params", "expected"), EASED.values(), ids=EASED)
def test_limits_ease_to_their_side(params, expected):
    assert eased(params) == expected


def test_a_whole_number_that_is_reached_stays_reached_by_the_same_figures():
    for when, clear, expected in ((">=", 0.9, 14), (">", 0.9, 13), ("<=", 1.1, 16), ("<", 1.1, 17)):
        hint = Annotated[int, limit("x", when, clear=clear, ge=0, description="d")]
        params = defstruct("One", [("most", hint, 15)], bases=(Params,), frozen=True)
        made = eased(params()).most
        assert (made, type(made)) == (expected, int)


def test_a_whole_number_does_not_ease_by_an_error_of_rounding():
    class One(Params, frozen=True):
        least: Annotated[int, limit("x", "<", clear=1.1, ge=0, description="d")] = 110

    assert (110 * 1.1 > 121, eased(One()).least) == (True, 121)


def test_parameters_that_do_not_ease_are_the_same():
    params = Params()
    assert eased(params) is params


def test_the_last_word_is_told_by_the_loosest_limits_and_words_stay():
    told = unlimited(Various(lag=5, mean="median", tag="edge"))
    assert told == Various(lag=1, age=1, most=1, mean="median", tag="edge")


# --- In the configuration.

WRITTEN = {
    "a duration": ({"age": "5m"}, {"age": 300.0}),
    "seconds": ({"age": 90}, {"age": 90.0}),
    "off": ({"lag": "off"}, {"lag": OFF}),
    "off where less is worse": ({"least": "off"}, {"least": -OFF}),
    "a duration that is off": ({"age": "off"}, {"age": OFF}),
    "a whole number with a point": ({"most": 100.0}, {"most": 100}),
    "a word": ({"mean": "median"}, {"mean": "median"}),
    "text": ({"tag": "off"}, {"tag": "off"}),
    "a flag": ({"pinned": True}, {"pinned": True}),
}


@pytest.mark.parametrize(("raw", "expected"), WRITTEN.values(), ids=WRITTEN)
def test_a_value_is_written(raw, expected):
    made = values(raw, Various, "checks.a")
    assert (made, [type(one) for one in made.values()]) == (
        expected,
        [type(one) for one in expected.values()],
    )


REFUSED = {
    "off where it makes no sense": (
        {"most": "off"},
        "checks.a.most is refused: this limit cannot be off; "
        "enabled = false switches the check off",
    ),
    "half a row": ({"most": 1.5}, "checks.a.most is refused: 1.5 is not a whole number"),
    "an unknown word": (
        {"mean": "men"},
        "checks.a.mean is refused: there is no men; did you mean mean?",
    ),
    "no word": ({"mean": 3}, "checks.a.mean is refused: 3 is not text in quotes"),
    "no duration": (
        {"age": "5 minutes"},
        "checks.a.age is refused: '5 minutes' is not a duration such as 30s or 1h30m",
    ),
    "too long a text": (
        {"tag": 257 * "x"},
        f"checks.a.tag is refused: '{79 * 'x'}… is not allowed, "
        "it must be text of at most 256 characters",
    ),
    "a word for a limit that can be off": (
        {"lag": "of"},
        "checks.a.lag is refused: 'of' is neither a number nor \"off\"",
    ),
    "an unknown name": ({"mst": 1}, "there is no key checks.a.mst; did you mean checks.a.most?"),
}


@pytest.mark.parametrize(("raw", "expected"), REFUSED.values(), ids=REFUSED)
def test_a_value_is_refused(raw, expected):
    with pytest.raises(ConfigError) as refused:
        values(raw, Various, "checks.a")
    assert str(refused.value) == expected


# --- In the metadata of an asset.

OWNED = {
    ("lag", "1000"): 1000,
    ("lag", "+5"): 5,
    ("lag", "5.0"): 5,
    ("lag", "off"): OFF,
    ("lag", "0"): OFF,
    ("lag", "-1"): OFF,
    ("least", "0"): -OFF,
    ("age", "1h30m"): 5400.0,
    ("tag", "edge"): "edge",
    ("pinned", "1"): True,
    ("pinned", "T"): True,
    ("pinned", "FALSE"): False,
}


@pytest.mark.parametrize(("of", "expected"), OWNED.items(), ids=map(" ".join, OWNED))
def test_metadata_sets(of, expected):
    name, written = of
    assert owned(parameter(Various, name), Various, written) == expected


UNREADABLE = [
    ("lag", ""),
    ("lag", "many"),
    ("lag", "1_000"),
    ("lag", "٣"),
    ("lag", "1.5"),
    ("lag", "99999999999999999999999"),
    ("age", "soon"),
    ("age", "0s"),
    ("age", "5"),
    ("tag", 300 * "x"),
    ("pinned", "yes"),
    ("pinned", ""),
]


@pytest.mark.parametrize(("name", "written"), UNREADABLE)
def test_metadata_that_nobody_can_read_is_refused(name, written):
    with pytest.raises(ConfigError):
        owned(parameter(Various, name), Various, written)
