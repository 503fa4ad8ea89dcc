"""Tenants in operator mode: what the scripts of the examples make with nsc, on real servers."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from kit.operator_page import home_with
from kit.programs import EXAMPLES, program, until
from kit.watching import watching
from nats_insights.connection.contexts import Settings
from nats_insights.lab.servers import local
from nats_insights.subjects import USER_INFO

pytestmark = pytest.mark.live

LAYOUTS = ("tenants-nsc.sh", "tenants-published-nsc.sh")
USERS = {"agent": "SYS", "admin": "SYS", "ops": "OPS", "publisher": "OPS"}
USERS |= {"orders": "ORDERS", "thief": "THIEF"}
CONFIG = "tenants.accounts = ['{}']\nchecks.excessive_user_connections.max_connections = 5\n"
# An operator with accounts, and their users; THIEF imports what belongs to ORDERS.
SCRIPT = """
set -eu
nsc add operator --name DEMO --sys
for account in OPS ORDERS THIEF; do nsc add account --name $account; done
sh $SCRIPTS/$LAYOUT ORDERS
key() { nsc describe account "$1" --field sub | tr -d '"'; }
steal() { nsc add import --account THIEF --src-account "$(key $1)" --remote-subject "$2" $3; }
orders=$(key ORDERS)
steal SYS "INSIGHTS.ACCOUNT.$orders.API.*" '--service --local-subject INSIGHTS.API.*'
if [ "$LAYOUT" = tenants-nsc.sh ]; then
  steal SYS "INSIGHTS.ACCOUNT.$orders.ADVISORY.>" '--local-subject stolen.>'
else
  steal OPS "\\$INSIGHTS.ADVISORY.*.ACCOUNT.*.$orders.>" ''
fi
for user in $USERS; do
  nsc add user --account ${user#*=} --name ${user%=*}
  nsc generate creds --account ${user#*=} --name ${user%=*} --output-file ${user%=*}.creds
done
key ORDERS > orders.key
nsc generate config --mem-resolver --config-file servers.conf
"""


@pytest.fixture
def start_layout(start, tmp_path) -> Callable[[str], local.System]:
    """`start_layout("tenants-nsc.sh")`: two servers that trust what the script has made."""
    nsc = program("NSC", "nsc")

    def start_layout(layout: str) -> local.System:
        _, environment = home_with(tmp_path, {"nsc": nsc})
        environment |= {
            "TMPDIR": str(tmp_path),
            "SCRIPTS": str(EXAMPLES / "servers"),
            "LAYOUT": layout,
            "USERS": " ".join(f"{user}={account}" for user, account in USERS.items()),
        }
        made = subprocess.run(
            ["sh", "-c", SCRIPT],
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        )
        assert made.returncode == 0, made.stdout
        assert not list(tmp_path.glob("tmp.*"))  # The tokens are not left behind.
        trust = (tmp_path / "servers.conf").read_text()
        return start(local.cluster, "n1", "n2", authorization=trust)

    return start_layout


@pytest.fixture
def creds(tmp_path: Path) -> Callable[[str], str]:
    return lambda user: str(tmp_path / f"{user}.creds")


@asynccontextmanager
async def client(server: local.Server, creds: str) -> AsyncIterator[Client]:
    joined = await nats.connect(
        server.url, user_credentials=creds, allow_reconnect=False, max_reconnect_attempts=1
    )
    try:
        yield joined
    finally:
        await joined.close()


async def hear_all(of: Client) -> list[Msg]:
    """Everything that will be said to the account of this client, but for its own requests."""
    heard: list[Msg] = []

    async def hear(message: Msg) -> None:
        if not message.subject.startswith(("_INBOX.", "$SYS.REQ.", "INSIGHTS.API.")):
            heard.append(message)

    for subject in ("insights.>", "$INSIGHTS.>", "stolen.>"):
        await of.subscribe(subject, cb=hear)
    await of.request(USER_INFO)  # By now the server has subscribed it.
    return heard


@pytest.mark.timeout(90)
@pytest.mark.parametrize("layout", LAYOUTS)
async def test_a_tenant_receives_its_own_findings_and_a_thief_none(
    start_layout, creds, layout, version, tmp_path
):
    system = start_layout(layout)
    agent, ops = (
        Settings(servers=(system[server].url,), creds=creds(user))
        for user, server in (("agent", "n1"), ("ops", "n2"))
    )
    key = (tmp_path / "orders.key").read_text().strip()
    # Servers before 2.11 do not name accounts.
    more = CONFIG.format(key if version.startswith("2.10.") else "ORDERS")
    async with AsyncExitStack() as stack:

        async def joined(server: str, user: str) -> Client:
            return await stack.enter_async_context(client(system[server], creds(user)))

        orders, thief = await joined("n2", "orders"), await joined("n2", "thief")
        heard, stolen = await hear_all(orders), await hear_all(thief)
        await asyncio.gather(*(joined("n1", user) for user in 8 * ["orders", "thief"]))
        if layout == "tenants-published-nsc.sh":
            # What a second connection of the agent publishes in OPS.
            admin, out = await joined("n1", "admin"), await joined("n1", "publisher")

            async def pass_on(message: Msg) -> None:
                await out.publish(message.subject, message.data, headers=message.headers)

            await admin.subscribe("$INSIGHTS.>", cb=pass_on)
            await admin.request(USER_INFO)
        watch = await stack.enter_async_context(watching(system, agent, ops, more=more))
        await watch.until(lambda: watch.named("USER_002") == {"orders", "thief"})
        told = {m.data for m in watch.messages if json.loads(m.data).get("code") == "USER_002"}
        (own,) = (data for data in told if json.loads(data)["entity"]["name"] == "orders")

        async def received() -> bool:
            return own in {message.data for message in heard}

        await until(received)
        await watch.epochs(1)
        keys = {json.loads(message.data)["entity"]["account"] for message in heard}
        assert keys == {json.loads(own)["entity"]["account"]}
        assert stolen == []
        found = await ask(orders, "FINDINGS")
        assert {one["entity"]["account"] for one in found["findings"]} == keys
        assert (await ask(orders, "STATUS"))["verdict"] in ("warning", "unknown")
        with pytest.raises((nats.errors.NoRespondersError, nats.errors.TimeoutError)):
            await thief.request("INSIGHTS.API.FINDINGS", timeout=1)


async def ask(of: Client, name: str) -> dict[str, Any]:
    return dict(json.loads((await of.request(f"INSIGHTS.API.{name}", timeout=10)).data))
