"""HEALTHZ: what a server itself says is wrong with it."""

from __future__ import annotations

from msgspec import Struct

from nats_insights.replies.endpoint import Endpoint
from nats_insights.replies.fields import Count, Reply


class HealthError(Struct, gc=False):
    """One thing that is wrong.

    `type` is CONNECTION, BAD_REQUEST, JETSTREAM, ACCOUNT, STREAM or CONSUMER.
    """

    type: str = ""
    account: str = ""
    stream: str = ""
    consumer: str = ""
    error: str = ""


class Healthz(Reply, gc=False):
    """HEALTHZ: `status` is ok, unavailable or error, and the reply is no error in either case."""

    status: str = ""
    status_code: Count = 0
    error: str = ""
    errors: list[HealthError] | None = None


# A server looks at every stream and consumer for this, so they are never all asked at once.
HEALTHZ = Endpoint("HEALTHZ", Healthz, b'{"details":true}', weight=1000, every=60.0, fans_out=False)
