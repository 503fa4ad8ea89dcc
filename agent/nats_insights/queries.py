"""Queries: from what the agent knows after an epoch to the bytes of a reply, without NATS."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from .advisory import at, brief, counts, finding_state, fitting, plain, shortened
from .audit import Outcome
from .check import Check, parameters_of
from .config import refuse_unknown
from .errors import ConfigError
from .lifecycle import Life
from .messages import (
    Access,
    AgentInfo,
    CheckInfo,
    ChecksReply,
    Cost,
    EpochInfo,
    ErrorReply,
    ExplainReply,
    ExplainRequest,
    FindingsReply,
    FindingsRequest,
    FindingState,
    LastOutcome,
    NoRequest,
    NotEvaluated,
    Page,
    ParameterInfo,
    Problem,
    Reply,
    ServersReply,
    ServerState,
    StatusReply,
    Verdict,
)
from .roster import Entry, Names
from .rules import Rule
from .snapshot import Coverage

# A reply ends before this many bytes, and before the server's max_payload; the rest is paged.
LONGEST = 256 * 1024
# What a page has beside its head and its rows: type, total, offset, more.
_FRAME = 160


class View(Struct, kw_only=True):
    """All that queries are answered from: what the agent knows after its last epoch."""

    agent: AgentInfo
    coverage: Coverage
    access: Access
    checks: list[Check]
    rules: list[Rule]
    lives: list[Life]
    resolved: list[FindingState]
    outcomes: dict[str, Outcome]
    servers: list[Entry]
    swept_at: dict[Names, float] = {}
    cost: Cost
    started_at: float
    interval: float
    valid_for: float
    max_payload: int = 1024 * 1024

    def rule(self, code: str) -> Rule | None:
        """The rule of a check, None where the check is disabled."""
        return next((rule for rule in self.rules if rule.check.code == code), None)


class Refused(Exception):
    """A request that cannot be answered, as an HTTP-like code and a sentence."""

    def __init__(self, code: int, description: str) -> None:
        super().__init__(plain(description)[:500])
        self.code = code


QUERIES = ("STATUS", "FINDINGS", "CHECKS", "EXPLAIN", "SERVERS")


def verdict(lives: Iterable[Life], coverage: Coverage) -> Verdict:
    """The worst open severity; unknown where a server is unheard and nothing critical is known."""
    worst = max((life.severity for life in lives if life.is_open), default=None)
    if worst is not None and str(worst) == "critical":
        return "critical"
    if not coverage.complete:
        return "unknown"
    return "ok" if worst is None else str(worst)  # type: ignore[return-value]


def answer(view: View, name: str, body: bytes) -> bytes:
    """The reply to one query; Refused with a sentence where there is none."""
    return msgspec.json.encode(_ANSWERS[name](view, body))


def error(agent: AgentInfo, coverage: Coverage, refused: Refused) -> bytes:
    """The body that goes with the error headers."""
    reply = ErrorReply(
        timestamp=at(time.time()),
        agent=agent,
        coverage=brief(coverage),
        error=Problem(code=refused.code, description=str(refused)),
    )
    return msgspec.json.encode(reply)


def status(view: View, body: bytes = b"") -> StatusReply:
    """STATUS."""
    _request(body, NoRequest)
    why = {code: shortened(outcome.why, 128) for code, outcome in view.outcomes.items()}
    not_evaluated = [
        NotEvaluated(code=check.code, name=check.name, why=why[check.code])
        for check in view.checks
        if why.get(check.code)
    ]
    return StatusReply(
        **_head(view),
        verdict=verdict(view.lives, view.coverage),
        open=counts(view.lives),
        epoch=EpochInfo(
            number=view.agent.epoch, started_at=at(view.started_at), interval_seconds=view.interval
        ),
        not_evaluated=not_evaluated,
        access=view.access,
        cost=view.cost,
    )


def findings(view: View, body: bytes = b"") -> FindingsReply:
    """FINDINGS."""
    request = _request(body, FindingsRequest)
    if request.code:
        request = replace(request, code=named(view.checks, request.code).code)
    scope = {check.code: check.about.scope for check in view.checks}
    candidates: list[FindingState] = []
    if request.state != "resolved":
        candidates += open_findings(view)
    if request.state != "open":
        candidates += view.resolved
    found = [state for state in candidates if _asked(request, state, scope[state.code])]
    return FindingsReply(**_page(view, request, found, "findings"))


def open_findings(view: View) -> list[FindingState]:
    """Every open finding, the worst first."""
    by_code = {check.code: check for check in view.checks}
    lives = sorted(view.lives, key=lambda life: (-life.severity, life.key))
    return [
        FindingState(**finding_state(life, by_code[life.key.code], view.valid_for))
        for life in lives
        if life.is_open
    ]


def checks(view: View, body: bytes = b"") -> ChecksReply:
    """CHECKS."""
    request = _request(body, Page)
    rows = [_check_info(view, check) for check in view.checks]
    return ChecksReply(**_page(view, request, rows, "checks"))


def explain(view: View, body: bytes = b"") -> ExplainReply:
    """EXPLAIN."""
    request = _request(body, ExplainRequest)
    asked = request.code or request.name
    check = named(view.checks, asked)
    return ExplainReply(
        **_head(view),
        check=_check_info(view, check),
        finds=check.finds,
        why=check.why,
        do=check.remediation({}),
    )


def servers(view: View, body: bytes = b"") -> ServersReply:
    """SERVERS."""
    request = _request(body, Page)
    rows = [
        ServerState(
            name=shortened(entry.name, 128),
            id=shortened(entry.id, 128),
            cluster=shortened(entry.cluster, 128),
            version=shortened(entry.version, 128),
            state=entry.state,
            first_seen=at(entry.first_seen),
            last_seen=at(entry.last_seen),
            swept_at=at(swept) if (swept := view.swept_at.get(entry.key)) else None,
            last_error=shortened(entry.last_error, 128),
        )
        for entry in sorted(view.servers, key=lambda entry: entry.key)
    ]
    return ServersReply(**_page(view, request, rows, "servers"))


_ANSWERS: dict[str, Callable[[View, bytes], Reply]] = {
    "STATUS": status,
    "FINDINGS": findings,
    "CHECKS": checks,
    "EXPLAIN": explain,
    "SERVERS": servers,
}


def named(checks: Iterable[Check], asked: str) -> Check:
    """The check with this code or name, whatever its case; Refused with the nearest if none has."""
    found = {check.code: check for check in checks}
    found |= {check.name: check for check in found.values()}
    for name in (asked.upper(), asked.lower().replace("-", "_")):
        if name in found:
            return found[name]
    try:
        refuse_unknown(asked, found)
    except ConfigError as unknown:
        raise Refused(404, str(unknown).replace("there is no key", "there is no check")) from None
    raise Refused(404, f"there is no check {asked[:80]!r}")


def _head(view: View) -> dict[str, Any]:
    return {
        "timestamp": at(time.time()),
        "agent": view.agent,
        "coverage": brief(view.coverage),
    }


def _request(body: bytes, into: Any) -> Any:
    try:
        return msgspec.json.decode(body or b"{}", type=into)
    except msgspec.ValidationError as wrong:
        known = ", ".join(into.__struct_fields__) or "none"
        sentence = str(wrong).replace("`", "")
        raise Refused(400, f"the request is refused: {sentence}; fields are {known}") from None
    except Exception:
        raise Refused(400, "the request is not a JSON object") from None


def _asked(request: FindingsRequest, state: FindingState, scope: str) -> bool:
    return (
        request.code in ("", state.code)
        and request.severity in ("", state.severity)
        and request.scope in ("", scope)
        and all(
            getattr(request, label) in ("", getattr(state.entity, label))
            for label in ("account", "cluster", "server")
        )
    )


def _page(view: View, request: Page, rows: list[Any], field: str) -> dict[str, Any]:
    head = _head(view)
    room = min(LONGEST, view.max_payload) - len(msgspec.json.encode(head)) - _FRAME
    taken: list[Any] = []
    for row in rows[request.offset : request.offset + request.limit]:
        if isinstance(row, FindingState) and not taken:
            row = fitting(row, room)
        room -= len(msgspec.json.encode(row)) + 1
        if room < 0 and taken:
            break
        taken.append(row)
    more = request.offset + len(taken) < len(rows)
    page = {field: taken, "total": len(rows), "offset": request.offset, "more": more}
    return head | page


def _check_info(view: View, check: Check) -> CheckInfo:
    rule, outcome = view.rule(check.code), view.outcomes.get(check.code)
    return CheckInfo(
        code=check.code,
        name=check.name,
        title=check.title,
        severity=str((rule and rule.severity) or check.severity),  # type: ignore[arg-type]
        category=check.category,
        scope=check.about.scope,  # type: ignore[arg-type]
        entity_kind=check.about.kind,
        enabled=rule is not None,
        needs=list(check.needs),
        open_after=rule.open_after if rule else check.open_after,
        resolve_after=rule.resolve_after if rule else check.resolve_after,
        settles=check.settle,
        parameters=[_parameter(rule, check, p.name) for p in parameters_of(check.params)],
        overrides=len(rule.overrides) if rule else 0,
        last=_last(outcome) if outcome else None,
    )


def _last(outcome: Outcome) -> LastOutcome:
    return LastOutcome(
        **{**msgspec.structs.asdict(outcome), "why": shortened(outcome.why, 128)},
    )


def _parameter(rule: Rule | None, check: Check, name: str) -> ParameterInfo:
    parameter = next(p for p in parameters_of(check.params) if p.name == name)
    return ParameterInfo(
        name=name,
        value=getattr(rule.params, name) if rule else parameter.default,
        default=parameter.default,
        origin="config" if rule and name in rule.configured else "default",
        unit=parameter.unit,
        description=parameter.description,
        clear_factor=parameter.clear,
        minimum=parameter.ge,
        exclusive_minimum=parameter.gt,
        maximum=parameter.le,
        exclusive_maximum=parameter.lt,
    )
