"""Tenants on real servers, in both layouts of the examples: each receives its own, and no more."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import nats.errors
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from kit.programs import EXAMPLES, connected, until
from kit.watching import Watch, watching
from nats_insights.connection.contexts import Settings
from nats_insights.lab.servers import local
from nats_insights.subjects import USER_INFO
from nats_insights.tell import queries
from nats_insights.tell.tenants import QUERIES

pytestmark = pytest.mark.live

SERVERS = EXAMPLES / "servers"
NAMES = ("ADMIN", "AGENT", "OPS", "PUBLISHER", "ORDERS", "BILLING")
LAYOUTS = ("tenants.conf", "tenants-published.conf")
HERE = "  # Your own accounts stand here."
CONFIG = "tenants.accounts = ['*']\nchecks.excessive_user_connections.max_connections = 5\n"
OWN_REQUESTS = ("_INBOX.", "$SYS.REQ.", "INSIGHTS.API.")
NO_TENANT = '  "my team": { users: [ { user: team, password: pw } ] }\n'

Start = Callable[..., local.System]


@pytest.fixture
def start_layout(start, tmp_path, monkeypatch) -> Start:
    """`start_layout("tenants.conf")`: three servers with the accounts of this example.

    BILLING is a second tenant, with imports like those of ORDERS but for what is replaced.
    """
    shutil.copytree(SERVERS, tmp_path / "servers")
    # Servers look for an included file from where their own is: in a directory below this one.
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in NAMES:
        monkeypatch.setenv(f"{name}_PASSWORD", "pw")

    def start_layout(file: str, *replaced: tuple[str, str]) -> local.System:
        path = tmp_path / "servers" / file
        text = path.read_text()
        (orders,) = re.findall(r"^  ORDERS: \{.*?^  \}\n", text, re.MULTILINE | re.DOTALL)
        billing = orders.replace("ORDERS", "BILLING").replace("user: orders", "user: billing")
        for old, new in replaced:
            assert old in billing
            billing = billing.replace(old, new)
        path.write_text(text.replace(HERE, billing + NO_TENANT))
        return start(local.cluster, "n1", "n2", "n3", authorization=f'include "../servers/{file}"')

    return start_layout


def settings(system: local.System, user: str, server: str) -> Settings:
    return Settings(servers=(system[server].url,), user=user, password="pw")


@asynccontextmanager
async def publisher(system: local.System, layout: str) -> AsyncIterator[None]:
    """What a second connection of the agent publishes in OPS, where the layout needs one."""
    if layout == "tenants.conf":
        yield
        return
    admin, out = (connected(system["n1"], (user, "pw")) for user in ("admin", "publisher"))
    async with admin as heard, out as said:

        async def pass_on(message: Msg) -> None:
            await said.publish(message.subject, message.data, headers=message.headers)

        await heard.subscribe("$INSIGHTS.>", cb=pass_on)
        await heard.request(USER_INFO)  # By now the server has subscribed it.
        yield


class Tenant:
    """A user of a tenant, who may listen to everything that there is in its account."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.heard: list[Msg] = []

    async def listen(self, subject: str = ">") -> None:
        async def hear(message: Msg) -> None:
            if not message.subject.startswith(OWN_REQUESTS):
                self.heard.append(message)

        await self.client.subscribe(subject, cb=hear)
        await self.client.request(USER_INFO)

    @property
    def ids(self) -> set[str]:
        return {json.loads(message.data)["id"] for message in self.heard}

    async def ask(self, name: str, **body: Any) -> dict[str, Any]:
        request = json.dumps(body).encode()
        reply = await self.client.request(f"INSIGHTS.API.{name}", request, timeout=10)
        return dict(json.loads(reply.data))


@asynccontextmanager
async def tenants(system: local.System, crowd: Any, *names: str) -> AsyncIterator[list[Tenant]]:
    """These tenants, on n3, each with connections of which there is a finding."""
    async with AsyncExitStack() as stack:
        made = []
        for name in names:
            client = await stack.enter_async_context(connected(system["n3"], (name, "pw")))
            made.append(Tenant(client))
            await crowd.join(system["n2"].url, 8, user=name, password="pw")
        await crowd.join(system["n2"].url, 8, user="team", password="pw")
        yield made


