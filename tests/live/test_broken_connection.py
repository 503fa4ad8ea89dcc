"""A connection that breaks in the middle is told in one sentence, wherever it breaks."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest

from kit.watching import KNOWN
from nats_insights.agent.epoch import epoch
from nats_insights.check import INFO, VARZ, Finding, Server, check
from nats_insights.commands.ask import query
from nats_insights.config import parse
from nats_insights.connection.client import Client
from nats_insights.connection.connect import connect
from nats_insights.errors import ConnectError, RequestError
from nats_insights.gather.small import Gatherer
from nats_insights.gather.window import Window
from nats_insights.judge.auditor import Auditor
from nats_insights.lab.demo.stage import login
from nats_insights.lab.servers import local
from nats_insights.tell.messages import StatusReply

pytestmark = pytest.mark.live


@pytest.fixture
async def broken() -> AsyncIterator[Client]:
    """A connection whose server was killed under it."""
    with local.server("n1") as system:
        client = await connect(login(system, "agent", "n1"), name="broken")
        system["n1"].kill()
        await client.closed.wait()
        yield client
        await client.close()


async def test_an_epoch_says_so_and_changes_nothing(broken):
    auditor = Auditor(KNOWN, parse(""))
    with pytest.raises(ConnectError, match="the connection broke during the epoch"):
        await epoch(auditor, Gatherer(broken, 0.1, Window(2**20)), time.time())
    assert (auditor.lives, len(auditor.roster)) == ({}, 0)


@check("TEST_001", INFO, "health", needs=(VARZ,))
def anything(server: Server) -> Finding | None:
    """A server is there.

    Finds: it. Why: it matters. Do: nothing.
    """
    return Finding(summary="there")


async def test_what_was_judged_and_could_not_be_published_did_not_happen(monkeypatch):
    with local.server("n1") as system:
        client = await connect(login(system, "agent", "n1"), name="breaks")
        auditor = Auditor([anything], parse(""))
        gatherer = Gatherer(client, 5.0, Window(2**20))
        judged = []

        async def breaks(told, *_):
            judged.extend(told)
            system["n1"].kill()
            await client.closed.wait()
            return {}

        try:
            monkeypatch.setattr("nats_insights.agent.epoch.name_clients", breaks)
            with pytest.raises(ConnectError, match="the connection broke during the epoch"):
                await epoch(auditor, gatherer, time.time())
        finally:
            await client.close()
        assert [one.transition for one in judged] == ["opened"]
        assert (auditor.lives, list(auditor.transitions)) == ({}, [])


async def test_a_query_says_so(broken):
    with pytest.raises(RequestError, match=r"the connection broke before INSIGHTS\.API\.STATUS"):
        await query(broken, "STATUS", StatusReply)
