"""Runs what a short script would do, in a process of its own: nats-py, and rows counted by user.

No small replies, no window, no retries, nothing judged: how far above the floor an agent in Python
begins.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec
import nats
import uvloop
from tests.bench.floor import Reply, bodies
from tests.bench.processes import peak_rss_mib

from nats_insights.lab.fleet.model import SYSTEM_ACCOUNT
from nats_insights.replies.unpack import ACCEPT, unpack
from nats_insights.subjects import server_request

_LIMIT = 8192
_IN_FLIGHT = 8
_SECONDS = 20.0


async def bare(
    url: str, connections: Mapping[str, int], user: str, password: str
) -> dict[str, Any]:
    """Counts the clients of each user on all servers in `connections`, which has their rows."""
    client = await nats.connect(url, user=user, password=password)
    began, cpu = time.monotonic(), time.process_time()
    decoder = msgspec.json.Decoder(Reply)
    users: Counter[tuple[str, str]] = Counter()
    subscriptions = wire_bytes = 0
    pages = bodies(connections, _LIMIT)

    async def work() -> None:
        nonlocal subscriptions, wire_bytes
        for server_id, body in pages:
            subject = server_request("CONNZ", server_id)
            reply = await client.request(subject, body, timeout=_SECONDS, headers=ACCEPT)
            wire_bytes += len(reply.data)
            rows = decoder.decode(unpack(reply.data, reply.headers)).data.connections
            clients = [
                row for row in rows if row.kind == "Client" and row.account != SYSTEM_ACCOUNT
            ]
            users.update([(row.account, row.authorized_user) for row in clients])
            subscriptions += sum([row.subscriptions for row in clients])

    async with asyncio.TaskGroup() as tasks:
        for _ in range(_IN_FLIGHT):
            tasks.create_task(work())
    cost = {
        "bytes": wire_bytes,
        "cpu_seconds": time.process_time() - cpu,
        "wall_seconds": time.monotonic() - began,
        "peak_rss_mib": peak_rss_mib(),
    }
    await client.close()
    return cost


def main() -> None:
    """Read rows by server id from standard input, and print the cost, both as JSON."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("user")
    args = parser.parse_args()
    password = os.environ["NATS_PASSWORD"]
    cost = uvloop.run(bare(args.url, json.load(sys.stdin), args.user, password))
    print(json.dumps(cost), flush=True)


if __name__ == "__main__":
    main()
