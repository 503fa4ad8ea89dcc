"""One monitoring endpoint as an object: how it is asked, and how its reply is read."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import Struct

from nats_insights.errors import DeclarationError
from nats_insights.replies import fields
from nats_insights.replies.fields import ServerInfo

T = TypeVar("T")


class Endpoint(Struct, Generic[T], frozen=True, eq=False, gc=False):
    """What to ask servers for, and the type of their reply. Each is equal to itself only.

    `weight` is the size of one reply, in bytes, until some have come; `every` is how many seconds
    lie between two requests, 0 for each epoch.
    """

    # The last token of its subject.
    name: str
    reply: type[T]
    body: bytes = b""
    weight: int = 2048
    every: float = 0.0
    # Whether one server can be asked, and whether all can be at once. What would be too much work
    # in too many places is asked after all else, of a few servers at a time.
    addressable: bool = True
    fans_out: bool = True
    # Packing costs the server a millisecond: it pays for itself where replies are long.
    packed: bool = False
    paged: bool = False
    # The first version that has it; empty for what every server has.
    since: str = ""
    # Its own name where several endpoints ask one subject; `name` else.
    key: str = ""
    root: str = "$SYS.REQ.SERVER"
    # The member of the reply that holds what was asked for.
    member: str = "data"
    # The reply of a server whose VARZ shows that it would be empty; None where it must be asked.
    without: Callable[[Any], T | None] | None = None

    def __post_init__(self) -> None:
        if not (self.addressable or self.fans_out):
            raise DeclarationError(f"endpoint {self.name} can be asked of nobody")
        msgspec.structs.force_setattr(self, "key", self.key or self.name)

    def __repr__(self) -> str:
        return self.key

    def subject(self, server_id: str = "PING") -> str:
        """Where it is asked: of every server, or of the one with this id."""
        if server_id != "PING" and not self.addressable:
            raise ValueError(f"{self.key} can only be asked of all servers")
        return f"{self.root}.{server_id}.{self.name}"

    def known_to(self, version: str) -> bool:
        """Whether servers of this version have it."""
        return not self.since or fields.is_from(self.since, version)

    def decode(self, payload: bytes) -> tuple[ServerInfo, T]:
        """One plain reply as (who, what it says); Malformed when unreadable."""
        return fields.read(_decoder(self), payload, self.key)


@functools.cache
def _decoder(endpoint: Endpoint[Any]) -> msgspec.json.Decoder[Any]:
    return fields.envelope(endpoint.reply, endpoint.member)


@functools.cache
def endpoints() -> dict[str, Endpoint[Any]]:
    """Every endpoint that a file of this folder declares, by key, in the order of their keys."""
    folder = importlib.import_module(__package__)
    found: dict[str, Endpoint[Any]] = {}
    for file in pkgutil.iter_modules(folder.__path__):
        for declared in vars(importlib.import_module(f"{__package__}.{file.name}")).values():
            if not isinstance(declared, Endpoint):
                continue
            if found.setdefault(declared.key, declared) is not declared:
                raise DeclarationError(f"two endpoints are called {declared.key}")
    return dict(sorted(found.items()))
