"""The configuration file: what is right becomes one Struct, what is wrong one clear sentence."""

from __future__ import annotations

import pytest

from nats_insights.config import Config, Gather, Lifecycle, Publish, load, parse, seconds, span
from nats_insights.errors import ConfigError

RIGHT = {
    "nothing at all": ("", Config()),
    "a comment": ("# nothing", Config()),
    "a duration": ('interval = "1m30s"', Config(interval=90.0)),
    "a number of seconds": ("interval = 15", Config(interval=15.0)),
    "a number of seconds in quotes": ('interval = "15"', Config(interval=15.0)),
    "servers by name": ('expect = ["n1"]', Config(expect=["n1"])),
    "servers by number": ("expect = 3", Config(expect=3)),
    "milliseconds": ('interval = "500ms"', Config(interval=0.5)),
    "days": (
        'lifecycle.forget_after = "2d"',
        Config(lifecycle=Lifecycle(forget_after=172_800.0)),
    ),
    "no settling": ("lifecycle.settle = 0", Config(lifecycle=Lifecycle(settle=0.0))),
    "a table": (
        '[gather]\nevery = { CONNZ = "2m" }\nwindow = 65536',
        Config(gather=Gather(every={"CONNZ": 120.0}, window=65_536)),
    ),
    "parameters, raw": (
        "[checks.connection_hotspot]\nratio = 3.0",
        Config(checks={"connection_hotspot": {"ratio": 3.0}}),
    ),
    "overrides, raw and in order": (
        "[[override]]\nmatch.cluster = 'EU'\n[[override]]\nmatch.cluster = 'US'",
        Config(override=[{"match": {"cluster": "EU"}}, {"match": {"cluster": "US"}}]),
    ),
    "a whole number with a point": (
        "gather.window = 65536.0",
        Config(gather=Gather(window=65_536)),
    ),
    "a second connection": (
        "[publish]\nserver = ['a', 'b']\nuser = 'agent'\npassword = 'env://SECRET'",
        Config(publish=Publish(server=["a", "b"], user="agent", password="env://SECRET")),
    ),
    "a profile": ("profile = 'insights'", Config(profile="insights")),
    "an id with any characters": ('id = "é.*"', Config(id="é.*")),
}


@pytest.mark.parametrize(("text", "expected"), RIGHT.values(), ids=RIGHT)
def test_a_right_file_is_read(text, expected):
    assert parse(text) == expected


def test_without_a_file_everything_has_its_default():
    config = Config()
    assert (config.id, config.interval, config.checks, config.override) == ("", 30.0, {}, [])
    assert config.lifecycle == Lifecycle(settle=120.0, remind_every=900.0, forget_after=86_400.0)
    assert config.gather == Gather(
        timeout=2.0,
        every={},
        sweep="moved",
        window=24 * 2**20,
        max_bytes_per_epoch=2**30,
        max_cpu=0.5,
    )


