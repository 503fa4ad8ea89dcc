"""Test step by step whether the agent can monitor the system, and say why not."""

from __future__ import annotations

import asyncio
import time
from argparse import ArgumentParser, Namespace
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import msgspec
import nats.errors
from msgspec import Struct
from msgspec.structs import replace
from nats.aio.msg import Msg
from rich.text import Text

from nats_insights import config, subjects
from nats_insights.agent.kept import Unreadable
from nats_insights.agent.peers import Peers
from nats_insights.agent.state import described
from nats_insights.agent.state_file import StateFile
from nats_insights.commands import publication, show, symptoms, unlogged
from nats_insights.commands.options import config_option
from nats_insights.commands.symptoms import Step
from nats_insights.config import Config
from nats_insights.connection import contexts
from nats_insights.connection.client import Client
from nats_insights.connection.connect import connect, user_info
from nats_insights.connection.contexts import Settings, without_login
from nats_insights.errors import InsightsError
from nats_insights.facts import Access, Names
from nats_insights.gather.access import (
    AN_ADVISORY,
    PERMISSIONS,
    dangers,
    may,
    may_publish,
    may_reply,
    recognise,
)
from nats_insights.gather.small import Gatherer
from nats_insights.gather.window import Window
from nats_insights.model.fold import Sweep, row_fields
from nats_insights.model.roster import Roster
from nats_insights.replies.connz import CONNZ
from nats_insights.replies.endpoint import endpoints
from nats_insights.replies.heard import Target
from nats_insights.tell.messages import AgentInfo
from nats_insights.text import plain

_MARKS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "bad": ("✗", "red")}
_LISTEN = 0.5
_REFUSED = "not permitted"
_NOT_IMPORTED = "not imported"
_STATUS = subjects.api("STATUS")
_ABOUT_PERMISSIONS = ("permission", "privilege")


class _Answer(Struct):
    """The reply of an agent, or of a stream that stores what it should not."""

    agent: AgentInfo | None = None
    stream: str = ""


def options(parser: ArgumentParser) -> None:
    """Flags of `doctor`."""
    config_option(parser)
    parser.add_argument(
        "--state",
        type=Path,
        metavar="FILE",
        help="also test the file of `run --state`, which is not changed",
    )
    contexts.add_options(parser)


async def run(args: Namespace) -> int:
    """Print each step; 0 if the agent can do all its work, else 3."""
    out, healthy, hint = show.console(), True, False
    # Each problem that gathering logs is also found by a step of its own.
    with unlogged.warnings():
        async for mark, what, found in _tests(args):
            sign, style = _MARKS[mark]
            out.print(Text.assemble((sign, style), f" {what:<13} {plain(found)}"))
            healthy = healthy and mark != "bad"
            refused = what in _ABOUT_PERMISSIONS or found.startswith(_REFUSED)
            hint = hint or (mark != "ok" and refused)
    if hint:
        out.print(Text(f"\n{PERMISSIONS}", "dim"))
    return 0 if healthy else 3


async def _tests(args: Namespace) -> AsyncIterator[Step]:
    configured = config.load(args.config) if args.config else Config()
    if args.state is not None:
        yield await _state(args.state, configured.id)
    first = contexts.from_args(args)
    for found in (_steps(first, configured), publication.steps(first, configured)):
        async for step in found:
            yield step


async def _steps(settings: Settings, configured: Config) -> AsyncIterator[Step]:
    urls = ", ".join(without_login(url) for url in settings.servers)
    try:
        client = await connect(settings, name="nats-insights-doctor")
    except InsightsError as error:
        yield "bad", "connection", f"{error} (asked for: {urls})"
        return
    try:
        yield "ok", "connection", f"{client.url}, a nats-server {client.server_version}"
        try:
            access = await recognise(client)
        except InsightsError as error:
            yield "bad", "account", str(error)
            async for step in _as_a_reader(client):
                yield step
            return
        yield "ok", "account", _who(access)
        for found in (
            symptoms.credentials(client),
            _permissions(client),
            symptoms.duplicates(client),
            _replies(client),
            _agents(client),
            symptoms.tenants(client, configured),
        ):
            async for step in found:
                yield step
    except (nats.errors.Error, InsightsError) as error:
        yield "bad", "connection", f"it broke during the test: {client.last_error or error}"
    finally:
        await client.close()


def _who(access: Access) -> str:
    user, account = access.user_name or access.user, access.account_name or access.account
    if access.mode == "system":
        return f"user {user} of the system account {account}"
    return f"user {user} of account {account}, which imports requests as {access.prefix}"


async def _state(path: Path, agent: str) -> Step:
    """Whether this agent, run by this user, could go on from what is in this file."""
    try:
        return "ok", "state", await described(StateFile(path), agent, time.time())
    except Unreadable as error:
        return "warning", "state", f"{error}: an agent keeps it aside, and starts without it"
    except InsightsError as error:
        return "bad", "state", str(error)


