"""Gives tests servers that can be cut off from one another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.chaos.apart import Apart, apart
from tests.chaos.network import Unavailable

from nats_insights.lab.servers import local
from nats_insights.lab.servers.crowd import Crowd

StartApart = Callable[..., Apart]
PeersAre = Callable[[local.Server, set[str]], Awaitable[None]]
_PATIENCE = 20.0


@pytest.fixture
def start_apart(binary: Path) -> Iterator[StartApart]:
    """`start_apart({"C1": ["n1", "n2"]})`: as `apart`, with servers of the version in turn.

    The test runs in the namespace of the hub from then on, until it ends. It is skipped where
    namespaces cannot be had.
    """
    with ExitStack() as running:

        def start(clusters: Mapping[str, Sequence[str]], **settings: Any) -> Apart:
            try:
                return running.enter_context(apart(clusters, binary=binary, **settings))
            except Unavailable as why:
                pytest.skip(str(why))

        yield start


@pytest.fixture
def peers_are(sys_request: Callable[..., Awaitable[Any]]) -> PeersAre:
    """`await peers_are(server, {"n2"})`: until the server has routes to these, and no others."""

    async def peers_are(server: local.Server, names: set[str]) -> None:
        found: set[str] = set()
        deadline = asyncio.get_running_loop().time() + _PATIENCE
        while asyncio.get_running_loop().time() < deadline:
            routes = (await sys_request(server, "ROUTEZ"))["data"].get("routes") or ()
            found = {route["remote_name"] for route in routes}
            if found == names:
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"{server.name} has routes to {found}, and not to {names}")

    return peers_are


@pytest.fixture
async def crowd() -> AsyncIterator[Crowd]:
    """Client connections that are closed at the end, also those of frozen servers."""
    async with Crowd() as crowd:
        yield crowd
