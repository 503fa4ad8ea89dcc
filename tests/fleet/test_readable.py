"""The agent reads what simulated servers reply, from every endpoint that it may ask."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kit.fleet.asking import reply
from nats_insights.lab.fleet.model import Fleet, Server
from nats_insights.lab.fleet.plant import Faults, plant
from nats_insights.replies.endpoint import endpoints
from nats_insights.replies.raftz import RAFTZ


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    return plant(6, 40, clusters=2, streams=20, faults=Faults())


def read(fleet: Fleet, server: Server, endpoint: Any, body: object = None) -> Any:
    asked = endpoint.body if body is None else json.dumps(body).encode()
    answer = reply(fleet, server, endpoint.name, asked)
    assert answer is not None
    info, data = endpoint.decode(answer.plain())
    assert (info.id, info.name) == (server.id, server.name)
    return data


@pytest.mark.parametrize("endpoint", endpoints().values(), ids=repr)
def test_it_reads_every_reply(fleet: Fleet, endpoint: Any) -> None:
    for server in fleet.servers:
        read(fleet, server, endpoint)


def test_it_reads_of_every_stream_and_group(fleet: Fleet) -> None:
    jsz = endpoints()["JSZ_STREAMS"]
    server = fleet.servers[0]
    everything = dict.fromkeys(("accounts", "streams", "consumer", "config", "raft"), True)
    accounts = read(fleet, server, jsz, everything).account_details
    names = {stream.name for account in accounts for stream in account.stream_detail or ()}
    assert names == {stream.name for stream in server.streams}
    groups = read(fleet, server, RAFTZ, {"account": server.streams[0].account})
    assert server.streams[0].group in str(groups)
