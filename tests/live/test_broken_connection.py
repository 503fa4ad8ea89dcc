"""A connection that breaks in the middle is told in one sentence, wherever it breaks."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest

from kit.watching import KNOWN
from nats_insights.agent.epoch import epoch
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


async def test_a_query_says_so(broken):
    with pytest.raises(RequestError, match=r"the connection broke before INSIGHTS\.API\.STATUS"):
        await query(broken, "STATUS", StatusReply)
