"""Why a server closed a connection."""

from __future__ import annotations

import nats.errors

from nats_insights.gather.small import Gatherer
from nats_insights.replies.fields import Malformed


async def why_closed(gatherer: Gatherer, server_id: str, connection: int) -> str:
    """The reason in CONNZ for which a server closed a connection, "" if it has none."""
    closed = 1  # Servers refuse the state as a word.
    try:
        page = await gatherer.pages.rows(server_id, ["cid", "reason"], state=closed, cid=connection)
    except (Malformed, nats.errors.Error):
        return ""
    return next((row.reason for row in page.connections if row.cid == connection), "")
