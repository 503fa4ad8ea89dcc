"""Users with the permissions that `nats-insights permissions` prints, on real servers."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nats.errors
import pytest

from kit.watching import PATIENCE, watching
from nats_insights import checks, config
from nats_insights.agent.loop import Agent
from nats_insights.connection.client import Client
from nats_insights.connection.connect import connect
from nats_insights.connection.contexts import Settings
from nats_insights.judge.declare import discover
from nats_insights.lab.servers.jwts import Operator, User
from scenario import OF_SILENCE

pytestmark = pytest.mark.live

# All that the agent runs by default, beside what `watching` adds.
DEFAULT = [check for check in discover(checks) if check.name not in OF_SILENCE]
REPLIES = ("--pub-allow", "_INBOX.>", "--pub-allow", "_R_.>")


class Trusted:
    """A server in operator mode: `system` may do everything, `tenant` has imported the queries."""

    def __init__(self, start_server: Any, directory: Path) -> None:
        operator, self._directory = Operator(), directory
        exported = {"name": "queries", "subject": "INSIGHTS.API.>", "type": "service"}
        self.system = operator.account("SYS", exports=[exported])
        self.tenant = operator.account("T", imports=[{**exported, "account": self.system.id}])
        self._url = start_server("n1", authorization=operator.configuration(self.system))["n1"].url

    def settings(self, user: User) -> Settings:
        """How this user logs in, by a creds file."""
        path = self._directory / f"{user.key.public}.creds"
        path.write_text(user.creds)
        return Settings(servers=(self._url,), creds=str(path))


@pytest.fixture
def trusted(start_server, tmp_path) -> Trusted:
    return Trusted(start_server, tmp_path)


def printed(form: str) -> str:
    """What the command prints in this format."""
    command = [sys.executable, "-m", "nats_insights", "permissions", "--format", form]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def by_shell(flags: str) -> list[str]:
    """The arguments of a command that is given these flags in a shell."""
    command = ["sh", "-c", f"printf '%s\\n' {flags}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def of_flags(words: list[str]) -> dict[str, Any]:
    """The claims of a user that is made with these flags of `nats auth user add`."""
    pairs = list(zip(words[::2], words[1::2], strict=True))
    return {
        claim: {"allow": [value for flag, value in pairs if flag == f"--{claim}-allow"]}
        for claim in ("pub", "sub")
    }


async def answered(settings: Settings) -> bool:
    """Whether this user gets a reply to STATUS."""
    client: Client = await connect(settings, name="test")
    try:
        return bool((await client.request("INSIGHTS.API.STATUS", timeout=2)).data)
    except nats.errors.TimeoutError:
        return False
    finally:
        await client.close()


async def test_an_agent_with_exactly_the_claims_lacks_nothing(trusted, caplog):
    caplog.set_level(logging.INFO, "nats_insights")
    agent = trusted.system.user("agent", **json.loads(printed("json")))
    root = trusted.settings(trusted.system.user("root"))
    async with watching(None, trusted.settings(agent), root, checks=DEFAULT) as watch:
        await watch.epochs(3)
        assert watch.heartbeats[-1].checks_not_evaluated == 0
        assert watch.heartbeats[-1].verdict != "unknown"
        assert await answered(root)
        assert await answered(trusted.settings(trusted.tenant.user("app")))
    assert "permission" not in caplog.text
    assert "permitted" not in caplog.text


@pytest.mark.parametrize(("more", "replies"), [((), False), (REPLIES, True)])
async def test_an_agent_with_the_flags_of_nats_auth_publishes_and_needs_more_to_answer(
    trusted, caplog, more, replies
):
    caplog.set_level(logging.INFO, "nats_insights")
    claims = of_flags([*by_shell(printed("nats-auth")), *more])
    agent = trusted.settings(trusted.system.user("agent", **claims))
    root = trusted.settings(trusted.system.user("root"))
    async with watching(None, agent, root, checks=DEFAULT) as watch:
        await watch.epochs(3)
        assert watch.heartbeats[-1].checks_not_evaluated == 0
        assert await answered(root) == replies
        assert await answered(trusted.settings(trusted.tenant.user("app"))) == replies
    assert "lacks the permission" not in caplog.text


def test_the_flags_that_let_an_agent_of_nats_auth_answer_are_told():
    command = [sys.executable, "-m", "nats_insights", "permissions", "--format", "nats-auth"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    (flags,) = re.findall(r"add (--.*)", said)
    assert by_shell(flags) == list(REPLIES)


async def test_what_is_missing_is_logged_in_one_line_with_the_command(trusted, caplog):
    claims = json.loads(printed("json"))
    lacking = ("$SYS.SERVER.*.SHUTDOWN", "$SYS.SERVER.*.LAMEDUCK")
    claims["sub"]["allow"] = [one for one in claims["sub"]["allow"] if one not in lacking]
    agent = trusted.settings(trusted.system.user("agent", **claims))
    root = trusted.settings(trusted.system.user("root"))
    async with watching(None, agent, root) as watch:
        await watch.epochs(3)
    assert [line for line in caplog.messages if "lacks" in line] == [
        "the user lacks the permission for $SYS.SERVER.*.LAMEDUCK, $SYS.SERVER.*.SHUTDOWN; "
        "`nats-insights permissions` prints the whole list"
    ]


@pytest.mark.parametrize("lost", ["$INSIGHTS.>", "INSIGHTS.API.*"])
async def test_an_agent_that_may_publish_or_answer_runs(trusted, lost):
    claims = json.loads(printed("json"))
    for kind in ("pub", "sub"):
        claims[kind]["allow"] = [one for one in claims[kind]["allow"] if one != lost]
    settings = trusted.settings(trusted.system.user("agent", **claims))
    agent = Agent([], config.parse('interval = "100ms"'))
    epochs = asyncio.Event()
    agent.after_epoch = epochs.set
    running = asyncio.create_task(agent.run(settings))
    running.add_done_callback(lambda _: epochs.set())
    await asyncio.wait_for(epochs.wait(), PATIENCE)
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()
    assert agent.auditor.number > 0
