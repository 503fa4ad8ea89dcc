"""The agent's user, made in each of the three ways: it can do its work, and nothing else.

By the file for servers, by `nats auth` and by `nsc`, with the commands of the pages.
"""

from __future__ import annotations

import logging
import re
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import nats
import pytest
from nats.aio.client import Client

from kit.operator_page import WAYS, blocks, workplace
from kit.programs import EXAMPLES
from kit.watching import watching
from nats_insights import checks
from nats_insights.connection.connect import connect, user_info
from nats_insights.connection.contexts import Settings
from nats_insights.judge.declare import discover
from nats_insights.lab.servers import local
from nats_insights.subjects import USER_INFO
from scenario import OF_SILENCE

pytestmark = pytest.mark.live

BY_FILE = "A file for servers"
DEFAULT = [check for check in discover(checks) if check.name not in OF_SILENCE]
LIST = (EXAMPLES / "servers" / "agent-permissions.conf").read_text()
PUBLISH, SUBSCRIBE = (re.findall(r'^  "(.+)"$', part, re.M) for part in LIST.split("subscribe:"))
# What `nats auth` has no flag for.
REPLIES = ["_INBOX.>", "_R_.>"]
# N is the id of the server, and A an account.
COMMANDS = [
    *(f"$SYS.REQ.SERVER.N.{verb}" for verb in ("KICK", "LDM", "RELOAD", "PROFILEZ", "EXPVARZ")),
    *("$SYS.REQ.SERVER.PING.PROFILEZ", "$SYS.REQ.SERVER.N.NEVER_HEARD_OF"),
    *("$SYS.REQ.CLAIMS.UPDATE", "$SYS.REQ.CLAIMS.DELETE", "$SYS.REQ.CLAIMS.LIST"),
    *("$SYS.REQ.ACCOUNT.A.CLAIMS.UPDATE", "$SYS.REQ.ACCOUNT.A.CLAIMS.LOOKUP"),
    *("$SYS.ACCOUNT.A.CLAIMS.UPDATE", "$SYS.REQ.ACCOUNT.A.CONNZ", "$SYS.REQ.ACCOUNT.A.INFO"),
    *("$SYS.SERVER.N.SHUTDOWN", "$SYS.SERVER.N.LAMEDUCK", "$SYS.ACCOUNT.A.DISCONNECT"),
    *("$JS.API.META.LEADER.STEPDOWN", "$JS.API.SERVER.REMOVE", "$JS.API.ACCOUNT.PURGE.A"),
    *("$JS.API.STREAM.CREATE.S", "INSIGHTS.ACCOUNT.A.API.STATUS", "billing.orders"),
]
EARS = [
    *(">", "*", "*.>", "$SYS.>", "$SYS.REQ.>", "$SYS.ACCOUNT.>", "$SYS.SERVER.>", "$JS.>"),
    *("$SYS.SERVER.*.CLIENT.AUTH.ERR", "$SYS.SERVER.*.STATSZ", "_INBOX.>", "_INBOX.*", "_R_.>"),
    *("$INSIGHTS.>", "INSIGHTS.>", "billing.orders"),
]


class Made(NamedTuple):
    """A server, and how two users of its system account log in."""

    server: local.Server
    agent: Settings
    admin: Settings


@pytest.fixture(params=[BY_FILE, *WAYS])
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def made(way: str, binary: Path, start: Any, tmp_path: Path, monkeypatch: Any) -> Made:
    """The agent's user on a server, as a page makes it."""
    if way == BY_FILE:
        return by_file(start, monkeypatch, LIST)
    home, environment = workplace(tmp_path, way, binary)
    server = start(local.server, authorization=operated(way, home, environment))["n1"]
    agent, admin = (
        Settings(servers=(server.url,), creds=str(home / f"{name}.creds"))
        for name in ("agent", "admin")
    )
    return Made(server, agent, admin)


def by_file(start: Any, monkeypatch: pytest.MonkeyPatch, permissions: str) -> Made:
    """A server of examples/servers, where the agent has these permissions."""
    text = (EXAMPLES / "servers" / "system-account.conf").read_text()
    text = text.replace('include "agent-permissions.conf"', permissions)
    for name in ("ADMIN", "AGENT"):
        monkeypatch.setenv(f"{name}_PASSWORD", name.lower())
    server = start(local.server, authorization=text)["n1"]
    agent, admin = (
        Settings(servers=(server.url,), user=name, password=name) for name in ("agent", "admin")
    )
    return Made(server, agent, admin)


