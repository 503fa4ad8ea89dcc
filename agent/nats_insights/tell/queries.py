"""Queries: from the state after an epoch to the bytes of a reply, without NATS."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Generator
from functools import partial
from typing import Literal

import msgspec

from nats_insights.facts import Coverage
from nats_insights.gather.stepwise import at_once, emptied
from nats_insights.judge.audit import Outcome
from nats_insights.judge.declare import Check, parameters_of
from nats_insights.judge.lifecycle import Life, Told
from nats_insights.judge.limits import Parameter
from nats_insights.judge.rules import Rule
from nats_insights.model.roster import Entry, Roster
from nats_insights.tell import requests
from nats_insights.tell.advisory import at, brief, finding_state, resolved_state
from nats_insights.tell.history import history
from nats_insights.tell.messages import (
    AgentInfo,
    CheckInfo,
    ChecksReply,
    EpochInfo,
    ErrorReply,
    ExplainReply,
    ExplainRequest,
    FindingsReply,
    FindingsRequest,
    FindingState,
    ForgetRequest,
    LastOutcome,
    ListRequest,
    NoRequest,
    NotEvaluated,
    ParameterInfo,
    Problem,
    Reply,
    ServersReply,
    ServerState,
    StatusReply,
)
from nats_insights.tell.muting import muted
from nats_insights.tell.pages import head, part
from nats_insights.tell.ranking import parts
from nats_insights.tell.requests import Refused as Refused
from nats_insights.tell.selection import Counted, asked_codes, named, passing
from nats_insights.tell.view import View
from nats_insights.tell.whole import whole
from nats_insights.text import nearest, shortened

# STATUS stays short however many checks there are: reasons, and codes beside the first of each.
_MOST_REASONS = 10
_MOST_OTHERS = 20


QUERIES = ("STATUS", "FINDINGS", "CHECKS", "EXPLAIN", "SERVERS", "HISTORY", "MUTES")
# These change something: a person who only reads needs none of them.
CHANGES = ("EVALUATE", "FORGET", "MUTE", "UNMUTE")


def answer(view: View, name: str, body: bytes) -> bytes:
    """The reply to one query; Refused with a sentence if there is none."""
    return at_once(steps(view, name, body))


def steps(view: View, name: str, body: bytes) -> Generator[None, None, bytes]:
    """The same in steps: there may be a hundred thousand findings."""
    if name == "FINDINGS":
        return msgspec.json.encode((yield from _findings(view, body)))
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
    requests.read(body, NoRequest)
    return StatusReply(
        **head(view) | whole(view),
        muted=view.muted,
        mutes=len(view.mutes),
        epoch=_epoch(view),
        not_evaluated=_by_reason(view)[:_MOST_REASONS],
        access=view.access,
        cost=view.cost,
        shards=view.shards,
        publishing=view.publishing,
    )


def _epoch(view: View) -> EpochInfo:
    return EpochInfo(
        number=view.agent.epoch,
        started_at=at(view.started_at),
        interval_seconds=view.interval,
        failed=view.failed_epochs,
        last_failure=view.last_failure,
    )


def _by_reason(view: View) -> list[NotEvaluated]:
    """The checks that could not be evaluated, by reason, the most frequent reason first."""
    together: dict[tuple[bool, str], list[Check]] = defaultdict(list)
    for check in view.checks:
        if (outcome := view.outcomes.get(check.code)) and outcome.why:
            together[outcome.excused, shortened(outcome.why, 128)].append(check)
    return [
        NotEvaluated(
            code=first.code,
            name=first.name,
            why=why,
            excused=excused,
            checks=1 + len(others),
            others=[check.code for check in others[:_MOST_OTHERS]],
        )
        for (excused, why), (first, *others) in sorted(
            together.items(), key=lambda item: (item[0][0], -len(item[1]))
        )
    ]


def findings(view: View, body: bytes = b"") -> FindingsReply:
    """FINDINGS."""
    return at_once(_findings(view, body))


def _findings(view: View, body: bytes) -> Generator[None, None, FindingsReply]:
    request = requests.read(body, FindingsRequest)
    keep, counted = passing(request, asked_codes(view.checks, request)), Counted(request.by)
    found: list[Life | Told] = []
    if request.state != "resolved":
        for some in parts((yield from view.worst_first())):
            found += (lives := keep(some))
            counted.add(lives)
            yield
    if request.state != "open":
        found += (ended := [told for told in reversed(view.resolved) if keep([told.life])])
        counted.add([told.life for told in ended])
    more = {"counts": counted.counts(), "muted": counted.muted, "epoch": _epoch(view)}
    if request.by:
        names = yield from counted.names()
        page = part(view, request, names, "groups", counted.group, **more)
        names.clear()
        yield from emptied(counted.groups)
        return FindingsReply(findings=[], **page)
    return FindingsReply(**part(view, request, found, "findings", _stater(view), **more))


def open_findings(view: View) -> list[FindingState]:
    """Every open finding, the worst first."""
    return [_stater(view)(life) for life in view.open]


def all_checks(view: View) -> list[CheckInfo]:
    """Every check, in the order of their codes."""
    return [_check_info(view, check) for check in view.checks]


def _stater(view: View) -> Callable[[Life | Told], FindingState]:
    """A function that makes the state of a finding, called only for those in the reply."""
    by_code = {check.code: check for check in view.checks}

    def state(of: Life | Told) -> FindingState:
        if isinstance(of, Told):
            return resolved_state(of, by_code[of.life.key.code])
        return FindingState(**finding_state(of, by_code[of.key.code], view.valid_for))

    return state


def checks(view: View, body: bytes = b"") -> ChecksReply:
    """CHECKS."""
    request = requests.read(body, ListRequest)
    return ChecksReply(**part(view, request, all_checks(view), "checks"))


def explain(view: View, body: bytes = b"") -> ExplainReply:
    """EXPLAIN."""
    request = requests.read(body, ExplainRequest)
    if not (name := request.code or request.name):
        raise Refused(400, 'name a check by code or name, such as {"code": "SERVER_011"}')
    check = named(view.checks, name)
    return ExplainReply(
        **head(view),
        check=_check_info(view, check),
        finds=check.finds,
        why=check.why,
        do=check.remediation({}),
        default=check.default,
        catalogue=check.catalogue,
    )


def servers(view: View, body: bytes = b"") -> ServersReply:
    """SERVERS."""
    request = requests.read(body, ListRequest)
    rows = sorted(view.servers, key=lambda entry: entry.key)
    return ServersReply(**part(view, request, rows, "servers", partial(_server, view)))


def forget(view: View, roster: Roster, body: bytes) -> bytes:
    """FORGET: remove a server from the roster for good; the reply has its last state.

    Refused for a server that answers, and if the name matches none or several.
    """
    request = requests.read(body, ForgetRequest)
    found = roster.by_name(request.server, request.cluster)
    homes = ", ".join(sorted(f'"{one.cluster}"' for one in roster.by_name(request.server)))
    if not found and homes:
        raise Refused(404, f"{request.server} is not in that cluster, but in {homes}")
    if not found:
        near = nearest(request.server, [one.name for one in roster])
        hint = f"; did you mean {near}?" if near else ""
        raise Refused(404, f"there is no server {request.server[:80]!r}{hint}")
    if len(found) > 1:
        raise Refused(409, f"several servers are called {request.server}: name one of {homes}")
    if found[0].state == "answering":
        raise Refused(409, f"{request.server} answers: only a server that is gone can be forgotten")
    roster.remove(found[0])
    reply = ServersReply(**part(view, ListRequest(), found, "servers", partial(_server, view)))
    return msgspec.json.encode(reply)


def _server(view: View, entry: Entry) -> ServerState:
    swept = view.swept_at.get(entry.key)
    return ServerState(
        name=shortened(entry.name, 128),
        id=shortened(entry.id, 128),
        cluster=shortened(entry.cluster, 128),
        version=shortened(entry.version, 128),
        state=entry.state,
        first_seen=at(entry.first_seen),
        last_seen=at(entry.last_seen),
        swept_at=at(swept) if swept else None,
        last_error=shortened(entry.last_error, 128),
    )


_ANSWERS: dict[str, Callable[[View, bytes], Reply]] = {
    "STATUS": status,
    "CHECKS": checks,
    "EXPLAIN": explain,
    "SERVERS": servers,
    "HISTORY": history,
    "MUTES": muted,
}


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
        parameters=parameters(rule, check),
        # Both would tell a tenant of other accounts.
        overrides=len(rule.overrides) if rule and not view.account else 0,
        last=_last(outcome) if outcome and not view.account else None,
    )


def _last(outcome: Outcome) -> LastOutcome:
    return LastOutcome(
        **{**msgspec.structs.asdict(outcome), "why": shortened(outcome.why, 128)},
    )


def parameters(rule: Rule | None, check: Check) -> list[ParameterInfo]:
    """The parameters of a check, as they are in force under a rule, or as they are declared."""
    return [_parameter(rule, one) for one in parameters_of(check.params)]


def _parameter(rule: Rule | None, parameter: Parameter) -> ParameterInfo:
    name = parameter.name
    value = getattr(rule.params, name) if rule else parameter.default
    origin: Literal["default", "profile", "config"] = "default"
    if rule and name in rule.configured:
        origin = "config"
    elif rule and name in rule.profiled:
        origin = "profile"
    return ParameterInfo(
        name=name,
        value=parameter.written(value),
        default=parameter.written(parameter.default),
        origin=origin,
        unit=parameter.unit,
        description=parameter.description,
        clear_factor=parameter.clear,
        minimum=parameter.ge,
        exclusive_minimum=parameter.gt,
        maximum=parameter.le,
        exclusive_maximum=parameter.lt,
        kind=parameter.kind,
        comparison=parameter.when,
        severity=str(parameter.severity) if parameter.severity else None,  # type: ignore[arg-type]
        insights=None if parameter.insights is None else parameter.written(parameter.insights),
        metadata=parameter.metadata,
        choices=list(parameter.choices),
    )
