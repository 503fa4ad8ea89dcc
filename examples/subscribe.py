"""Prints every advisory as it is published, from any account that imports "$INSIGHTS.>"."""

import argparse
import asyncio
import json
import sys

from nats_insights.connection import contexts
from nats_insights.connection.connect import clients
from nats_insights.errors import InsightsError


async def main(settings: contexts.Settings) -> None:
    async for client in clients(settings, name="subscribe.py"):
        advisories = await client.subscribe("$INSIGHTS.ADVISORY.>")
        async for message in advisories.messages:
            told = json.loads(message.data)
            print(told["transition"], told["severity"], told["code"], told["summary"], flush=True)


parser = argparse.ArgumentParser(description=__doc__)
contexts.add_options(parser)
try:
    asyncio.run(main(contexts.from_args(parser.parse_args())))
except InsightsError as error:
    sys.exit(str(error))
except KeyboardInterrupt:
    sys.exit(130)
