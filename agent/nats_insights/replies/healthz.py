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


# What a server looks at, in this order, by the type of its errors. An error of its connections or
# of JetStream ends the look, and the streams of an account with an error are left out.
_LOOKS_AT = {
    "CONNECTION": "connections",
    "JETSTREAM": "JetStream",
    "ACCOUNT": "accounts",
    "STREAM": "streams",
    "CONSUMER": "consumers",
}


class Healthz(Reply, gc=False):
    """HEALTHZ: `status` is ok, unavailable or error, and the reply is no error in either case."""

    status: str = ""
    status_code: Count = 0
    error: str = ""
    errors: list[HealthError] | None = None

    def errors_of(self, first: str, *others: str) -> list[HealthError]:
        """The errors of these types, of which `first` is looked for first.

        Missing if none is named and the server did not look for all of them, or does not say how
        far it looked.
        """
        if self.status == "ok" and not self.errors:
            return []
        types = {one.type for one in self.errors or ()}
        named = [one for one in self.errors or () if one.type in (first, *others)]
        known = list(_LOOKS_AT)
        later = known[known.index(first) :]
        if not named and (not types or not types.issubset(later)):
            raise Missing(f"the health of {_LOOKS_AT[first]}", self.server.name)
        return named


# A server checks every stream and consumer for this, so the servers are not all asked at once.
HEALTHZ = Endpoint("HEALTHZ", Healthz, b'{"details":true}', weight=1000, every=60.0, fans_out=False)
