"""What `doctor` says of users that may too little or too much, and of whoever answers queries."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from nats.aio.msg import Msg

from kit.watching import watching
from nats_insights.connection.client import Client
from nats_insights.connection.connect import connect, user_info
from nats_insights.connection.contexts import Settings
from nats_insights.lab.demo.stage import login
from nats_insights.lab.servers import local

pytestmark = pytest.mark.live

Doctor = Callable[..., Awaitable[tuple[int, list[str]]]]
HINT = "`nats-insights permissions` prints the whole list"
MUTE = "✗ permission may not answer: allow_responses is missing (`resp` in a user JWT)"


@pytest.fixture
def doctor(tmp_path) -> Doctor:
    """`await doctor(settings)`: its exit code and its lines, nothing being said beside them."""

    async def doctor(settings: Settings) -> tuple[int, list[str]]:
        inherited = {key: value for key, value in os.environ.items() if key[:5] != "NATS_"}
        program = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "nats_insights", "doctor"),
            env=inherited
            | {
                "NATS_URL": settings.servers[0],
                "NATS_USER": settings.user,
                "NATS_PASSWORD": settings.password,
                "XDG_CONFIG_HOME": str(tmp_path),
            },
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        said, complaints = await program.communicate()
        assert complaints == b""
        assert program.returncode is not None
        return program.returncode, said.decode().splitlines()

    return doctor


def about(lines: list[str], *steps: str) -> list[str]:
    """The lines on these steps, each with its mark and single blanks."""
    return [" ".join(line.split()) for line in lines if line.split()[1:2] in [[s] for s in steps]]


@asynccontextmanager
async def forger(settings: Settings, answer: bytes) -> AsyncIterator[Client]:
    """Somebody who answers STATUS like this."""
    client = await connect(settings, name="forger")

    async def forge(message: Msg) -> None:
        await message.respond(answer)

    try:
        await client.subscribe("INSIGHTS.API.STATUS", cb=forge)
        await user_info(client)  # By now the server has subscribed us, or refused.
        yield client
    finally:
        await client.close()


def answer_of(agent: str) -> bytes:
    own = {"id": agent, "instance": "", "version": "1", "epoch": 1, "role": "leader"}
    return json.dumps({"agent": own}).encode()


def one_user(start_server: Any, permissions: str) -> Settings:
    """A system whose only user may do what these permissions say."""
    user = f"{{ user: agent, password: pw, permissions: {{ {permissions} }} }}"
    text = f"accounts {{ SYS: {{ users: [{user}] }} }}\nsystem_account: SYS"
    server = start_server("n1", authorization=text)["n1"]
    return Settings(servers=(server.url,), user="agent", password="pw")


async def test_a_user_with_denials_only_may_answer(start_server, doctor):
    denials = 'publish: { deny: ["$SYS.REQ.SERVER.*.KICK", "$SYS.REQ.SERVER.*.LDM"] }'
    code, said = await doctor(one_user(start_server, denials))
    assert code == 0
    assert about(said, "permission", "privilege") == [
        "✓ permission may publish advisories, receive server events and answer queries",
        "! privilege may also RELOAD, META.LEADER.STEPDOWN, SERVER.REMOVE, ACCOUNT.PURGE: a user "
        "that only reads is safer",
    ]


@pytest.mark.parametrize("denial", ["_R_.>", "_INBOX.>"])
async def test_a_user_that_may_not_reply_may_not_answer(start_server, doctor, denial):
    code, said = await doctor(one_user(start_server, f'publish: {{ deny: "{denial}" }}'))
    assert code == 3
    assert about(said, "permission") == [MUTE]
    assert said[-1] == HINT


async def test_what_is_refused_is_shown_as_it_is_to_be_allowed_and_the_command_once(
    start_server, doctor
):
    asked = ("VARZ", "STATSZ", "CONNZ", "ROUTEZ")
    subjects = [f"$SYS.REQ.SERVER.*.{name}" for name in asked]
    allowed = ["$SYS.REQ.USER.INFO", *subjects]
    hearing = '["_INBOX.insights.>", "$SYS.SERVER.*.SHUTDOWN"]'
    permissions = f"publish: {{ allow: {json.dumps(allowed)} }}, subscribe: {{ allow: {hearing} }}"
    code, said = await doctor(one_user(start_server, permissions))
    assert code == 3
    assert about(said, "permission") == [
        "✗ permission $INSIGHTS.ADVISORY.> is refused",
        "✗ permission $INSIGHTS.HEARTBEAT.* is refused",
        "✗ permission $INSIGHTS.LEDGER.* is refused",
        "✗ permission $SYS.SERVER.*.LAMEDUCK is refused",
        "✗ permission INSIGHTS.API.* is refused",
        "✗ permission may not publish $INSIGHTS.>",
        MUTE,
    ]
    assert about(said, "LEAFZ", "STATZ") == [
        "✗ LEAFZ not permitted: $SYS.REQ.SERVER.*.LEAFZ",
        "✗ STATZ not permitted: $SYS.REQ.ACCOUNT.PING.STATZ",
    ]
    assert said.count(HINT) == 1


async def test_a_user_that_may_not_ask_who_it_is_is_told_what_to_allow(start_server, doctor):
    code, said = await doctor(one_user(start_server, 'publish: { deny: "$SYS.>" }'))
    assert code == 3
    assert about(said, "account") == [
        f"✗ account the user lacks the permission for $SYS.REQ.USER.INFO; {HINT}"
    ]


@pytest.fixture
def system(start_server) -> local.System:
    return start_server("n1")


async def test_an_agent_that_leads_and_answers_is_in_order(system, doctor):
    async with watching(system, listen="n1", more='id = "own"\n'):
        code, said = await doctor(login(system, "agent", "n1"))
    assert (code, about(said, "agents", "queries", "privilege")) == (
        0,
        ["✓ agents agent own leads", "✓ queries agent own answers"],
    )


async def test_whoever_answers_beside_the_agent_is_told_of(system, doctor):
    root, agent = (login(system, user, "n1") for user in ("root", "agent"))
    async with watching(system, listen="n1", more='id = "own"\n'), forger(root, b"forged"):
        code, said = await doctor(agent)
    (told,) = about(said, "queries")
    assert code == 3
    assert told.startswith("✗ queries 2 answer INSIGHTS.API.STATUS, and only one should: ")
    assert "own" in told
    assert "something that is not an agent" in told


async def test_an_answer_where_no_agent_leads_is_told_of(system, doctor):
    root, agent = (login(system, user, "n1") for user in ("root", "agent"))
    async with forger(root, answer_of("other\x1b[31m")):
        code, said = await doctor(agent)
    assert code == 3
    assert about(said, "agents", "queries") == [
        "✓ agents no agent leads on this system",
        "✗ queries other\\x1b[31m answers INSIGHTS.API.STATUS, and does not lead",
    ]


async def test_a_user_of_an_account_that_imports_the_queries_is_told_what_to_deny(
    start_server, doctor
):
    imports = (
        'imports: [ { service: { account: SYS, subject: "INSIGHTS.API.>" } },'
        ' { stream: { account: SYS, subject: "$INSIGHTS.>" } } ]'
    )
    text = """
        accounts {
          SYS: {
            users: [ { user: agent, password: pw } ]
            exports: [ { stream: "$INSIGHTS.>" }, { service: "INSIGHTS.API.>" } ]
          }
          IN: { users: [
            { user: free, password: pw }
            { user: bound, password: pw, permissions: {
              publish: { deny: "$INSIGHTS.>" }, subscribe: { deny: "INSIGHTS.API.>" } } }
          ], IMPORTS }
          OUT: { users: [ { user: out, password: pw } ] }
        }
        system_account: SYS""".replace("IMPORTS", imports)
    url = start_server("n1", authorization=text)["n1"].url
    agent, free, bound, out = (
        Settings(servers=(url,), user=user, password="pw")
        for user in ("agent", "free", "bound", "out")
    )
    async with forger(agent, answer_of("own")):
        told = {
            settings.user: about((await doctor(settings))[1], "queries", "privilege")
            for settings in (free, bound, out)
        }
        async with forger(free, answer_of("other")):
            disputed = about((await doctor(bound))[1], "queries")
    assert told == {
        "free": [
            "✓ queries agent own answers",
            "! privilege may forge advisories: deny it to publish on $INSIGHTS.>",
            "! privilege may answer queries in the place of the agent: "
            "deny it to subscribe to INSIGHTS.API.>",
        ],
        "bound": ["✓ queries agent own answers"],
        "out": [],
    }
    (line,) = disputed
    assert line.startswith("✗ queries 2 answer INSIGHTS.API.STATUS, and only one should: ")
