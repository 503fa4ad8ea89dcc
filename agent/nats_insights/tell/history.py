"""HISTORY: what opened, changed or resolved in a time."""

from __future__ import annotations

import math
import time

from nats_insights.judge.lifecycle import Told
from nats_insights.tell import moments, requests
from nats_insights.tell.advisory import at, transition_state
from nats_insights.tell.messages import HistoryReply, HistoryRequest, TransitionState
from nats_insights.tell.pages import part
from nats_insights.tell.requests import Refused
from nats_insights.tell.selection import asked_codes, passing
from nats_insights.tell.view import View


def history(view: View, body: bytes = b"") -> HistoryReply:
    """HISTORY: from what the agent still knows, the last transition first."""
    request, now = requests.read(body, HistoryRequest), time.time()
    since = moments.ago(request.since, now, "since") if request.since else -math.inf
    until = moments.ago(request.until, now, "until") if request.until else math.inf
    if since > until:
        raise Refused(400, "since is later than until")
    fingerprint = request.fingerprint.lower()
    keep = passing(request, asked_codes(view.checks, request))
    found = [
        told
        for told in reversed(view.transitions)
        if since <= told.at < until
        and fingerprint in ("", told.life.fingerprint)
        and keep([told.life])
    ]
    by_code = {check.code: check for check in view.checks}

    def row(told: Told) -> TransitionState:
        return TransitionState(
            **transition_state(told, by_code[told.life.key.code], view.valid_for)
        )

    page = part(view, request, found, "transitions", row, known_since=at(view.known_since))
    return HistoryReply(**page)