@asynccontextmanager
async def listening(*some: Tenant) -> AsyncIterator[None]:
    """Tenants that listen before anything is said."""
    for tenant in some:
        await tenant.listen()
    yield


@asynccontextmanager
async def told(system: local.System, layout: str, more: str = CONFIG) -> AsyncIterator[Watch]:
    """An agent on n1, and a user of OPS who receives everything."""
    agent, ops = settings(system, "agent", "n1"), settings(system, "ops", "n2")
    async with publisher(system, layout), watching(system, agent, ops, more=more) as watch:
        yield watch


def about(watch: Watch, account: str) -> dict[str, bytes]:
    """The advisories about an account as OPS received them, by their ids."""
    return {
        json.loads(message.data)["id"]: message.data
        for message in watch.messages
        if f".ACCOUNT._.{account}." in message.subject
    }


@pytest.mark.parametrize("layout", LAYOUTS)
async def test_each_tenant_receives_its_own_findings_and_nothing_else(
    start_layout, crowd, layout, caplog
):
    system = start_layout(layout)
    async with (
        tenants(system, crowd, "orders", "billing") as (orders, billing),
        listening(orders, billing),
        told(system, layout) as watch,
    ):
        await watch.until(lambda: watch.named("USER_002") >= {"orders", "billing", "team"})
        for tenant, account in ((orders, "ORDERS"), (billing, "BILLING")):
            expected = about(watch, account)
            await until(lambda t=tenant, e=expected: received(t, e))  # type: ignore[misc]
            assert {json.loads(m.data)["entity"]["account"] for m in tenant.heard} == {account}
            assert {m.data for m in tenant.heard} >= set(expected.values())
            assert {m.headers["Nats-Msg-Id"] for m in tenant.heard} == tenant.ids
    named = [said for said in caplog.messages if "cannot be a tenant" in said]
    assert named == [
        "account 'my team' cannot be a tenant: give it a name of at most 128 letters, digits and "
        "-_@:/+=, or leave it out of tenants.accounts"
    ]


async def received(tenant: Tenant, expected: dict[str, bytes]) -> bool:
    return tenant.ids >= expected.keys()


@pytest.mark.parametrize("layout", LAYOUTS)
async def test_each_tenant_is_answered_about_itself(start_layout, crowd, layout):
    system = start_layout(layout)
    async with (
        tenants(system, crowd, "orders", "billing") as (orders, billing),
        told(system, layout) as watch,
    ):
        await watch.until(lambda: watch.named("USER_002") >= {"orders", "billing", "team"})
        await watch.epochs(1)
        for tenant, own in ((orders, "ORDERS"), (billing, "BILLING")):
            replies = {name: await tenant.ask(name) for name in QUERIES if name != "EXPLAIN"}
            accounts = {one["entity"]["account"] for one in replies["FINDINGS"]["findings"]}
            assert accounts == {own}
            assert replies["STATUS"]["open"]["warning"] == 1
            every = await tenant.ask("FINDINGS", account="ORDERS", state="all")
            assert (every["total"] > 0) == (own == "ORDERS")
            assert {one["scope"] for one in replies["CHECKS"]["checks"]} == {"ACCOUNT"}
            explained = await tenant.ask("EXPLAIN", code="USER_002")
            assert explained["check"]["last"] is None
            for name in {*queries.QUERIES, *queries.CHANGES} - {*QUERIES}:
                with pytest.raises(nats.errors.NoRespondersError):
                    await tenant.client.request(f"INSIGHTS.API.{name}", timeout=5)


THEFT = [
    ("tenants.conf", "INSIGHTS.ACCOUNT.BILLING.ADVISORY.>", "INSIGHTS.ACCOUNT.ORDERS.ADVISORY.>"),
    ("tenants.conf", "INSIGHTS.ACCOUNT.BILLING.ADVISORY.>", "INSIGHTS.ACCOUNT.*.ADVISORY.>"),
    ("tenants.conf", "INSIGHTS.ACCOUNT.BILLING.API.*", "INSIGHTS.ACCOUNT.ORDERS.API.*"),
    ("tenants.conf", "INSIGHTS.ACCOUNT.BILLING.ADVISORY.>", "$INSIGHTS.>"),
    ("tenants.conf", "INSIGHTS.ACCOUNT.BILLING.API.*", "INSIGHTS.API.*"),
    ("tenants-published.conf", "ACCOUNT.*.BILLING.>", "ACCOUNT.*.ORDERS.>"),
    ("tenants-published.conf", "ACCOUNT.*.BILLING.>", "ACCOUNT.*.*.>"),
    ("tenants-published.conf", "INSIGHTS.ACCOUNT.BILLING.API.*", "INSIGHTS.ACCOUNT.ORDERS.API.*"),
]


