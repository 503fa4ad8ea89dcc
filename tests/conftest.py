"""Gives tests real servers of the selected versions, and a way to ask them for the truth.

A test is `live` if it says so, or takes a fixture in REAL; all others are `pure`, and a server that
one of them starts is refused.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import nats
import pytest

from kit import servers
from nats_insights.lab.servers import local

Start = Callable[..., local.System]
SysRequest = Callable[..., Awaitable[dict[str, Any]]]

# Fixtures that wait for something outside this process: servers of the version in turn, peers on
# the wire, and a wheel that is built.
REAL = {"binary", "listen", "image"}
# Seconds for what must come.
_PATIENCE = 20.0

try:
    import uvloop

    _new_event_loop = uvloop.new_event_loop
except ImportError:
    _new_event_loop = asyncio.new_event_loop


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Tests run on the event loop that the agent runs on."""
    return {"loop": _new_event_loop}


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Spreads the whole suite over two processes to a core: most tests mostly wait.

    Chosen files run in one process, and so does the suite with `-n 0`, `-m chaos`,
    `--cov` or `--pdb`.
    """
    option = config.option
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS and option.markexpr != "chaos"
    worker = hasattr(config, "workerinput")
    # pytest-cov has looked at the number of processes before.
    alone = option.usepdb or option.cov_source
    if whole and not worker and option.numprocesses is None and not alone:
        option.numprocesses = min(2 * (os.cpu_count() or 1), 8)
        option.dist = "loadfile"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks every test that is neither `live` nor `chaos` as `pure`."""
    for item in items:
        if REAL.intersection(getattr(item, "fixturenames", ())):
            item.add_marker("live")
        if not any(item.iter_markers("live")) and not any(item.iter_markers("chaos")):
            item.add_marker("pure")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    _running_a_pure_test.set(item.get_closest_marker("pure") is not None)


def _refuse_servers(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook: no nats-server may be started by a pure test."""
    if event == "subprocess.Popen" and _running_a_pure_test.get():
        _, command, *_ = arguments
        if any(Path(os.fsdecode(word)).name == "nats-server" for word in command):
            raise RuntimeError("a pure test starts a nats-server: mark it as live")


_running_a_pure_test = ContextVar("running a pure test", default=False)
sys.addaudithook(_refuse_servers)


@pytest.fixture(scope="session", autouse=True)
def interrupts() -> Iterator[None]:
    """What tests start can be interrupted: a job in the background ignores SIGINT, and so would
    its children."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session", params=servers.selected_versions())
def version(request: pytest.FixtureRequest) -> str:
    """Each selected version of nats-server in turn."""
    return str(request.param)


@pytest.fixture(scope="session")
def binary(version: str) -> Path:
    """The nats-server of the version in turn."""
    return servers.binary(version)


@pytest.fixture(scope="session")
def _cluster_of_three(binary: Path) -> Iterator[local.System]:
    with local.cluster("n1", "n2", "n3", binary=binary) as system:
        yield system


@pytest.fixture
async def shared_cluster(_cluster_of_three: local.System) -> AsyncIterator[local.System]:
    """Servers n1, n2 and n3 of that version, which other tests use too: all clients must leave."""
    yield _cluster_of_three
    await _all_left(_cluster_of_three)


@pytest.fixture
def start(binary: Path) -> Iterator[Start]:
    """`start(local.cluster, "n1", "n2")` runs servers of that version until the test ends."""
    with ExitStack() as running:

        def start(make: Callable[..., Any], *args: Any, **settings: Any) -> local.System:
            settings.setdefault("binary", binary)
            return running.enter_context(make(*args, **settings))

        yield start


@pytest.fixture
def start_cluster(start: Start) -> Start:
    """`start_cluster("n1", "n2", "n3")`: as `local.cluster`, until the test ends."""
    return functools.partial(start, local.cluster)


@pytest.fixture
def start_system(start: Start) -> Start:
    """`start_system({"EAST": ["e1"], "WEST": ["w1"]})`: as `local.system`, until the test ends."""
    return functools.partial(start, local.system)


@pytest.fixture
def start_server(start: Start) -> Start:
    """`start_server("n1")`: as `local.server`, until the test ends."""
    return functools.partial(start, local.server)


@pytest.fixture
def sys_request() -> SysRequest:
    """`await sys_request(server, "CONNZ", {"auth": True})`: what this server says, asked as root.

    A subject that begins with `$` is taken as it stands; the first reply to it is returned.
    """
    return _sys_request


async def _sys_request(server: local.Server, subject: str, body: object = None) -> Any:
    user, password = server.user("root")
    client = await nats.connect(
        server.url, user=user, password=password, allow_reconnect=False, max_reconnect_attempts=1
    )
    try:
        if not subject.startswith("$"):
            subject = f"$SYS.REQ.SERVER.{client._server_info['server_id']}.{subject}"
        reply = await client.request(subject, json.dumps(body or {}).encode(), timeout=10)
        return json.loads(reply.data)
    finally:
        await client.close()


async def _all_left(system: local.System) -> None:
    """Until no server of a system has a client but the one that asks."""
    for server in system:
        deadline = asyncio.get_running_loop().time() + _PATIENCE
        while (clients := (await _sys_request(server, "VARZ"))["data"]["connections"] - 1) > 0:
            assert asyncio.get_running_loop().time() < deadline, f"{server.name} has {clients}"
            await asyncio.sleep(0.02)
