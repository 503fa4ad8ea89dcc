"""The advisories that an agent has to publish: what its epochs found, and nobody was told yet."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence

from nats_insights.agent.kept import Kept, Untold
from nats_insights.agent.publish import Outbox
from nats_insights.agent.publisher import Publisher
from nats_insights.connection.client import Client
from nats_insights.judge.auditor import Auditor
from nats_insights.judge.declare import Check
from nats_insights.judge.lifecycle import Told
from nats_insights.judge.restart import Retired, retired
from nats_insights.tell import tenants
from nats_insights.tell.messages import AgentInfo

log = logging.getLogger(__name__)

# Transitions that are published at a time.
AT_A_TIME = 100


class Advisories:
    """Transitions in the order in which they are to be published, and the outbox behind them."""

    def __init__(self, auditor: Auditor, checks: Iterable[Check]) -> None:
        self.outbox: Outbox | Publisher = Outbox()
        self.untold: deque[Untold] = deque()
        self._told_before = 0
        self.auditor = auditor
        # A finding that was opened by an earlier process may be of a check that is gone.
        self.by_code: dict[str, Check | Retired] = {check.code: check for check in checks}

    def add(self, told: Sequence[Told], agent: AgentInfo) -> None:
        """Publish these from now on, as found by this agent in this epoch."""
        for start in range(0, len(told), AT_A_TIME):
            batch = Untold(
                agent=agent,
                coverage=self.auditor.snapshot.coverage,
                valid_for=self.auditor.valid_for,
                told=list(told[start : start + AT_A_TIME]),
            )
            self.untold.append(batch)

    def resume(self, left: Kept) -> None:
        """Publish what another process was about to publish."""
        for one in left.checks:
            self.by_code.setdefault(one.code, one)
        for message in left.waiting:
            self.outbox.put(message)
        self.untold.extend(left.untold)

    def begin(self) -> None:
        """This agent begins to lead."""
        self._told_before = self.outbox.published

    @property
    def has_told(self) -> bool:
        """Whether anybody may have heard anything since then."""
        return self.outbox.published > self._told_before

    def clear(self) -> None:
        """Publish none of it: another agent tells what is true."""
        self.untold.clear()
        self.outbox.clear()

    async def publish(
        self,
        client: Client,
        known: tenants.Tenants,
        may_publish: Callable[[], Awaitable[None]],
    ) -> None:
        """Publish in parts: there may be tens of thousands, and the outbox is bounded.

        `may_publish` is awaited before each part, and raises if this agent leads no more.
        """
        arrived = True
        while self.untold:
            await may_publish()
            batch = self.untold.popleft()
            for told in batch.told:
                try:
                    self._put(told, batch, known, client.max_payload)
                except Exception as error:  # One failure must not stop the others.
                    self.auditor.note(error)
            await asyncio.sleep(0)
            arrived = arrived and await self.outbox.send(client)

    def retired(self, codes: Iterable[str]) -> list[Retired]:
        """What another process must know of the checks of these codes."""
        return [retired(self.by_code[code]) for code in sorted(codes)]

    def _put(self, told: Told, batch: Untold, known: tenants.Tenants, max_payload: int) -> None:
        said, messages = tenants.advisories(
            told,
            self.by_code[told.life.key.code],
            batch.agent,
            batch.coverage,
            batch.valid_for,
            known,
            min(max_payload, self.outbox.max_payload),
        )
        for message in messages:
            self.outbox.put(message)
        why = f" ({told.reason})" if told.transition == "resolved" else ""
        log.info("%s %s %s%s: %s", told.transition, said.severity, said.code, why, said.summary)
