"""From a transition to its advisory: the message, its subject, headers and bytes."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from nats_insights import subjects
from nats_insights.facts import Coverage
from nats_insights.judge.declare import Check, Severity
from nats_insights.judge.lifecycle import Life, Told
from nats_insights.judge.restart import Retired
from nats_insights.tell.messages import (
    Advisory,
    AgentInfo,
    Entity,
    FindingState,
    Heartbeat,
    OpenCounts,
    SeverityName,
)
from nats_insights.text import LONGEST_IN_SENTENCE, shortened
from nats_insights.text import plain as plain

SCHEMAS = "urn:nats-insights:schema:"
# An advisory with its headers is never longer, nor longer than the server's max_payload.
LONGEST = 16 * 1024
# Names, users and addresses come from outside; each is cut to this length.
LONGEST_NAME = 256

F = TypeVar("F", bound=FindingState)


class Message(Struct, frozen=True):
    """A message to publish, complete."""

    subject: str
    payload: bytes
    headers: dict[str, str]


def at(seconds: float) -> datetime:
    """Unix seconds as a UTC time."""
    return datetime.fromtimestamp(seconds, UTC)


def counts(lives: Iterable[Life], *, muted: bool = False) -> OpenCounts:
    """How many findings are open and not muted, or else open and muted, by severity."""
    severities = Counter(
        [life.severity for life in lives if life.is_open and bool(life.muted) is muted]
    )
    return OpenCounts(**{str(severity): count for severity, count in severities.items()})


def finding_state(life: Life, check: Check | Retired, valid_for: float) -> dict[str, Any]:
    """The members that an advisory and FINDINGS share, of an open finding."""
    entity = {key: value[:LONGEST_NAME] for key, value in life.entity.items()}
    labels = {key: value for key, value in entity.items() if key not in ("kind", "id", "name")}
    if "account_name" in entity:
        labels["account"] = entity["account_name"]
    if entity["kind"] == "user":
        labels["user"] = entity["name"]
    evidence = msgspec.json.decode(life.evidence)
    if life.clients:
        evidence = evidence | {"clients": life.clients}
    if life.partial:
        evidence = evidence | {"lower_bound": f"without {life.partial}"}
    return {
        "state": "open",
        "code": check.code,
        "name": check.name,
        "title": check.title,
        "category": check.category,
        "severity": str(life.severity),
        "fingerprint": life.fingerprint,
        "entity": msgspec.convert(entity, Entity),
        "summary": _summary(life),
        "value": life.value,
        "threshold": life.threshold,
        "unit": life.unit,
        "evidence": bounded(evidence),
        "remediation": plain(check.remediation(labels)),
        "opened_at": at(life.opened_at),
        "updated_at": at(life.updated_at),
        "revision": life.revision,
        "valid_until": at(max(life.told_at, life.updated_at) + valid_for),
        "explained_by": life.explained_by or None,
        "clearing": life.clearing,
        "muted": at(life.muted) if life.muted else None,
        "stale": at(life.stale_since) if life.stale_since is not None else None,
        "names": [name[:LONGEST_NAME] for name in life.key.names],
    }


def resolved_state(told: Told, check: Check) -> FindingState:
    """A resolved finding, as FINDINGS returns it."""
    return FindingState(**finding_state(told.life, check, 0.0) | _over(told.at))


def advisory(
    told: Told, check: Check | Retired, agent: AgentInfo, coverage: Coverage, valid_for: float
) -> Advisory:
    """The message for one transition; `valid_for` is how long it is valid, in seconds."""
    members = transition_state(told, check, valid_for)
    return Advisory(**members, agent=agent, coverage=brief(coverage))


def transition_state(told: Told, check: Check | Retired, valid_for: float) -> dict[str, Any]:
    """The members that an advisory and HISTORY share."""
    members = finding_state(told.life, check, valid_for)
    if told.transition == "resolved":
        members |= _over(told.at)
    return members | {
        "id": identity(told),
        "timestamp": at(told.at),
        "transition": told.transition,
        "reason": told.reason,
        "severity_before": _name(told.severity_before),
        "severity_now": _name(told.severity_now),
    }


def _over(when: float) -> dict[str, Any]:
    over = at(when)
    return {"state": "resolved", "resolved_at": over, "valid_until": over, "clearing": False}


def subject(life: Life, check: Check | Retired) -> str:
    """The subject of the advisories of a finding, from its whole names, of any length."""
    scope = life.scope
    label = {"SERVER": "server", "CLUSTER": "cluster", "ACCOUNT": "account"}.get(scope, "")
    entity = life.entity
    return subjects.advisory(
        str(life.severity),
        scope,
        entity.get("cluster", ""),
        entity.get(label, ""),
        check.code,
        life.fingerprint,
    )


def message(advisory: Advisory, subject: str, max_payload: int) -> Message:
    """An advisory ready to be published, within its bounds, headers counted.

    What does not fit is removed in this order: the lists of the evidence, then the remediation.
    """
    headers = _headers(advisory)
    room = min(LONGEST, max_payload) - _header_bytes(headers)
    payload = msgspec.json.encode(fitting(advisory, room))
    return Message(subject, payload, headers)


def heartbeat_message(heartbeat: Heartbeat) -> Message:
    """A heartbeat ready to be published."""
    subject = subjects.heartbeat(heartbeat.agent.id)
    return Message(subject, msgspec.json.encode(heartbeat), {"Nats-Msg-Id": heartbeat.id})


def fitting(state: F, room: int) -> F:
    """A finding of at most `room` bytes, without evidence lists or remediation if necessary."""
    for shorter in (state, *_shorter(state)):
        if len(msgspec.json.encode(shorter)) <= room:
            break
    return shorter


def brief(coverage: Coverage) -> Coverage:
    """The coverage with some names of missing servers, together at most 1 KiB."""
    names: list[str] = []
    room = 1024
    for name in map(shortened, coverage.missing[:10]):
        room -= len(msgspec.json.encode(name)) + 1
        if room < 0:
            break
        names.append(name)
    return replace(coverage, missing=names)


def bounded(value: Any, depth: int = 6) -> Any:
    """Evidence with long texts and lists cut, since names come from outside."""
    if isinstance(value, str):
        return _cut(value)
    if isinstance(value, dict) and depth:
        return {_cut(str(k)): bounded(v, depth - 1) for k, v in list(value.items())[:50]}
    if isinstance(value, list | tuple) and depth:
        return [bounded(item, depth - 1) for item in value[:50]]
    return value if isinstance(value, int | float | None) else str(type(value).__name__)


def _summary(life: Life) -> str:
    """The sentence with long names shortened, so that the numbers after them remain."""
    text = life.summary
    for name in sorted({*life.entity.values(), *life.servers}, key=len, reverse=True):
        if len(name) > LONGEST_IN_SENTENCE or not name.isprintable():
            text = text.replace(name, shortened(name))
    return _cut(plain(text))


def _cut(text: str) -> str:
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= LONGEST_NAME else f"{text[: LONGEST_NAME - 1]}…"


def _name(severity: Severity | None) -> SeverityName | UnsetType:
    return UNSET if severity is None else str(severity)  # type: ignore[return-value]


def identity(told: Told) -> str:
    """The id of a transition, the same for whoever tells it."""
    life = told.life
    figures = (at(life.opened_at), life.revision, told.transition, str(life.severity))
    parts = [life.fingerprint, *figures]
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:32]


def _headers(advisory: Advisory) -> dict[str, str]:
    return {
        "Nats-Msg-Id": advisory.id,
        "ce-specversion": "1.0",
        "ce-id": advisory.id,
        "ce-type": advisory.type,
        "ce-source": f"urn:nats-insights:{subjects.token(advisory.agent.id)}",
        "ce-time": advisory.timestamp.isoformat().replace("+00:00", "Z"),
        "ce-subject": advisory.fingerprint,
        "ce-dataschema": SCHEMAS + advisory.type,
        "ce-datacontenttype": "application/json",
        "ce-severity": advisory.severity,
        "ce-state": advisory.state,
    }


def _header_bytes(headers: dict[str, str]) -> int:
    return len("NATS/1.0\r\n\r\n") + sum(len(k) + len(v) + 4 for k, v in headers.items())


def _shorter(state: F) -> Iterator[F]:
    scalars = {k: v for k, v in state.evidence.items() if not isinstance(v, list | dict)}
    state = replace(state, evidence={**scalars, "truncated": True})
    yield state
    state = replace(state, remediation="")
    yield state
    state = replace(
        state,
        evidence={"truncated": True},
        summary=shortened(state.summary),
        entity=_short_entity(state.entity),
        names=[],
    )
    if isinstance(state, Advisory):
        state = replace(state, coverage=replace(state.coverage, missing=[]))
    yield state


def _short_entity(entity: Entity) -> Entity:
    names = [name for name in entity.__struct_fields__ if name != "kind"]
    return replace(entity, **{name: shortened(getattr(entity, name)) for name in names})
