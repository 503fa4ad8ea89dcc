"""Every way of docs/connecting.md, as it is shown: the agent logs in, and misses nothing."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import nats.errors
import pytest

from kit.certificates import make
from kit.programs import EXAMPLES, connected
from kit.watching import PATIENCE, Watch, watching
from nats_insights import checks, config
from nats_insights.__main__ import parser
from nats_insights.agent.loop import Agent
from nats_insights.connection import contexts
from nats_insights.connection.connect import connect
from nats_insights.connection.contexts import Settings
from nats_insights.errors import ConnectError
from nats_insights.judge.declare import discover
from nats_insights.lab.servers import conf, local
from nats_insights.lab.servers.crowd import Crowd
from nats_insights.lab.servers.jwts import Key, Operator
from nats_insights.replies.endpoint import endpoints
from nats_insights.tell.permissions import claims
from nats_insights.tell.view import View, not_evaluated

pytestmark = pytest.mark.live

# What servers answer a user of an ordinary account, and how many of three do: all, or those with a
# connection of the account.
ANSWERED = {
    "$SYS.REQ.ACCOUNT.PING.CONNZ": 3,
    "$SYS.REQ.SERVER.PING.CONNZ": 3,
    "$SYS.REQ.ACCOUNT.PING.STATZ": 1,
}
NOT_ANSWERED = (
    *("SERVER.PING.VARZ", "SERVER.PING.STATSZ", "SERVER.PING", "ACCOUNT.PING.SUBSZ"),
    *("ACCOUNT.PING.JSZ", "ACCOUNT.PING.INFO", "ACCOUNT.APP.CONNZ", "ACCOUNT.APP.STATZ"),
)


async def test_an_ordinary_account_is_answered_by_all_servers_at_once_and_by_none_alone(
    shared_cluster,
):
    server = shared_cluster["n1"]
    async with connected(server, server.user("app")) as client:
        own = client._server_info["server_id"]
        for subject, servers in ANSWERED.items():
            heard = await client.subscribe(inbox := client.new_inbox())
            await client.publish(subject, reply=inbox)
            replies = [await heard.next_msg(timeout=10) for _ in range(servers)]
            names = {json.loads(reply.data)["server"]["name"] for reply in replies}
            assert len(names) == servers, subject
        for subject in (*NOT_ANSWERED, f"SERVER.{own}.CONNZ", f"SERVER.{own}.VARZ"):
            with pytest.raises(nats.errors.NoRespondersError):
                await client.request(f"$SYS.REQ.{subject}", timeout=10)


PAGE = (Path(__file__).parents[2] / "docs" / "connecting.md").read_text()
PERMISSIONS = (EXAMPLES / "servers" / "agent-permissions.conf").read_text()
QUICK = 'interval = "100ms"\ngather.max_cpu = 1.0\nlifecycle.settle = "0s"\n'
PASSWORD = "s3cret"
ALONE = (
    "A user and a password",
    "An nkey",
    "A creds file",
    "A client certificate",
    "A client certificate that is the user",
    "TLS first",
)
TOGETHER = ("Through a leaf node", "A super-cluster")
# Prints how it was called.
STUB = """#!{python}
import json, os, sys
print(json.dumps([sys.argv[1:], dict(os.environ)]))
"""


def blocks(heading: str, kind: str = "") -> list[str]:
    """What is shown below a heading: configuration of servers, or commands for a shell."""
    section = PAGE.partition(f"\n### {heading}\n")[2].partition("\n##")[0]
    found = re.findall(r"^```(\w*)\n(.*?)^```$", section, re.M | re.S)
    return [text for its, text in found if its == kind]


def test_every_way_that_is_shown_is_gone():
    section = PAGE.partition("## Each way\n")[2].partition("\n## ")[0]
    assert re.findall("^### (.*)$", section, re.M) == [*ALONE, *TOGETHER]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the commands are run, with all files that they name."""
    make(tmp_path)
    for kind in ("pem", "key"):
        (tmp_path / f"client.{kind}").rename(tmp_path / f"agent.{kind}")
    stub = tmp_path / "nats-insights"
    stub.write_text(STUB.format(python=sys.executable))
    stub.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def operated(home: Path) -> str:
    """The configuration of a server in operator mode; the files of the agent's user are made."""
    operator = Operator()
    system = operator.account("SYS")
    user = system.user("agent", **json.loads(claims(endpoints().values())))
    (home / "agent.creds").write_text(user.creds)
    (home / "agent.jwt").write_text(user.jwt)
    (home / "agent.nk").write_text(user.key.seed)
    return operator.configuration(system)


