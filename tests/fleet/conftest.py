"""A real server for simulated ones to answer on, and a client that asks all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import nats
import pytest

from kit.fleet.asker import SERVERS, Asker, login
from nats_insights.lab.fleet.plant import plant
from nats_insights.lab.fleet.serve import Service, serve
from nats_insights.lab.servers import local


@pytest.fixture(scope="module")
def host() -> Iterator[local.Server]:
    """A real server that lets large replies pass."""
    with local.server("host", options="max_payload: 64MB") as system:
        yield system["host"]


@pytest.fixture
async def asker(host: local.Server) -> AsyncIterator[Asker]:
    client = await nats.connect(host.url, **login(host))
    yield Asker(client)
    await client.close()


@pytest.fixture
async def service(host: local.Server) -> AsyncIterator[Service]:
    """Simulated servers in two clusters, behaving well."""
    async with serve(plant(SERVERS, 30, clusters=2), host.url, **login(host)) as service:
        yield service
