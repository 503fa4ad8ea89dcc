"""SUBSZ: the subscription table, routed interest included."""

from __future__ import annotations

from nats_insights.replies.endpoint import Endpoint
from nats_insights.replies.fields import Count, Counter, Limit, Rate, Reply, Time


class Subsz(Reply, gc=False):
    """SUBSZ; single subscriptions are never requested, so `total` is zero."""

    server_id: str = ""
    now: Time | None = None
    num_subscriptions: Count = 0
    num_cache: Count = 0
    num_inserts: Counter = 0
    num_removes: Counter = 0
    num_matches: Counter = 0
    cache_hit_rate: Rate = 0.0
    max_fanout: Count = 0
    avg_fanout: Rate = 0.0
    total: Count = 0
    offset: Limit = 0
    limit: Limit = 0


# For the fan-out a server reads the caches of all its accounts, with their locks held.
SUBSZ = Endpoint("SUBSZ", Subsz, weight=800, every=300.0)