KEYS = (
    "access, checks, expect, gather, id, interval, lifecycle, override, profile, publish, "
    "shard, tenants"
)
WRONG = {
    "not TOML": (
        "interval =",
        "a.toml is not TOML: Invalid value (at end of document)",
    ),
    "a key twice": (
        "id = 'a'\nid = 'b'",
        "a.toml is not TOML: Cannot overwrite a value (at end of document)",
    ),
    "an unknown key, with the nearest": (
        "intervall = 3",
        "a.toml: there is no key intervall; did you mean interval?",
    ),
    "an unknown key in a table": (
        "lifecycle.remind = '5m'",
        "a.toml: there is no key lifecycle.remind; did you mean lifecycle.remind_every?",
    ),
    "an unknown key that is like none": (
        "zzz = 3",
        f"a.toml: there is no key zzz; known are {KEYS}",
    ),
    "an unknown key that cannot be printed": (
        '"\\u001b[31m" = 3',
        f"a.toml: there is no key '\\x1b[31m'; known are {KEYS}",
    ),
    "an unknown key that is long": (
        f"{100 * 'z'} = 3",
        f"a.toml: there is no key '{80 * 'z'}'; known are {KEYS}",
    ),
    "an unknown profile": (
        "profile = 'insight'",
        "a.toml: profile is refused: there is no insight; did you mean insights?",
    ),
    "a secret, which is not repeated": (
        "publish.password = 'hunter2'",
        "a.toml: publish.password is refused: "
        "it must be env://NAME or file://PATH: no secret stands in this file",
    ),
    "a secret of the wrong type": (
        "publish.token = 12345",
        "a.toml: publish.token is refused: "
        "it must be env://NAME or file://PATH: no secret stands in this file",
    ),
    "a login in a URL, which is not repeated": (
        "publish.server = ['nats://me:hunter2@a:4222']",
        "a.toml: publish.server[0] is refused: it must be a URL without a login",
    ),
    "half a count": (
        "gather.window = 1.5",
        "a.toml: gather.window is refused: 1.5 is not a whole number",
    ),
    "too small a number": (
        "interval = 0.01",
        "a.toml: interval is refused: 0.01 is not allowed, "
        "it must be at least 100ms and at most 366d",
    ),
    "too small a duration": (
        "gather.timeout = '1ms'",
        "a.toml: gather.timeout is refused: '1ms' is not allowed, "
        "it must be at least 50ms and at most 366d",
    ),
    "too small a count": (
        'gather.every.CONNZ = "often"',
        "a.toml: gather.every.CONNZ is refused: 'often' is not a duration such as 30s or 1h30m",
    ),
    "a negative duration": (
        "interval = '-5s'",
        "a.toml: interval is refused: '-5s' is not a duration such as 30s or 1h30m",
    ),
    "a negative number of seconds": (
        "gather.every.CONNZ = -5",
        "a.toml: gather.every.CONNZ is refused: -5 is not allowed, "
        "it must be at least 0s and at most 366d",
    ),
    "a unit in capitals": (
        "interval = '30S'",
        "a.toml: interval is refused: '30S' is not a duration such as 30s or 1h30m",
    ),
    "a share above one": (
        "gather.max_cpu = 2",
        "a.toml: gather.max_cpu is refused: 2 is not allowed, it must be above 0 and at most 1",
    ),
    "a count of servers below zero": (
        "expect = -1",
        "a.toml: expect is refused: -1 is not allowed, it must be at least 0",
    ),
    "one name for a list of names": (
        "expect = 'n1'",
        "a.toml: expect is refused: 'n1' is not a whole number or a list in brackets",
    ),
    "a number in a list of names": (
        "expect = ['n1', 2]",
        "a.toml: expect[1] is refused: 2 is not text in quotes",
    ),
    "text for a list": (
        "access.without = 'LEAFZ'",
        "a.toml: access.without is refused: 'LEAFZ' is not a list in brackets",
    ),
    "a date": (
        "interval = 2020-01-01",
        "a.toml: interval is refused: 2020-01-01 is not a duration such as 30s or 1h30m",
    ),
    "control characters in an id": (
        'id = "a\\u0007"',
        "a.toml: id is refused: 'a\\x07' is not allowed, it must be text that can be printed",
    ),
    "long text": (
        f"interval = '{200 * 'x'}'",
        f"a.toml: interval is refused: '{79 * 'x'}… is not a duration such as 30s or 1h30m",
    ),
    "the section of a check at the top": (
        "[connection_hotspot]\nratio = 3.0",
        "a.toml: there is no key connection_hotspot; the section of a check is [checks.NAME], and "
        f"other keys are {KEYS}",
    ),
    "an empty duration": (
        "lifecycle.settle = ' '",
        "a.toml: lifecycle.settle is refused: ' ' is not a duration such as 30s or 1h30m",
    ),
    "a duration with words": (
        "lifecycle.settle = '2 minutes'",
        "a.toml: lifecycle.settle is refused: '2 minutes' is not a duration such as 30s or 1h30m",
    ),
    "text for a count": (
        "gather.window = 'large'",
        "a.toml: gather.window is refused: 'large' is not a whole number",
    ),
    "a number for text": ("id = 3", "a.toml: id is refused: 3 is not text in quotes"),
    "true for a number": (
        "interval = true",
        "a.toml: interval is refused: true is not a duration such as 30s or 1h30m",
    ),
    "a number for a table": (
        "lifecycle = 3",
        "a.toml: lifecycle is refused: 3 is not a table such as [lifecycle]",
    ),
    "a number for the parameters of a check": (
        "checks.connection_hotspot = 3",
        "a.toml: checks.connection_hotspot is refused: "
        "3 is not a table such as [checks.connection_hotspot]",
    ),
    "a table for a list": (
        "override.match = 3",
        "a.toml: override is refused: a table is not a list of tables, each below [[override]]",
    ),
    "no number": (
        "interval = nan",
        "a.toml: interval is refused: nan is not allowed, "
        "it must be at least 100ms and at most 366d",
    ),
}


@pytest.mark.parametrize(("text", "expected"), WRONG.values(), ids=WRONG)
def test_a_wrong_file_is_refused_in_one_sentence(text, expected):
    with pytest.raises(ConfigError) as refused:
        parse(text, "a.toml")
    assert str(refused.value) == expected


# Larger than any time that can be written in a message, or waited for.
ENDLESS = ["interval = inf", "lifecycle.remind_every = inf", "lifecycle.remind_every = '9999999d'"]


@pytest.mark.parametrize("text", ENDLESS)
def test_an_endless_duration_is_refused(text):
    with pytest.raises(ConfigError, match=f"{text.split()[0]} is refused"):
        parse(text)


DURATIONS = {
    "30s": 30.0,
    "30": 30.0,
    "0.5": 0.5,
    "2m": 120.0,
    "1h30m": 5400.0,
    "1.5h": 5400.0,
    "250ms": 0.25,
    "1d12h": 129_600.0,
}


@pytest.mark.parametrize(("text", "expected"), DURATIONS.items(), ids=DURATIONS)
def test_a_duration_is_seconds(text, expected):
    assert seconds(text, "interval") == expected


SPANS = {
    0: "0s",
    0.25: "250ms",
    30: "30s",
    90: "1m30s",
    5400: "1h30m",
    129_600: "1d12h",
    60.5: "1m0.5s",
}


@pytest.mark.parametrize(("number", "expected"), SPANS.items())
def test_seconds_are_told_as_a_duration_is_written(number, expected):
    assert span(number) == expected
    assert seconds(expected, "here") == number


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError) as refused:
        load(tmp_path / "none.toml")
    assert str(refused.value) == f"cannot read {tmp_path}/none.toml: No such file or directory"


def test_a_file_that_is_no_text_is_named(tmp_path):
    (tmp_path / "a.toml").write_bytes(b'id = "\xff"')
    with pytest.raises(ConfigError) as refused:
        load(tmp_path / "a.toml")
    assert str(refused.value) == f"{tmp_path}/a.toml is not UTF-8 text, at byte 6"


def test_a_file_is_read(tmp_path):
    (tmp_path / "a.toml").write_text('interval = "1m"', encoding="utf-8")
    assert load(tmp_path / "a.toml") == Config(interval=60.0)


def test_a_word_that_is_none_of_those_known_is_answered_with_them():
    with pytest.raises(
        ConfigError, match=r"gather\.sweep is refused: there is no some; it is one of all, moved$"
    ):
        parse('[gather]\nsweep = "some"')
    assert parse('[gather]\nsweep = "all"').gather.sweep == "all"
