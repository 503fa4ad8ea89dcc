"""HISTORY: what opened, changed or resolved in a time, as memory and a stream have it."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from nats_insights import subjects
from nats_insights.judge.finding import INFO, SEVERITIES
from nats_insights.judge.lifecycle import Told
from nats_insights.tell import moments, requests
from nats_insights.tell.advisory import at, identity, transition_state
from nats_insights.tell.messages import (
    Entity,
    FindingState,
    HistoryReply,
    HistoryRequest,
    Time,
    TransitionState,
)
from nats_insights.tell.pages import part
from nats_insights.tell.requests import Refused
from nats_insights.tell.selection import asked_codes, passing
from nats_insights.tell.view import View

_LABELS = ("account", "cluster", "server", "user")


class Recorded(Struct, frozen=True):
    """A transition as a stream has it: when it happened, in Unix seconds, its id and its body."""

    at: float
    id: str
    payload: bytes


class Past(Struct, frozen=True, kw_only=True):
    """What a stream has about a question, the last transition first.

    None is missing after `since`, in Unix seconds, as far as the stream was told. `problem` says
    why it was not read, or not as far back as asked.
    """

    rows: list[Recorded] = []
    since: float = math.inf
    stream: str = ""
    problem: str = ""


class _Agent(Struct, frozen=True):
    shard: str = ""


class _Kind(Struct, frozen=True):
    transition: str = ""
    agent: _Agent = _Agent()


class _Moment(Struct, frozen=True):
    timestamp: Time


class Question:
    """A request for HISTORY, read: from `since` until `until`, in Unix seconds."""

    def __init__(self, view: View, body: bytes) -> None:
        """Refused if there is anything wrong with it."""
        self.request = request = requests.read(body, HistoryRequest)
        now = time.time()
        self.since = moments.ago(request.since, now, "since") if request.since else -math.inf
        self.until = moments.ago(request.until, now, "until") if request.until else math.inf
        if self.since > self.until:
            raise Refused(400, "since is later than until")
        self.reaches_back = self.since < view.known_since
        self._shard = view.agent.shard
        self._fingerprint = request.fingerprint.lower()
        self._codes = asked_codes(view.checks, request)
        self._passing = passing(request, self._codes)

    @property
    def key(self) -> HistoryRequest:
        """The same for each page of one list."""
        return replace(self.request, offset=0, limit=1)

    @property
    def subject(self) -> str:
        """Where the advisories are that it may be about, as narrow as subjects can tell."""
        request = self.request
        tokens = (
            request.severity.upper(),
            "",
            request.cluster and subjects.token(request.cluster),
            "",
            subjects.token(*self._codes) if request.code and len(self._codes) == 1 else "",
            self._fingerprint and subjects.token(self._fingerprint),
        )
        return ".".join((subjects.ADVISORY, *(token or "*" for token in tokens)))

    def is_about(self, told: Told) -> bool:
        """Whether it asks for a transition that the agent remembers."""
        return (
            self.since <= told.at < self.until
            and self._fingerprint in ("", told.life.fingerprint)
            and bool(self._passing([told.life]))
        )

    def recorded(self, payload: bytes) -> Recorded | None:
        """An advisory of a stream, if it asks for it; None too if it is none."""
        try:
            kind = msgspec.json.decode(payload, type=_Kind)
            if kind.transition == "reminded" or kind.agent.shard != self._shard:
                return None
            said = msgspec.json.decode(payload, type=TransitionState)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        when = said.timestamp.timestamp()
        is_wanted = self.since <= when < self.until and self._passes(said)
        return Recorded(when, said.id, payload) if is_wanted else None

    def _passes(self, said: TransitionState) -> bool:
        request = self.request
        least = SEVERITIES.get(request.severity_at_least, INFO)
        # A check that there is no more is in no list of codes.
        any_check = not request.code and not request.scope
        return (
            (any_check or said.code in self._codes)
            and request.severity in ("", said.severity)
            and SEVERITIES[said.severity] >= least
            and self._fingerprint in ("", said.fingerprint)
            and all(_has(said.entity, one, getattr(request, one)) for one in _LABELS)
        )


def _has(entity: Entity, label: str, value: str) -> bool:
    """Whether an entity has this label, by key or by name; any has the label ""."""
    names = [getattr(entity, label)]
    if label == "account":
        names.append(entity.account_name)
    elif label == "user" and entity.kind == "user":
        names.append(entity.name)
    return not value or value in names


def told_at(payload: bytes) -> float:
    """When an advisory was told, in Unix seconds; infinite if it is none."""
    try:
        return msgspec.json.decode(payload, type=_Moment).timestamp.timestamp()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return math.inf


def history(view: View, body: bytes = b"") -> HistoryReply:
    """HISTORY from what the agent still knows, the last transition first."""
    return merged(view, Question(view, body), Past())


def merged(view: View, question: Question, past: Past) -> HistoryReply:
    """HISTORY from what the agent still knows and from what a stream has, each transition once."""
    known = [told for told in reversed(view.transitions) if question.is_about(told)]
    rows: Sequence[Told | Recorded] = known
    if past.rows:
        ids = {identity(told) for told in known}
        others = [one for one in past.rows if one.id not in ids]
        # Those of one epoch have the same time, and stay in their order.
        rows = sorted([*known, *others], key=lambda one: one.at, reverse=True)
    by_code = {check.code: check for check in view.checks}

    def row(one: Told | Recorded) -> FindingState:
        if isinstance(one, Recorded):
            return msgspec.json.decode(one.payload, type=TransitionState)
        return TransitionState(**transition_state(one, by_code[one.life.key.code], view.valid_for))

    since = min(view.known_since, past.since)
    more = {"known_since": at(since), "stream": past.stream, "problem": past.problem}
    return HistoryReply(**part(view, question.request, rows, "transitions", row, **more))
