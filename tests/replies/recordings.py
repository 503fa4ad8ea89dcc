"""Replies that real servers of five versions sent, as they came."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kit.endpoints import of_one_request

HERE = Path(__file__).parent / "recorded"
VERSIONS = sorted((path.name for path in HERE.iterdir()), key=lambda v: [*map(int, v.split("."))])
# What a file is called where it is not called like its endpoint.
ENDPOINT_OF = {
    "SERVER_PING": "STATSZ",
    "ACCOUNT_PING_STATZ_unused": "STATZ",
    "ACCOUNTZ_DETAIL": "ACCOUNTZ_DETAIL",
}


def recorded(version: str, name: str) -> list[bytes]:
    """The replies in one file; a file holds a reply, or a list of them."""
    told = json.loads((HERE / version / f"{name}.json").read_text())
    return [compact(one) for one in (told if isinstance(told, list) else [told])]


def every_reply(version: str) -> Iterator[tuple[str, bytes]]:
    """(endpoint, reply) of all that was recorded, heartbeats included."""
    for file in sorted((HERE / version).glob("*.json")):
        for reply in recorded(version, file.stem):
            if file.stem == "EVENTS":
                yield from (("STATSZ", compact(one)) for one in heartbeats(reply))
            else:
                yield from ((key, reply) for key in of_one_request(endpoint_of(file.stem)))


def endpoint_of(name: str) -> str:
    """The endpoint that answered what is in a file of this name."""
    if name == "CONNZ_services":
        return "CONNZ_SERVICES"
    if name.startswith("JSZ_full"):
        return "JSZ_STREAMS"
    words = [word for word in name.split("_") if word.endswith("Z")]
    return ENDPOINT_OF.get(name) or words[0]


def heartbeats(events: bytes) -> list[Any]:
    """What servers said by themselves, of a file of events."""
    return [event for subject, event in json.loads(events).items() if subject.endswith(".STATSZ")]


def reply(data: Any, version: str = "2.15.1", member: str = "data", **server: Any) -> bytes:
    """A reply of server n1 of this version."""
    info = {"name": "n1", "id": "N1", "ver": version} | server
    return compact({"server": info, member: data})


def compact(said: Any) -> bytes:
    """JSON as servers write it, without blanks."""
    return json.dumps(said, separators=(",", ":")).encode()
