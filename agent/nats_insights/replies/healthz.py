"""HEALTHZ: the errors that a server reports of itself."""

from __future__ import annotations

from msgspec import Struct

from nats_insights.errors import Missing
from nats_insights.replies.endpoint import Endpoint
from nats_insights.replies.fields import Count, Reply


class HealthError(Struct, gc=False):
    """One error.

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

    @property
    def unhealthy(self) -> list[HealthError]:
        """The errors of streams and consumers.

        Missing if none is named and the server did not check all of them: it stops at an error of
        its connections, of JetStream or of an account.
        """
        named = [one for one in self.errors or () if one.type in ("STREAM", "CONSUMER")]
        if not named and (self.errors or self.status != "ok"):
            raise Missing("the health of streams", self.server.name)
        return named


# A server checks every stream and consumer for this, so the servers are not all asked at once.
HEALTHZ = Endpoint("HEALTHZ", Healthz, b'{"details":true}', weight=1000, every=60.0, fans_out=False)
