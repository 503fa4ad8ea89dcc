"""Unpack a compressed reply, never beyond a bound."""

from __future__ import annotations

from collections.abc import Mapping

from nats_insights.replies.fields import Malformed

try:  # A third of zlib's time on the pages that CONNZ sends.
    from isal.isal_zlib import IsalError as Broken
    from isal.isal_zlib import decompressobj
except ImportError:
    from zlib import decompressobj  # type: ignore[assignment]
    from zlib import error as Broken  # type: ignore[assignment]

ACCEPT = {"Accept-Encoding": "gzip"}
# At most some 16,000 rows are requested, and each may contain a JWT of some KB.
LONGEST = 128 * 1024 * 1024


def unpack(payload: bytes, headers: Mapping[str, str] | None) -> bytes:
    """The plain reply; Malformed if it is cut, broken or longer than LONGEST."""
    if not headers or headers.get("Content-Encoding") != "gzip":
        return payload
    stream = decompressobj(wbits=31)
    try:
        plain: bytes = stream.decompress(payload, LONGEST)
    except Broken:  # type: ignore[misc]
        raise Malformed(f"not gzip: {len(payload)} bytes") from None
    if not stream.eof:
        raise Malformed(f"gzip that ends too early or too late: {len(payload)} bytes")
    return plain
