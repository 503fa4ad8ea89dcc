"""Events that servers publish without a request."""

from __future__ import annotations

import msgspec

from nats_insights.replies.fields import Malformed, ServerInfo, is_id, parse

_DECODER = msgspec.json.Decoder(ServerInfo)


def decode_event(payload: bytes) -> ServerInfo:
    """The server of a SHUTDOWN or LAMEDUCK event, which is the bare `server` object of replies.

    Malformed if it cannot be decoded or has no server id.
    """
    info: ServerInfo = parse(_DECODER, payload)
    if not is_id(info.id):
        raise Malformed("an event without a server id")
    return info
