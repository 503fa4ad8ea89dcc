"""Each endpoint is asked of real servers as it is declared."""

from __future__ import annotations

import nats
import pytest

from nats_insights.replies.endpoint import endpoints
from nats_insights.replies.unpack import ACCEPT, unpack

pytestmark = pytest.mark.live


async def test_servers_answer_every_endpoint_as_it_is_declared(start_cluster, version):
    system = start_cluster("n1", "n2", "n3", jetstream=True)
    user, password = system["n1"].user("root")
    client = await nats.connect(system["n1"].url, user=user, password=password)
    try:
        own = client._server_info["server_id"]
        for endpoint in endpoints().values():
            subject = endpoint.subject(own if endpoint.addressable else "PING")
            headers = ACCEPT if endpoint.packed else None
            message = await client.request(subject, endpoint.body, timeout=10, headers=headers)
            info, _ = endpoint.decode(unpack(message.data, message.headers))
            assert info.ver == version
            assert info.id == own or not endpoint.addressable
    finally:
        await client.close()
