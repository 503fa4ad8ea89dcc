"""What to request: what enabled checks need, and the servers whose connections must be read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Iterable, Mapping
from typing import Any

from msgspec import Struct

from nats_insights.config import Config, refuse_unknown
from nats_insights.facts import Names
from nats_insights.judge.audit import Held, Key
from nats_insights.judge.declare import Params, parameters_read
from nats_insights.judge.limits import loosest
from nats_insights.judge.rules import Rule
from nats_insights.judge.shards import loosest as loosest_here
from nats_insights.judge.shards import merges
from nats_insights.model.fold import Fold
from nats_insights.model.nouns.noun import ALL_SERVERS, Noun
from nats_insights.model.past import Past
from nats_insights.model.snapshot import Snapshot
from nats_insights.model.sweeps import stands
from nats_insights.model.worst import Worst
from nats_insights.replies.endpoint import Endpoint
from nats_insights.replies.endpoint import endpoints as all_endpoints
from nats_insights.replies.varz import VARZ


class Plan(Struct, frozen=True, kw_only=True):
    """What to request of servers, what to count of connections, and which figures to record.

    Folds and worst rows have the loosest parameters of the checks that read them.
    """

    endpoints: frozenset[Endpoint[Any]]
    folds: dict[Fold, Params]
    worst: dict[Worst, Params]
    pasts: frozenset[Past[Any]]


def plan(rules: Iterable[Rule]) -> Plan:
    """What these rules need together. VARZ always: it shows the size of CONNZ."""
    endpoints: set[Endpoint[Any]] = {VARZ}
    pasts: set[Past[Any]] = set()
    wanted: dict[Fold | Worst, list[Params]] = defaultdict(list)
    for rule in rules:
        endpoints |= set(rule.check.endpoints)
        pasts |= set(rule.check.pasts)
        read: tuple[Fold | Worst, ...] = (*rule.check.folds, *rule.check.worst)
        for need in read:
            # All checks that share one that reads parameters have the same parameters.
            wanted[need].append(Params() if parameters_read(need) is None else rule.loosest())
    read_by = {need: loosest(params) for need, params in wanted.items()}
    return Plan(
        endpoints=frozenset(endpoints),
        folds={need: params for need, params in read_by.items() if isinstance(need, Fold)},
        worst={need: params for need, params in read_by.items() if isinstance(need, Worst)},
        pasts=frozenset(pasts),
    )


def every(endpoints: Iterable[Endpoint[Any]], config: Config) -> dict[Endpoint[Any], float]:
    """Seconds between two requests to each endpoint; ConfigError where the file names another."""
    asked = {endpoint.key: endpoint for endpoint in endpoints}
    for key in config.gather.every:
        refuse_unknown(key, {*asked, *all_endpoints()}, "gather.every")
    return {one: config.gather.every.get(key, one.every) for key, one in asked.items()}


class Due(Struct, frozen=True):
    """The servers to sweep, and what needs no sweep.

    `ruled_out` maps the code of a check to the clusters in which the small replies alone show that
    it can find nothing, "" being the whole system.
    """

    servers: set[Names]
    ruled_out: dict[str, set[str]]


def due(
    snapshot: Snapshot, rules: Iterable[Rule], held: Mapping[Key, Held]
) -> Generator[None, None, Due]:
    """The servers that must be swept for these rules to find what a sweep of all would find.

    A server is skipped if its counts are still valid, or if the small replies rule out any finding.
    A pending or open finding is never ruled out: its figures must be exact.
    """
    wanted: set[Names] = set()
    ruled_out: dict[str, set[str]] = {}
    homes_of: dict[str, set[str]] = defaultdict(set)
    for key, life in held.items():
        homes_of[key.code].add(life.home)
    for rule in rules:
        folds = [fold for fold in rule.check.folds if not fold.slow]
        if not folds:
            continue
        homes = homes_of[rule.check.code]
        if merges(rule.check) and any(snapshot.shards.named(fold) for fold in folds):
            homes = homes | {""}  # Another shard needs exact counts.
        out = ruled_out[rule.check.code] = set()
        for group in _groups(snapshot, rule):
            yield
            if group.home not in homes and _rules_out(rule, group):
                out.add(group.home)
        everywhere = rule.check.about.depends_on == ALL_SERVERS and "" in out
        for server in snapshot.servers.values():
            yield
            if everywhere or server.home in out:
                continue
            if not all(stands(server, fold) for fold in folds):
                wanted.add(server.names)
    return Due(wanted, ruled_out)


def to_survey(snapshot: Snapshot, folds: Iterable[Fold]) -> set[Names]:
    """The servers to read in a survey, for the slow ones of `folds`; nothing is ruled out."""
    slow = [fold for fold in folds if fold.slow]
    servers = snapshot.servers.values()
    return {one.names for one in servers if not all(stands(one, fold) for fold in slow)}


def _groups(snapshot: Snapshot, rule: Rule) -> Iterable[Noun]:
    """The nouns to which a server's connections count: its cluster, or the whole system."""
    if rule.check.about.depends_on == ALL_SERVERS:
        return [snapshot.system]
    return snapshot.clusters.values()


def _rules_out(rule: Rule, group: Noun) -> bool:
    rules_out = rule.check.rules_out
    try:
        params = loosest_here(rule, group.snapshot.shards)
        return rules_out is not None and rules_out(group, params)
    except Exception:
        # Missing, or an error of the check, reported when it is run: nothing is ruled out.
        return False
