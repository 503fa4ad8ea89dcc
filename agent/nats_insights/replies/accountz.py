"""ACCOUNTZ: the names of the accounts loaded on this server, or all of one account.

`jwt` and the token of an import can be secrets: of both only facts are kept.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from nats_insights.replies.claims import NO_TOKEN, NOT_ACTIVATED, Activation, Length, is_key
from nats_insights.replies.endpoint import Endpoint
from nats_insights.replies.fields import Limit, Reply, Time, shared

# Unix seconds up to the year 9999, beyond which there is no date to print; 0 for never.
Moment = Annotated[int, Meta(ge=0, lt=253_402_300_800)]


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


class Import(Struct, gc=False):
    """An import in force: `subject` is that of the account that exports it."""

    subject: str = ""
    account: str = ""
    local_subject: str = ""
    type: str = ""
    invalid: bool = False


class Export(Struct, gc=False):
    """An export in force, for all accounts, for those with a token, or for those that it names."""

    subject: str = ""
    type: str = ""
    token_req: bool = False
    approved_accounts: list[str] | None = None

    @property
    def private(self) -> bool:
        """Whether it is for some accounts only."""
        return self.token_req or self.approved_accounts is not None


class ImportClaim(Struct, gc=False):
    """An import as the JWT has it. `to` is the older way to say what is now `local_subject`."""

    subject: str = ""
    account: str = ""
    local_subject: str = ""
    to: str = ""
    type: str = ""
    token: Activation = NOT_ACTIVATED


class LimitClaims(Struct, gc=False):
    """The limits of an account: -1 for none. Servers omit a limit of zero."""

    conn: Limit = 0
    leaf: Limit = 0
    subs: Limit = 0


class AccountClaims(Struct, gc=False):
    """What an account's JWT is about."""

    limits: LimitClaims = msgspec.field(default_factory=LimitClaims)
    imports: list[ImportClaim] | None = None


class DecodedJwt(Struct, gc=False):
    """An account's JWT. `exp` is 0 if it does not expire."""

    name: str = ""
    exp: Moment = 0
    iat: Moment = 0
    nats: AccountClaims = msgspec.field(default_factory=AccountClaims)


class AccountDetail(Struct, gc=False):
    """One account as this server has loaded it. `expired` is about its JWT.

    An import whose account or export is missing is not among `imports`; one that was in force, and
    is not any more, is `invalid`. `complete` says that none is missing when it was loaded.
    """

    account_name: str = ""
    update_time: Time | None = None
    expired: bool = False
    complete: bool = True
    imports: list[Import] | None = None
    exports: list[Export] | None = None
    jwt: Length = NO_TOKEN
    decoded_jwt: DecodedJwt | None = None


class AccountzDetail(Reply, gc=False):
    """ACCOUNTZ of one account."""

    system_account: str = ""
    account_detail: AccountDetail | None = None


def body(account: str) -> bytes:
    """The ACCOUNTZ_DETAIL request for one account."""
    return msgspec.json.encode({"account": account})


# There may be a hundred thousand names.
ACCOUNTZ = Endpoint("ACCOUNTZ", Accountz, every=300.0)
# The server decodes and verifies the JWT of the account for each request: half a millisecond.
ACCOUNTZ_DETAIL = Endpoint(
    "ACCOUNTZ",
    AccountzDetail,
    body(""),
    key="ACCOUNTZ_DETAIL",
    weight=8 * 1024,
    every=600.0,
    fans_out=False,
    paged=True,
    kept=True,
)
