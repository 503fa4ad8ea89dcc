"""Whether what several agents told could be the words of one that never stopped."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from datetime import datetime

from msgspec.structs import replace

from nats_insights.tell.messages import Advisory


def is_one_story(advisories: Iterable[Advisory]) -> bool:
    """True; AssertionError for a finding that was opened twice, or told of out of order."""
    told = {said.id: said for said in advisories}.values()
    for _, story in itertools.groupby(sorted(told, key=_by_finding), lambda said: said.fingerprint):
        last: Advisory | None = None
        for said in story:
            if last is None or last.state == "resolved":
                assert said.transition == "opened", f"{said.summary}: {said.transition} first"
            else:
                assert said.opened_at == last.opened_at, f"{said.summary}: opened twice"
                assert said.revision == last.revision + 1, f"{said.summary}: told twice"
            # Of the two halves of a change of severity the first says resolved.
            last = replace(said, state="open") if said.reason == "severity_changed" else said
    return True


def _by_finding(said: Advisory) -> tuple[str, datetime, int]:
    return (said.fingerprint, said.opened_at, said.revision)
