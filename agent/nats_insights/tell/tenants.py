"""Tenants: accounts that receive the findings about themselves, and may ask for them.

What a tenant may know is cut out before anything is said, of a transition here, of the state after
an epoch by `view.of_tenant`: filters, pages and errors cannot tell what is not there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache

from msgspec import Struct
from msgspec.structs import replace

from nats_insights import subjects
from nats_insights.config import pattern
from nats_insights.facts import Coverage
from nats_insights.judge.declare import Check
from nats_insights.judge.lifecycle import Life, Told
from nats_insights.judge.restart import Retired
from nats_insights.tell import advisory
from nats_insights.tell.advisory import Message
from nats_insights.tell.messages import Advisory, AgentInfo
from nats_insights.text import shortened

# What a tenant may ask: nothing that lists servers, costs an epoch or changes anything.
QUERIES = ("STATUS", "FINDINGS", "CHECKS", "EXPLAIN")
# In place of a reason that names a server.
_SOME_REPLIES = "some replies"
# What a tenant may know is about an account.
SCOPE = "ACCOUNT"
# The account of clients that name none, which cannot import anything.
_GLOBAL = "$G"


class Tenants(Struct, frozen=True):
    """The tenants: the accounts that `chosen` patterns match by key or name, but for some.

    `names` has the names of accounts by their keys. System accounts and `$G` are never tenants, nor
    is an account whose name is no token as it stands: no server could find it by its subject.
    """

    chosen: Sequence[str]
    names: Mapping[str, str]
    system_accounts: Collection[str]

    def has(self, account: str) -> bool:
        """Whether this account is a tenant."""
        return self._wants(account) and subjects.is_token(account)

    def barred(self, accounts: Iterable[str]) -> list[str]:
        """Those that are chosen and cannot be tenants because of their names."""
        if not self.chosen:
            return []
        # There may be a hundred thousand, and nearly all have a name that will do.
        odd = [name for name in accounts if not subjects.is_token(name)]
        return sorted(filter(self._wants, odd))

    def _wants(self, account: str) -> bool:
        if account == _GLOBAL or account in self.system_accounts:
            return False
        names = {account, self.names.get(account, account)}
        return any(_pattern(glob).fullmatch(name) for glob in self.chosen for name in names)


_pattern = lru_cache(maxsize=1024)(lambda glob: pattern(glob, "tenants.accounts"))


NOBODY = Tenants((), {}, ())


def barring(account: str) -> str:
    """Why this account cannot be a tenant, and what to do."""
    return (
        f"account {shortened(account)!r} cannot be a tenant: give it a name of at most 128 "
        "letters, digits and -_@:/+=, or leave it out of tenants.accounts"
    )


def account_in(life: Life) -> str:
    """The account that a finding is about, "" if it is about none."""
    return life.entity.get("account", "") if life.scope == SCOPE else ""


def shared(life: Life) -> Life:
    """A finding about a tenant, silent about servers that did not reply and other findings."""
    if not (life.partial or life.explained_by):
        return life
    return replace(life, partial=_SOME_REPLIES if life.partial else "", explained_by="")


def told_to_all(told: Told) -> Told:
    """A transition of a finding about a tenant, which is the same for all who receive it."""
    return replace(told, life=shared(told.life))


def unnamed(coverage: Coverage) -> Coverage:
    """The coverage without the names of servers."""
    return replace(coverage, missing=[])


def advisories(
    told: Told,
    check: Check | Retired,
    agent: AgentInfo,
    coverage: Coverage,
    valid_for: float,
    tenants: Tenants,
    max_payload: int,
) -> tuple[Advisory, list[Message]]:
    """The advisory of a transition, and the messages to publish: a second one for a tenant.

    Both have the same bytes and the same id, so that nobody counts the finding twice.
    """
    account = account_in(told.life)
    is_tenant = tenants.has(account)
    if is_tenant:
        told, coverage = told_to_all(told), unnamed(coverage)
    said = advisory.advisory(told, check, agent, coverage, valid_for)
    first = advisory.message(said, advisory.subject(told.life, check), max_payload)
    if not is_tenant:
        return said, [first]
    subject = subjects.tenant_advisory(account, said.severity, said.code, said.fingerprint)
    return said, [first, replace(first, subject=subject)]
