"""Another configuration in a running agent: what is kept, what changes, and what is told of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.programs import EXAMPLES
from nats_insights.check import HEALTHZ, STATZ, VARZ
from nats_insights.config import parse
from nats_insights.errors import ConfigError
from nats_insights.judge.auditor import Auditor
from nats_insights.replies.connz import CONNZ
from nats_insights.tell.settings import changes
from nats_insights.tell.settings import settings as in_force
from nats_insights.testing.systems import System
from scenario import FOUNDING, OF_SILENCE, Server, Story, cluster, system
from test_restore import CHECKS, CONFIG, epochs, hears, through_json

OFF = "checks.{}.enabled = false\n"
HOT = system(cluster("EU", n1=90, n2=9, n3=1))
FULL = system(cluster("EU", n1=Server(17, max_connections=20), n2=17, n3=17))


def reload(story: Story, config: str) -> None:
    story.auditor.reload(parse(config))


def told(story: Story) -> list[tuple[str, str, str]]:
    return [(one.transition, one.life.key.code, one.reason) for one in story.told]


def after(given: System, config: str = "", times: int = 2) -> Story:
    """A story of the founding checks after some epochs on one system."""
    story = Story(config)
    for _ in range(times):
        story.hears(given)
    return story


# --- Findings.


def test_what_is_open_stays_the_same():
    story = after(HOT)
    before = {key: (life.opened_at, life.fingerprint) for key, life in story.lives.items()}
    reload(story, "interval = '10s'\n" + OFF.format("connection_count_high"))
    assert story.hears(HOT) == []
    now = {key: (life.opened_at, life.fingerprint) for key, life in story.lives.items()}
    assert (len(before), now) == (2, before)


def test_the_finding_of_a_check_that_was_disabled_is_resolved_at_once():
    story = after(HOT)
    reload(story, OFF.format("connection_hotspot"))
    story.hears(HOT, counts=False)
    assert told(story) == [("resolved", "OPT_BALANCE_002", "check_disabled")]
    assert {key.code for key in story.lives} == {"OPT_BALANCE_006"}


def test_a_check_that_is_enabled_again_opens_another_finding():
    story = after(HOT)
    opened_at = story.lives[min(story.lives)].opened_at
    for config in (OFF.format("connection_hotspot"), ""):
        reload(story, config)
        story.hears(HOT)
    assert story.hears(HOT) == ["opened OPT_BALANCE_002 EU n1"]
    assert story.told[0].life.opened_at > opened_at


def test_a_finding_below_a_raised_limit_resolves_after_as_many_evaluations_as_ever():
    story = after(FULL)
    assert {key.code for key in story.lives} == {"SERVER_011"}
    reload(story, "checks.connection_count_high.warning_percent = 92")
    assert story.hears(FULL) == []
    story.hears(FULL)
    assert told(story) == [("resolved", "SERVER_011", "condition_cleared")]


def test_a_lowered_limit_opens_a_finding():
    story = after(FULL, "checks.connection_count_high.warning_percent = 90")
    assert story.lives == {}
    reload(story, "")
    assert story.hears(FULL) == ["opened SERVER_011 EU n1"]


def test_another_severity_is_told_of_the_same_finding():
    story = after(FULL)
    (before,) = story.lives.values()
    reload(story, "checks.connection_count_high.severity = 'critical'")
    story.hears(FULL)
    (life,) = story.lives.values()
    assert told(story) == [
        ("resolved", "SERVER_011", "severity_changed"),
        ("opened", "SERVER_011", "severity_changed"),
    ]
    assert (life.opened_at, life.revision) == (before.opened_at, before.revision + 2)


def test_what_is_pending_goes_on_counting():
    story = after(HOT, times=1)
    reload(story, "interval = '10s'")
    assert "opened OPT_BALANCE_002 EU n1" in story.hears(HOT)


def test_what_would_expire_before_its_reminder_is_told_again():
    story = after(HOT)
    reload(story, "lifecycle.remind_every = '20m'")
    assert story.hears(HOT) == []
    reload(story, "lifecycle.remind_every = '1d'")
    assert story.hears(HOT) == ["reminded OPT_BALANCE_002 EU n1", "reminded OPT_BALANCE_006 APP EU"]
    assert story.hears(HOT) == []


# --- What is requested and remembered.


def test_what_becomes_needed_is_requested_in_the_next_epoch():
    small = "".join(map(OFF.format, set(FOUNDING) - {"connection_count_high"}))
    story = after(HOT, small)
    assert story.auditor.begin(story.now + 30).endpoints == {VARZ}
    reload(story, small.replace(OFF.format("connection_hotspot"), ""))
    assert story.auditor.begin(story.now + 60).endpoints == {VARZ, STATZ}


def test_what_is_needed_again_is_requested_in_the_next_epoch():
    story = Story("gather.every.HEALTHZ = '10m'", CHECKS)
    story.hears(HOT)
    for config in (OFF.format("unhealthy"), "gather.every.HEALTHZ = '10m'"):
        reload(story, config)
    assert HEALTHZ in story.auditor.begin(story.now + 30).endpoints


def test_connections_that_were_counted_are_not_read_again():
    story = after(HOT)
    reload(story, "checks.excessive_user_connections.max_connections = 50")
    assert story.hears(HOT) == ["opened USER_002 APP app"]
    assert story.swept == 0


def test_connections_are_read_again_for_what_was_not_counted():
    config = OFF.format("excessive_user_connections") + "gather.every.CONNZ = '10m'\n"
    hot = system(cluster("EU", n1=90, n2=60, n3=60))
    story = after(hot, config + 'gather.sweep = "all"')
    reload(story, config.replace("enabled = false", "max_connections = 100"))
    assert story.hears(hot) == ["opened USER_002 APP app"]
    assert (story.swept, story.told[0].life.value) == (3, 210)


def test_counts_that_were_dropped_are_not_trusted_when_they_are_needed_again():
    story = after(HOT, 'gather.sweep = "all"')
    reload(story, 'gather.sweep = "all"\n' + OFF.format("excessive_user_connections"))
    story.hears(HOT)
    more = system(cluster("EU", n1=Server(90, accepted=300), n2=Server(90, accepted=300), n3=1))
    story.hears(more)
    reload(story, "")
    assert "opened USER_002 APP app" in story.hears(more)
    value = next(life.value for key, life in story.lives.items() if key.code == "USER_002")
    assert value == 181


def test_a_past_is_kept_and_a_new_one_begins():
    story = Story(CONFIG + OFF.format("limit_changed"), CHECKS)
    for _ in range(3):
        story.hears(HOT)
    before = story.auditor.history.plain()
    reload(story, CONFIG + OFF.format("more_subscribed"))
    kept = story.auditor.history.plain()
    assert [key.partition(":")[2] for key in before.samples] != list(kept.samples)
    assert {key: kept.samples[key] for key in before.samples if key in kept.samples} == {
        key: rows for key, rows in before.samples.items() if "subscribed" not in key
    }
    assert kept.epochs == before.epochs
    limited = "test_restore:limited"
    assert (limited in before.changes, kept.changes[limited]) == (False, [])
    story.hears(HOT)
    assert len(story.auditor.history.plain().changes[limited]) == 3


def test_times_of_the_roster_and_of_the_pace_are_those_of_the_new_file():
    story = after(HOT)
    reload(
        story,
        "interval = '7s'\nlifecycle = { gone_after = '1s', forget_after = '1h' }\n"
        "gather = { max_cpu = 0.1, every = { CONNZ = '5m' } }",
    )
    auditor = story.auditor
    assert (auditor.roster.gone_after, auditor.roster.forget_after) == (1.0, 3600.0)
    assert (auditor.pace.interval, auditor.pace.wanted) == (7.0, 7.0)
    assert (auditor.pace.budget.max_cpu, auditor.every[CONNZ]) == (0.1, 300.0)
    assert {entry.name for entry in auditor.roster} == {"n1", "n2", "n3"}


def test_an_interval_that_was_stretched_stays_so_if_it_is_not_set():
    story = after(HOT)
    story.auditor.pace.interval = 99.0
    reload(story, "lifecycle.settle = '1s'")
    assert story.auditor.pace.interval == 99.0
    reload(story, "gather.max_cpu = 1.0")
    assert story.auditor.pace.interval == 30.0


def test_a_wrong_configuration_changes_nothing():
    story = after(HOT)
    auditor = story.auditor
    before = dict(vars(auditor))
    for wrong in ("checks.connection_hotspot.ratio = 0", "gather.every.CONZ = 3"):
        with pytest.raises(ConfigError):
            reload(story, wrong)
    assert vars(auditor) == before


CONFIGS = (
    CONFIG,
    CONFIG + OFF.format("many_accepted"),
    CONFIG + "checks.unhealthy = { open_after = 1, resolve_after = 1, severity = 'critical' }",
    'lifecycle.remind_every = "3m"\nlifecycle.gone_after = "30s"\ngather.every.STATZ = "60s"\n',
)


@given(epochs, st.lists(st.tuples(st.integers(0, 11), st.sampled_from(CONFIGS)), max_size=3))
@settings(deadline=None)
def test_an_agent_that_reloads_publishes_what_one_does_that_is_started_with_the_new_file(
    given_epochs, reloads
):
    reloading, restarted = Story(CONFIG, CHECKS), Story(CONFIG, CHECKS)
    for number, epoch in enumerate(given_epochs):
        for at, config in reloads:
            if at == number:
                reload(reloading, config)
                known = through_json(restarted.auditor.known)
                restarted.auditor = Auditor(CHECKS, parse(config))
                restarted.auditor.restore(known, restarted.now)
        assert hears(reloading, epoch) == hears(restarted, epoch)


# --- What is told of it.

CHANGED = {
    "a duration": ("", "interval = '1m30s'", ["interval is now 1m30s, it was 30s"]),
    "the same in other words": ("interval = 60", "interval = '1m'", []),
    "a default": ("", "interval = '30s'", []),
    "what waits for a restart": (
        "id = 'a'",
        "id = 'b'",
        ['id is now "b", it was "a", which takes effect after a restart'],
    ),
    "names": ("", "expect = ['n1']", ['expect is now ["n1"], it was 0']),
    "how often something is asked": (
        "gather.every.CONNZ = '2m'",
        "gather.every.JSZ = 60",
        [
            "gather.every.CONNZ is now not set, it was 2m",
            "gather.every.JSZ is now 1m, it was not set",
        ],
    ),
    "a parameter": (
        "",
        "checks.connection_hotspot.ratio = 3",
        ["checks.connection_hotspot.ratio is now 3, it was 2"],
    ),
    "a parameter by the code": (
        "checks.connection_hotspot.ratio = 3",
        "checks.OPT_BALANCE_002.ratio = 3",
        [],
    ),
    "a limit that is off": (
        "",
        "checks.connection_count_high.critical_percent = 'off'",
        ["checks.connection_count_high.critical_percent is now off, it was 95"],
    ),
    "what every check has": (
        "checks.connection_hotspot = { severity = 'critical', open_after = 3 }",
        "checks.connection_hotspot = { resolve_after = 5 }",
        [
            'checks.connection_hotspot.severity is now "info", it was "critical"',
            "checks.connection_hotspot.open_after is now 2, it was 3",
            "checks.connection_hotspot.resolve_after is now 5, it was 2",
        ],
    ),
    "a check that is enabled and set": (
        "checks.connection_hotspot.enabled = false",
        "checks.connection_hotspot.ratio = 3",
        [
            "checks.connection_hotspot.enabled is now true, it was false",
            "checks.connection_hotspot.ratio is now 3, it was 2",
        ],
    ),
    "a check by its code that is disabled": (
        "",
        "checks.OPT_BALANCE_002.enabled = false",
        ["checks.connection_hotspot.enabled is now false, it was true"],
    ),
    "a profile, and what it sets": (
        "",
        "profile = 'insights'\nchecks.connection_count_high.critical_percent = 95",
        [
            'profile is now "insights", it was "default"',
            "checks.connection_hotspot.min_connections is now 100, it was 10",
        ],
    ),
    "the second connection": (
        "publish.password = 'env://A'\npublish.user = 'u'",
        "publish.password = 'env://B'\npublish.user = 'u'",
        ['publish.password is now "env://B", it was "env://A", which takes effect after a restart'],
    ),
    "an override": (
        "[[override]]\nmatch.cluster = 'EU'\nconnection_hotspot.ratio = 3",
        "[[override]]\nmatch.cluster = 'US'\nconnection_hotspot.enabled = false",
        [
            'override[0].match.cluster is now "US", it was "EU"',
            "override[0].connection_hotspot.ratio is now not set, it was 3",
            "override[0].connection_hotspot.enabled is now false, it was not set",
        ],
    ),
    "a name that does not print": (
        "",
        "id = '\u202e" + 90 * "x" + "'",
        [f'id is now "\\u202e{72 * "x"}…, it was "", which takes effect after a restart'],
    ),
}


@pytest.mark.parametrize(("old", "new", "expected"), CHANGED.values(), ids=CHANGED)
def test_each_key_that_changed_is_told_with_both_values(old, new, expected):
    assert changes(parse(old), parse(new), list(FOUNDING.values())) == expected


def test_every_key_of_the_example_is_among_the_settings():
    text = re.sub(r"^#(?=[a-z\[])", "", (EXAMPLES / "agent.toml").read_text(), flags=re.MULTILINE)
    config = parse(text)
    known = [*FOUNDING.values(), *OF_SILENCE.values()]
    keys = {"gather.every", *leaves(msgspec.to_builtins(config))}  # Nothing is in `every`.
    assert keys - {"gather.every"} - in_force(config, known).keys() == set()


def leaves(table: Mapping[str, Any], prefix: str = "") -> set[str]:
    """The paths of a table, as the settings have them."""
    found = set()
    for key, value in table.items():
        if key == "override":
            for number, one in enumerate(value):
                found |= leaves(one, f"override[{number}].")
        else:
            found |= leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key}
    return found
