"""What the agent fails to receive again and again: replies, and whole clusters."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from nats_insights.facts import Names
from nats_insights.model.snapshot import Snapshot
from nats_insights.replies.gatewayz import GATEWAYZ
from nats_insights.replies.varz import VARZ


class Missed:
    """For each endpoint, how many requests in a row each server left without a usable reply.

    Only requests count that were sent, to servers that answered to VARZ at the same time.

    `hidden_clusters` are clusters of which no server is known though there is a gateway to it, and
    how many requests for GATEWAYZ in a row showed that.
    """

    def __init__(self) -> None:
        self._times: dict[str, dict[Names, int]] = {}
        self.hidden_clusters: dict[str, int] = {}

    def hear(self, snapshot: Snapshot, asked: Collection[str]) -> None:
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
        # A shard that was never heard may look at any cluster.
        if GATEWAYZ.key in asked and not snapshot.shards.others - snapshot.shards.shares.keys():
            known = {entry.cluster for entry in snapshot.members} | snapshot.shards.elsewhere
            self.hidden_clusters = {
                name: self.hidden_clusters.get(name, 0) + 1
                for name in sorted(_reached_by_gateways(snapshot) - known)
            }

    def told(self) -> Mapping[str, Mapping[str, int]]:
        """By endpoint and name of the server."""
        return {
            endpoint: {names[-1]: times for names, times in sorted(late.items())}
            for endpoint, late in sorted(self._times.items())
        }


def _reached_by_gateways(snapshot: Snapshot) -> set[str]:
    told = [server.replies.get(GATEWAYZ.key) for server in snapshot.servers.values()]
    return {name for reply in told if reply for name in reply.outbound_gateways or ()}