def operated(way: str, home: Path, environment: dict[str, str]) -> str:
    """The configuration of the server that a page makes, with the agent's user."""
    commands = [block for block in blocks(way) if not re.match(r"nats-server|.* push ", block)]
    if way == "With nsc":
        commands.append("nsc generate creds --account SYS --name sys --output-file admin.creds\n")
    done = subprocess.run(
        ["sh", "-euc", "".join(commands)],
        cwd=home,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    text = re.sub(r"^(server_name|listen): .*$", "", (home / "server.conf").read_text(), flags=re.M)
    if 'include "resolver.conf"' in text:
        text = text.replace('include "resolver.conf"', (home / "resolver.conf").read_text())
    # As on the page, below the directory in which the server is started.
    return re.sub(r"""dir: ["'][\w./]*jwt["']""", f'dir: "{home}/jwt"', text)


async def test_the_agent_works_with_exactly_that(way, made, caplog):
    caplog.set_level(logging.INFO, "nats_insights")
    async with watching(None, made.agent, made.admin, checks=DEFAULT) as watch:
        await watch.epochs(3)
        beat = watch.heartbeats[-1]
        assert (beat.checks_not_evaluated, beat.coverage.servers_answered) == (0, 1)
        assert watch.named("AGENT_005") == set()
        assert watch.agent.auditor.dangers == []
        assert (await watch.client.request("INSIGHTS.API.STATUS", timeout=5)).data
    assert "permission" not in caplog.text
    assert "Violation" not in made.server.log.read_text()


async def test_the_server_knows_the_list_and_no_more(way, made):
    client = await connect(made.agent, name="test")
    told = (await user_info(client)).permissions
    await client.close()
    more = REPLIES if way == "With the nats CLI" else []
    assert sorted(told.publish.allow) == sorted([*PUBLISH, *more])
    assert sorted(told.subscribe.allow) == sorted(SUBSCRIBE)
    assert not told.publish.deny
    assert not told.subscribe.deny
    answers = told.responses and (told.responses.max, told.responses.ttl)
    assert answers == (None if more else (1, 2 * 60 * 10**9))


@asynccontextmanager
async def plainly(settings: Settings, refused: list[str] | None = None) -> AsyncIterator[Client]:
    """An ordinary client, not the agent's; what the server refuses it is noted as it is said."""

    async def note(error: Exception) -> None:
        if refused is not None:
            refused.append(str(error))

    login = {"user": settings.user, "password": settings.password}
    client = await nats.connect(
        settings.servers[0],
        **({"user_credentials": settings.creds} if settings.creds else login),
        inbox_prefix=b"_INBOX.insights",
        error_cb=note,
        allow_reconnect=False,
    )
    try:
        yield client
    finally:
        await client.close()


async def test_everything_else_is_refused(made):
    refused: list[str] = []
    async with plainly(made.agent, refused) as client, plainly(made.admin) as witness:
        heard = await witness.subscribe("*.>")
        await witness.request(USER_INFO)  # By now the server has subscribed it.
        names = {"N": client._server_info["server_id"], "A": "APP"}
        commands = [
            ".".join(names.get(token, token) for token in one.split(".")) for one in COMMANDS
        ]
        for subject in commands:
            await client.publish(subject, b'{"cid": 1}')
        for subject in EARS:
            await client.subscribe(subject)
        await client.request(USER_INFO)  # By now the server has refused what it refuses.
        expected = {f'publish to "{subject}"' for subject in commands}
        expected |= {f'subscription to "{subject}"' for subject in EARS}
        said = {re.sub(r"^.*violation for ", "", one) for one in refused}
        assert said == {one.lower() for one in expected}
        await witness.request(USER_INFO)
        assert {message.subject for message in await all_of(heard)}.isdisjoint(commands)
        assert witness.is_connected
    assert "Publish Violation" in made.server.log.read_text()


async def all_of(subscription: Any) -> list[Any]:
    """All that a subscription has received by now."""
    return [await subscription.next_msg() for _ in range(subscription.pending_msgs)]


# What somebody may write instead, for short, and what the agent could then do.
TOO_MUCH = {
    "$SYS.REQ.SERVER.*.*": ["KICK", "LDM", "RELOAD"],
    "$SYS.REQ.SERVER.*.RELOAD": ["RELOAD"],
    "$SYS.REQ.>": ["KICK", "LDM", "RELOAD"],
    "$JS.API.>": ["META.LEADER.STEPDOWN", "SERVER.REMOVE", "ACCOUNT.PURGE"],
}


@pytest.mark.parametrize(("more", "dangers"), TOO_MUCH.items(), ids=TOO_MUCH)
async def test_an_agent_that_may_do_more_warns(more, dangers, start, monkeypatch):
    wider = LIST.replace('"$SYS.REQ.SERVER.*.IDZ"', f'"{more}"')
    assert wider != LIST
    made = by_file(start, monkeypatch, wider)
    async with watching(None, made.agent, made.admin, checks=DEFAULT) as watch:
        await watch.until(lambda: watch.named("AGENT_005"))
        (said,) = [one for one in watch.open.values() if one.code == "AGENT_005"]
        assert said.evidence["requests"] == dangers
        assert "nats-insights permissions" in said.remediation