@pytest.mark.parametrize(("layout", "own", "others"), THEFT)
def test_a_server_refuses_to_start_where_an_account_imports_what_is_of_others(
    start_layout, layout, own, others
):
    with pytest.raises(Exception, match=r"(?i)import"):
        start_layout(layout, (own, others))


async def test_who_asks_is_known_by_the_subject_and_never_by_the_header(
    start_layout, crowd, caplog
):
    system = start_layout("tenants.conf")
    caplog.set_level("DEBUG", "nats_insights.agent.answer")
    async with tenants(system, crowd, "orders"), told(system, "tenants.conf") as watch:
        await watch.until(lambda: watch.named("USER_002") >= {"orders", "team"})
        await watch.epochs(1)
        forged = {"Nats-Request-Info": json.dumps({"acc": "ORDERS"})}
        async with connected(system["n2"], ("admin", "pw")) as admin:
            whole = await admin.request("INSIGHTS.API.FINDINGS", timeout=5, headers=forged)
            own = await admin.request("INSIGHTS.ACCOUNT.ORDERS.API.FINDINGS", timeout=5)
        async with connected(system["n2"], ("orders", "pw")) as orders:
            forged = {"Nats-Request-Info": json.dumps({"acc": "SYS"})}
            mine = await orders.request("INSIGHTS.API.FINDINGS", timeout=5, headers=forged)
    counted = [json.loads(reply.data)["total"] for reply in (whole, own, mine)]
    assert counted[0] > counted[1] == counted[2] == 1
    asked = [said for said in caplog.messages if said.startswith("a request on INSIGHTS.ACCOUNT.")]
    assert next(said.partition(" by ")[2] for said in asked) == "a user of ours"
    assert '"acc":"ORDERS"' in asked[-1]
    assert '"acc": "SYS"' not in asked[-1]


async def test_tenants_come_and_go_with_the_configuration(start_layout, crowd):
    system = start_layout("tenants.conf")
    async with (
        tenants(system, crowd, "orders") as (orders,),
        told(system, "tenants.conf", CONFIG.partition("\n")[2]) as watch,
    ):
        await watch.until(lambda: watch.named("USER_002") >= {"orders", "team"})
        with pytest.raises(nats.errors.NoRespondersError):
            await orders.client.request("INSIGHTS.API.STATUS", timeout=5)
        await orders.listen("insights.>")
        own = watch.agent.config
        chosen = type(own.tenants)(accounts=["ORD*"])
        watch.agent.reload(type(own)(**{**fields(own), "tenants": chosen}))
        await watch.epochs(1)
        assert (await orders.ask("STATUS"))["open"]["warning"] == 1
        watch.agent.reload(own)
        await watch.epochs(1)
        refused = await orders.ask("STATUS")
        assert refused["error"]["code"] == 404
        assert refused["coverage"]["missing"] == []
        assert orders.heard == []


def fields(of: Any) -> dict[str, Any]:
    return {name: getattr(of, name) for name in of.__struct_fields__}


async def test_commands_work_as_a_user_of_a_tenant(start_layout, crowd, run):
    system = start_layout("tenants.conf")
    async with tenants(system, crowd, "orders"), told(system, "tenants.conf") as watch:
        await watch.until(lambda: watch.named("USER_002") >= {"orders", "team"})
        await watch.epochs(1)

        async def command(*words: str) -> tuple[int | None, str]:
            program = await run(system["n3"], ("orders", "pw"), "-m", "nats_insights", *words)
            said, _ = await program.communicate()
            return program.returncode, said.decode()

        (_, found), (code, status) = await asyncio.gather(command("findings"), command("status"))
    assert "orders of account ORDERS holds" in found.replace("\n", " ") or "USER_002" in found
    assert "team" not in found
    assert code == 1
    assert "1 warning" in status
    assert "SYS" not in status
    assert "cost" not in status
