"""Replies that servers fail to send again and again though they answer to all else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from nats_insights.facts import Names
from nats_insights.model.snapshot import Snapshot
from nats_insights.replies.varz import VARZ


class Missed:
    """For each endpoint, how many requests in a row each server left without a usable reply.

    Only requests count that were sent, to servers that answered to VARZ at the same time.
    """

    def __init__(self) -> None:
        self._times: dict[str, dict[Names, int]] = {}

    def hear(self, snapshot: Snapshot, asked: Iterable[str]) -> None:
        """Count the replies to these endpoints that an epoch lacks."""
        lacking = snapshot.lacking
        for endpoint in asked:
            before = self._times.pop(endpoint, {})
            if endpoint in lacking.denied:
                continue
            late = {
                names: before.get(names, 0) + 1
                for names in lacking.owed.get(endpoint, ())
                if names in snapshot.servers and VARZ.key in snapshot.servers[names].replies
            }
            if late:
                self._times[endpoint] = late

    def told(self) -> Mapping[str, Mapping[str, int]]:
        """By endpoint and name of the server."""
        return {
            endpoint: {names[-1]: times for names, times in sorted(late.items())}
            for endpoint, late in sorted(self._times.items())
        }
