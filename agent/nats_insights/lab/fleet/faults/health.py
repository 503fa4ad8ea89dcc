"""What servers say of their own health."""

from __future__ import annotations

from typing import ClassVar

from nats_insights.lab.fleet.faults.fault import Look, OfJetStream, OfServer
from nats_insights.lab.fleet.faults.links import is_split
from nats_insights.lab.fleet.model import Fleet, Server


class OfHealth(OfServer):
    """An error of a `kind`; or of an `other` one, which another check is about."""

    kind: ClassVar[str]
    other: ClassVar[str]

    def plant(self, fleet: Fleet, place: Server, over: bool) -> None:
        error = {"type": self.kind if over else self.other, "error": "it was planted"}
        unhealthy = {"status": "unavailable", "status_code": 503, "errors": [error]}
        place.say("HEALTHZ", unhealthy)

    def holds(self, look: Look, server: Server) -> bool:
        errors = look.said(server, "HEALTHZ").get("errors", [])
        return any(error["type"] == self.kind for error in errors)


class NotReady(OfHealth, code="SERVER_001"):
    """It does not listen for connections."""

    kind, other = "CONNECTION", "JETSTREAM"


class JetStreamUnhealthy(OfHealth, code="SERVER_014"):
    """It does not know the meta leader."""

    kind, other = "JETSTREAM", "CONNECTION"

    def holds(self, look: Look, server: Server) -> bool:
        # A split cluster explains it.
        return super().holds(look, server) and not is_split(look, server.cluster)


class StreamsUnhealthy(OfHealth, code="SERVER_015"):
    """A replica is not current."""

    kind, other = "STREAM", "ACCOUNT"
    places = OfJetStream.places


class AccountUnresolved(OfHealth, code="SERVER_016"):
    """An account that has streams cannot be looked up."""

    kind, other = "ACCOUNT", "STREAM"
    places = OfJetStream.places
