"""The names that JWTs give to accounts and users, which servers know by their keys.

Names are shown, and match filters and overrides. They are no identity: two accounts may have one
name, and an account may get another one.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from nats_insights.errors import Missing
from nats_insights.facts import Names
from nats_insights.replies.claims import is_key, told_name
from nats_insights.replies.fields import told
from nats_insights.replies.statz import STATZ, AccountStat

if TYPE_CHECKING:
    from nats_insights.model.nouns.server import Server

# Accounts whose names are kept from earlier epochs, and users.
MOST = 200_000


class JwtNames:
    """The names by the key of an account, and by the (account, user) of a user.

    A user whose name was requested and is not known, since its server hides it, has the name "".
    `changed` says that one is new or another one since it was last set to False.
    """

    def __init__(self) -> None:
        self.accounts: dict[str, str] = {}
        self.users: dict[Names, str] = {}
        self.changed = False
        self._heard: set[str] = set()

    def begin(self) -> None:
        """A new epoch: an account may have another name now."""
        self._heard.clear()
        if len(self.accounts) > MOST:
            self.accounts.clear()

    def hear(self, servers: Iterable[Server]) -> Generator[None, None, None]:
        """The names of the accounts in the account statistics of some servers."""
        for server in servers:
            yield
            reply = server.replies.get(STATZ.key)
            if reply is None or not told(AccountStat, "name", reply.server.ver):
                continue
            new = server.accounts.keys() - self._heard
            if new:  # Mostly the first server has them all.
                for one in reply.account_statz or ():
                    if one.acc in new:
                        self.take_account(one.acc, one.name)

    def take_account(self, key: str, name: str) -> None:
        """The name of an account. The first of an epoch counts, though servers may disagree."""
        if key in self._heard:
            return
        self._heard.add(key)
        if name and name != key and is_key(key) and self.accounts.get(key) != told_name(name):
            self.accounts[key] = told_name(name)
            self.changed = True

    def take_user(self, names: Names, name: str) -> None:
        """The name of a user, "" if it cannot be known."""
        self.changed |= self.users.get(names) != name
        self.users[names] = name

    def restore(self, names: Names, entity: Mapping[str, str]) -> None:
        """The names in the entity of a finding, whose stable names are `names`."""
        if account := entity.get("account_name"):
            self.accounts[entity["account"]] = account
        if entity["kind"] == "user" and entity["name"] != entity["id"]:
            self.users[names] = entity["name"]
        self.changed = True

    def keep(self, users: set[Names]) -> None:
        """Forget all other users."""
        for names in self.users.keys() - users:
            del self.users[names]

    def of_user(self, names: Names) -> str:
        """The name of the user, "" if it has none; Missing if that is not known yet."""
        if not is_key(names[-1]):
            return ""
        if names not in self.users:
            raise Missing("the name", f"user {names[-1]}")
        return self.users[names]

    def beside(self, evidence: Any) -> Any:
        """Evidence with the name of an account beside each `account` that is a key."""
        if not self.accounts:
            return evidence
        if isinstance(evidence, Mapping):
            named = {key: self.beside(value) for key, value in evidence.items()}
            account = evidence.get("account")
            if isinstance(account, str) and account in self.accounts:
                named["account_name"] = self.accounts[account]
            return named
        if isinstance(evidence, list | tuple):
            return [self.beside(one) for one in evidence]
        return evidence
