"""What servers say without being asked."""

from __future__ import annotations

import msgspec

from nats_insights.replies.fields import Malformed, ServerInfo, is_id, parse

_DECODER = msgspec.json.Decoder(ServerInfo)


def decode_event(payload: bytes) -> ServerInfo:
    """Who says goodbye: SHUTDOWN and LAMEDUCK are the bare `server` object of other replies."""
    info: ServerInfo = parse(_DECODER, payload)
    if not is_id(info.id):
        raise Malformed("an event without a server id")
    return info
