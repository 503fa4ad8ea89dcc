"""The state of an agent: read at the start, and saved in every epoch before it publishes.

Because it is saved first, with what is to be published, an agent that is killed at any moment
publishes the same messages again when it is started: they have the same ids.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import NamedTuple

from nats_insights import __version__
from nats_insights.agent.kept import (
    PAST,
    STATE,
    Kept,
    Read,
    Unreadable,
    kept,
    kept_lines,
    past_lines,
    read,
    sealed,
    with_past,
)
from nats_insights.agent.state_file import StateFile
from nats_insights.agent.store import Store
from nats_insights.config import span
from nats_insights.errors import StateError, place
from nats_insights.gather.stepwise import stepwise
from nats_insights.judge.auditor import Auditor, Known
from nats_insights.text import plain

log = logging.getLogger(__name__)

# Seconds from one save of the past to the next. It is saved sooner when there is news.
PAST_EVERY = 300.0
# Seconds to wait for a store: what is found must be published whatever becomes of the state.
PATIENCE = 5.0


class Left(NamedTuple):
    """What another process left, and when it saved that, in Unix seconds."""

    kept: Kept
    saved_at: float


class State:
    """What an agent keeps in two stores, one for the past; without a store it keeps nothing.

    `failure` says why it was not saved last, "" if it was. It is `shared` if it belongs to whoever
    leads: see `SharedState`, of which the rest is meant.
    """

    shared = readable = False

    def __init__(self, store: Store | None = None, past: Store | None = None) -> None:
        self._store, self._past = store, past
        self.failure = ""
        self._agent = ""
        self._past_saved = float("-inf")
        self._saving: dict[str, asyncio.Task[None]] = {}

    @classmethod
    def in_file(cls, file: StateFile) -> State:
        """The state in a file, and the past in another one beside it."""
        return cls(file, file.beside)

    @property
    def stored(self) -> bool:
        """Whether there is a store."""
        return self._store is not None

    async def take_up(self) -> Left | None:
        """What the last leader saved, where it is shared."""
        return None

    def lay_down(self) -> None:
        """This agent leads no more."""

    @property
    def awaited(self) -> bool:
        """Whether it is to be read before anything is published."""
        return False

    @property
    def withholds(self) -> bool:
        """Whether nothing is to be published until it is saved."""
        return False

    @property
    def superseded(self) -> bool:
        """Whether another agent has saved it since this one did."""
        return False

    @property
    def keeps(self) -> bool:
        """Whether it is to be saved now."""
        return self.stored

    async def load(self, agent: str) -> Left | None:
        """What the last process of this agent left; None if there is nothing to go on from.

        StateError if it cannot be read, or is not of this agent. What is damaged, or of a later
        format, is set aside.
        """
        self._agent = agent
        if self._store is None:
            return None
        found = await self._read(self._store, STATE)
        if found is None:
            return None
        try:
            left = kept(found, self._store.where)
        except Unreadable as why:
            await _set_aside(self._store, why)
            return None
        left.known = await self._with_past(left.known)
        return Left(left, found.header.written_at)

    async def save(self, auditor: Auditor, kept: Kept, now: float, *, whole: bool = False) -> None:
        """Save what this process would leave, as of the Unix second `now`; nothing is raised.

        The past is saved with it if it is to be `whole`, or when that is due. At most PATIENCE
        seconds are waited for each.
        """
        if self._store is None:
            return
        failure = ""
        if self._past is not None and (whole or self._past_is_due(kept)):
            # First: a finding that ended must not be found again in a past from before its end.
            lines = await stepwise(past_lines(auditor))
            failure = await self._tried(self._past, PAST, lines, now)
            self._past_saved = time.monotonic()
        lines = await stepwise(kept_lines(kept))
        self._heed(await self._tried(self._store, STATE, lines, now) or failure)

    def _past_is_due(self, kept: Kept) -> bool:
        news = (told.transition != "reminded" for untold in kept.untold for told in untold.told)
        return time.monotonic() - self._past_saved >= PAST_EVERY or any(news)

    async def _tried(self, store: Store, what: str, lines: Sequence[bytes], now: float) -> str:
        """Save it; why it was not saved, "" if it was."""
        try:
            await self._save(store, what, lines, now)
        except StateError as error:
            return plain(str(error))
        except Exception as error:  # Whatever a store raises, the agent goes on.
            log.debug("where it came from", exc_info=error)
            return f"the state was not saved in {store.where}: {place(error)}"
        return ""

    async def _save(self, store: Store, what: str, lines: Sequence[bytes], now: float) -> None:
        last = self._saving.get(what)
        if last is not None and not last.done():
            # This one was begun by an epoch that was cancelled, or its store hangs.
            await asyncio.wait([last], timeout=0.0 if self.failure else PATIENCE)
            if not last.done():
                raise StateError(f"the last save of the state in {store.where} has not ended yet")
        data = await asyncio.to_thread(sealed, what, self._agent, __version__, now, lines)
        self._saving[what] = saving = asyncio.create_task(store.save(data))
        saving.add_done_callback(_heard)  # It may end when nobody waits for it any more.
        done, _ = await asyncio.wait([saving], timeout=PATIENCE)
        if not done:
            raise StateError(f"the state was not saved in {store.where} within {PATIENCE:g} s")
        saving.result()

    def _heed(self, failure: str) -> None:
        """Log when saving begins to fail, and when it succeeds again."""
        if failure and not self.failure:
            log.error("%s; the agent goes on, and a restart would lose what it knows", failure)
        if self.failure and not failure:
            log.info("the state is saved again")
        self.failure = failure

    async def _with_past(self, known: Known) -> Known:
        if self._past is None or (found := await self._read(self._past, PAST)) is None:
            return known
        try:
            return with_past(known, found, self._past.where)
        except Unreadable as why:
            await _set_aside(self._past, why)
            return known

    async def _read(self, store: Store, what: str) -> Read | None:
        data = await store.load()
        if data is None:
            return None
        try:
            found = read(what, data, store.where)
        except Unreadable as why:
            await _set_aside(store, why)
            return None
        _refuse_other_agents(found, self._agent, store.where)
        return found


def _refuse_other_agents(found: Read, agent: str, where: str) -> None:
    if found.header.agent != agent:
        raise StateError(
            f"{where} is of the agent {plain(found.header.agent)!r}, and this one is "
            f"{plain(agent)!r}: set `id` in the configuration, or give another place"
        )


async def described(file: StateFile, agent: str, now: float) -> str:
    """What is in a state file, for people; nothing is changed.

    Unreadable if an agent would set it aside, StateError if it would not start with it. The name
    of the `agent` is "" if it is not known.
    """
    file.look()
    data = await file.load()
    if data is None:
        return f"nothing was saved in {file.where} yet"
    found = read(STATE, data, file.where)
    _refuse_other_agents(found, agent or found.header.agent, file.where)
    left = kept(found, file.where)
    opened = sum(life.is_open for life in left.known.lives)
    age = span(round(max(0.0, now - found.header.written_at)))
    return f"{opened} open findings of the agent {found.header.agent!r}, saved {age} ago"


def _heard(saving: asyncio.Task[None]) -> None:
    if not saving.cancelled() and (error := saving.exception()) is not None:
        log.debug("a save failed: %s", error)


async def _set_aside(store: Store, why: Unreadable) -> None:
    aside = await store.set_aside()
    log.warning("%s; it is kept as %s, and the agent starts without it", why, aside)
