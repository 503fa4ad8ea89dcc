"""What the agent of one shard of a divided system judges, and what it counts for the others."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from msgspec.structs import replace

from nats_insights.facts import Counted
from nats_insights.judge.declare import Check, Params
from nats_insights.judge.rules import Rule
from nats_insights.model.fold import Fold
from nats_insights.model.nouns.noun import ALL_SERVERS
from nats_insights.model.shards import Shards
from nats_insights.model.snapshot import Snapshot

if TYPE_CHECKING:
    from nats_insights.judge.audit import Key


def spans(check: Check) -> bool:
    """Whether it is about something that servers of several clusters contribute to."""
    return check.about.across or check.about.depends_on == ALL_SERVERS


def merges(check: Check) -> bool:
    """Whether the counts of other shards are all that it needs of them: it reads nothing else."""
    read = {fold.endpoint for fold in check.folds}
    return spans(check) and bool(check.folds) and not check.pasts and set(check.needs) == read


def left(check: Check, shards: Shards) -> str:
    """Why this shard does not judge a check, "" if it does."""
    if not shards.divided or not spans(check):
        return ""
    if not merges(check):
        return "it needs more than counts of the other shards"
    return "" if shards.judges else f"shard {shards.judge} judges it for all shards"


def read(rules: Iterable[Rule], shards: Shards) -> list[Rule]:
    """The rules for whose checks this shard gathers."""
    return [
        rule for rule in rules if not shards.divided or not spans(rule.check) or merges(rule.check)
    ]


def floors(rules: Iterable[Rule], shards: Shards) -> dict[Fold, float]:
    """The folds that are merged, and the count above which this shard lists a key.

    A check that has no limit for single keys needs all of them.
    """
    found: dict[Fold, float] = {}
    for rule in rules:
        if shards.divided and merges(rule.check):
            limit = float(getattr(rule.loosest(), rule.check.above)) if rule.check.above else 0.0
            for fold in rule.check.folds:
                found[fold] = min(limit / shards.number, found.get(fold, limit))
    return found


def loosest(rule: Rule, shards: Shards) -> Params:
    """The loosest parameters; of a sum over all shards this shard's part of the limit."""
    params, above = rule.loosest(), rule.check.above
    if not (shards.divided and merges(rule.check) and above):
        return params
    return replace(params, **{above: getattr(params, above) / shards.number})


def contributions(
    snapshot: Snapshot,
    rules: Iterable[Rule],
    floors: Mapping[Fold, float],
    held: Iterable[Key],
    ruled_out: Mapping[str, Collection[str]],
) -> dict[str, Counted]:
    """What this shard counts for the others, by the names of the folds."""
    shards, by_code, counted = snapshot.shards, {r.check.code: r.check for r in rules}, {}
    asking: dict[Fold, list[tuple[str, ...]]] = {fold: [] for fold in floors}
    for key in held:
        check = by_code.get(key.code)
        if check is not None and check.above and merges(check):
            for fold in check.folds:
                asking[fold].append(key.names)
    for fold, floor in floors.items():
        readers = [check for check in by_code.values() if fold in check.folds and merges(check)]
        none = not snapshot.lacking.blind and all(
            "" in ruled_out.get(check.code, ()) for check in readers
        )
        counted[fold.name] = shards.count(snapshot, fold, floor, asking[fold], none=none)
    return counted
