"""Requests the verdict and the open findings, from any account that imports the agent's API.

python ask.py                           everything that is open
python ask.py severity=warning limit=10    what passes these filters, ten to a page
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

import nats
from nats.aio.client import Client


async def main(filters: dict[str, Any]) -> None:
    url, user, password = (os.environ.get(f"NATS_{name}") for name in ("URL", "USER", "PASSWORD"))
    client = await nats.connect(url or "nats://127.0.0.1:4222", user=user, password=password)
    status = await ask(client, "STATUS")
    coverage = status["coverage"]
    print(
        f"{status['verdict']}: {coverage['servers_answered']} of {coverage['servers_known']}"
        f" servers answered in epoch {status['epoch']['number']}"
    )
    async for finding in findings(client, filters):
        print(finding["severity"], finding["code"], finding["summary"])
    await client.close()


async def ask(client: Client, name: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """The reply to one query; exits with the agent's error message if it refuses."""
    request = json.dumps(body or {}).encode()
    reply = await client.request(f"INSIGHTS.API.{name}", request, timeout=5)
    if problem := (reply.headers or {}).get("Nats-Service-Error"):
        sys.exit(problem)
    return json.loads(reply.data)


async def findings(client: Client, filters: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """Every finding that passes the filters: a reply holds one page of them."""
    offset, more = 0, True
    while more:
        page = await ask(client, "FINDINGS", {**filters, "offset": offset})
        for finding in page["findings"]:
            yield finding
        offset += len(page["findings"])
        more = page["more"]


def value(text: str) -> str | int:
    return int(text) if text.isdigit() else text


pairs = (argument.partition("=") for argument in sys.argv[1:])
asyncio.run(main({name: value(text) for name, _, text in pairs}))
