"""Requests the verdict and the open findings, from any account that imports the agent's API.

python ask.py --context ops                 everything that is open
python ask.py severity=warning limit=10     what passes these filters, ten to a page

It takes the connection flags and variables of `nats-insights`.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncIterator
from typing import Any

from nats.errors import Error as NatsError

from nats_insights.connection import contexts
from nats_insights.connection.client import Client
from nats_insights.connection.connect import connect
from nats_insights.errors import InsightsError


async def main(settings: contexts.Settings, filters: dict[str, Any]) -> None:
    client = await connect(settings, name="ask.py")
    try:
        status = await ask(client, "STATUS")
        coverage = status["coverage"]
        print(
            f"{status['verdict']}: {coverage['servers_answered']} of {coverage['servers_known']}"
            f" servers answered in epoch {status['epoch']['number']}"
        )
        async for finding in findings(client, filters):
            print(finding["severity"], finding["code"], finding["summary"])
    finally:
        await client.close()


async def ask(client: Client, name: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """The reply to one query; exits with a sentence if it is refused or nobody answers."""
    request = json.dumps(body or {}).encode()
    try:
        reply = await client.request(f"INSIGHTS.API.{name}", request, timeout=5)
    except NatsError as error:
        sys.exit(f"no agent answers INSIGHTS.API.{name}: {error}")
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


parser = argparse.ArgumentParser(description="Requests the verdict and the open findings.")
parser.add_argument("filters", nargs="*", metavar="field=value", help="of the query FINDINGS")
contexts.add_options(parser)
args = parser.parse_args()
pairs = (argument.partition("=") for argument in args.filters)
try:
    settings = contexts.from_args(args)
    asyncio.run(main(settings, {name: value(text) for name, _, text in pairs}))
except InsightsError as error:
    sys.exit(str(error))
except KeyboardInterrupt:
    sys.exit(130)
