"""ACCOUNTZ: the names of the accounts loaded on this server."""

from __future__ import annotations

from nats_insights.replies.endpoint import Endpoint
from nats_insights.replies.fields import Reply, Time, shared


class Accountz(Reply, gc=False):
    """ACCOUNTZ without an account: with JWTs, accounts are loaded when first used."""

    server_id: str = ""
    now: Time | None = None
    system_account: str = ""
    accounts: list[str] | None = None

    def __post_init__(self) -> None:
        if self.accounts:
            self.accounts = [shared(name) for name in self.accounts]


ACCOUNTZ = Endpoint("ACCOUNTZ", Accountz)
