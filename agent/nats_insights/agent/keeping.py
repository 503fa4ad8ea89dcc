"""What the next process needs: kept in every epoch, and taken up at the start or with the lead."""

from __future__ import annotations

import logging

import msgspec
from msgspec.structs import replace

from nats_insights.agent.advisories import Advisories
from nats_insights.agent.heir import Heir, LastWord
from nats_insights.agent.kept import Kept
from nats_insights.agent.state import Left, State
from nats_insights.judge.auditor import Auditor
from nats_insights.judge.mutes import Mutes
from nats_insights.judge.restart import taken_up
from nats_insights.tell.advisory import Message
from nats_insights.tell.messages import Advisory, AgentInfo, Heartbeat

log = logging.getLogger(__name__)


async def resume(
    state: State, agent: AgentInfo, auditor: Auditor, advisories: Advisories, now: float
) -> None:
    """Go on from what the last process left, if anything, at the Unix second `now`.

    StateError if there is a state that it cannot go on from.
    """
    left = await state.load(agent.id)
    if left is not None:
        _go_on(left, agent, auditor, advisories, now)


async def inherit(
    state: State,
    agent: AgentInfo,
    auditor: Auditor,
    advisories: Advisories,
    heard: LastWord | None,
    now: float,
) -> bool:
    """Go on from what the last leader saved, at the Unix second `now`; False if that is not known.

    What was `heard` of it later than that comes first: it was then not able to save.
    """
    left = await state.take_up()
    if left is None:
        return False
    left = _latest(left, heard, auditor)
    auditor.roster.adopt(left.kept.known.roster)
    advisories.clear()  # It may have led before that leader.
    _go_on(left, agent, auditor, advisories, now)
    return True


def _latest(left: Left, heard: LastWord | None, auditor: Auditor) -> Left:
    """What the last leader left, with what it told later than it was able to save.

    Only if all of that was heard. What no stream had stored by then is still to be stored, if
    nothing came after it.
    """
    if heard is None or heard.leader is None or not heard.whole:
        return left
    if not _is_older(left, heard.leader):
        return left
    servers = list(auditor.roster)
    known = replace(left.kept.known, lives=heard.lives, mutes=heard.mutes, roster=servers)
    waiting = [message for message in left.kept.waiting if _is_last(message, heard)]
    return left._replace(kept=replace(left.kept, known=known, untold=[], waiting=waiting))


def _is_last(message: Message, heard: LastWord) -> bool:
    """Whether this is the last word on its finding."""
    said = msgspec.json.decode(message.payload, type=Advisory)
    life = next((one for one in heard.lives if one.fingerprint == said.fingerprint), None)
    return said.state == "resolved" if life is None else said.revision >= life.revision


def _is_older(left: Left, leader: Heartbeat) -> bool:
    """Whether a leader has told more than it was able to save."""
    latest = leader.timestamp.timestamp() - leader.silent_after_seconds
    return left.kept.known.number < leader.agent.epoch or left.saved_at < latest


async def catch_up(
    state: State,
    agent: AgentInfo,
    auditor: Auditor,
    advisories: Advisories,
    heard: LastWord | None,
    now: float,
) -> None:
    """Read what could not be read before this agent led, and save it from then on.

    As long as nobody has heard anything of this agent, it begins again from there, or from what
    was `heard` of the last leader. Later what it has told is true: then it goes on with findings
    that it does not know, of checks that it has, and with the mutes.
    """
    left = await state.take_up()
    if left is None:
        return
    left = _latest(left, heard, auditor)
    if advisories.has_told:
        _go_on_with_more(left, auditor)
    else:
        advisories.clear()
        _go_on(left, agent, auditor, advisories, now)


def _go_on_with_more(left: Left, auditor: Auditor) -> None:
    """Findings that this agent does not know, and has not resolved since they were saved."""
    known = left.kept.known
    codes = {check.code for check in auditor.checks}
    ended = [told for told in auditor.transitions if told.transition == "resolved"]
    over = {told.life.key for told in ended if told.at >= left.saved_at}
    missing = [one for one in known.lives if one.key not in auditor.lives.keys() | over]
    missing = [one for one in missing if one.is_open and one.key.code in codes]
    auditor.roster.restore([one for one in known.roster if auditor.roster.at(one.key) is None])
    auditor.lives |= {life.key: life for life in missing}
    for life in missing:
        auditor.jwt_names.restore(life.key.names, life.entity)
    auditor.mutes = Mutes([*known.mutes, *auditor.mutes])
    log.info("going on with %d findings more, which could not be read before", len(missing))


def _go_on(
    left: Left, agent: AgentInfo, auditor: Auditor, advisories: Advisories, now: float
) -> None:
    known, over = taken_up(
        left.kept.known,
        advisories.by_code,
        now=now,
        away=now - left.saved_at,
        silent_after=auditor.pace.silent_after,
        # As long as advisories are valid, subscribers believe them.
        forget_after=max(auditor.config.lifecycle.forget_after, auditor.valid_for),
    )
    number = auditor.number
    auditor.restore(known, now)
    auditor.number = max(number, known.number)  # Others take an earlier one for an old message.
    judged = [told for told in over if told.life.key.code in advisories.by_code]
    auditor.transitions.add(judged, now)
    advisories.resume(left.kept)
    advisories.add(over, replace(agent, epoch=auditor.number))
    opened = sum(life.is_open for life in known.lives)
    log.info("going on from %.0f s ago, open findings: %d", now - left.saved_at, opened)


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
