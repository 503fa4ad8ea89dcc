"""The heir: what the leader has told, as a standby keeps it, so that it can go on from there.

It hears every advisory, and asks for all findings and servers when it begins and whenever a
heartbeat of the leader counts others than it has. It runs no epochs.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec
import nats.errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from nats_insights import subjects
from nats_insights.agent.heard import UNREADABLE
from nats_insights.connection.client import Client
from nats_insights.judge.declare import Check
from nats_insights.judge.lifecycle import Life
from nats_insights.judge.mutes import MOST as MOST_MUTES
from nats_insights.judge.mutes import Mute
from nats_insights.model.roster import Entry, Roster
from nats_insights.tell import adopt
from nats_insights.tell.messages import (
    Advisory,
    FindingsReply,
    FindingState,
    Heartbeat,
    MutesReply,
    Reply,
    ServersReply,
)

log = logging.getLogger(__name__)

# Findings that are kept, and rows that are asked for at a time.
MOST = 200_000
_AT_A_TIME = 1000
_TIMEOUT = 2.0
# Seconds in which what came before a heartbeat is read.
_BEHIND = 0.05
# Heartbeats between two attempts, where the counts still differ after the first: doubled each time.
_MOST_BETWEEN = 64


class _Kept(msgspec.Struct, frozen=True, gc=False):
    """One open finding; `life` is None where it cannot be gone on with, such as another version's.

    `order` grows with each advisory on it.
    """

    order: tuple[float, int]
    severity: str
    life: Life | None


class LastWord(NamedTuple):
    """What was heard of the last leader: its open findings, its mutes, and its last heartbeat.

    It is `whole` if that heartbeat counts as many open findings.
    """

    lives: list[Life]
    mutes: list[Mute]
    leader: Heartbeat | None
    whole: bool


class Heir:
    """The open findings of the leader, its mutes, and its servers, which `roster` gets.

    `leader` is the last heartbeat that it kept up with. It is `warm` once it had all of them; what
    it does not hear it asks for again.
    """

    def __init__(
        self,
        checks: Iterable[Check],
        roster: Roster,
        leads: Callable[[str], bool],
        shard: str = "",
    ) -> None:
        self.warm = False
        self._shard = shard  # That of the leader.
        self._checks = {check.code: check for check in checks}
        self._roster = roster
        self._leads = leads
        self._kept: dict[str, _Kept] = {}
        self.mutes: list[Mute] = []
        self.leader: Heartbeat | None = None
        self._news: dict[str, _Kept | None] | None = None
        self._client: Client | None = None
        self._subscription: Subscription | None = None
        # Whether advisories may have been missed, and the messages that were dropped until then.
        self._missed, self._slow = True, 0
        self._skip = self._between = 0

    @property
    def listens(self) -> bool:
        """Whether it follows a leader."""
        return self._client is not None

    @property
    def lives(self) -> list[Life]:
        """The findings that this agent can go on with."""
        return [kept.life for kept in self._kept.values() if kept.life is not None]

    @property
    def last_word(self) -> LastWord | None:
        """What the leader has told so far, as far as it was heard; None if it never was."""
        whole = self.leader is not None and self._has_all_of(self.leader)
        return LastWord(self.lives, list(self.mutes), self.leader, whole) if self.warm else None

    async def listen(self, client: Client) -> None:
        """Subscribe to the advisories, for as long as the connection lasts or until `leave`."""
        if self._client is not client:
            self._client = client
            self._subscription = await client.subscribe(subjects.OF_AGENTS[0], cb=self.hear)
            self._missed, self._slow = True, client.slow
            self._skip = self._between = 0

    async def leave(self) -> None:
        """This agent leads now: it hears nobody, and knows all."""
        subscription, self._subscription, self._client = self._subscription, None, None
        self.warm, self._kept, self.mutes, self.leader = False, {}, [], None
        if subscription is not None:
            with suppress(nats.errors.Error):
                await subscription.unsubscribe()

    async def keep_up(self, client: Client, leader: Heartbeat | None) -> None:
        """Ask for everything if this is not what the leader counts; called once per heartbeat."""
        self.leader = leader or self.leader
        await self._ask_mutes(client, leader)
        self._missed |= client.slow != self._slow
        if not self._missed and leader is not None and self._agrees(leader):
            self._roster.seen(leader.timestamp.timestamp())
            self._skip = self._between = 0
            return
        if self._skip:
            self._skip -= 1
            return
        # Its last advisories may wait behind its heartbeat in here.
        await asyncio.sleep(_BEHIND)
        if not self._missed and leader is not None and self._agrees(leader):
            return
        if await self._ask(client) and (leader is None or self._agrees(leader)):
            self._between = 0
        else:
            self._between = min(_MOST_BETWEEN, 2 * self._between or 1)
            self._skip = self._between - 1

    async def hear(self, message: Msg) -> None:
        """Take in one advisory of the leader; what is unreadable, or of others, is dropped."""
        try:
            said = msgspec.json.decode(message.data, type=Advisory)
        except UNREADABLE:
            return
        if not self._leads(said.agent.instance):
            return
        known = self._kept.get(said.fingerprint)
        if known is not None and _order(said) <= known.order:
            return
        kept = self._keep(said) if said.state == "open" else None
        if self._news is not None and (said.fingerprint in self._news or len(self._news) < MOST):
            self._news[said.fingerprint] = kept
        _put(self._kept, said.fingerprint, kept)

    def _keep(self, said: FindingState) -> _Kept:
        return _Kept(_order(said), said.severity, adopt.life(said, self._checks))

    def _agrees(self, leader: Heartbeat) -> bool:
        """Whether the leader counts as many open findings and servers."""
        servers = self._roster.known()
        answering = sum(1 for entry in servers if entry.state == "answering")
        known, answered = leader.coverage.servers_known, leader.coverage.servers_answered
        return self._has_all_of(leader) and (known, answered) == (len(servers), answering)

    def _has_all_of(self, leader: Heartbeat) -> bool:
        """Whether the leader counts as many open findings."""
        told, muted = leader.open, leader.muted
        return Counter(kept.severity for kept in self._kept.values()) == Counter(
            critical=told.critical + muted.critical,
            warning=told.warning + muted.warning,
            info=told.info + muted.info,
        )

    async def _ask_mutes(self, client: Client, leader: Heartbeat | None) -> None:
        """Ask what is muted, while anything is: of a changed mute no advisory may tell."""
        if leader is None or not (leader.mutes or self.mutes):
            return
        with suppress(nats.errors.Error, *UNREADABLE):
            told = await self._all(client, "MUTES", MutesReply, "mutes")
            self.mutes = [adopt.mute(one) for one in reversed(told[:MOST_MUTES])]

    async def _ask(self, client: Client) -> bool:
        """Replace everything by what the leader knows; False, with nothing changed, if it fails."""
        self._news, slow = {}, client.slow
        try:
            findings = await self._all(client, "FINDINGS", FindingsReply, "findings")
            servers = await self._all(client, "SERVERS", ServersReply, "servers")
        except (nats.errors.Error, *UNREADABLE) as problem:
            log.debug("the leader's findings are not known: %s", problem or type(problem).__name__)
            return False
        finally:
            news, self._news = self._news, None
        kept = {}
        for number, state in enumerate(findings):
            kept[state.fingerprint] = self._keep(state)
            if number % 100 == 0:
                await asyncio.sleep(0)
        for fingerprint, new in news.items():  # Heard while the pages came.
            if new is None or fingerprint not in kept or new.order > kept[fingerprint].order:
                _put(kept, fingerprint, new)
        self._kept = kept
        entries: list[Entry] = [one for one in map(adopt.entry, servers) if one is not None]
        self._roster.adopt(entries)
        self.warm, self._missed, self._slow = True, False, slow
        return True

    async def _all(self, client: Client, name: str, into: type[Reply], field: str) -> list[Any]:
        """Every row of a list, at most MOST; an Error if the leader does not answer it."""
        rows: list[Any] = []
        while len(rows) < MOST:
            body = msgspec.json.encode({"offset": len(rows), "limit": _AT_A_TIME})
            message = await client.request(subjects.api(name, self._shard), body, timeout=_TIMEOUT)
            reply: Any = msgspec.json.decode(message.data, type=into)
            if not self._leads(reply.agent.instance):
                raise nats.errors.Error(f"{name} was answered by an agent that does not lead")
            page = getattr(reply, field)
            rows += page
            if not (page and reply.more):
                break
        return rows


def _put(kept: dict[str, _Kept], fingerprint: str, new: _Kept | None) -> None:
    if new is None:
        kept.pop(fingerprint, None)
    elif fingerprint in kept or len(kept) < MOST:
        kept[fingerprint] = new


def _order(said: FindingState) -> tuple[float, int]:
    return (said.opened_at.timestamp(), said.revision)