async def _permissions(client: Client) -> AsyncIterator[Step]:
    for subject in (*subjects.EVENTS, *subjects.OF_AGENTS, _STATUS):
        subscription = await client.subscribe(subject)
        await subscription.unsubscribe()
    info = await user_info(client)  # A round trip: by now the server has refused what it refuses.
    lacking = [f"{subject} is refused" for subject in sorted(client.lacks)]
    if not may_publish(info.permissions):
        lacking.append("may not publish $INSIGHTS.>")
    if not may_reply(info.permissions):
        lacking.append("may not answer: allow_responses is missing (`resp` in a user JWT)")
    for found in lacking:
        yield "bad", "permission", found
    if not lacking:
        yield "ok", "permission", "may publish advisories, receive server events and answer queries"
    if not all(map(client.takes, subjects.EVENTS)):
        events = " and ".join(subjects.EVENTS)
        yield "warning", "events", f"servers that stop seem to fail: {_NOT_IMPORTED} {events}"
    if may := dangers(info, client.server_id, client.sys_req, client.imports):
        may_also = f"may also {', '.join(may)}: a user that only reads is safer"
        yield "warning", "privilege", may_also


async def _as_a_reader(client: Client) -> AsyncIterator[Step]:
    """What to say of a user of an ordinary account, if queries are answered there."""
    answers, streams = await _answers(client)
    if not answers and not streams:
        return
    for step in _captured(streams):
        yield step
    if answers:
        yield _one_of(answers)
    info = await user_info(client)
    publish = info.permissions.publish if info.permissions else None
    subscribe = info.permissions.subscribe if info.permissions else None
    if publish is None or may(publish, AN_ADVISORY):
        yield "warning", "privilege", "may forge advisories: deny it to publish on $INSIGHTS.>"
    if subscribe is None or may(subscribe, _STATUS):
        danger = f"deny it to subscribe to {subjects.API}.>"
        yield "warning", "privilege", f"may answer queries in the place of the agent: {danger}"


async def _agents(client: Client) -> AsyncIterator[Step]:
    leader = await Peers("doctor").ask(client)
    answers, streams = await _answers(client)
    yield "ok", "agents", f"agent {leader} leads" if leader else "no agent leads on this system"
    for step in _captured(streams):
        yield step
    if answers and (len(answers) > 1 or answers == [leader]):
        yield _one_of(answers)
    elif answers:
        yield "bad", "queries", f"{answers[0]} answers {_STATUS}, and does not lead"
    elif leader and not client.forbidden(_STATUS):
        yield "warning", "queries", f"agent {leader} does not answer {_STATUS}"


def _one_of(answers: list[str]) -> Step:
    if len(answers) == 1:
        return "ok", "queries", f"agent {answers[0]} answers"
    named = ", ".join(answers[:10])
    return "bad", "queries", f"{len(answers)} answer {_STATUS}, and only one should: {named}"


def _captured(streams: list[str]) -> Iterator[Step]:
    why = f"{_STATUS} in the place of the agent: let it store {subjects.ADVISORY}.> only"
    for stream in streams:
        yield "bad", "queries", f"stream {stream} answers {why}"


async def _answers(client: Client) -> tuple[list[str], list[str]]:
    """Who answers one request for STATUS within half a second, each as often as it does.

    Apart from them the streams that do, because they store the request.
    """
    answers: list[str] = []
    streams: list[str] = []

    async def hear(message: Msg) -> None:
        if message.headers and message.headers.get("Status") == "503":
            return  # From the server: no responders.
        try:
            answer = msgspec.json.decode(message.data, type=_Answer)
        except msgspec.MsgspecError:
            answer = _Answer()
        if answer.stream and answer.agent is None:
            streams.append(answer.stream)
        else:
            answers.append(answer.agent.id if answer.agent else "something that is not an agent")

    inbox = client.new_inbox()
    subscription = await client.subscribe(inbox, cb=hear)
    await client.publish(_STATUS, b"", reply=inbox)
    await asyncio.sleep(_LISTEN)
    await subscription.unsubscribe()
    return answers, streams


async def _replies(client: Client) -> AsyncIterator[Step]:
    """One request to each endpoint that the agent may ever ask."""
    gatherer, roster = Gatherer(client, 2.0, Window(1024 * 1024)), Roster()
    # Each is asked even where its reply would be empty.
    known = {key: replace(endpoint, without=None) for key, endpoint in endpoints().items()}
    replies = await gatherer.small(known.values(), roster.expected())
    roster.take(replies, time.time())
    everybody = {entry.id: entry.name for entry in roster}
    for entry in roster:
        if entry.state != "answering":
            yield "bad", "server", f"{entry.name} is {entry.state}: {entry.last_error}"
    swept: set[Names] = set()
    for key, endpoint in known.items():
        if key == CONNZ.key:
            targets = [Target(e.key, e.id, 1) for e in roster if e.state == "answering"]
            start = partial(Sweep, {}, frozenset())
            fields = row_fields(())
            await gatherer.pages.sweep(targets, fields, start, lambda names, _: swept.add(names))
            heard = {entry.id for entry in roster if entry.key in swept}
        elif endpoint.paged:
            continue  # The same subject as that of the sums.
        else:
            heard = set(replies.replies[key])
        if key in gatherer.denied:
            why = _REFUSED if client.takes(endpoint.subject()) else _NOT_IMPORTED
            allow = client.sent_as(subjects.permission(endpoint.subject()))
            yield "bad", key, f"{why}: {allow}"
        elif silent := sorted(everybody[one] for one in everybody.keys() - heard):
            yield "bad", key, f"no usable reply from {', '.join(silent[:10])}"
        else:
            yield "ok", key, f"{len(heard)} of {len(everybody)} servers answered"
