"""Correlation: findings that another one explains are marked, and do not open.

A check that is declared with `explains` (a server does not answer) explains each finding that
involves its entity: `Finding.involves` has the stable names of other entities that it rests on.
If a check that is declared with `common` finds many entities at once, there is one common cause,
and one finding about the whole system replaces them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Mapping

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from nats_insights.facts import Names
from nats_insights.judge.audit import Audit, Found, Held, Key
from nats_insights.judge.declare import Finding
from nats_insights.model.nouns.system import System

# The number of entities, and their share of all judged ones, that show a common cause; its open
# finding stays open down to STILL times as many.
MANY, SHARE = 5, 0.5
STILL = 0.6
_NAMED = 10
_AT_A_STEP = 1024


def correlate(
    result: Audit, system: System, held: Mapping[Key, Held]
) -> Generator[None, None, None]:
    """Mark in `result.found` what is explained, and add the findings of one common cause."""
    by_code: dict[str, list[Key]] = defaultdict(list)
    causes: dict[Names, str] = {}
    for number, (key, found) in enumerate(result.found.items()):
        if number % _AT_A_STEP == 0:
            yield
        if found.check.explains:
            causes[key.names] = found.fingerprint
        if found.check.common:
            by_code[key.code].append(key)
    if causes:
        yield from _involved(result, causes)
    for code, keys in by_code.items():
        keys = [key for key in keys if not result.found[key].explained_by]
        common = Key(code, system.names)
        was_open = common in held and held[common].is_open
        many = (STILL if was_open else 1.0) * max(MANY, SHARE * result.outcomes[code].judged)
        yield
        if len(keys) >= many:
            _one_cause(result, common, keys, system)
        elif was_open and len(keys) + _hidden(result, common) >= many:
            # Perhaps still as many, with the unknown ones: these do not open until that is known.
            _explain(result, keys, held[common].fingerprint)


def _involved(result: Audit, causes: Mapping[Names, str]) -> Generator[None, None, None]:
    for number, (key, found) in enumerate(list(result.found.items())):
        if number % _AT_A_STEP == 0:
            yield
        for names in found.finding.involves:
            # What explains others may itself be explained, but not by itself.
            if causes.get(names, found.fingerprint) != found.fingerprint:
                result.found[key] = replace(found, explained_by=causes[names])


def _one_cause(result: Audit, common: Key, keys: list[Key], system: System) -> None:
    first = result.found[min(keys)]
    judged = result.outcomes[common.code].judged
    kind = first.subject.kind.replace("_", " ")
    names = [" ".join(key.names[-1:]) for key in sorted(keys)]
    finding = Finding(
        summary=f"{len(keys)} of {judged} {kind}s at once, such as: {first.finding.summary}",
        value=len(keys),
        threshold=max(MANY, SHARE * judged),
        unit=f"{kind}s",
        cleared=f"fewer {kind}s than that are left: each is reported by itself",
    )
    evidence = {"entities": names[:_NAMED], "left_out": max(0, len(names) - _NAMED)}
    found = Found(
        first.check,
        system,
        finding,
        max(result.found[key].severity for key in keys),
        evidence=Raw(msgspec.json.encode(evidence)),
    )
    _explain(result, keys, found.fingerprint)
    result.found[common] = found


def _explain(result: Audit, keys: list[Key], fingerprint: str) -> None:
    for key in keys:
        result.found[key] = replace(result.found[key], explained_by=fingerprint)


def _hidden(result: Audit, common: Key) -> int:
    """The number of entities that are unknown to a check."""
    return sum(1 for key in result.unknown if key.code == common.code and key != common)
