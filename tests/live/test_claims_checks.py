"""The checks about JWTs of accounts, on real servers in operator mode."""

from __future__ import annotations

import asyncio
import json
import re
import time
from asyncio import StreamWriter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.client import Client, RawCredentials

from kit.watching import Watch, watching
from nats_insights.checks.accounts.account_connection_limit import account_connection_limit
from nats_insights.checks.accounts.account_jwt_expiry import account_jwt_expiry
from nats_insights.checks.accounts.account_leafnode_limit import account_leafnode_limit
from nats_insights.checks.accounts.account_subscription_limit import account_subscription_limit
from nats_insights.checks.accounts.inactive_import import inactive_import
from nats_insights.checks.accounts.orphaned_export import orphaned_export
from nats_insights.checks.opt_acct.excessive_jwt_size import excessive_jwt_size
from nats_insights.connection.contexts import Settings
from nats_insights.lab.servers import conf, local
from nats_insights.lab.servers.jwts import Account, Key, Operator, User

pytestmark = [pytest.mark.live, pytest.mark.long]

CHECKS = (
    orphaned_export,
    account_connection_limit,
    account_jwt_expiry,
    account_leafnode_limit,
    account_subscription_limit,
    excessive_jwt_size,
    inactive_import,
)
OFTEN = """gather.every = { ACCOUNTZ_DETAIL = "0s", CONNZ_SUBS_16_600 = "0s" }
checks.account_subscription_limit.min_subscriptions = 5
"""
DAY = 86_400


