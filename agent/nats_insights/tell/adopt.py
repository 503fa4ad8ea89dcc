"""Adoption: from what another agent told to what this one goes on with, as if it had told it.

A message names its check, the kind of its entity and the stable names: what does not hash to its
fingerprint, or is of a check that this agent does not have, is not adopted.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Raw

from nats_insights.facts import Names
from nats_insights.judge.audit import Key
from nats_insights.judge.declare import Check
from nats_insights.judge.finding import SEVERITIES
from nats_insights.judge.lifecycle import Life
from nats_insights.judge.mutes import NAMED, Mute
from nats_insights.model.nouns.noun import Noun
from nats_insights.model.nouns.system import System
from nats_insights.model.roster import Entry
from nats_insights.tell.messages import Advisory, FindingState, MuteState, ServerState

# Larger numbers are nobody's figures, and JSON does not carry them everywhere.
LARGEST = 2**53
_PARTIAL = "without "


def life(said: FindingState, checks: Mapping[str, Check]) -> Life | None:
    """An open finding as another agent told it; None if it cannot be gone on with.

    `checks` are those of this agent by their codes. When it was told is known of an advisory; of a
    reply to FINDINGS it is taken for the time of the last evaluation.
    """
    check = checks.get(said.code)
    if check is None or said.state != "open" or not _is_moderate(said):
        return None
    kind, is_common = check.about, False
    if said.entity.kind != kind.kind and check.common:
        kind, is_common = System, True
    names = tuple(said.names)
    if not names or check.fingerprint(kind.kind, names) != said.fingerprint:
        return None
    entity = {name: text for name, text in msgspec.structs.asdict(said.entity).items() if text}
    updated_at = said.updated_at.timestamp()
    clients, partial, evidence = _told_apart(said)
    return Life(
        key=Key(said.code, names),
        severity=SEVERITIES[said.severity],
        home=said.entity.cluster,
        rests_on=_rests_on(kind, names, entity),
        when_gone=kind.when_gone,
        scope=kind.scope,
        fingerprint=said.fingerprint,
        entity=entity,
        is_common=is_common,
        is_open=True,
        revision=said.revision,
        opened_at=said.opened_at.timestamp(),
        updated_at=updated_at,
        told_at=said.timestamp.timestamp() if isinstance(said, Advisory) else updated_at,
        told_value=said.value,
        summary=said.summary,
        value=said.value,
        threshold=said.threshold,
        unit=said.unit,
        evidence=evidence,
        clients=clients,
        partial=partial,
        stale_since=None if said.stale is None else said.stale.timestamp(),
        explained_by=said.explained_by or "",
        muted=0.0 if said.muted is None else said.muted.timestamp(),
    )


def mute(said: MuteState) -> Mute:
    """A mute as another agent told it."""
    texts = {name: getattr(said, name) for name in (*NAMED, "who", "why")}
    return Mute(until=said.until.timestamp(), at=said.at.timestamp(), **texts)


def entry(said: ServerState) -> Entry | None:
    """A server as another agent told it; None if its names were cut."""
    if any(name.endswith("…") for name in (said.name, said.cluster, said.id)):
        return None
    return Entry(
        cluster=said.cluster,
        name=said.name,
        id=said.id,
        version=said.version,
        state=said.state,
        first_seen=said.first_seen.timestamp(),
        last_seen=said.last_seen.timestamp(),
        last_error=said.last_error,
    )


def _is_moderate(said: FindingState) -> bool:
    """Whether its numbers can be told again: whoever may publish may invent them."""
    figures = (said.revision, said.value or 0, said.threshold or 0)
    return all(abs(figure) < LARGEST for figure in figures)


def _rests_on(kind: type[Noun], names: Names, entity: Mapping[str, str]) -> Names:
    """The (cluster, name) of the server that it is part of, () if it is of no single one."""
    cluster = entity.get("cluster", "")
    if kind.place is None:
        return (cluster, entity["server"]) if "server" in entity else ()
    return () if cluster or kind.place >= len(names) else ("", names[kind.place])


def _told_apart(said: FindingState) -> tuple[dict[str, object], str, Raw]:
    """The clients, what is missing, and the check's own evidence: they are told as one."""
    evidence = dict(said.evidence)
    clients, partial = evidence.pop("clients", None), evidence.pop("lower_bound", "")
    return (
        clients if isinstance(clients, dict) else {},
        partial.removeprefix(_PARTIAL) if isinstance(partial, str) else "",
        Raw(msgspec.json.encode(evidence)),
    )
