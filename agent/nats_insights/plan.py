"""What to ask for: the union of what the enabled checks need."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from .check import Params
from .fold import Fold
from .rules import Rule


class Plan(Struct, frozen=True, kw_only=True):
    """Small replies to ask of everybody, and what to remember of connection rows."""

    endpoints: frozenset[str]
    folds: dict[Fold, Params]


def plan(rules: Iterable[Rule]) -> Plan:
    """What these rules need together. VARZ always: it tells how large CONNZ would be."""
    endpoints = {"VARZ"}
    folds: dict[Fold, Params] = {}
    for rule in rules:
        endpoints |= set(rule.check.needs)
        folds |= {fold: rule.loosest() for fold in rule.check.folds}
    return Plan(endpoints=frozenset(endpoints), folds=folds)
