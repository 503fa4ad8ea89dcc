"""Steps of `doctor` about the second connection: who publishes there, and what keeps it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress

from nats_insights import subjects
from nats_insights.agent.assets import Found, look
from nats_insights.commands.symptoms import Step, credentials
from nats_insights.config import Config
from nats_insights.connection import contexts
from nats_insights.connection.client import Client
from nats_insights.connection.connect import UserInfo, connect, user_info
from nats_insights.connection.contexts import Settings, without_login
from nats_insights.connection.jetstream import NOT_FOR_ACCOUNT, Account, JetStream
from nats_insights.errors import ConfigError, InsightsError, JetStreamError
from nats_insights.gather.access import may, may_publish, recognise
from nats_insights.tell.assets import HISTORY, KEPT, LEASES, Asset, assets, stores, stream_of

_TIMEOUT = 2.0
_ADVISORIES = f"{subjects.ADVISORY}.>"
# Requests to JetStream without which nothing is known to be stored.
_TO_READ = f"CONSUMER.CREATE.{HISTORY}.>"
_NEEDED = ("STREAM.NAMES", f"STREAM.INFO.{HISTORY}", f"STREAM.MSG.GET.{HISTORY}")
# Requests without which an existing bucket is of no use: what is written to it, and to JetStream.
_BUCKETS = {
    stream_of(LEASES): ("$KV.INSIGHTS_LEASE.>", "STREAM.MSG.GET.KV_INSIGHTS_LEASE"),
    stream_of(KEPT): (
        "$KV.INSIGHTS_AGENT.>",
        "STREAM.MSG.GET.KV_INSIGHTS_AGENT",
        "STREAM.PURGE.KV_INSIGHTS_AGENT",
    ),
}
_WITHOUT = {
    stream_of(LEASES): "this agent leads by heartbeats alone",
    stream_of(KEPT): "nothing survives a restart without --state",
}
# An advisory with its headers has at most so many bytes.
_ADVISORY_BYTES = 16 * 1024
_ENLARGE, _LARGER = "make it larger, or let it discard old messages", "make it larger"
_APPLY = "`nats-insights assets apply`"
_MIB = 1024 * 1024


async def steps(first: Settings, configured: Config) -> AsyncIterator[Step]:
    """Whether what the agent says can be published as `[publish]` has it, and is stored."""
    try:
        settings = contexts.publishing(configured.publish, first, os.environ)
    except ConfigError as error:
        yield "bad", "publish", str(error)
        return
    if settings is None:
        return
    try:
        client = await connect(settings, name="nats-insights-doctor")
    except InsightsError as error:
        urls = ", ".join(without_login(url) for url in settings.servers)
        yield "bad", "publish", f"[publish]: {error} (asked for: {urls})"
        return
    try:
        async for step in _connected(client, configured):
            yield step
    except InsightsError as error:
        yield "bad", "publish", str(error)
    finally:
        await client.close()


async def _connected(client: Client, configured: Config) -> AsyncIterator[Step]:
    user = await user_info(client)
    name, home = user.user_name or user.user, user.account_name or user.account
    yield "ok", "publish", f"{client.url} as user {name} of account {home}"
    async for mark, _, sentence in credentials(client):
        yield mark, "publish", sentence
    jetstream = JetStream(client, _TIMEOUT)
    lacking = list(_lacking(user, jetstream))
    for sentence in lacking:
        yield "bad", "publish", f"the user of [publish] {sentence}: allow it"
    if lacking:
        return
    publish = user.permissions.publish if user.permissions else None
    if publish and not may(publish, subject := jetstream.subject(_TO_READ)):
        why = "HISTORY begins with the memory of the agent"
        yield "warning", "publish", f"the user of [publish] may not publish {subject}: {why}"
    wanted = assets(remind_every=configured.lifecycle.remind_every)
    for asset in wanted:  # As many as there are, or as the servers choose.
        asset.config.pop("num_replicas", None)
    try:
        found = await look(jetstream, wanted)
        account = await _account(jetstream, user)
    except JetStreamError as error:
        yield "bad", "jetstream", await _why_none(client, error)
        return
    steps = (*_streams(found), *_buckets(user, jetstream, found), *_storage(account, wanted, found))
    for step in steps:
        yield step


def _lacking(user: UserInfo, jetstream: JetStream) -> Iterator[str]:
    """What the user may not do, and must."""
    publish = user.permissions.publish if user.permissions else None
    subscribe = user.permissions.subscribe if user.permissions else None
    if not may_publish(user.permissions):
        yield "may not publish $INSIGHTS.>"
    if subscribe and not may(subscribe, _ADVISORIES):
        yield f"may not subscribe to {_ADVISORIES}"
    for what in _NEEDED:
        subject = jetstream.subject(what)
        if publish and not may(publish, subject):
            yield f"may not publish {subject}"


async def _why_none(client: Client, error: JetStreamError) -> str:
    """Why JetStream does not work for this connection."""
    if error.code == NOT_FOR_ACCOUNT:
        with suppress(InsightsError):
            if (await recognise(client, _TIMEOUT)).mode == "system":
                return "the system account can have no JetStream: let [publish] name another user"
    return str(error)


async def _account(jetstream: JetStream, user: UserInfo) -> Account | None:
    """What the account may store; None if the user may not know, which no agent needs."""
    publish = user.permissions.publish if user.permissions else None
    if publish and not may(publish, jetstream.subject("INFO")):
        return None
    return await jetstream.account()


def _streams(found: Sequence[Found]) -> Iterator[Step]:
    """What there is, what is in the way, and what does not work about it."""
    for one in found:
        if one.stream is not None and (why := _useless(one)):
            yield "bad", "stream", f"{one.name}: {why}"
        elif one.fit.state == "wrong":
            mark = "warning" if _replaces(one) else "bad"
            yield mark, "stream", f"{one.name} is wrong: {'; '.join(one.fit.notes)}"
        elif one.works:
            as_wanted = f", as its owner wants it: {'; '.join(one.fit.notes)}"
            yield "ok", "stream", f"{one.name} {one.fit.state}{as_wanted if one.fit.notes else ''}"
    if missing := [one.name for one in found if one.fit.state == "missing"]:
        yield "warning", "stream", f"there is no {', no '.join(missing)}: {_APPLY} creates them"


def _buckets(user: UserInfo, jetstream: JetStream, found: Sequence[Found]) -> Iterator[Step]:
    """What the user may not do with the buckets that there are."""
    publish = user.permissions.publish if user.permissions else None
    there = {one.name for one in found if one.works}
    for bucket in _BUCKETS if publish else ():
        needed = [jetstream.written(what) for what in _BUCKETS[bucket]]
        lacking = [one for one in needed if publish and not may(publish, one)]
        if bucket in there and lacking:
            what = f"the user of [publish] may not publish {', '.join(lacking)}"
            yield "warning", "publish", f"{what}, so that {_WITHOUT[bucket]}: allow it"


def _replaces(found: Found) -> bool:
    """Whether the stream that is in the way keeps advisories as well as that of the agent."""
    is_other = found.name != HISTORY and not found.answers_queries
    return is_other and found.stream is not None and stores(found.stream.config)


def _useless(found: Found) -> str:
    """Why a stream cannot take an advisory now, "" if it can."""
    assert found.stream is not None
    config, state = found.stream.config, found.stream.state
    enlarge = _LARGER if found.name in _BUCKETS else _ENLARGE
    if config.get("discard") == "new":
        if 0 < config.get("max_msgs", -1) <= state.messages:
            return f"it is full with {state.messages:,} messages: {enlarge}"
        if 0 < config.get("max_bytes", -1) < state.bytes + _ADVISORY_BYTES:
            return f"it is full with {_mib(state.bytes)}: {enlarge}"
    return ""


def _storage(
    account: Account | None, wanted: Sequence[Asset], found: Sequence[Found]
) -> Iterator[Step]:
    """Whether there is room for one more advisory, and for the streams that are missing."""
    room = account and account.roomiest
    if not room or (limit := room.limits.max_storage) < 0:
        return
    missing = {one.name for one in found if one.fit.state == "missing"}
    needed = sum(asset.config.get("max_bytes", 0) for asset in wanted if asset.name in missing)
    may = f"the account may store {_mib(limit)}"
    if room.storage + _ADVISORY_BYTES > limit:
        yield "bad", "storage", f"{may}, and stores {_mib(room.storage)}: raise its limit"
    elif needed > room.free:
        held = max(room.storage, room.reserved_storage)
        yield (
            "bad",
            "storage",
            f"{may}, of which {_mib(held)} are taken, and the missing streams reserve "
            f"{_mib(needed)}: raise its limit, or create them with a smaller max_bytes",
        )


def _mib(size: int) -> str:
    return f"{size / _MIB:,.1f} MiB"
