"""A subscriber in thirty lines, in an ordinary account, on another server than the agent."""

from __future__ import annotations

import pytest

from kit.programs import EXAMPLES, line, until

pytestmark = pytest.mark.live


async def test_it_prints_what_opens_and_what_resolves(
    start_cluster, sys_request, run, run_agent, crowd
):
    system = start_cluster("n1", "n2", "n3")
    await run_agent(system["n1"], system.user("agent"))
    subscriber = await run(system["n3"], system.user("ops"), EXAMPLES / "subscribe.py")
    await until(lambda: subscriptions(sys_request, system["n3"]))
    user, password = system.user("app")
    members = await crowd.join(system["n2"].url, 12, user=user, password=password)
    opened = await line(subscriber, "opened", "OPT_BALANCE_002")
    assert opened.startswith("opened info OPT_BALANCE_002 n2 holds 12 connections, ")
    await crowd.leave(members)
    resolved = await line(subscriber, "resolved", "OPT_BALANCE_002")
    assert resolved.startswith("resolved info OPT_BALANCE_002 ")


def test_it_is_thirty_lines():
    assert len((EXAMPLES / "subscribe.py").read_text().splitlines()) <= 30


async def subscriptions(sys_request, server) -> int:
    """Those of the clients of OPS on this server."""
    reply = await sys_request(server, "CONNZ", {"acc": "OPS"})
    return sum(row["subscriptions"] for row in reply["data"]["connections"])
