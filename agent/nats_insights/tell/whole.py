"""The whole of a divided system: what one shard and the others say, as one."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec.structs import asdict, replace

from nats_insights import subjects
from nats_insights.facts import Coverage
from nats_insights.judge.finding import SEVERITIES
from nats_insights.model.shards import Share
from nats_insights.tell.advisory import Message, at, brief
from nats_insights.tell.messages import (
    AgentInfo,
    FindingsReply,
    FindingsRequest,
    FindingState,
    Group,
    Ledger,
    OpenCounts,
    Verdict,
)
from nats_insights.tell.pages import part
from nats_insights.tell.requests import Refused
from nats_insights.tell.view import View, not_evaluated, verdict
from nats_insights.tell.weight import weight

# Findings and groups of each shard that are put into one order, at most.
MOST_MERGED = 2000
_WORST: tuple[Verdict, ...] = ("critical", "unknown", "warning", "info", "ok")
# Bytes of a ledger that names of servers and agents may take beside its counts.
_HEADERS = 512


def whole(view: View) -> dict[str, Any]:
    """The members of STATUS that are about all shards."""
    heard = [shard for shard in view.shards if not shard.why]
    verdicts = {verdict(view), *(shard.verdict for shard in view.shards)}
    return {
        "verdict": next(one for one in _WORST if one in verdicts),
        "open": added(view.counts, *(shard.open for shard in heard)),
        "coverage": brief(coverage(view)),
        "checks_not_evaluated": not_evaluated(view)
        + sum(shard.checks_not_evaluated for shard in heard),
    }


def coverage(view: View) -> Coverage:
    """The servers of all shards that are heard; of the others at least one is missing each."""
    own, silent = view.coverage, [shard.name for shard in view.shards if shard.why]
    known = sum(shard.servers_known for shard in view.shards if not shard.why)
    answered = sum(shard.servers_answered for shard in view.shards if not shard.why)
    missing = [] if view.account else [f"all of shard {name}" for name in silent]
    return Coverage(
        servers_known=own.servers_known + known + len(silent),
        servers_answered=own.servers_answered + answered,
        missing=[*own.missing, *missing],
    )


def added(*counts: OpenCounts | Group) -> OpenCounts:
    """The sums by severity."""
    return OpenCounts(
        critical=sum(one.critical for one in counts),
        warning=sum(one.warning for one in counts),
        info=sum(one.info for one in counts),
    )


def ledger_message(
    view: View, share: Share, agent: AgentInfo, now: float, silent_after: float
) -> Message:
    """What a shard contributes, ready to be published; without small counts if it is too long."""
    ledger = Ledger(
        timestamp=at(now),
        agent=agent,
        shard=share.shard,
        others=share.others,
        clusters=share.clusters,
        folds=share.folds,
        silent_after_seconds=min(silent_after, 86_400.0),
        verdict=verdict(view),
        coverage=brief(view.coverage),
        open=view.counts,
        checks_not_evaluated=not_evaluated(view),
    )
    payload = msgspec.json.encode(ledger)
    most = max([1, *(len(one.counts) for one in share.folds.values())])
    while len(payload) > view.max_payload - _HEADERS and most > 1:
        most //= 2
        folds = {name: one.bounded(most) for name, one in share.folds.items()}
        payload = msgspec.json.encode(replace(ledger, folds=folds))
    return Message(subjects.ledger(share.shard), payload, {})


def wanted_of_each(request: FindingsRequest) -> int:
    """How many rows of each shard may be on a page; Refused for a page too far down the list."""
    wanted = MOST_MERGED if request.by else request.offset + request.limit
    if wanted > MOST_MERGED:
        raise Refused(
            400,
            f"of all shards together the first {MOST_MERGED} findings can be listed; ask one shard "
            f"for more, such as {subjects.api('FINDINGS', 'name')}",
        )
    return wanted


def merged(
    view: View, request: FindingsRequest, replies: Iterable[list[FindingsReply]], silent: list[str]
) -> FindingsReply:
    """One reply of those of several shards, each with the first pages of its list."""
    pages = [page for page in replies if page]
    rows: list[Any]
    if request.by:
        if any(page[-1].more for page in pages):
            raise Refused(400, f"there are more than {MOST_MERGED} groups: ask one shard")
        rows = _groups(group for page in pages for reply in page for group in reply.groups)
        total, field = len(rows), "groups"
    else:
        lists = [[found for reply in page for found in reply.findings] for page in pages]
        # Each list keeps its order, so that more of it does not change the beginning.
        rows = list(heapq.merge(*lists, key=_worst_first))
        total, field = sum(page[0].total for page in pages), "findings"
    counts = added(*(page[0].counts for page in pages if page[0].counts))
    members = part(
        view, request, rows, field, counts=counts, epoch=pages[0][0].epoch, silent_shards=silent
    )
    members |= {
        "muted": sum(page[0].muted for page in pages),
        "findings": members.get("findings", []),
        "coverage": brief(coverage(view)),
        "total": total,
        "more": request.offset + len(members[field]) < total,
    }
    return FindingsReply(**members)


def _groups(groups: Iterable[Group]) -> list[Group]:
    """Groups of the same names are one."""
    together: dict[Group, list[Group]] = {}
    for group in groups:
        names = replace(group, critical=0, warning=0, info=0)
        together.setdefault(names, []).append(group)
    rows = [replace(names, **asdict(added(*some))) for names, some in together.items()]
    return sorted(rows, key=lambda g: (-g.critical, -g.warning, -g.info, asdict(g).items()))


def _worst_first(finding: FindingState) -> tuple[Any, ...]:
    """An order that is the same for whoever merges."""
    resolved = finding.state == "resolved"
    ended = -finding.resolved_at.timestamp() if finding.resolved_at else 0.0
    figure = weight(finding.value, finding.threshold, finding.clearing)
    severity = -SEVERITIES[finding.severity]
    muted = finding.muted is not None and not resolved
    return resolved, muted, ended, severity, -figure, finding.code, finding.names
