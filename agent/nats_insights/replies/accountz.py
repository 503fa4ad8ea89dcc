"""ACCOUNTZ: the names of the accounts loaded on this server."""

from __future__ import annotations

from nats_insights.replies.claims import is_key
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

    @property
    def configured(self) -> tuple[str, ...]:
        """The accounts of its configuration file, sorted, without those that have a JWT."""
        return tuple(sorted([name for name in self.accounts or () if not is_key(name)]))


# There may be a hundred thousand names.
ACCOUNTZ = Endpoint("ACCOUNTZ", Accountz, every=300.0)
