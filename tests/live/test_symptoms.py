"""What `doctor` says of what will not last, and of tenants."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from nats.aio.msg import Msg

from kit.doctor import about, examined
from kit.programs import connected
from nats_insights.lab.servers import local
from nats_insights.lab.servers.jwts import Operator
from nats_insights.subjects import USER_INFO

pytestmark = pytest.mark.live

DAY = 86_400
USERS = """
    accounts {
      SYS: { users: [ { user: agent, password: pw }, { user: other, password: pw } ] }
      APP: { users: [ { user: app, password: pw } ] }
      "my team": { users: [ { user: team, password: pw } ] }
      "a.b": { users: [ { user: ab, password: pw } ] }
    }
    system_account: SYS"""
AGENT = ("agent", "pw")


# --- Credentials.


@pytest.fixture
def operated(start_server: Any, tmp_path: Path) -> Any:
    """`operated(seconds, since)`: a server, and the creds of a user with a JWT of this life."""
    operator = Operator()
    system = operator.account("SYS")
    server = start_server("n1", authorization=operator.configuration(system))["n1"]

    def operated(**claims: int) -> tuple[str, str]:
        path = tmp_path / "agent.creds"
        path.write_text(system.user("agent", **claims).creds)
        return server.url, str(path)

    return operated


async def test_credentials_that_expired_are_told(operated, tmp_path):
    url, creds = operated(exp=int(time.time()) - DAY)
    code, said = await examined(tmp_path, url, creds=creds)
    (line,) = about(said, "connection")
    assert code == 3
    assert line.startswith(f"✗ connection the user JWT in creds file {creds} expired at 20")
    assert "generate it again" in line


async def test_credentials_that_expire_soon_are_told(operated, tmp_path, monkeypatch):
    now = time.time()
    monkeypatch.setattr("nats_insights.lab.servers.jwts.time.time", lambda: now - 364 * DAY)
    url, creds = operated(exp=int(now) + 5 * DAY)
    code, said = await examined(tmp_path, url, creds=creds)
    (line,) = about(said, "credentials")
    assert code == 0
    assert line.startswith(f"! credentials the user JWT in creds file {creds} expires in 5.0 days")


async def test_credentials_that_last_are_told_with_their_days(operated, tmp_path):
    url, creds = operated(exp=int(time.time()) + 300 * DAY + 3600)
    code, said = await examined(tmp_path, url, creds=creds)
    assert (code, about(said, "credentials")) == (0, ["✓ credentials they expire in 300 days"])


async def test_credentials_without_an_end_are_no_step(operated, tmp_path):
    url, creds = operated()
    code, said = await examined(tmp_path, url, creds=creds)
    assert (code, about(said, "credentials")) == (0, [])


# --- Accounts.


async def test_servers_without_accounts_have_no_user_for_the_agent(start_server, tmp_path):
    url = start_server("n1", authorization="")["n1"].url
    code, said = await examined(tmp_path, url)
    assert (code, about(said, "account")) == (
        3,
        [
            "✗ account logged in as an anonymous client of $G, which is not the system account, "
            "and sees only its own connections: give the agent a user of the account that "
            "`system_account` names in the configuration of the servers, or --sys-req-prefix where "
            "this account imports its requests; servers without accounts have no such user yet: "
            "add `accounts { SYS: { users: [ { user: agent, password: ... } ] } }` and "
            "`system_account: SYS`"
        ],
    )


async def test_a_user_of_an_ordinary_account_sees_only_its_own(start_server, tmp_path):
    url = start_server("n1", authorization=USERS)["n1"].url
    code, said = await examined(tmp_path, url, login=("app", "pw"))
    (line,) = about(said, "account")
    assert code == 3
    assert line.startswith(
        "✗ account logged in as user app of account APP, which is not the system account, and "
        "sees only its own connections: give the agent a user"
    )
    assert "system_account: SYS" not in line


# --- Replies.


@pytest.fixture
def server(start_server: Any) -> local.Server:
    server: local.Server = start_server("n1", authorization=USERS)["n1"]
    return server


async def test_a_server_that_answers_once_is_no_step(server, tmp_path):
    code, said = await examined(tmp_path, server.url, login=AGENT)
    assert (code, about(said, "replies")) == (0, [])


async def test_whoever_answers_in_the_place_of_a_server_is_told_of(server, tmp_path):
    async with connected(server, ("other", "pw")) as forger:
        own = f"$SYS.REQ.SERVER.{forger._server_info['server_id']}.VARZ"

        async def forge(message: Msg) -> None:
            await message.respond((await forger.request(own)).data)

        await forger.subscribe("$SYS.REQ.SERVER.PING.VARZ", cb=forge)
        await forger.request(USER_INFO)  # By now the server has subscribed it.
        code, said = await examined(tmp_path, server.url, login=AGENT)
    assert code == 3
    assert about(said, "replies") == [
        "✗ replies n1 answers a request 2 times: somebody answers in its place, or two ways lead "
        "to it, such as two leaf nodes"
    ]


# --- Tenants.


async def test_accounts_that_cannot_be_tenants_are_named(server, tmp_path):
    config = tmp_path / "agent.toml"
    config.write_text("tenants.accounts = ['*']\n")
    async with (
        connected(server, ("app", "pw")),
        connected(server, ("team", "pw")),
        connected(server, ("ab", "pw")),
    ):
        code, said = await examined(tmp_path, server.url, "--config", str(config), login=AGENT)
    assert code == 0
    assert about(said, "tenants") == [
        "! tenants account 'a.b' cannot be a tenant: give it a name of at most 128 letters, digits "
        "and -_@:/+=, or leave it out of tenants.accounts",
        "! tenants account 'my team' cannot be a tenant: give it a name of at most 128 letters, "
        "digits and -_@:/+=, or leave it out of tenants.accounts",
        "✓ tenants 1 of 5 accounts are tenants",
    ]


async def test_without_tenants_nothing_is_said_of_them(server, tmp_path):
    _, said = await examined(tmp_path, server.url, login=AGENT)
    assert about(said, "tenants") == []


async def test_permissions_that_tenants_need_are_missed(start_server, tmp_path):
    deny = json.dumps(["INSIGHTS.ACCOUNT.>"])
    permissions = f"publish: {{ deny: {deny} }}, subscribe: {{ deny: {deny} }}"
    user = f"{{ user: agent, password: pw, permissions: {{ {permissions} }} }}"
    text = f"accounts {{ SYS: {{ users: [{user}] }} }}\nsystem_account: SYS"
    url = start_server("n1", authorization=text)["n1"].url
    config = tmp_path / "agent.toml"
    config.write_text("tenants.accounts = ['APP']\n")
    (code, said), (other, silent) = await asyncio.gather(
        examined(tmp_path, url, "--config", str(config), login=AGENT),
        examined(tmp_path, url, login=AGENT),
    )
    assert (code, other) == (3, 0)
    assert about(said, "permission")[1:] == [
        "✗ permission may not publish INSIGHTS.ACCOUNT.*.ADVISORY.>",
        "✗ permission INSIGHTS.ACCOUNT.*.API.* is refused",
    ]
    assert len(about(silent, "permission")) == 1
