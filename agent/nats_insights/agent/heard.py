"""What is heard from other agents: what cannot be read, and when it was sent by our clock."""

from __future__ import annotations

import msgspec

# Beside msgspec's own errors: bad UTF-8, and deep nesting in a field that is not decoded.
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def ahead(now: float, sent: float, last: tuple[float, float] | None) -> float:
    """Seconds that our clock is ahead of a sender's, as its quickest message has shown.

    `sent` is by its clock, `last` when its last message was sent and what was found then. A server
    that was frozen delivers old messages when it resumes: they count from when they were sent. If
    the sender's clock was set back, what was found before no longer holds.
    """
    found = now - sent
    if last is None or sent < last[0]:
        return found
    return min(found, last[1])
