"""The other shards of a divided system: what they publish, and what they are asked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import msgspec
import nats.errors
from msgspec.structs import replace
from nats.aio.msg import Msg

from nats_insights import subjects
from nats_insights.agent.heard import UNREADABLE, ahead
from nats_insights.connection.client import Client
from nats_insights.gather.stepwise import stepwise
from nats_insights.model.shards import Shards, Share
from nats_insights.tell import queries, requests, whole
from nats_insights.tell.messages import FindingsReply, FindingsRequest, Ledger, ShardState
from nats_insights.tell.view import View

# What takes the body of a request and returns that of the reply.
Ask = Callable[[bytes], Awaitable[bytes]]
# Seconds for the replies of another shard to one request.
PATIENCE = 1.0


class Others:
    """The other shards as they are heard; nothing is heard where the system is not divided."""

    def __init__(self, shards: Shards) -> None:
        self.shards = shards
        self._last: dict[str, Ledger] = {}
        # What our clock is ahead of that of a shard's agent.
        self._offsets: dict[str, float] = {}
        self._told: dict[str, str] = {}
        self._client: Client | None = None

    async def listen(self, client: Client) -> None:
        """Subscribe to the ledgers of the others, for as long as the connection lasts."""
        self._client = client
        if self.shards.divided:
            await client.subscribe(f"{subjects.LEDGER}.*", cb=self.hear)

    async def hear(self, message: Msg) -> None:
        """Store a ledger; one that is older than the last of its shard is dropped."""
        try:
            ledger = msgspec.json.decode(message.data, type=Ledger)
        except UNREADABLE:
            return
        if ledger.shard == self.shards.name or ledger.agent.role != "leader":
            return
        last = self._last.get(ledger.shard)
        if last is not None and not _is_later(ledger, last):
            return
        sent, before = ledger.timestamp.timestamp(), None
        if last is not None and ledger.agent.instance == last.agent.instance:
            before = last.timestamp.timestamp(), self._offsets[ledger.shard]
        offset = ahead(time.time(), sent, before)
        share = Share(
            shard=ledger.shard,
            others=ledger.others,
            clusters=ledger.clusters,
            folds=ledger.folds,
            until=sent + offset + ledger.silent_after_seconds,
        )
        if self.shards.hear(share):
            self._last[ledger.shard], self._offsets[ledger.shard] = ledger, offset

    async def publish(self, client: Client, view: View, share: Share, silent_after: float) -> None:
        """Publish what this shard contributes."""
        message = whole.ledger_message(view, share, view.agent, time.time(), silent_after)
        await client.publish(message.subject, message.payload)

    def states(self) -> list[ShardState]:
        """The other shards as they are in this epoch, in the order of their names."""
        names = sorted(self.shards.others | self.shards.troubles.keys())
        return [_state(name, self._last.get(name), self.shards.troubles) for name in names]

    def news(self) -> list[str]:
        """What changed since the last call, a sentence for each shard."""
        now, before = dict(self.shards.troubles), self._told
        self._told = now
        lines = [why for name, why in now.items() if before.get(name) != why]
        return lines + [f"shard {name} is heard" for name in sorted(before.keys() - now.keys())]

    async def findings(self, view: View, body: bytes) -> bytes:
        """FINDINGS of all shards; those that are silent are named in the reply."""
        request = requests.read(body, FindingsRequest)
        wanted = whole.wanted_of_each(request)

        async def own(part: bytes) -> bytes:
            return await stepwise(queries.steps(view, "FINDINGS", part))

        pages = [await _pages(own, request, wanted)]
        heard = [shard.name for shard in view.shards if not shard.why]
        pages += await asyncio.gather(*(self._ask(name, request, wanted) for name in heard))
        silent = [shard.name for shard in view.shards if shard.why]
        silent += [name for name, some in zip(heard, pages[1:], strict=True) if not some]
        return msgspec.json.encode(whole.merged(view, request, pages, sorted(silent)))

    async def _ask(self, shard: str, request: FindingsRequest, wanted: int) -> list[FindingsReply]:
        """The first rows of another shard; none if it does not reply in time."""
        subject = subjects.api("FINDINGS", shard)

        async def ask(part: bytes) -> bytes:
            assert self._client is not None
            return bytes((await self._client.request(subject, part, timeout=PATIENCE)).data)

        try:
            async with asyncio.timeout(PATIENCE):
                return await _pages(ask, request, wanted)
        except (nats.errors.Error, TimeoutError, *UNREADABLE):
            return []


async def _pages(ask: Ask, request: FindingsRequest, wanted: int) -> list[FindingsReply]:
    """As many replies as have the first `wanted` rows of a list."""
    pages: list[FindingsReply] = []
    offset = 0
    while True:
        part = replace(request, offset=offset, limit=min(wanted - offset, 1000))
        page = msgspec.json.decode(await ask(msgspec.json.encode(part)), type=FindingsReply)
        pages.append(page)
        rows = len(page.findings) + len(page.groups)
        offset += rows
        if not (page.more and rows and offset < wanted):
            return pages


def _is_later(ledger: Ledger, last: Ledger) -> bool:
    """A server that was frozen delivers old messages when it resumes."""
    if ledger.agent.instance == last.agent.instance:
        return ledger.agent.epoch > last.agent.epoch
    return ledger.timestamp > last.timestamp


def _state(name: str, last: Ledger | None, troubles: dict[str, str]) -> ShardState:
    why = troubles.get(name, "")
    if last is None:
        return ShardState(name=name, why=why or f"shard {name} was never heard")
    return ShardState(
        name=name,
        agent=last.agent.id,
        verdict="unknown" if why else last.verdict,
        why=why,
        heard_at=last.timestamp,
        open=last.open,
        servers_known=last.coverage.servers_known,
        servers_answered=last.coverage.servers_answered,
        checks_not_evaluated=last.checks_not_evaluated,
    )