def configured(heading: str, home: Path) -> str:
    """The configuration of a server that is shown for a way; the files of the agent are made."""
    shown = blocks(heading)
    users = [text for text in shown if text.startswith("{")] or blocks("A user and a password")
    tls = [text for text in shown if text.startswith("tls")]
    key = Key("user")
    (home / "agent.nk").write_text(key.seed)
    accounts = f"accounts {{ SYS: {{ users: [ {users[0]} ] }} }}\nsystem_account: SYS\n"
    text = "".join([*tls, accounts])
    text = re.sub(r'"(\w+\.(?:pem|key))"', rf'"{home}/\1"', text)
    text = text.replace("$AGENT_PASSWORD", f'"{PASSWORD}"').replace("UPUBLICKEY", key.public)
    return text.replace('include "agent-permissions.conf"', PERMISSIONS)


def called(command: str, home: Path) -> Settings:
    """How the agent connects that a shell starts by this command."""
    done = subprocess.run(
        ["sh", "-ec", command],
        env={"PATH": f"{home}:/usr/bin:/bin", "HOME": str(home)},
        capture_output=True,
        text=True,
        check=True,
    )
    words, variables = json.loads(done.stdout)
    return contexts.settings(vars(parser().parse_args(words)), variables)


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[View]:
    """What an agent with all default checks sees after three epochs."""
    agent, passed = Agent(discover(checks), config.parse(QUICK)), asyncio.Event()

    def after_epoch() -> None:
        if agent.auditor.number >= 3:
            passed.set()

    agent.after_epoch = after_epoch
    task = asyncio.create_task(agent.run(settings))
    task.add_done_callback(lambda _: passed.set())
    try:
        await asyncio.wait_for(passed.wait(), PATIENCE)
        assert not task.done(), task
        assert agent.answers.view is not None
        yield agent.answers.view
    finally:
        task.cancel()
        await asyncio.wait([task])


def complete(view: View) -> bool:
    """Whether every server has answered, and every check could be judged."""
    return view.coverage.complete and not not_evaluated(view)


COMMANDS = [(way, command) for way in ALONE for command in blocks(way, "sh")]


@pytest.mark.parametrize(("way", "command"), COMMANDS, ids=[way for way, _ in COMMANDS])
async def test_the_agent_reads_whole_epochs(way, command, home, start_server, caplog):
    caplog.set_level(logging.INFO, "nats_insights")
    text = operated(home) if way == "A creds file" else configured(way, home)
    server = start_server("n1", authorization=text)["n1"]
    shown = command.replace("n1.example.com", f"localhost:{server.port}")
    assert shown != command
    settings = called(shown, home)
    async with running(settings) as view:
        assert complete(view)
        assert [entry.name for entry in view.servers] == ["n1"]
        assert view.access.mode == "system"
    assert "permission" not in caplog.text
    assert "Violation" not in server.log.read_text()


@pytest.mark.parametrize("way", [way for way in ALONE if "--tls" in "".join(blocks(way, "sh"))])
async def test_without_its_files_the_agent_is_refused(way, home, start_server):
    server = start_server("n1", authorization=configured(way, home))["n1"]
    (command,) = blocks(way, "sh")
    shown = command.replace("n1.example.com", f"localhost:{server.port}").replace("\\\n", "")
    less = re.sub(r"--tlscert \S+ --tlskey \S+|--tlsfirst", "", shown)
    assert less != shown
    with pytest.raises(ConnectError):
        await connect(called(less, home), name="test", timeout=1)


