"""`python -m tests.recorded.record [VERSION...]`: records a small real system of each version.

Writes `<version>.json` beside this module: what each server of `system` answers to each request
below, in one go, while nothing moves.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import sys
import tempfile
from typing import Any

from nats.aio.client import Client
from tests.kit.servers import VERSIONS, binary
from tests.recorded import file, system

_DETAIL = {"accounts": True, "streams": True, "consumer": True, "config": True, "raft": True}
_SERVER, _ACCOUNT = "$SYS.REQ.SERVER.PING", "$SYS.REQ.ACCOUNT.PING"

# Each request by its name in the recording: its subject and its options.
REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "VARZ": (f"{_SERVER}.VARZ", {}),
    "STATSZ": (f"{_SERVER}.STATSZ", {}),
    "CONNZ": (f"{_SERVER}.CONNZ", {"auth": True}),
    "SUBSZ": (f"{_SERVER}.SUBSZ", {}),
    "ROUTEZ": (f"{_SERVER}.ROUTEZ", {}),
    "GATEWAYZ": (f"{_SERVER}.GATEWAYZ", {}),
    "LEAFZ": (f"{_SERVER}.LEAFZ", {}),
    "ACCOUNTZ": (f"{_SERVER}.ACCOUNTZ", {}),
    "ACCOUNTZ_APP": (f"{_SERVER}.ACCOUNTZ", {"account": "APP"}),
    "STATZ": (f"{_ACCOUNT}.STATZ", {"include_unused": True}),
    "HEALTHZ": (f"{_SERVER}.HEALTHZ", {"details": True}),
    "HEALTHZ_NO_STREAM": (
        f"{_SERVER}.HEALTHZ",
        {"details": True, "account": "APP", "stream": "NO-SUCH-STREAM"},
    ),
    "JSZ": (f"{_SERVER}.JSZ", {}),
    "JSZ_DETAIL": (f"{_SERVER}.JSZ", _DETAIL),
    "JSZ_APP": (f"{_SERVER}.JSZ", _DETAIL | {"account": "APP"}),
    "JSZ_BIG": (f"{_SERVER}.JSZ", _DETAIL | {"account": "BIG"}),
    "RAFTZ": (f"{_SERVER}.RAFTZ", {}),
    "RAFTZ_APP": (f"{_SERVER}.RAFTZ", {"account": "APP"}),
    "IPQUEUESZ": (f"{_SERVER}.IPQUEUESZ", {"all": True}),
}
_REPLY_SECONDS = 10.0
# Fields that a recording does without, and fields that have the name of something on this machine.
_SECRET = {"jwt"}
_LOCAL = {"store_dir": "jetstream"}


async def record(version: str) -> None:
    """Runs the system on servers of this version, and writes what they answer."""
    async with system.running(binary(version)) as running:
        replies = {name: await ask(running.root, name) for name in REQUESTS}
    text = render(scrubbed(replies))
    if any(secret in text for secret in (*running.passwords, *_this_machine())):
        raise RuntimeError(f"{version} tells a password, a path, or the name of this machine")
    file(version).write_text(text, "utf-8")


async def ask(root: Client, name: str) -> list[dict[str, Any]]:
    """The replies of all servers to this request, ordered by server name."""
    subject, options = REQUESTS[name]
    inbox = root.new_inbox()
    subscription = await root.subscribe(inbox)
    await root.publish(subject, json.dumps(options).encode(), reply=inbox)
    replies: dict[str, dict[str, Any]] = {}
    while missing := {*system.ANSWERING} - replies.keys():
        try:
            message = await subscription.next_msg(timeout=_REPLY_SECONDS)
        except TimeoutError:
            raise RuntimeError(f"no {name} from {', '.join(sorted(missing))}") from None
        reply = json.loads(message.data)
        replies[reply["server"]["name"]] = reply
    await subscription.unsubscribe()
    return [replies[server] for server in sorted(replies)]


def scrubbed(value: Any) -> Any:
    """The same without secrets, and without names of this machine."""
    if isinstance(value, dict):
        return {
            name: _LOCAL.get(name) or scrubbed(one)
            for name, one in value.items()
            if name not in _SECRET
        }
    return [scrubbed(one) for one in value] if isinstance(value, list) else value


def render(replies: dict[str, list[dict[str, Any]]]) -> str:
    """One JSON object, each reply on a line of its own."""
    parts = []
    for name, all_of_it in replies.items():
        lines = ",\n".join(json.dumps(one, separators=(",", ":")) for one in all_of_it)
        parts.append(f'"{name}":[\n{lines}\n]')
    return "{" + ",\n".join(parts) + "}\n"


def _this_machine() -> tuple[str, str]:
    return tempfile.gettempdir(), json.dumps(socket.gethostname())


if __name__ == "__main__":
    # It warns whenever a TLS connection of nats-py ends.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    for one in sys.argv[1:] or VERSIONS:
        asyncio.run(record(one))
        print(f"recorded {one}: {file(one).stat().st_size / 1000:.0f} kB")