class Trusting:
    """A cluster that trusts an operator. Each test has accounts of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.operator = Operator()
        self.system_account = self.operator.account("SYS")
        exported = {"name": "orders", "type": "service", "subject": "orders.>"}
        private = {"name": "p", "type": "stream", "subject": "private.>", "token_req": True}
        self.seller = self.operator.account("SELLER", exports=[exported, private])
        names = ("CONNS", "LEAFS", "SUBS", "SIZE", "EXPIRY", "IMPORTS", "TOKENS")
        self.accounts = {name: self.operator.account(name) for name in names}
        self.cluster: local.System

    def settings(self, name: str, server: str) -> Settings:
        path = self.directory / f"{name}.creds"
        path.write_text(self.system_account.user(name).creds)
        return Settings(servers=(self.cluster[server].url,), creds=str(path))

    async def join(self, user: User, server: str = "n1") -> Client:
        url, login = self.cluster[server].url, RawCredentials(user.creds)
        return await nats.connect(url, user_credentials=login, allow_reconnect=False)

    async def push(self, account: Account, **claims: Any) -> None:
        """Give an account another JWT on all servers that have it loaded."""
        token, root = account.claim(**claims), await self.join(self.system_account.user("root"))
        await root.publish(f"$SYS.REQ.ACCOUNT.{account.id}.CLAIMS.UPDATE", token.encode())
        await root.close()


@pytest.fixture(scope="module")
def trusting(binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trusting]:
    made = Trusting(tmp_path_factory.mktemp("creds"))
    trust = made.operator.configuration(made.system_account)
    options = {"n1": f"leafnodes {{ listen: '{conf.LOOPBACK}:-1' }}"}
    with local.cluster("n1", "n2", binary=binary, authorization=trust, options=options) as cluster:
        made.cluster = cluster
        yield made


@asynccontextmanager
async def watched(trusting: Trusting) -> AsyncIterator[Watch]:
    """An agent that has been quiet for some epochs."""
    agent, listener = trusting.settings("agent", "n1"), trusting.settings("listener", "n2")
    async with watching(trusting.cluster, agent, listener, more=OFTEN, checks=CHECKS) as watch:
        await watch.epochs(3)
        assert watch.story == []
        yield watch


async def test_the_connection_limit_is_that_of_all_servers_together(trusting):
    account = trusting.accounts["CONNS"]
    user = account.user("web")
    clients = [await trusting.join(user, server) for server in 4 * ["n1"] + 5 * ["n2"]]
    async with watched(trusting) as watch:
        await trusting.push(account, limits={"conn": 10})
        await watch.until(lambda: watch.named("ACCOUNTS_001"))
        (said,) = watch.advisories
        assert (said.entity.id, said.entity.name) == (account.id, "CONNS")
        assert said.summary == "account CONNS holds 9 of 10 allowed connections"
        assert (said.severity, said.value) == ("warning", 90)
        clients.append(await trusting.join(user))
        await watch.until(lambda: watch.advisories[-1].severity == "critical")
        assert "maximum account active connections" in await refused(trusting, account, "n2")
        await asyncio.gather(*(client.close() for client in clients[:3]))
        await watch.until(lambda: not watch.open)
    await asyncio.gather(*(client.close() for client in clients))


async def test_clients_near_the_limit_of_their_subscriptions_are_found(trusting):
    account = trusting.accounts["SUBS"]
    limited = account.user("limited", subs=20)
    one, other = await trusting.join(account.user("web")), await trusting.join(limited, "n2")
    for number in range(9):
        await one.subscribe(f"one.{number}")
        await other.subscribe(f"other.{number}")
    async with watched(trusting) as watch:
        await trusting.push(account, limits={"subs": 10})
        await watch.until(lambda: watch.named("ACCOUNTS_006"))
        (said,) = watch.advisories
        assert said.summary.endswith("has 9 of 10 allowed subscriptions")
        named = said.evidence["connections"]["top"]
        assert {row["user_name"] for row in named} == {"web", "limited"}
        await trusting.push(account)
        await watch.until(lambda: not watch.open)
        for number in range(9):
            await other.subscribe(f"more.{number}")
        await watch.until(lambda: watch.open)
        assert watch.advisories[-1].summary == (
            "a client of account SUBS on n2 has 18 of 20 allowed subscriptions"
        )
        await other.close()
        await watch.until(lambda: not watch.open)
    await one.close()


async def test_the_end_of_a_jwt_is_found_before_and_after(trusting):
    account, now = trusting.accounts["EXPIRY"], round(time.time())
    client = await trusting.join(account.user("web"))
    async with watched(trusting) as watch:
        await trusting.push(account, exp=now + 5 * DAY, iat=now - 360 * DAY)
        await watch.until(lambda: watch.named("ACCOUNTS_902"))
        (said,) = watch.advisories
        assert said.summary == "the JWT of account EXPIRY expires in 5 days"
        assert said.severity == "warning"
        await trusting.push(account, exp=now + 365 * DAY)
        await watch.until(lambda: not watch.open)
        await trusting.push(account, exp=round(time.time()) + 2, iat=now - 360 * DAY)
        await watch.until(lambda: client.is_closed)
        await watch.until(lambda: watch.open)
        assert watch.advisories[-1].severity == "critical"
        await trusting.push(account)
        await watch.until(lambda: not watch.open)


async def test_a_large_jwt_is_found(trusting):
    account = trusting.accounts["SIZE"]
    client = await trusting.join(account.user("web"))
    async with watched(trusting) as watch:
        revoked = {Key("user").public: round(time.time()) - DAY for _ in range(900)}
        await trusting.push(account, revocations=revoked)
        await watch.until(lambda: watch.named("OPT_ACCT_002"))
        (said,) = watch.advisories
        assert said.value == round(len(account.jwt) / 1024, 1)
        await trusting.push(account)
        await watch.until(lambda: not watch.open)
    await client.close()


async def test_an_import_is_found_until_the_other_account_exports_it(trusting):
    account, seller = trusting.accounts["IMPORTS"], trusting.seller
    client = await trusting.join(account.user("web"))
    orders, stock = (
        {"name": what, "type": "service", "subject": f"{what}.new", "account": seller.id}
        for what in ("orders", "stock")
    )
    async with watched(trusting) as watch:
        await trusting.push(account, imports=[orders])
        await watch.epochs(3)
        assert watch.story == []
        await trusting.push(account, imports=[orders, stock])
        await watch.until(lambda: watch.named("ACCOUNTS_003"))
        (said,) = watch.advisories
        assert said.summary == (
            "account IMPORTS has 1 import that is not in force: service stock.new (that account "
            "does not export it)"
        )
        (named,) = said.evidence["imports"]["top"]
        assert (named["account"], named["account_name"]) == (seller.id, "SELLER")
        await trusting.push(account, imports=[orders])
        await watch.until(lambda: not watch.open)
    await client.close()


async def test_an_import_is_found_when_its_token_expires_and_nothing_has_the_token(trusting):
    account, seller = trusting.accounts["TOKENS"], trusting.seller
    client = await trusting.join(account.user("web"))
    wanted = {"name": "p", "type": "stream", "subject": "private.x", "account": seller.id}
    async with watched(trusting) as watch:
        token = seller.activation(account, "stream", "private.x", round(time.time()) + 2)
        await trusting.push(account, imports=[{**wanted, "token": token}])
        await watch.until(lambda: watch.named("ACCOUNTS_003"))
        (said,) = watch.advisories
        assert said.summary.endswith("stream private.x (its activation token has expired)")
        new = seller.activation(account, "stream", "private.x")
        await trusting.push(account, imports=[{**wanted, "token": new}])
        await watch.until(lambda: not watch.open)
    await client.close()
    said = b"".join(message.data for message in watch.messages).decode()
    secret = [part for one in (token, new, account.jwt) for part in one.split(".")[1:]]
    assert [part for part in secret if part in said] == []


async def test_leaf_nodes_near_their_limit_are_found_and_count_as_connections(trusting):
    account = trusting.accounts["LEAFS"]
    async with watched(trusting) as watch:
        leafs = [await leaf(trusting, account, f"leaf{number}") for number in range(4)]
        await watch.epochs(3)
        assert watch.story == []
        await trusting.push(account, limits={"leaf": 4})
        await watch.until(lambda: watch.named("ACCOUNTS_901"))
        (said,) = watch.advisories
        assert said.summary == "account LEAFS holds 4 of 4 allowed leaf nodes"
        assert said.severity == "critical"
        await trusting.push(account, limits={"leaf": 9, "conn": 4})
        await watch.until(lambda: {code for code, _ in watch.open} == {"ACCOUNTS_001"})
        assert watch.advisories[-1].severity == "critical"
        assert "maximum account active connections" in await refused(trusting, account, "n1")
        await (await trusting.join(account.user("web"), "n2")).close()
        await leave(*leafs)
        await watch.until(lambda: not watch.open)


SHARING = """
accounts {
  SYS: { users: [{ user: agent, password: secret }], exports: [{ stream: "$INSIGHTS.>" }] }
  SELLER: { users: [{ user: seller, password: secret }], exports: [{ service: "orders.>" }] }
  SHOP: { users: [{ user: shop, password: secret }], imports: [%s] }
}
system_account: SYS
"""
ORDERS = "{ service: { account: SELLER, subject: orders.new } }"


async def test_an_export_that_nobody_imports_is_found_until_somebody_does(binary):
    with local.server("n1", binary=binary, authorization="", options=SHARING % ORDERS) as one:
        agent = Settings(servers=(one["n1"].url,), user="agent", password="secret")
        async with watching(one, agent, agent, more=OFTEN, checks=CHECKS) as watch:
            await watch.epochs(14)
            assert watch.story == []
            one["n1"].reload(SHARING % "")
            await watch.until(lambda: watch.open)
            (said,) = watch.advisories
            assert said.summary == "no account imports the service orders.> of account SELLER"
            one["n1"].reload(SHARING % ORDERS)
            await watch.until(lambda: not watch.open)


async def leaf(trusting: Trusting, account: Account, name: str) -> StreamWriter:
    """A leaf node of an account, which says no more than that it is there."""
    log = trusting.cluster["n1"].log.read_text()
    found = re.search(r"leafnode connections on [\d.]+:(\d+)", log)
    assert found is not None
    named = {"server_id": name, "name": name, "cluster": name, "headers": True}
    answer, writer = await log_in(int(found[1]), account.user(name), **named)
    assert answer == "PONG"
    return writer


async def refused(trusting: Trusting, account: Account, server: str) -> str:
    """Why a server refuses a client."""
    answer, writer = await log_in(trusting.cluster[server].port, account.user("late"))
    await leave(writer)
    return answer


async def log_in(port: int, user: User, **more: Any) -> tuple[str, StreamWriter]:
    """A connection, and what the server says to it: PONG, or why it is refused."""
    reader, writer = await asyncio.open_connection(conf.LOOPBACK, port)
    info = json.loads((await reader.readline()).split(b" ", 1)[1])
    proof = {"jwt": user.jwt, "sig": user.key.signature(info["nonce"].encode())}
    writer.write(f"CONNECT {json.dumps(proof | more)}\r\nPING\r\n".encode())
    await writer.drain()
    while True:
        line = (await reader.readline()).decode().strip()
        if line.startswith(("PONG", "-ERR")) or not line:
            return line, writer


async def leave(*connections: StreamWriter) -> None:
    for one in connections:
        one.close()
        with suppress(ConnectionError):
            await one.wait_closed()
