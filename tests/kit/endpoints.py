"""The endpoints of the program, as tests go through them."""

from __future__ import annotations

from nats_insights.replies.endpoint import endpoints


def of_one_request(key: str) -> list[str]:
    """The endpoints that read the same reply as this one, itself included."""
    known = endpoints()
    asked = (known[key].subject(), known[key].body)
    return [one.key for one in known.values() if (one.subject(), one.body) == asked]
