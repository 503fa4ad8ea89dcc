"""A storm of queries from a process of its own: `python -m kit.storm URL RATE SECONDS`.

As many as can be sent, up to that rate, over several connections of the user in `NATS_USER`, with
the password in `NATS_PASSWORD`. It reads what comes back, and prints a line of JSON at its end.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec import json as msgspec_json

CONNECTIONS = 8
# Requests that are written together, and seconds in which the last replies may come.
_BATCH, _REST = 50, 2.0
QUERIES = (
    ("STATUS", b""),
    ("FINDINGS", b"{}"),
    ("HISTORY", b'{"since":"1h"}'),
    ("STATUS", b""),
    ("FINDINGS", b'{"state":"all"}'),
)


class Storm(Struct):
    """How many requests were sent in how many seconds, and how many replies came; of these,
    how many were errors."""

    sent: int = 0
    seconds: float = 0.0
    replies: int = 0
    errors: int = 0


class _Connection:
    """One connection, whose replies are counted by a thread."""

    def __init__(self, url: str, number: int) -> None:
        parts = urlsplit(url)
        self._socket = socket.create_connection((parts.hostname or "", parts.port or 4222))
        login = {"user": os.environ["NATS_USER"], "pass": os.environ["NATS_PASSWORD"]}
        hello = {"verbose": False, "headers": True, "no_responders": True, "name": "storm"} | login
        inbox = f"_INBOX.storm.{number}"
        self._socket.sendall(
            b"CONNECT %s\r\nSUB %s 1\r\n" % (json.dumps(hello).encode(), inbox.encode())
        )
        requests = [
            f"PUB INSIGHTS.API.{name} {inbox} {len(body)}\r\n".encode() + body + b"\r\n"
            for name, body in QUERIES
        ]
        self._batch = b"".join(requests[at % len(requests)] for at in range(_BATCH))
        self.replies = self.errors = 0
        threading.Thread(target=self._read, daemon=True).start()

    def send(self) -> None:
        self._socket.sendall(self._batch)

    def close(self) -> None:
        self._socket.close()

    def _read(self) -> None:
        with self._socket.makefile("rb") as lines:
            for line in lines:
                words = line.split()
                if words[:1] == [b"PING"]:
                    self._socket.sendall(b"PONG\r\n")
                elif words[:1] in ([b"MSG"], [b"HMSG"]):
                    body = lines.read(int(words[-1]) + 2)
                    self.replies += 1
                    self.errors += words[0] == b"HMSG" and b"Nats-Service-Error" in body
                elif words[:1] == [b"-ERR"]:
                    sys.exit(line.decode())


def run(url: str, rate: float, seconds: float) -> Storm:
    """Sends for so many seconds."""
    connections = [_Connection(url, number) for number in range(CONNECTIONS)]
    begin = time.monotonic()
    storm = Storm()
    while (passed := time.monotonic() - begin) < seconds:
        if storm.sent < passed * rate:
            connections[storm.sent // _BATCH % CONNECTIONS].send()
            storm.sent += _BATCH
        else:
            time.sleep(0.001)
    storm.seconds = time.monotonic() - begin
    time.sleep(_REST)
    storm.replies = sum(one.replies for one in connections)
    storm.errors = sum(one.errors for one in connections)
    return storm


if __name__ == "__main__":
    done = run(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]))
    print(msgspec_json.encode(done).decode())
