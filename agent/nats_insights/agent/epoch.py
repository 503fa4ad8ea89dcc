"""One epoch: request the replies, run the auditor, and name the clients behind its findings."""

from __future__ import annotations

import asyncio
import logging

import nats.errors
from msgspec.structs import replace

from nats_insights.agent.clients import name_clients
from nats_insights.agent.users import name_users
from nats_insights.connection.client import Client
from nats_insights.errors import ConnectError, place
from nats_insights.facts import Cost
from nats_insights.gather.access import dangers, restricted
from nats_insights.gather.accounts import read_accounts
from nats_insights.gather.small import Gatherer
from nats_insights.gather.stepwise import emptied, stepwise
from nats_insights.judge.auditor import Auditor
from nats_insights.judge.lifecycle import Told
from nats_insights.model.fold import SURVEY
from nats_insights.replies.connz import CONNZ

log = logging.getLogger(__name__)

# Seconds from the first request of an epoch to its last connection row, within which clients that
# move are not counted on two servers.
TORN_AFTER = 1.0
_BROKE = "the connection broke during the epoch"


async def epoch(
    auditor: Auditor,
    gatherer: Gatherer,
    now: float,
    *,
    counts: bool = True,
    settle: float | None = None,
) -> list[Told]:
    """Request, judge, and return what to publish; `now` is Unix seconds.

    ConnectError, with every finding unchanged, if the connection closed meanwhile. Any other
    error makes everything unknown for this epoch, and is noted.
    """
    gatherer.begin()
    try:
        await _gather(auditor, gatherer, now)
        return await _judge(auditor, gatherer, counts=counts, settle=settle)
    except ConnectError:
        raise
    except nats.errors.Error as error:
        raise ConnectError(f"{_BROKE}: {error}") from None
    except Exception as error:
        if gatherer.client.closed.is_set():
            raise ConnectError(_BROKE) from None
        known = {where for _, where in auditor.failures}
        level = logging.DEBUG if place(error) in known else logging.WARNING
        log.log(level, "epoch %d failed: %s", auditor.number, place(error))
        log.debug("where it came from", exc_info=error)
        auditor.fail(error)
    try:
        return await _judge(auditor, gatherer, counts=counts, settle=settle)
    except ConnectError:
        raise
    except Exception as error:  # The next epoch may succeed.
        auditor.note(error)
        return []


def cost(auditor: Auditor, gatherer: Gatherer) -> Cost:
    """What the epoch cost so far."""
    return replace(
        gatherer.cost(),
        dropped_keys=auditor.dropped,
        oldest_sweep_seconds=round(auditor.sweeps.oldest(auditor.now), 3),
    )


async def _gather(auditor: Auditor, gatherer: Gatherer, now: float) -> None:
    auditor.window = gatherer.window.size
    _look_at_own_login(auditor, gatherer.client)
    asking = auditor.begin(now)
    heard = await gatherer.small(asking.endpoints, asking.expected)
    _still_connected(gatherer)
    await stepwise(auditor.hear(heard))
    targets = await stepwise(auditor.due())
    if targets:
        await gatherer.pages.sweep(targets, auditor.fields, auditor.sweep, auditor.take)
        auditor.snapshot.torn = gatherer.elapsed > TORN_AFTER
    if holders := auditor.due_streams():
        await gatherer.streams.read(holders, auditor.take_streams)
    if accounts := await stepwise(auditor.due_services()):
        await gatherer.services.read(accounts, auditor.take_services)
    if loaded := auditor.due_accounts():
        await read_accounts(loaded, gatherer.asker, gatherer.window, auditor.take_account)
    if users := await stepwise(auditor.due_names()):
        await name_users(users, auditor, gatherer)
    denied = set(gatherer.denied)
    if CONNZ.key in denied:
        denied.add(SURVEY.key)
    auditor.snapshot.lacking.denied |= denied & auditor.may_be_denied


async def _judge(
    auditor: Auditor, gatherer: Gatherer, *, counts: bool, settle: float | None
) -> list[Told]:
    before = auditor.lives, auditor.audit, auditor.transitions.copy()
    raised = auditor.audit.raised
    try:
        told = await stepwise(auditor.judge(counts=counts, settle=settle))
        await stepwise(emptied(auditor.audit.found))
        await stepwise(emptied(auditor.snapshot.streams))
        clients = await name_clients(told, auditor, gatherer)
        await asyncio.sleep(0)
        _still_connected(gatherer)
    except (ConnectError, asyncio.CancelledError):
        # Nobody will hear of this epoch, so it has not been.
        auditor.lives, auditor.audit, auditor.transitions = before
        raise
    gatherer.window.grow()
    for code, where in auditor.audit.raised.items():
        if raised.get(code) != where:
            log.warning("check %s is unknown where it raised %s", code, where)
    return auditor.name_clients(clients, told)


def _look_at_own_login(auditor: Auditor, client: Client) -> None:
    """When the agent's credentials expire, and what its user may do."""
    try:
        auditor.expiries, auditor.unusable = client.expiries(), ""
    except ConnectError as error:
        auditor.expiries, auditor.unusable = (), str(error)
    if (user := client.user) is not None:
        auditor.dangers = dangers(user, client.server_id, client.sys_req, client.imports)
        auditor.restricted = restricted(user)


def _still_connected(gatherer: Gatherer) -> None:
    if gatherer.client.closed.is_set():
        raise ConnectError(_BROKE)
