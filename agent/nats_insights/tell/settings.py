"""Settings: every key of the configuration with its value in force, to tell what changed."""

from __future__ import annotations

import hashlib
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from nats_insights.config import Config, is_duration, span
from nats_insights.judge.declare import Check
from nats_insights.judge.rules import rules
from nats_insights.tell.parameters import written
from nats_insights.tell.queries import parameters
from nats_insights.text import shortened

# Keys that the agent reads at its start alone, and sections.
AT_START = ("id", "publish.", "shard.")
NOT_SET = "not set"
# Characters of a value in a sentence.
_LONGEST = 80


def changes(before: Config, after: Config, checks: Sequence[Check]) -> list[str]:
    """The keys whose value is another one, a sentence for each, in the order of their sections."""
    old, new = settings(before, checks), settings(after, checks)
    return [
        _sentence(key, old.get(key, NOT_SET), new.get(key, NOT_SET))
        for key in {**old, **new}
        if old.get(key) != new.get(key)
    ]


def digest(config: Config, checks: Sequence[Check]) -> str:
    """16 hex characters: the same for agents with the same settings, but for their own."""
    told = {key: value for key, value in settings(config, checks).items() if key not in AT_START}
    return hashlib.sha256(msgspec.json.encode(sorted(told.items()))).hexdigest()[:16]


def settings(config: Config, checks: Sequence[Check]) -> dict[str, str]:
    """Each key with its value as the file would have it, defaults and the profile included."""
    apart = replace(config, checks={}, override=[])
    told = dict(_flat(apart, ""))
    # Disabled checks have no rule, and yet parameters.
    all_of_them = replace(config, checks={key: _enabled(raw) for key, raw in config.checks.items()})
    enabled = {rule.check.name for rule in rules(checks, config) if rule.enabled}
    for rule in rules(checks, all_of_them):
        path = f"checks.{rule.check.name}"
        told[f"{path}.enabled"] = _text(rule.check.name in enabled)
        told[f"{path}.severity"] = _text(str(rule.severity or rule.check.severity))
        told[f"{path}.open_after"] = _text(rule.open_after)
        told[f"{path}.resolve_after"] = _text(rule.resolve_after)
        for one in parameters(rule, rule.check):
            told[f"{path}.{one.name}"] = written(one, one.value)
    for number, table in enumerate(config.override):
        told.update(_leaves(table, f"override[{number}]"))
    return told


def _enabled(raw: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in raw.items() if key != "enabled"}


def _flat(struct: Struct, prefix: str) -> Iterator[tuple[str, str]]:
    """The keys of a Struct and of those in it."""
    hints = typing.get_type_hints(type(struct), include_extras=True)
    for name, value in msgspec.structs.asdict(struct).items():
        if isinstance(value, Struct):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, dict):  # How often endpoints are requested.
            yield from ((f"{prefix}{name}.{key}", span(one)) for key, one in value.items())
        else:
            yield f"{prefix}{name}", span(value) if is_duration(hints[name]) else _text(value)


def _leaves(table: Mapping[str, Any], path: str) -> Iterable[tuple[str, str]]:
    """The keys of a table of the file and of those in it."""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{path}.{key}")
        else:
            yield f"{path}.{key}", _text(value)


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _sentence(key: str, old: str, new: str) -> str:
    at_start = any(key == one or (one[-1] == "." and key.startswith(one)) for one in AT_START)
    later = ", which takes effect after a restart" if at_start else ""
    short = [shortened(one, _LONGEST) for one in (key, new, old)]
    return "{} is now {}, it was {}{}".format(*short, later)
