"""The local subscriptions of a server, whose totals count routed ones too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nats_insights.errors import Missing
from nats_insights.model.fold import local_subscriptions
from nats_insights.replies.leafz import LEAFZ
from nats_insights.replies.routez import ROUTEZ

if TYPE_CHECKING:
    from nats_insights.model.nouns.server import Server


def local(server: Server) -> int:
    """Subscriptions made on a server, some 60 internal ones included.

    The table holds routed interest too; ROUTEZ and LEAFZ report what came over each link.
    """
    routed = server.reply(ROUTEZ).subscriptions + server.reply(LEAFZ).subscriptions
    return max(0, server.varz.subscriptions - routed)


def internal(server: Server) -> int:
    """Local subscriptions that belonged to no client when the server was last swept."""
    swept = server.snapshot.last_sweep(server)
    interest: int | None = swept.figures.get("local_interest")
    if interest is None:
        raise Missing("CONNZ", server.name)
    held = server.snapshot.last_known(server, local_subscriptions)["subscriptions"]
    return max(0, interest - held)
