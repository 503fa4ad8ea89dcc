"""Say why the agent can or cannot see the system, step by step."""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from collections.abc import AsyncIterator
from functools import partial

import nats.errors
from rich.text import Text

from nats_insights import contexts, subjects, wire
from nats_insights.access import PERMISSIONS, recognise
from nats_insights.client import Client
from nats_insights.commands import show
from nats_insights.connect import Subjects, connect, user_info
from nats_insights.contexts import Settings, without_login
from nats_insights.errors import InsightsError
from nats_insights.fold import Sweep
from nats_insights.gather import Gatherer
from nats_insights.pages import Target
from nats_insights.peers import Peers
from nats_insights.roster import Names, Roster
from nats_insights.window import Window

_MARKS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "bad": ("✗", "red")}
# Requests that change something: whoever reads only should not be able to send them.
_DANGEROUS = ("KICK", "LDM", "RELOAD")
_ADVISORY = f"{subjects.ADVISORY}.INFO.SERVER._.name.CODE.fingerprint"
_HEARTBEAT = f"{subjects.HEARTBEAT}.agent"
Step = tuple[str, str, str]


def options(parser: ArgumentParser) -> None:
    """Flags of `doctor`."""
    contexts.add_options(parser)


async def run(args: Namespace) -> int:
    """Print each step; 0 if the agent can do all its work, else 3."""
    out, healthy = show.console(), True
    async for mark, what, found in _steps(contexts.from_args(args)):
        sign, style = _MARKS[mark]
        out.print(Text.assemble((sign, style), f" {what:<12} {found}"))
        healthy = healthy and mark != "bad"
    return 0 if healthy else 3


async def _steps(settings: Settings) -> AsyncIterator[Step]:
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
            return
        yield "ok", "account", f"user {access.user} of the system account {access.account}"
        async for step in _permissions(client):
            yield step
        async for step in _replies(client):
            yield step
        other = await Peers("doctor").ask(client)
        yield "ok", "agents", f"agent {other} leads" if other else "none leads on this system"
    except nats.errors.Error as error:
        yield "bad", "connection", f"it broke meanwhile: {client.last_error or error}"
    finally:
        await client.close()


async def _permissions(client: Client) -> AsyncIterator[Step]:
    for subject in (*subjects.EVENTS, f"{subjects.HEARTBEAT}.*", subjects.api("STATUS")):
        subscription = await client.subscribe(subject)
        await subscription.unsubscribe()
    info = await user_info(client)  # A round trip: by now the server has refused what it refuses.
    for denied in sorted(client.denied):
        yield "bad", "permission", f"{denied} is refused; {PERMISSIONS}"
    publish = info.permissions.publish if info.permissions else None
    silenced = [one for one in (_ADVISORY, _HEARTBEAT) if publish and not may(publish, one)]
    for subject in silenced:
        yield "bad", "permission", f"may not publish {subject}; {PERMISSIONS}"
    if publish and info.permissions and not info.permissions.responses:
        silenced.append("replies")
        yield "bad", "permission", f"may not answer: allow_responses is missing; {PERMISSIONS}"
    if not client.denied and not silenced:
        yield "ok", "permission", "may publish advisories, hear servers and answer queries"
    if info.permissions is None or info.permissions.publish is None:
        dangers = ", ".join(_DANGEROUS)
        yield "warning", "privilege", f"may also {dangers}: a user that only reads is safer"


def may(rules: Subjects, subject: str) -> bool:
    """Whether these rules let a user publish on a subject."""
    allowed = rules.allow is None or any(_covers(one, subject) for one in rules.allow)
    return allowed and not any(_covers(one, subject) for one in rules.deny or ())


def _covers(wild: str, subject: str) -> bool:
    wanted, tokens = wild.split("."), subject.split(".")
    if wanted[-1] == ">":
        wanted, tokens = wanted[:-1], tokens[: len(wanted) - 1]
    return len(wanted) == len(tokens) and all(
        want in ("*", token) for want, token in zip(wanted, tokens, strict=True)
    )


async def _replies(client: Client) -> AsyncIterator[Step]:
    gatherer, roster = Gatherer(client, 2.0, Window(1024 * 1024)), Roster()
    replies = await gatherer.small(set(wire.ENDPOINTS), roster, time.time())
    everybody = {entry.id: entry.name for entry in roster}
    for entry in roster:
        if entry.state != "answering":
            yield "bad", "server", f"{entry.name} is {entry.state}: {entry.last_error}"
    swept: set[Names] = set()
    for endpoint in wire.ENDPOINTS:
        if endpoint == "CONNZ":
            targets = [Target(e.key, e.id, 1) for e in roster if e.state == "answering"]
            start = partial(Sweep, {}, frozenset())
            await gatherer.pages.sweep(targets, (), start, lambda names, _: swept.add(names))
            heard = {entry.id for entry in roster if entry.key in swept}
        else:
            heard = set(replies.data[endpoint])
        if endpoint in gatherer.denied:
            yield "bad", endpoint, f"not permitted; {PERMISSIONS}"
        elif silent := sorted(everybody[one] for one in everybody.keys() - heard):
            yield "bad", endpoint, f"no usable reply from {', '.join(silent[:10])}"
        else:
            yield "ok", endpoint, f"{len(heard)} of {len(everybody)} servers answered"
