"""One monitoring endpoint as an object: its request, and how its reply is decoded."""

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
    """A request to servers, and the type of their reply. Each is equal to itself only.

    `weight` is the expected size of one reply, in bytes, until some were received; `every` is the
    interval between two requests in seconds, 0 for each epoch.
    """

    # The last token of its subject.
    name: str
    reply: type[T]
    body: bytes = b""
    weight: int = 2048
    every: float = 0.0
    # Whether one server can be asked, and whether all can be at once. A request that is too
    # expensive for all servers at once is sent after all others, to a few servers at a time.
    addressable: bool = True
    fans_out: bool = True
    # Compression takes the server a millisecond, which is worth it for long replies.
    packed: bool = False
    paged: bool = False
    # Whether its replies are kept, and requested anew in `every` seconds, a few in each epoch:
    # checks that need them are judged in each epoch.
    kept: bool = False
    # The first version that has it; empty if every server has it.
    since: str = ""
    # Its own name if several endpoints use one subject; else `name`.
    key: str = ""
    root: str = "$SYS.REQ.SERVER"
    # The member of the reply that holds the data.
    member: str = "data"
    # The reply of a server whose VARZ shows that it would be empty; None if it must be asked.
    without: Callable[[Any], T | None] | None = None

    def __post_init__(self) -> None:
        if not (self.addressable or self.fans_out):
            raise DeclarationError(f"endpoint {self.name} can be asked of nobody")
        msgspec.structs.force_setattr(self, "key", self.key or self.name)

    def __repr__(self) -> str:
        return self.key

    def subject(self, server_id: str = "PING") -> str:
        """The subject of the request: to every server, or to the one with this id."""
        if server_id != "PING" and not self.addressable:
            raise ValueError(f"{self.key} can only be asked of all servers")
        return f"{self.root}.{server_id}.{self.name}"

    def known_to(self, version: str) -> bool:
        """Whether servers of this version have it."""
        return not self.since or fields.is_from(self.since, version)

    def decode(self, payload: bytes) -> tuple[ServerInfo, T]:
        """One plain reply as (server, data); Malformed if it cannot be decoded."""
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
