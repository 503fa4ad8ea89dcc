"""How a user of a local system logs in: by a password, or by a JWT of the system's operator."""

from __future__ import annotations

from msgspec import Struct, json

from nats_insights.lab.servers.jwts import User


class Login(Struct, frozen=True):
    """A user and its password of this run, or its JWT with the key that proves it."""

    user: str
    password: str = ""
    signed: User | None = None

    def connect(self, info: bytes) -> dict[str, str]:
        """The fields of CONNECT that log it in; `info` is the JSON that the server sent first."""
        if self.signed is None:
            return {"user": self.user, "pass": self.password}
        nonce = json.decode(info)["nonce"]
        return {"jwt": self.signed.jwt, "sig": self.signed.key.signature(nonce.encode())}
