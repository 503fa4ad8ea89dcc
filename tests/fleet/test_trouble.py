"""What keeps the simulator from working is told in one sentence, without secrets."""

from __future__ import annotations

import asyncio
import os
import sys

import nats
import pytest

from kit.fleet.asker import Asker, login
from nats_insights.errors import ConnectError
from nats_insights.lab.fleet.plant import plant
from nats_insights.lab.fleet.serve import serve
from nats_insights.lab.servers import local

pytestmark = pytest.mark.live


async def start(
    host: local.Server, *arguments: str, **variables: str
) -> asyncio.subprocess.Process:
    """`python -m nats_insights.lab fleet` with these arguments."""
    command = (sys.executable, "-m", "nats_insights.lab", "fleet", *arguments, "-s", host.url)
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        *command, stdout=pipe, stderr=pipe, env={**os.environ, **variables}
    )


async def test_a_wrong_password_is_refused_and_not_repeated(host: local.Server) -> None:
    with pytest.raises(ConnectError, match="Authorization Violation") as refused:
        async with serve(plant(1, 1), host.url, user="root", password="open-sesame"):
            pass
    assert "open-sesame" not in str(refused.value)


async def test_no_server_at_all_is_told_in_a_sentence() -> None:
    with pytest.raises(ConnectError, match=r"no connection to 127\.0\.0\.1:1: "):
        async with serve(plant(1, 1), "127.0.0.1:1", user="root", password=""):
            pass


async def ask_for_a_large_page(small: local.Server) -> None:
    client = await nats.connect(small.url, **login(small))
    try:
        async with serve(plant(1, 200), small.url, **login(small)) as service:
            await client.publish("$SYS.REQ.SERVER.PING.CONNZ", b"", reply=client.new_inbox())
            await service.ended.wait()
    finally:
        await client.close()


async def test_a_reply_over_max_payload_ends_in_a_sentence_that_says_what_to_do() -> None:
    refused = pytest.raises(ConnectError, match="over the server's max_payload of 16,384")
    with local.server("small", options="max_payload: 16KB") as system, refused:
        await ask_for_a_large_page(system["small"])


async def lose_the_server(host: local.Server) -> None:
    async with serve(plant(1, 1), host.url, **login(host)) as service:
        host.kill()
        await service.ended.wait()


async def test_a_lost_connection_is_told() -> None:
    with local.server() as system, pytest.raises(ConnectError, match="lost its connection"):
        await lose_the_server(system["n1"])


async def test_the_command_serves_until_it_is_told_to_end(host: local.Server, asker: Asker) -> None:
    password = login(host)["password"]
    process = await start(host, "20x10", "--clusters", "4", "--hung", "0.1", NATS_PASSWORD=password)
    assert process.stdout is not None
    ready = (await process.stdout.readline()).decode()
    size = await asker.control("SIZE")
    replies = await asker.gather("VARZ", count=19)
    process.terminate()
    _, errors = await process.communicate()
    assert ready == f"ready: 20 servers, {size['connections']} connections\n"
    assert (size["servers"], len(replies)) == (20, 19)
    assert (process.returncode, errors) == (0, b"")


async def test_the_command_says_what_is_wrong(host: local.Server) -> None:
    process = await start(host, "1x1", NATS_PASSWORD="open-sesame")
    output, errors = await process.communicate()
    assert (process.returncode, output) == (3, b"")
    assert errors.startswith(b"error: no connection to 127.0.0.1:")
    assert errors.count(b"\n") == 1
    assert b"open-sesame" not in errors


async def test_the_command_refuses_more_streams_than_it_can_hold(host: local.Server) -> None:
    process = await start(host, "1001x1", "--streams", "1000")
    _, errors = await process.communicate()
    assert process.returncode == 3
    assert errors == b"error: --streams: at most 1,000,000 on all servers together\n"
