"""Publish messages in order, and keep them until the server has received them."""

from __future__ import annotations

import logging
from collections import deque

import nats.errors

from nats_insights import subjects
from nats_insights.connection.client import Client
from nats_insights.tell.advisory import LONGEST, Message

log = logging.getLogger(__name__)

MOST = 10_000


class Outbox:
    """Messages to be published. Beyond MOST of them the oldest are dropped, and counted.

    `published` counts those that somebody may have heard.
    """

    # Nothing is known of what becomes of them, and any server takes an advisory.
    problem, max_payload = "", LONGEST

    def __init__(self) -> None:
        self.waiting: deque[Message] = deque()
        self.dropped = self.published = 0

    def put(self, message: Message) -> None:
        """Add a message behind all others."""
        if len(self.waiting) >= MOST:
            self.waiting.popleft()
            self.dropped += 1
        self.waiting.append(message)

    def beat(self, message: Message) -> None:
        """A heartbeat goes to the connection of the epochs, where other agents hear it."""

    def clear(self) -> None:
        """Publish none of it: another agent tells what is true."""
        self.waiting.clear()

    async def send(self, client: Client, timeout: float = 5.0) -> bool:
        """Publish all of it; True when a round trip proves that the server has read it.

        Without that proof they are published again on the next connection: duplicates have one id.
        """
        batch = list(self.waiting)
        if not batch:
            return True
        try:
            for message in batch:
                if client.fits(message.payload, message.headers):
                    self.published += 1
                    await client.publish(message.subject, message.payload, headers=message.headers)
                else:
                    log.error("an advisory on %s is too large for the server", message.subject)
            await client.request(subjects.USER_INFO, timeout=timeout)
        except (nats.errors.Error, OSError) as problem:
            log.warning("%d messages wait to be published again: %s", len(batch), problem)
            return False
        for _ in batch:
            self.waiting.popleft()
        return True
