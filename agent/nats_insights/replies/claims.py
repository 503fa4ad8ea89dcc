"""What tokens say. Only facts are kept of a token, never the token itself: it can be a secret."""

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


class _UserClaims(Struct, frozen=True):
    subs: int = 0


class _Claims(Struct, frozen=True):
    sub: str = ""
    name: str = ""
    exp: int = 0
    nats: _UserClaims = _UserClaims()


_decoder = msgspec.json.Decoder(_Claims)
_NOTHING = _Claims()


class Claimed:
    """The name in the token of a `jwt` field, and its key; both are "" if it cannot be read.

    `subscriptions` is how many a connection of this user may have, not positive for no limit. The
    field is declared with this type, so that no object ever has the token.
    """

    __slots__ = ("key", "name", "subscriptions")

    def __init__(self, key: str = "", name: str = "", subscriptions: int = -1) -> None:
        self.key, self.name, self.subscriptions = key, name, subscriptions

    @classmethod
    def read(cls, token: object) -> Claimed:
        """What is kept of a token; nothing of one that is malformed. Never raises."""
        claims = _claims_of(token)
        if not claims.sub:
            return NOBODY
        return cls(claims.sub[:LONGEST_NAME], told_name(claims.name), claims.nats.subs)

    def name_of(self, key: str) -> str:
        """The name, if the token belongs to this key, else ""."""
        return self.name if key and self.key == key else ""


NOBODY = Claimed()


class Length:
    """The number of characters of the token in a `jwt` field, which is declared with this type."""

    __slots__ = ("characters",)

    def __init__(self, characters: int = 0) -> None:
        self.characters = characters

    @classmethod
    def read(cls, token: object) -> Length:
        """What is kept of a token."""
        return cls(len(token) if isinstance(token, str) else 0)


NO_TOKEN = Length()


class Activation:
    """The token of an import: whether it has one, and when it expires, in Unix seconds.

    `expires` is 0 if it does not expire, or cannot be read.
    """

    __slots__ = ("expires", "given")

    def __init__(self, given: bool = False, expires: int = 0) -> None:
        self.given, self.expires = given, expires

    @classmethod
    def read(cls, token: object) -> Activation:
        """What is kept of a token."""
        return cls(bool(token), max(0, _claims_of(token).exp))


NOT_ACTIVATED = Activation()


def told_name(name: str) -> str:
    """A name of a JWT, safe to print and of bounded length."""
    return shortened(name, LONGEST_NAME)


def _claims_of(token: object) -> _Claims:
    """The claims of a token, all empty if it is malformed. Never raises."""
    if not isinstance(token, str) or len(token) > LONGEST_TOKEN or token.count(".") != 2:
        return _NOTHING
    payload = token.split(".")[1]
    try:
        padded = payload + "=" * (-len(payload) % 4)
        return _decoder.decode(base64.b64decode(padded, altchars=b"-_", validate=True))
    except Exception:  # Its text could contain a part of the token.
        return _NOTHING
