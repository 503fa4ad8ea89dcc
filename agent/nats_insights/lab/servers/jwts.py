"""An operator with accounts and users, as JWTs that a real server takes: no nsc needed.

operator = Operator()
system = operator.account("SYS", exports=[{"type": "stream", "subject": "$INSIGHTS.>"}])
agent = system.user("agent", pub={"allow": ["$SYS.REQ.>"]})
configuration = operator.configuration(system)    # text; `agent.creds` logs in
"""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Mapping
from typing import Any

import nkeys

_KINDS = {
    "operator": nkeys.PREFIX_BYTE_OPERATOR,
    "account": nkeys.PREFIX_BYTE_ACCOUNT,
    "user": nkeys.PREFIX_BYTE_USER,
}
_LIMITS = ("subs", "conn", "leaf", "imports", "exports", "data", "payload")


class Key:
    """A fresh key of one kind: its seed, its public half, and what it signs."""

    def __init__(self, kind: str) -> None:
        self.seed = nkeys.encode_seed(os.urandom(32), _KINDS[kind]).decode()
        self._pair = nkeys.from_seed(bytearray(self.seed.encode()))
        self.public = self._pair.public_key.decode()

    def sign(self, subject: str, name: str, nats: dict[str, Any], **claims: Any) -> str:
        body = {"jti": name, "iat": int(time.time()), "iss": self.public, "sub": subject}
        body |= {"name": name, "nats": {"version": 2, **nats}, **claims}
        head = {"typ": "JWT", "alg": "ed25519-nkey"}
        text = ".".join(_encoded(json.dumps(part).encode()) for part in (head, body))
        return f"{text}.{self.signature(text.encode())}"

    def signature(self, data: bytes) -> str:
        """What proves to a server that the holder of this key has sent these bytes."""
        return _encoded(self._pair.sign(data))


class User:
    """A user of an account. Keywords are claims as the server spells them, `exp` seconds."""

    def __init__(self, account: Key, name: str, exp: int = 0, **nats: Any) -> None:
        self.key = Key("user")
        limits = {"subs": -1, "data": -1, "payload": -1}
        claims = {"exp": exp} if exp else {}
        nats = {"type": "user", "pub": {}, "sub": {}, **limits, **nats}
        self.jwt = account.sign(self.key.public, name, nats, **claims)

    @property
    def creds(self) -> str:
        """The text of a creds file, as nsc writes it."""
        return (
            f"-----BEGIN NATS USER JWT-----\n{self.jwt}\n------END NATS USER JWT------\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{self.key.seed}\n------END USER NKEY SEED------\n"
        )


class Account:
    """An account of an operator. `limits`, exports and imports are claims as the server spells
    them, and limits that are not named are off; `exp` and `iat` are Unix seconds.
    """

    def __init__(self, operator: Key, name: str, **claims: Any) -> None:
        self.key, self.name = Key("account"), name
        self.id = self.key.public
        self._operator = operator
        self.jwt = self.claim(**claims)

    def claim(
        self, *, limits: Mapping[str, int] | None = None, exp: int = 0, iat: int = 0, **nats: Any
    ) -> str:
        """Another JWT for the same account, which is then its own."""
        full = {**dict.fromkeys(_LIMITS, -1), "wildcards": True, **(limits or {})}
        times = {name: at for name, at in (("exp", exp), ("iat", iat)) if at}
        nats = {"type": "account", "limits": full, **nats}
        self.jwt = self._operator.sign(self.id, self.name, nats, **times)
        return self.jwt

    def user(self, name: str, **claims: Any) -> User:
        return User(self.key, name, **claims)

    def activation(self, importer: Account, type: str, subject: str, exp: int = 0) -> str:
        """The token with which another account imports what this one exports for some only."""
        claims = {"exp": exp} if exp else {}
        nats = {"type": "activation", "subject": subject, "kind": type}
        return self.key.sign(importer.id, subject, nats, **claims)


class Operator:
    """The root of trust, and the accounts made with it."""

    def __init__(self, name: str = "O") -> None:
        self._key = Key("operator")
        self._jwt = self._key.sign(self._key.public, name, {"type": "operator"})
        self._accounts: list[Account] = []

    def account(self, name: str, **claims: Any) -> Account:
        self._accounts.append(Account(self._key, name, **claims))
        return self._accounts[-1]

    def configuration(self, system: Account) -> str:
        """The part of a server's configuration that makes it trust all of this."""
        preload = "\n".join(f"  {account.id}: {account.jwt}" for account in self._accounts)
        return (
            f"operator: {self._jwt}\nsystem_account: {system.id}\n"
            f"resolver: MEMORY\nresolver_preload: {{\n{preload}\n}}\n"
        )


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
