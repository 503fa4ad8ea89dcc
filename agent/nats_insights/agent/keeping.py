"""What the next process of this agent needs: kept in every epoch, and taken up at the start."""

from __future__ import annotations

import logging

from msgspec.structs import replace

from nats_insights.agent.advisories import Advisories
from nats_insights.agent.heir import Heir
from nats_insights.agent.kept import Kept
from nats_insights.agent.state import State
from nats_insights.judge.auditor import Auditor
from nats_insights.judge.restart import taken_up
from nats_insights.tell.messages import AgentInfo

log = logging.getLogger(__name__)


async def resume(
    state: State, agent: AgentInfo, auditor: Auditor, advisories: Advisories, now: float
) -> None:
    """Go on from what the last process left, if anything, at the Unix second `now`.

    StateError if there is a state that it cannot go on from.
    """
    left = await state.load(agent.id)
    if left is None:
        return
    known, over = taken_up(
        left.kept.known,
        advisories.by_code,
        now=now,
        away=now - left.saved_at,
        silent_after=auditor.pace.silent_after,
        # As long as advisories are valid, subscribers believe them.
        forget_after=max(auditor.config.lifecycle.forget_after, auditor.valid_for),
    )
    auditor.restore(known, now)
    judged = [told for told in over if told.life.key.code in advisories.by_code]
    auditor.transitions.add(judged, now)
    advisories.resume(left.kept)
    advisories.add(over, replace(agent, epoch=auditor.number))
    opened = sum(life.is_open for life in known.lives)
    log.info("going on with %d open findings, saved %.0f s ago", opened, now - left.saved_at)


async def keep(
    state: State,
    auditor: Auditor,
    advisories: Advisories,
    heir: Heir,
    now: float,
    *,
    whole: bool = False,
) -> None:
    """Save what another process needs to go on from here, as of the Unix second `now`."""
    if not state.keeps:
        return
    known = auditor.known_now
    if heir.warm:  # What the leader told may be all that is known of it some day.
        known = replace(known, lives=heir.lives, mutes=list(heir.mutes))
    untold = list(advisories.untold)
    codes = {life.key.code for life in known.lives}
    codes |= {told.life.key.code for batch in untold for told in batch.told}
    waiting = list(advisories.outbox.waiting)
    kept = Kept(known=known, checks=advisories.retired(codes), untold=untold, waiting=waiting)
    await state.save(auditor, kept, now, whole=whole)
