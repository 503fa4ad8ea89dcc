"""The floor of the benchmark reads all that there is, and only that."""

from __future__ import annotations

import pytest

from bench.floor import floor
from nats_insights.lab.fleet.plant import plant
from nats_insights.lab.fleet.serve import serve
from nats_insights.lab.servers import local

pytestmark = pytest.mark.live


@pytest.mark.parametrize("gzip", [True, False])
@pytest.mark.parametrize(("servers", "connections", "limit"), [(40, 50, 8192), (2, 20_000, 4096)])
async def test_the_floor_reads_every_row_of_every_server(
    host: local.Server, servers: int, connections: int, limit: int, gzip: bool
) -> None:
    fleet = plant(servers, connections)
    user, password = host.user("root")
    async with serve(fleet, host.url, user=user, password=password) as service:
        held = {server.id: len(server.cids) for server in fleet.servers}
        cost = await floor(host.url, held, user=user, password=password, limit=limit, gzip=gzip)
    assert cost.rows == sum(held.values())
    assert cost.replies == service.load.replies["CONNZ"]
    assert (cost.wire_bytes < cost.json_bytes / 4) == gzip


async def test_the_floor_is_not_reached_with_a_wrong_password(host: local.Server) -> None:
    with pytest.raises(ConnectionError, match="ended the connection"):
        await floor(host.url, {}, user="root", password="wrong")
