"""The checks about the agent itself, and about services, on real servers."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import nats
import pytest
from nats import micro
from nats.aio.client import __version__ as nats_version
from nats.micro.service import ServiceConfig

from kit.fleet.auditing import auditing, reconnect
from kit.watching import Watch, watching
from nats_insights.check import (
    INFO,
    STATZ,
    VARZ,
    Finding,
    Params,
    Server,
    check,
)
from nats_insights.checks.agent.agent_credential_expiry import agent_credential_expiry
from nats_insights.checks.agent.agent_dangerous_permissions import agent_dangerous_permissions
from nats_insights.checks.agent.check_failed import check_failed
from nats_insights.checks.agent.incomplete_coverage import incomplete_coverage
from nats_insights.checks.cluster.gateway_mismatch import gateway_mismatch
from nats_insights.checks.service.service_down import service_down
from nats_insights.checks.service.service_version_mismatch import service_version_mismatch
from nats_insights.connection.contexts import Settings
from nats_insights.lab.demo.stage import login
from nats_insights.lab.fleet.misbehave import Misbehaviour
from nats_insights.lab.fleet.plant import plant
from nats_insights.lab.servers import local
from nats_insights.lab.servers.jwts import Operator
from nats_insights.replies.endpoint import endpoints
from nats_insights.subjects import server_request
from nats_insights.tell.permissions import claims

pytestmark = [pytest.mark.live, pytest.mark.long]

HOUR = 3600
# A life of an hour counts as a long one.
ANY_LIFE = "checks.agent_credential_expiry.lifetime_days = 0\n"


@check("TEST_911", INFO, "health", needs=(VARZ,))
def raises_alone(server: Server, params: Params) -> Finding | None:
    """A server has so few clients that this raises.

    Finds: nothing at all, but raises an error while a server has fewer than three clients.

    Why: it is a test.

    Do: nothing.
    """
    assert server.varz.connections > 2
    return None


@check("TEST_912", INFO, "health", needs=(STATZ,))
def reads_accounts(server: Server, params: Params) -> Finding | None:
    """A server tells of its accounts.

    Finds: nothing at all, but cannot be judged without the account statistics of the servers.

    Why: it is a test.

    Do: nothing.
    """


async def test_an_agent_tells_of_its_own_login_until_it_is_right(
    start_server: Any, tmp_path: Path
) -> None:
    operator = Operator()
    system = operator.account("SYS")
    url = start_server("n1", authorization=operator.configuration(system))["n1"].url

    def settings(name: str, **told: Any) -> Settings:
        path = tmp_path / f"{name}.creds"
        path.write_text(system.user(name, **told).creds)
        return Settings(servers=(url,), creds=str(path))

    right = json.loads(claims(endpoints().values()))
    wrong = {**right, "pub": {"allow": [">"], "deny": [STATZ.subject()]}}
    agent = settings("agent", exp=int(time.time()) + HOUR, **wrong)
    root = settings("root")
    known = (agent_credential_expiry, agent_dangerous_permissions, incomplete_coverage)
    checks = [*known, reads_accounts]
    async with watching(None, agent, root, more=ANY_LIFE, checks=checks) as watch:  # type: ignore[arg-type]
        own = watch.agent.id
        await watch.until(lambda: len(watch.open) == 3)
        told = {code: said for (code, _), said in watch.open.items()}
        assert told["AGENT_004"].summary.startswith(f"the user JWT in creds file {agent.creds} ")
        assert told["AGENT_004"].severity == "critical"
        assert told["AGENT_005"].evidence["requests"] == [
            *("KICK", "LDM", "RELOAD", "META.LEADER.STEPDOWN", "SERVER.REMOVE", "ACCOUNT.PURGE"),
            *("CLAIMS.UPDATE", "CLAIMS.DELETE"),
        ]
        assert told["AGENT_003"].evidence["not_permitted"] == ["STATZ"]
        assert told["AGENT_003"].evidence["checks"] == ["reads_accounts"]
        settings("agent", **right)  # The file is renewed, and read in the next epoch.
        await watch.until(lambda: not watch.named("AGENT_004"))
        assert watch.named("AGENT_003") == watch.named("AGENT_005") == {own}
        await _kick(watch.client)
        await watch.until(lambda: not watch.open)
        await watch.epochs(3)
        assert not watch.open


async def _kick(root: Any) -> None:
    """Close the connection of the agent, which logs in again."""
    subject = server_request("CONNZ", root.server_id)
    rows = json.loads((await root.request(subject)).data)["data"]["connections"]
    (cid,) = (row["cid"] for row in rows if row["name"] == "nats-insights-agent")
    kick = server_request("KICK", root.server_id)
    await root.request(kick, json.dumps({"cid": cid}).encode())


@pytest.mark.parametrize(("user", "dangers"), [("agent", 0), ("root", 6)])
async def test_a_user_that_only_reads_and_one_without_any_list_are_quiet(
    start_server: Any, user: str, dangers: int
) -> None:
    system = start_server("n1")
    checks = [agent_credential_expiry, agent_dangerous_permissions, incomplete_coverage]
    own = login(system, user, "n1")
    async with watching(system, own, "n1", checks=[*checks, reads_accounts]) as watch:
        await watch.epochs(3)
        assert watch.story == []
        assert len(watch.agent.auditor.dangers) == dangers


async def test_a_cluster_with_another_system_account_is_found_until_it_has_the_same(
    start_system: Any,
) -> None:
    system = start_system({"EU": ("e1", "e2"), "US": ("u1",)}, accounts={"BIG": ("big",)})
    system["u1"].options = "system_account: BIG"
    system["u1"].restart(settle=False)
    checks = [incomplete_coverage, gateway_mismatch]
    more = 'gather.every = { GATEWAYZ = "0s" }\n'
    async with watching(system, "e1", "e2", more=more, checks=checks) as watch:
        await watch.until(lambda: watch.named("AGENT_003"))
        (said,) = (one for one in watch.open.values() if one.code == "AGENT_003")
        assert said.evidence["unknown_clusters"] == ["US"]
        system["u1"].options = ""
        system["u1"].restart(settle=False)
        await watch.until(lambda: not watch.named("AGENT_003"))


async def test_a_check_that_raises_is_named_until_it_no_longer_does(start_server: Any) -> None:
    system = start_server("n1")
    async with watching(system, listen="n1", checks=[check_failed, raises_alone]) as watch:
        await watch.until(lambda: watch.open)
        (said,) = watch.open.values()
        assert said.code == "AGENT_006"
        assert list(said.evidence["places"]) == ["raises_alone"]
        assert said.evidence["places"]["raises_alone"].startswith("AssertionError at ")
        user, password = system.user("app")
        client = await nats.connect(system["n1"].url, user=user, password=password)
        await watch.until(lambda: not watch.open)
        await client.close()


@pytest.fixture
def host() -> Iterator[local.Server]:
    """A real server for simulated ones: no real server omits just one of its replies."""
    with local.server("host") as system:
        yield system["host"]


async def test_a_reply_that_never_comes_is_found_in_a_simulated_fleet(host: local.Server) -> None:
    fleet = plant(4, 5, clusters=1)
    checks = [incomplete_coverage, reads_accounts]
    async with auditing(fleet, host, checks=checks) as watch:
        assert await watch.epochs(2) == []
        silent = fleet.servers[0]
        watch.wait(0.3)
        watch.service.misbehave([silent], Misbehaviour(hung=True, endpoints=frozenset({"STATZ"})))
        assert await watch.epochs(3) == []
        ((transition, (code, _)),) = await watch.epochs(1)
        assert (transition, code) == ("opened", "AGENT_003")
        (life,) = watch.auditor.lives.values()
        assert (
            life.summary
            == f"the agent does not see all (1): STATZ does not come from {silent.name}"
        )
        watch.service.misbehave([silent])
        assert await watch.epochs(2) == []
        assert [told for told, _ in await watch.epochs(1)] == ["resolved"]


# Services are read in each epoch, and what they find is told at once.
SERVICES = """
gather.every = { CONNZ_SERVICES = "0s" }
checks.service_down = { within = "300ms", known_for = "200ms" }
checks.service_version_mismatch.open_after = 2
"""


@asynccontextmanager
async def instance(
    system: local.System, *servers: str, name: str = "orders", version: str = nats_version
) -> AsyncIterator[None]:
    """A service of account APP on the first of these servers that takes it.

    Its client says that it is of this version.
    """
    user, password = system.user("app")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nats.aio.client.__version__", version)
        client = await nats.connect(
            [system[server].url for server in servers],
            user=user,
            password=password,
            dont_randomize=True,
            reconnect_time_wait=0.05,
            max_reconnect_attempts=-1,
        )
    try:
        await micro.add_service(client, ServiceConfig(name=name, version="1.0.0"))
        await client.flush()
        yield
    finally:
        await client.close()


def on(watch: Watch) -> dict[str, list[str]]:
    """The servers on which the agent knows instances of each service."""
    services = watch.agent.auditor.services.seen
    return {" ".join(names): seen.servers for names, seen in services.items()}


async def test_services_on_a_cluster_with_a_leaf_node(start_system: Any) -> None:
    system = start_system({"C1": ("n1", "n2")}, leaves={"l1": "n1"})
    checks = [service_down, service_version_mismatch]
    async with (
        instance(system, "n2"),
        watching(system, more=SERVICES, checks=checks) as watch,
        AsyncExitStack() as others,
    ):
        await others.enter_async_context(instance(system, "n1"))
        await others.enter_async_context(instance(system, "l1"))
        await others.enter_async_context(instance(system, "l1", name="alone"))
        # The agent is a service, too, which is not reported; nor does the leaf node count twice.
        await watch.until(
            lambda: on(watch) == {"APP orders": ["l1", "n1", "n2"], "APP alone": ["l1"]}
        )
        assert watch.agent.auditor.services.seen["APP", "orders"].instances == 3
        await watch.epochs(6)
        assert watch.story == []
        await others.aclose()  # Two of three end, and the only one.
        await watch.until(lambda: watch.open)
        assert watch.story == [("opened", "SERVICE_002", "alone")]
        said = watch.open["SERVICE_002", "alone"]
        assert (said.entity.kind, said.entity.account) == ("service", "APP")
        assert said.evidence == {"instances_before": 1, "servers_before": ["l1"]}
        async with instance(system, "n2", name="alone"):
            await watch.until(lambda: not watch.open)
            async with instance(system, "n1", version="9.9.9"):
                await watch.until(lambda: watch.open)
                said = watch.open["SERVICE_001", "orders"]
                libraries = dict(said.evidence["libraries"]["top"])
                assert libraries == {"python3 9.9.9": 1, f"python3 {nats_version}": 1}
            await watch.until(lambda: not watch.open)
        assert len(watch.story) == 4


async def test_of_accounts_in_which_nothing_moves_no_services_are_read_again(
    host: local.Server,
) -> None:
    # A simulated fleet, as large as none on one machine.
    fleet = plant(60, 30, clusters=6)
    checks = [service_down, service_version_mismatch]
    async with auditing(fleet, host, config=SERVICES, checks=checks) as watch:
        requests = []
        for number in range(5):
            if number == 4:
                reconnect(fleet, fleet.servers[:1])
            await watch.epochs()
            asked = watch.cost.endpoints.get("CONNZ_SERVICES")
            requests.append(asked.requests if asked else 0)
        used = {
            server.name: [one.acc for one in server.reply(STATZ).account_statz if one.total_conns]
            for server in watch.auditor.snapshot.servers.values()
        }
        pairs = {name: len({*accounts} - {watch.account}) for name, accounts in used.items()}
        assert 512 < sum(pairs.values()) < 768
        moved = pairs[fleet.servers[0].name]
        assert requests == [256, 256, sum(pairs.values()) - 512, 0, moved]
        assert watch.auditor.outcomes["SERVICE_002"].why == ""


async def test_a_service_whose_server_hangs_or_restarts_is_not_down(start_cluster: Any) -> None:
    system = start_cluster("n1", "n2", "n3")
    more = SERVICES.replace("300ms", "1s") + 'gather.timeout = "200ms"\n'
    checks = [service_down, service_version_mismatch]
    async with (
        instance(system, "n2", "n3"),
        watching(system, listen="n1", more=more, checks=checks) as watch,
    ):
        await watch.until(lambda: on(watch) == {"APP orders": ["n2"]})
        await watch.epochs(4)
        system["n2"].freeze()
        await watch.until(lambda: watch.named("SERVER_901") == {"n2"})
        await watch.epochs(6)
        system["n2"].thaw()
        await watch.until(lambda: not watch.open)
        await asyncio.to_thread(system["n2"].restart)
        await watch.until(lambda: on(watch) == {"APP orders": ["n3"]})
        assert {code for _, code, _ in watch.story} == {"SERVER_901"}
