"""The names that JWTs give to keys. Of a token only its name is kept: the token can be a secret."""

from __future__ import annotations

import base64
import re

import msgspec
from msgspec import Struct

from nats_insights.text import shortened

# What an operator's accounts and users are called by servers.
is_key = re.compile(r"[AU][A-Z2-7]{55}").fullmatch
# A longer name is cut, and a longer token is not read.
LONGEST_NAME = 128
LONGEST_TOKEN = 65_536


class _Claims(Struct, frozen=True):
    sub: str = ""
    name: str = ""


_decoder = msgspec.json.Decoder(_Claims)


class Claimed:
    """The name in the token of a `jwt` field, and its key; both are "" if it cannot be read.

    The field is declared with this type, so that no object ever has the token.
    """

    __slots__ = ("key", "name")

    def __init__(self, key: str = "", name: str = "") -> None:
        self.key, self.name = key, name

    @classmethod
    def read(cls, token: object) -> Claimed:
        """What is kept of a token; nothing of one that is malformed. Never raises."""
        if not isinstance(token, str) or len(token) > LONGEST_TOKEN or token.count(".") != 2:
            return NOBODY
        payload = token.split(".")[1]
        try:
            padded = payload + "=" * (-len(payload) % 4)
            claims = _decoder.decode(base64.b64decode(padded, altchars=b"-_", validate=True))
        except Exception:  # Its text could contain a part of the token.
            return NOBODY
        return cls(claims.sub[:LONGEST_NAME], told_name(claims.name))

    def name_of(self, key: str) -> str:
        """The name, if the token belongs to this key, else ""."""
        return self.name if key and self.key == key else ""


NOBODY = Claimed()


def told_name(name: str) -> str:
    """A name of a JWT, safe to print and of bounded length."""
    return shortened(name, LONGEST_NAME)
