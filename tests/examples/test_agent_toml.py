"""The example of a configuration: every key, each with its default, each key that exists."""

from __future__ import annotations

import re
import tomllib

import msgspec
import pytest

from kit.programs import EXAMPLES
from nats_insights import checks, config
from nats_insights.judge.declare import discover, parameters_of
from nats_insights.judge.rules import Judging, rules

TEXT = (EXAMPLES / "agent.toml").read_text()
# Prose begins with a blank after its hash, a key that is commented out does not.
UNCOMMENTED = re.sub(r"^#(?=[a-z\[])", "", TEXT, flags=re.MULTILINE)
EVERYTHING = tomllib.loads(UNCOMMENTED)
CHECKS = {check.name: check for check in discover(checks)}


def test_as_it_stands_it_changes_nothing():
    as_it_stands, without = (
        [
            (rule.check.name, rule.params, rule.severity, rule.open_after, rule.overrides)
            for rule in rules(CHECKS.values(), config.parse(text))
        ]
        for text in (TEXT, "")
    )
    assert as_it_stands == without


def test_every_key_of_the_configuration_is_in_it():
    assert shape(EVERYTHING) == shape(msgspec.to_builtins(config.Config()))


def shape(table: dict) -> dict:
    """Its keys, and theirs; not below those that hold checks or overrides."""
    return {
        key: shape(value) if isinstance(value, dict) and key != "checks" else None
        for key, value in table.items()
    }


def test_every_key_has_its_default():
    loaded = config.parse(UNCOMMENTED)
    assert msgspec.structs.replace(loaded, checks={}, override=[]) == config.Config()


def test_what_every_check_takes_is_shown_once():
    assert Judging.__struct_fields__ == tuple(EVERYTHING["checks"]["connection_hotspot"])[:4]


@pytest.mark.parametrize("name", EVERYTHING["checks"])
def test_every_parameter_of_a_check_that_it_shows_has_its_default(name):
    check = CHECKS[name]
    defaults = {parameter.name: parameter.default for parameter in parameters_of(check.params)}
    general = {
        "enabled": True,
        "severity": str(check.severity),
        "open_after": check.open_after,
        "resolve_after": check.resolve_after,
    }
    shown = EVERYTHING["checks"][name]
    assert shown == defaults | {key: general[key] for key in general if key in shown}


def test_its_overrides_are_valid():
    assert rules(CHECKS.values(), config.parse(UNCOMMENTED))
    assert len(EVERYTHING["override"]) == 3
