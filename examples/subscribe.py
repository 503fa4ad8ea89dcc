"""Prints every advisory as it is published, from any account that imports "$INSIGHTS.>"."""

import asyncio
import json
import os

import nats


async def main() -> None:
    url, user, password = (os.environ.get(f"NATS_{name}") for name in ("URL", "USER", "PASSWORD"))
    client = await nats.connect(url or "nats://127.0.0.1:4222", user=user, password=password)
    advisories = await client.subscribe("$INSIGHTS.ADVISORY.>")
    async for message in advisories.messages:
        told = json.loads(message.data)
        print(told["transition"], told["severity"], told["code"], told["summary"], flush=True)


asyncio.run(main())