# --- Several servers.


@pytest.fixture(scope="module")
def hub(binary: Path) -> Iterator[local.System]:
    """Two servers that listen for leaf nodes."""
    listen = f"leafnodes {{ listen: '{conf.LOOPBACK}:-1' }}"
    with local.cluster("n1", "n2", options=listen, binary=binary) as system:
        yield system


async def joined(hub: local.System, account: str, user: str, sys_request) -> str:
    """What the page shows for a leaf node that joins in an account, for this hub."""
    port = (await sys_request(hub["n1"], "VARZ"))["data"]["leaf"]["port"]
    (text,) = blocks("Through a leaf node")
    name, password = hub.user(user)
    text = text.replace("leaf:PASSWORD@hub.example.com:7422", f"{name}:{password}@127.0.0.1:{port}")
    return text.replace("account: SYS", f"account: {account}")


def seen(watch: Watch) -> list[str]:
    """The names of all servers that an agent knows, as often as it knows them."""
    view = watch.agent.answers.view
    return sorted(entry.name for entry in view.servers) if view else []


async def test_on_a_leaf_node_of_the_system_account_it_sees_all(hub, start_server, sys_request):
    leaf = start_server("l1", options=await joined(hub, "SYS", "root", sys_request))
    async with watching(leaf, "l1", hub_login(hub)) as watch:
        await watch.until(lambda: seen(watch) == ["l1", "n1", "n2"])
        await watch.epochs(2)
        assert watch.heartbeats[-1].coverage.servers_answered == 3
        assert watch.heartbeats[-1].checks_not_evaluated == 0
    async with watching(hub) as watch:
        await watch.until(lambda: seen(watch) == ["l1", "n1", "n2"])
        assert watch.heartbeats[-1].coverage.servers_answered == 3


def hub_login(hub: local.System) -> Settings:
    """A subscriber at the hub, on the other server than the leaf node."""
    user, password = hub.user("ops")
    return Settings(servers=(hub["n2"].url,), user=user, password=password)


async def test_on_a_leaf_node_of_other_accounts_it_sees_that_one_alone(
    hub, start_server, sys_request
):
    leaf = start_server("l1", options=await joined(hub, "APP", "app", sys_request))
    async with watching(leaf, "l1", "l1") as watch:
        await watch.epochs(3)
        assert seen(watch) == ["l1"]
        assert watch.heartbeats[-1].checks_not_evaluated == 0
    async with watching(hub) as watch:
        await watch.epochs(3)
        assert seen(watch) == ["n1", "n2"]


async def test_of_a_super_cluster_it_sees_each_server_and_connection_once(start_system):
    system = start_system({"EAST": ["e1", "e2"], "WEST": ["w1", "w2"]})
    (command,) = blocks("A super-cluster", "sh")
    urls = ",".join(system[name].url for name in ("e1", "w1"))
    settings = contexts.settings(
        vars(parser().parse_args(["run", "-s", urls])),
        dict(zip(("NATS_USER", "NATS_PASSWORD"), system.user("agent"), strict=True)),
    )
    assert "-s e1.example.com,w1.example.com" in command
    low = "checks.excessive_user_connections.max_connections = 4\n"
    async with Crowd() as crowd, watching(system, settings, "w2", more=low) as watch:
        user, password = system.user("app")
        for name in ("e1", "w1", "w2"):
            await crowd.join(system[name].url, 2, user=user, password=password)
        await watch.until(lambda: ("USER_002", "app") in watch.open)
        await watch.until(lambda: watch.open["USER_002", "app"].value == 6)
        assert seen(watch) == ["e1", "e2", "w1", "w2"]
        assert watch.heartbeats[-1].coverage.servers_answered == 4
        system["e1"].kill()
        await watch.until(lambda: watch.heartbeats[-1].coverage.missing == ["e1"])
        await watch.epochs(2)
        assert seen(watch) == ["e1", "e2", "w1", "w2"]
