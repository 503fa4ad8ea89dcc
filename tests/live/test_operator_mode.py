"""Operator mode on real servers: names of JWTs for keys, and no token anywhere."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.client import Client, RawCredentials

from kit.watching import Watch, watching
from nats_insights.connection.contexts import Settings
from nats_insights.lab.servers import local
from nats_insights.lab.servers.jwts import Account, Operator, User

pytestmark = pytest.mark.live

LOW = "checks.excessive_user_connections.max_connections = 12\n"
MANY = 13


class Operated:
    """A cluster in operator mode, and all users that were made for it."""

    def __init__(self, directory: Path, version: str) -> None:
        self.directory = directory
        self.version = tuple(map(int, version.split(".")))
        self.operator = Operator()
        self.system_account = self.operator.account("SYSTEM")
        self.app, self.twin = self.operator.account("APP"), self.operator.account("APP")
        self.users: list[User] = []
        self.cluster: local.System

    def user(self, account: Account, name: str, **claims: Any) -> User:
        self.users.append(account.user(name, **claims))
        return self.users[-1]

    def settings(self, name: str, server: str) -> Settings:
        """How a new user of the system account connects."""
        path = self.directory / f"{name}.creds"
        path.write_text(self.user(self.system_account, name).creds)
        return Settings(servers=(self.cluster[server].url,), creds=str(path))

    @property
    def secrets(self) -> set[str]:
        """The parts of all tokens beside the header, which all have."""
        return {part for user in self.users for part in user.jwt.split(".")[1:]}


@pytest.fixture(scope="module")
def operated(
    binary: Path, version: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Operated]:
    made = Operated(tmp_path_factory.mktemp("creds"), version)
    trust = made.operator.configuration(made.system_account)
    with local.cluster("n1", "n2", "n3", binary=binary, authorization=trust) as cluster:
        made.cluster = cluster
        yield made


@asynccontextmanager
async def clients(operated: Operated, user: User, *, bearer: bool = False) -> AsyncIterator[None]:
    """Connections of a user to n1; a bearer signs nothing."""
    url = operated.cluster["n1"].url
    login: dict[str, Any] = {"user_credentials": RawCredentials(user.creds)}
    if bearer:
        login = {"user_jwt_cb": user.jwt.encode, "signature_cb": lambda nonce: b""}
    joined: list[Client] = []
    try:
        while len(joined) < MANY:
            joined += [await nats.connect(url, **login)]
        yield
    finally:
        await asyncio.gather(*(client.close() for client in joined))


@asynccontextmanager
async def watched(operated: Operated, more: str = LOW) -> AsyncIterator[Watch]:
    agent, listener = operated.settings("agent", "n2"), operated.settings("listener", "n3")
    async with watching(operated.cluster, agent, listener, more=more) as watch:
        yield watch


async def run(operated: Operated, *words: str) -> str:
    """What a command prints to both of its outputs."""
    settings = operated.settings("reader", "n1")
    command = [sys.executable, "-m", "nats_insights", *words, "-s", settings.servers[0]]
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("NATS_")}
    done = await asyncio.to_thread(
        subprocess.run,
        [*command, "--creds", settings.creds],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=inherited,
        timeout=60,
    )
    return done.stdout.decode()


async def test_findings_have_names_beside_keys_and_nothing_has_a_token(operated, caplog):
    caplog.set_level(logging.DEBUG)
    app = operated.app
    user = operated.user(app, "web")
    key = user.key.public
    async with clients(operated, user), watched(operated) as watch:
        await watch.until(
            lambda: {"USER_002", "OPT_BALANCE_006"} <= {code for code, _ in watch.open}
        )
        told = {said.code: said for said in watch.advisories if said.transition == "opened"}
        of_user, of_account = told["USER_002"], told["OPT_BALANCE_006"]
        account = "APP" if names_accounts(operated) else app.id
        entity = of_user.entity
        assert (entity.id, entity.name, entity.account) == (key, "web", app.id)
        assert of_user.summary == f"user web of account {account} holds {MANY} connections"
        assert f"connections of web in {account} first" in of_user.remediation
        assert (of_account.entity.id, of_account.entity.name) == (app.id, account)
        assert f"of account {account} in C1" in of_account.summary
        for said in (of_user, of_account):
            (subject,) = {
                message.subject for message in watch.messages if said.fingerprint in message.subject
            }
            assert f".{app.id}.{said.code}." in subject
        text = await run(operated, "findings")
        assert f"web {key[:8]}…" in text
        by_key = await run(operated, "findings", "--account", app.id, "--format", "json")
        assert {one["entity"]["account"] for one in json.loads(by_key)["findings"]} == {app.id}
        assert "nothing open" in await run(operated, "findings", "--account", operated.twin.id)
        printed = text + by_key + await run(operated, "status") + await run(operated, "check")
        assert "web" in printed
    said = b"".join(message.data + repr(message.headers).encode() for message in watch.messages)
    everything = said.decode() + printed + caplog.text
    assert len(operated.secrets) > 4
    assert [part for part in operated.secrets if part in everything] == []


async def test_accounts_are_named_and_found_by_their_names(operated):
    user = operated.user(operated.app, "web")
    async with clients(operated, user), watched(operated) as watch:
        await watch.until(lambda: watch.named("OPT_BALANCE_006"))
        (name,) = watch.named("OPT_BALANCE_006")
        by_name = await run(operated, "findings", "--account", "APP", "--format", "json")
        codes = {one["code"] for one in json.loads(by_name)["findings"]}
        if names_accounts(operated):
            assert (name, codes) == ("APP", {"USER_002", "OPT_BALANCE_006"})
            text = await run(operated, "findings", "--account", "APP")
            assert f"(APP {operated.app.id[:8]}…)" in text
        else:
            assert (name, codes) == (operated.app.id, set())


async def test_two_accounts_of_one_name_have_findings_of_their_own(operated):
    one, other = (operated.user(account, "web") for account in (operated.app, operated.twin))
    async with clients(operated, one), clients(operated, other), watched(operated) as watch:
        await watch.until(lambda: len(opened(watch, "USER_002")) == 2)
        found = opened(watch, "USER_002")
        assert {said.entity.account for said in found} == {operated.app.id, operated.twin.id}
        assert {said.entity.name for said in found} == {"web"}
        assert len({said.fingerprint for said in found}) == 2


async def test_an_override_by_name_is_in_force_before_anything_opens(operated):
    batch, web = operated.user(operated.app, "batch"), operated.user(operated.app, "web")
    higher = "excessive_user_connections = { max_connections = 50 }"
    override = f"override = [{{ match = {{ user = 'bat*' }}, {higher} }}]\n"
    here, there = clients(operated, batch), clients(operated, web)
    async with here, there, watched(operated, LOW + override) as watch:
        await watch.until(lambda: ("USER_002", "web") in watch.open)
        await watch.epochs()
        assert [said.entity.id for said in opened(watch, "USER_002")] == [web.key.public]


async def test_a_user_whose_token_the_server_hides_keeps_its_key(operated):
    user = operated.user(operated.app, "bearer", bearer_token=True)
    async with clients(operated, user, bearer=True), watched(operated) as watch:
        await watch.until(lambda: watch.named("USER_002"))
        hidden = operated.version >= (2, 12)
        assert watch.named("USER_002") == {user.key.public if hidden else "bearer"}


def names_accounts(operated: Operated) -> bool:
    """Servers before 2.11 do not name accounts."""
    return operated.version >= (2, 11)


def opened(watch: Watch, code: str) -> list[Any]:
    """All that opened of a check."""
    return [s for s in watch.advisories if (s.code, s.transition) == (code, "opened")]
