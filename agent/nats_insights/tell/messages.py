"""The types of all published messages and replies; `schemas/` is generated from them.

Fields are only ever added, and readers ignore those that they do not know. Times are UTC.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from nats_insights.facts import (
    MOST_CLUSTERS,
    MOST_SHARDS,
    Access,
    Cost,
    Counted,
    Coverage,
    Kind,
    Scope,
)

Id = Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]
Time = Annotated[datetime, Meta(tz=True)]
SeverityName = Literal["critical", "warning", "info"]
Verdict = Literal["ok", "info", "warning", "critical", "unknown"]
Role = Literal["leader", "standby", "stopped"]
GroupedBy = Literal["code", "cluster", "server", "account", "user"]


class Entity(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a finding is about.

    In operator mode `account` and `user` are keys; `name` and `account_name` are the names that
    their JWTs give them, where these are known.
    """

    kind: Kind
    id: str
    name: str
    cluster: str = ""
    server: str = ""
    account: str = ""
    account_name: str = ""
    user: str = ""
    stream: str = ""
    consumer: str = ""
    group: str = ""
    remote: str = ""
    listener: str = ""
    subject: str = ""
    service: str = ""


class AgentInfo(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The agent that sends this: `id` is configured and permanent, `instance` is this process.

    `shard` is the part of the system that it looks at, "" where it looks at all of it.
    """

    id: str
    instance: str
    version: str
    epoch: int
    role: Role
    shard: str = ""


class FindingState(Struct, frozen=True, kw_only=True):
    """A finding as it is now: part of advisories and of the reply to FINDINGS.

    It is `clearing` while it is open and its condition is no longer true, but not yet for long or
    clearly enough to resolve. `names` are the stable names of its entity: the fingerprint is made
    of them, the kind of the entity and the code.
    """

    state: Literal["open", "resolved"]
    code: str
    name: str
    title: str
    category: str
    severity: SeverityName
    fingerprint: Id
    entity: Entity
    summary: str
    value: float | int | None
    threshold: float | int | None
    unit: str
    evidence: dict[str, Any]
    remediation: str
    opened_at: Time
    updated_at: Time
    revision: Annotated[int, Meta(ge=1)]
    valid_until: Time
    resolved_at: Time | None = None
    muted: Time | None = None
    stale: Time | None = None
    explained_by: str | None = None
    clearing: bool = False
    names: list[str] = []


class TransitionState(FindingState, frozen=True, kw_only=True):
    """A transition, with the finding as it was after it: part of advisories and of HISTORY."""

    id: Id
    timestamp: Time
    transition: Literal["opened", "updated", "reminded", "resolved"]
    reason: str
    severity_before: SeverityName | UnsetType = UNSET
    severity_now: SeverityName | UnsetType = UNSET


class Advisory(TransitionState, frozen=True, kw_only=True):
    """One message on `$INSIGHTS.ADVISORY.>`: a finding opened, changed, is still open, resolved."""

    type: Literal["insights.advisory.v1.finding"] = "insights.advisory.v1.finding"
    agent: AgentInfo
    coverage: Coverage


class OpenCounts(Struct, frozen=True, kw_only=True):
    """How many findings are open, by severity."""

    critical: int = 0
    warning: int = 0
    info: int = 0


class Heartbeat(Struct, frozen=True, kw_only=True):
    """One message per epoch on `$INSIGHTS.HEARTBEAT.<agent-id>`, also when nothing is wrong.

    `verdict` is that of STATUS, and `checks_not_evaluated` counts the checks that make it unknown.
    `interval_seconds` is from one epoch to the next, as lengthened by the limits on cost;
    `epochs_skipped` were due before this one had ended. After `silent_after_seconds` without
    another heartbeat, treat the agent as stopped. The verdict of a standby, and of an agent before
    its first epoch, is `unknown`. `open` does not count the findings that are `muted`; `mutes` is
    the number of mutes.

    A standby that `claims` is about to lead, unless another agent objects; one that is `warm` knows
    the findings of the leader, or can read them. `lease` numbers the reign of a leader that has the
    lease in JetStream, and grows from reign to reign; it is null where an agent leads without.
    Agents with the same settings, but for `id`, have the same `configuration`.
    """

    type: Literal["insights.advisory.v1.heartbeat"] = "insights.advisory.v1.heartbeat"
    id: Id
    timestamp: Time
    agent: AgentInfo
    coverage: Coverage
    verdict: Verdict = "unknown"
    checks_not_evaluated: int = 0
    interval_seconds: float
    silent_after_seconds: float
    epochs_skipped: int = 0
    leading_since: Time | None
    open: OpenCounts
    muted: OpenCounts = OpenCounts()
    mutes: int = 0
    cost: Cost
    claims: bool = False
    warm: bool = False
    lease: int | None = None
    configuration: str = ""


class Ledger(Struct, frozen=True, kw_only=True):
    """What a shard contributes to sums, after each epoch on `$INSIGHTS.LEDGER.<shard>`.

    `others` are the shards that it knows, `clusters` those that it looks at, and `folds` its counts
    by what is counted. The rest is what its heartbeat says. After `silent_after_seconds` without
    another one the shard is unknown.
    """

    type: Literal["insights.advisory.v1.ledger"] = "insights.advisory.v1.ledger"
    timestamp: Time
    agent: AgentInfo
    shard: Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{1,32}$")]
    others: Annotated[list[str], Meta(max_length=MOST_SHARDS)]
    clusters: Annotated[list[str], Meta(max_length=MOST_CLUSTERS)]
    folds: Annotated[dict[str, Counted], Meta(max_length=100)]
    silent_after_seconds: Annotated[float, Meta(ge=0, le=86_400)]
    verdict: Verdict
    coverage: Coverage
    open: OpenCounts
    checks_not_evaluated: int


class ShardState(Struct, frozen=True, kw_only=True):
    """Another shard as it was last heard; `why` says why its verdict is unknown, "" if it is not.

    Then what was last heard of it, if anything, is not part of the verdict and of the counts.
    """

    name: str
    agent: str = ""
    verdict: Verdict = "unknown"
    why: str = ""
    heard_at: Time | None = None
    open: OpenCounts = OpenCounts()
    servers_known: int = 0
    servers_answered: int = 0
    checks_not_evaluated: int = 0


class Reply(Struct, frozen=True, kw_only=True):
    """The fields of every reply."""

    type: str
    timestamp: Time
    agent: AgentInfo
    coverage: Coverage


class Problem(Struct, frozen=True, kw_only=True):
    """Why a request was refused."""

    code: int
    description: str


class ErrorReply(Reply, frozen=True, kw_only=True):
    """The reply to a request that was refused; the headers contain the same."""

    type: Literal["insights.api.v1.error_response"] = "insights.api.v1.error_response"
    error: Problem


class NotEvaluated(Struct, frozen=True, kw_only=True):
    """Checks that could not be evaluated for some or all entities, and what data is missing.

    `code` and `name` are those of the first check of which this is true, `others` the codes of some
    more, and `checks` says how many there are.

    It is `excused` where that is expected and does not make the verdict unknown: a cluster settles,
    servers of this version do not send the data, or the configuration accepts it.
    """

    code: str
    name: str
    why: str
    excused: bool = False
    checks: int = 1
    others: list[str] = []


class EpochInfo(Struct, frozen=True, kw_only=True):
    """The last epoch. `failed` counts the epochs that ended with an error in the program, and
    `last_failure` is the place in the program."""

    number: int
    started_at: Time
    interval_seconds: float
    failed: int = 0
    last_failure: str = ""


class PublishingState(Struct, frozen=True, kw_only=True):
    """The second connection of the agent, on which it publishes.

    `server` is where it is connected, "" while it is not, and `stream` is the one that acknowledges
    advisories, "" if there is none. Of the advisories so many are `waiting` to be published,
    `unstored`, which is published but not acknowledged, and `dropped` since the agent started.
    `problem` is what is wrong now, "" if nothing is, and `last_problem` what was wrong last.
    """

    server: str = ""
    stream: str = ""
    waiting: int = 0
    unstored: int = 0
    dropped: int = 0
    problem: str = ""
    last_problem: str = ""


class StatusReply(Reply, frozen=True, kw_only=True):
    """STATUS: the verdict, what it is based on, and what it costs.

    Findings that are `muted` count neither as `open` nor in the verdict; `mutes` is the number of
    mutes. An account that asks about itself is told neither `access` nor `cost`, nor `publishing`,
    which is there only where the agent has a second connection.

    In a divided system verdict, `open`, coverage and `checks_not_evaluated` are of all shards, and
    `shards` has the other ones.
    """

    type: Literal["insights.api.v1.status_response"] = "insights.api.v1.status_response"
    verdict: Verdict
    open: OpenCounts
    muted: OpenCounts = OpenCounts()
    mutes: int = 0
    epoch: EpochInfo
    not_evaluated: list[NotEvaluated]
    checks_not_evaluated: int = 0
    access: Access | UnsetType = UNSET
    cost: Cost | UnsetType = UNSET
    shards: list[ShardState] = []
    publishing: PublishingState | UnsetType = UNSET


class ListReply(Reply, frozen=True, kw_only=True):
    """A list, or the part of it that was requested and fits."""

    total: int
    offset: int
    more: bool


class Group(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How many findings there are with these labels, by severity; a label that is not there is "".

    By server there are `cluster` and `server`, by user `account` and `user`. In operator mode these
    are keys, and `account_name` and `user_name` their names, where they are known.
    """

    code: str = ""
    cluster: str = ""
    server: str = ""
    account: str = ""
    account_name: str = ""
    user: str = ""
    user_name: str = ""
    critical: int = 0
    warning: int = 0
    info: int = 0


class FindingsReply(ListReply, frozen=True, kw_only=True):
    """FINDINGS: by severity, then by how far they are beyond their limit, the worst first.

    Muted ones follow, then resolved ones, the last first. `counts` are of all that match, and
    `muted` is how many of them are muted. With `by` in the request, there are `groups` in place of
    findings. `status` is there only in the output of `check`. The findings of all shards of a
    divided system are in it, but for the `silent_shards`.
    """

    type: Literal["insights.api.v1.findings_response"] = "insights.api.v1.findings_response"
    findings: list[FindingState]
    groups: list[Group] = []
    counts: OpenCounts | UnsetType = UNSET
    muted: int = 0
    epoch: EpochInfo | UnsetType = UNSET
    status: StatusReply | UnsetType = UNSET
    silent_shards: list[str] = []


class HistoryReply(ListReply, frozen=True, kw_only=True):
    """HISTORY: what opened, changed or resolved, the last first; reminders are left out.

    After `known_since` nothing is missing. What is older than the agent's memory comes from
    `stream`, "" if none was read; `problem` says why it was not, or why not as far back as asked.
    """

    type: Literal["insights.api.v1.history_response"] = "insights.api.v1.history_response"
    transitions: list[TransitionState]
    known_since: Time
    stream: str = ""
    problem: str = ""


class MuteState(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One mute, of the findings that fit all that it names, with the number that are open now.

    `at` is when it was made, `who` made it and `why`.
    """

    code: str = ""
    fingerprint: str = ""
    cluster: str = ""
    server: str = ""
    account: str = ""
    user: str = ""
    until: Time
    at: Time
    who: str = ""
    why: str = ""
    findings: int


class MutesReply(ListReply, frozen=True, kw_only=True):
    """MUTES, and the reply to MUTE and UNMUTE: what is muted, the last mute first."""

    type: Literal["insights.api.v1.mutes_response"] = "insights.api.v1.mutes_response"
    mutes: list[MuteState]


class ParameterInfo(Struct, frozen=True, kw_only=True):
    """One parameter in force: `origin` says who set it; `clear_factor` eases it once open.

    A duration is in seconds, and a limit that no figure reaches is "off". `comparison` says how a
    figure reaches a limit, "" where it is no limit; `severity` is that of what reaches it, where it
    is not the check's. `insights` is the value in that profile, and `metadata` the key by which the
    owner of an asset sets it.
    """

    name: str
    value: float | int | str | bool
    default: float | int | str | bool
    origin: Literal["default", "profile", "config"]
    unit: str
    description: str
    clear_factor: float | None
    minimum: float | None
    exclusive_minimum: float | None
    maximum: float | None
    exclusive_maximum: float | None
    kind: Literal["number", "duration", "choice", "text", "flag"] = "number"
    comparison: Literal["", ">=", ">", "<=", "<"] = ""
    severity: SeverityName | None = None
    insights: float | int | str | bool | None = None
    metadata: str = ""
    choices: list[str] = []


class LastOutcome(Struct, frozen=True, kw_only=True):
    """The outcome of a check in the last epoch, in numbers of entities."""

    judged: int
    found: int
    unknown: int
    not_due: bool
    why: str
    excused: bool = False


class CheckInfo(Struct, frozen=True, kw_only=True):
    """One check as it is configured."""

    code: str
    name: str
    title: str
    severity: SeverityName
    category: str
    scope: Scope
    entity_kind: str
    enabled: bool
    needs: list[str]
    open_after: int
    resolve_after: int
    settles: bool
    parameters: list[ParameterInfo]
    overrides: int
    last: LastOutcome | None


class ChecksReply(ListReply, frozen=True, kw_only=True):
    """CHECKS: every check."""

    type: Literal["insights.api.v1.checks_response"] = "insights.api.v1.checks_response"
    checks: list[CheckInfo]


class ExplainReply(Reply, frozen=True, kw_only=True):
    """EXPLAIN: one check with its documentation.

    `default` says why its limits are what they are, `catalogue` how it compares with the check of
    the same code in the public catalogue; either may be empty.
    """

    type: Literal["insights.api.v1.explain_response"] = "insights.api.v1.explain_response"
    check: CheckInfo
    finds: str
    why: str
    do: str
    default: str = ""
    catalogue: str = ""


class ServerState(Struct, frozen=True, kw_only=True):
    """One server of the roster; `swept_at` is when its connections were last read."""

    name: str
    id: str
    cluster: str
    version: str
    state: Literal["answering", "hung", "dead", "left"]
    first_seen: Time
    last_seen: Time
    swept_at: Time | None = None
    last_error: str


class ServersReply(ListReply, frozen=True, kw_only=True):
    """SERVERS: the roster, by cluster and name."""

    type: Literal["insights.api.v1.servers_response"] = "insights.api.v1.servers_response"
    servers: list[ServerState]


class ListRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The requested part of a list."""

    offset: Annotated[int, Meta(ge=0)] = 0
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class FilteredRequest(ListRequest, frozen=True, kw_only=True):
    """Filters of findings: `severity` is exact, `severity_at_least` this one and worse."""

    code: str = ""
    severity: SeverityName | Literal[""] = ""
    scope: Scope | Literal[""] = ""
    account: str = ""
    cluster: str = ""
    server: str = ""
    user: str = ""
    severity_at_least: SeverityName | Literal[""] = ""


class FindingsRequest(FilteredRequest, frozen=True, kw_only=True):
    """The body of FINDINGS: filters, all optional. With `by` the reply has groups."""

    state: Literal["open", "resolved", "all"] = "open"
    by: GroupedBy | Literal[""] = ""


class HistoryRequest(FilteredRequest, frozen=True, kw_only=True):
    """The body of HISTORY, all optional: filters, and from when until when.

    Both are a time in RFC 3339, or how long ago, such as "2h".
    """

    fingerprint: str = ""
    since: str = ""
    until: str = ""


class MutedRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to mute: findings that fit all that is given, labels as in FINDINGS."""

    code: str = ""
    fingerprint: str = ""
    cluster: str = ""
    server: str = ""
    account: str = ""
    user: str = ""
    who: str = ""


class MuteRequest(MutedRequest, frozen=True, kw_only=True):
    """The body of MUTE: `until` is a time in RFC 3339, or how long, such as "2h"."""

    until: str
    why: str = ""


class UnmuteRequest(MutedRequest, frozen=True, kw_only=True):
    """The body of UNMUTE: what a mute names, exactly."""


class ExplainRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of EXPLAIN."""

    code: str = ""
    name: str = ""


class ForgetRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of FORGET: a server, and its cluster where several servers have that name.

    A server without a cluster is in cluster "".
    """

    server: str
    cluster: str | None = None


class NoRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of STATUS and EVALUATE: nothing."""


ADVISORIES = (Advisory, Heartbeat, Ledger)
REPLIES = (
    *(StatusReply, FindingsReply, ChecksReply, ExplainReply, ServersReply),
    *(HistoryReply, MutesReply, ErrorReply),
)
