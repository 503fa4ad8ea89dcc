"""What no module foresaw: it ends one epoch, never the agent, and it is told."""

from __future__ import annotations

import json
import re

import nats
import pytest

from kit.watching import watching
from nats_insights.commands.ask import ask
from nats_insights.gather.small import Gatherer
from nats_insights.lab.demo.stage import login
from nats_insights.subjects import server_request
from nats_insights.tell.messages import StatusReply

pytestmark = pytest.mark.live


async def test_an_error_in_the_program_ends_one_epoch_and_is_told(
    start_cluster, crowd, monkeypatch, caplog
):
    system = start_cluster("n1", "n2", options={"n2": "max_connections: 30"})
    user, password = system.user("app")
    await crowd.join(system["n2"].url, 26, user=user, password=password)
    status = (login(system, "ops", "n2"), "STATUS", StatusReply)
    async with watching(system) as watch:
        await watch.until(lambda: len(watch.open) == 2)  # The server is a hotspot, too.
        told, well = watch.story[:], Gatherer.small

        async def failing(*args: object) -> None:
            raise ZeroDivisionError("nobody foresaw this")

        monkeypatch.setattr(Gatherer, "small", failing)
        await watch.until(lambda: watch.named("AGENT_008"))
        await watch.epochs(3)
        beat = watch.heartbeats[-1]
        assert (beat.verdict, beat.coverage.servers_answered) == ("unknown", 0)
        reply = await ask(*status)
        assert reply.epoch.failed > 3
        place = r"ZeroDivisionError at test_failing_epochs.py:\d+"
        assert re.fullmatch(place, reply.epoch.last_failure)
        assert {
            re.fullmatch(f"the epoch failed: {place}", one.why) is not None
            for one in reply.not_evaluated
        } == {True}
        monkeypatch.setattr(Gatherer, "small", well)
        await watch.until(lambda: not watch.named("AGENT_008"))
        assert watch.heartbeats[-1].coverage.servers_answered == 2
        news = [what for what in watch.story[len(told) :] if what[1] != "AGENT_008"]
        assert news == []
    logged = [one.getMessage() for one in caplog.records if "failed" in one.getMessage()]
    assert len([line for line in logged if line.startswith("epoch")]) == 1
    assert not [one for one in caplog.records if one.exc_info and one.levelname != "DEBUG"]


ABSURD = [
    {"subscriptions": 2**62},
    {"subscriptions": -1},
    {"cid": 2**64},
    {"cid": -(2**63)},
]


@pytest.mark.parametrize("figures", ABSURD, ids=map(str, ABSURD))
async def test_absurd_numbers_of_one_server_neither_end_the_agent_nor_open_anything(
    start_cluster, figures
):
    system = start_cluster("n1", "n2")
    user, password = system.user("root")
    liar = await nats.connect(system["n2"].url, user=user, password=password, allow_reconnect=False)
    server = {"name": "n9", "id": "N9", "cluster": "C1", "ver": "2.15.1"}
    varz = {"connections": 2, "total_connections": 2, "subscriptions": 9, "max_connections": -1}
    varz |= {"system_account": "SYS", "start": "2026-01-01T00:00:00Z"}
    row = {"kind": "Client", "account": "APP", "authorized_user": "app"}
    replies = {
        "VARZ": varz,
        # One is left out, so that its numbers are read, too.
        "CONNZ": {"total": 3, "connections": [{"cid": cid} | row | figures for cid in (1, 2)]},
        "ROUTEZ": {"routes": []},
        "LEAFZ": {"leafs": []},
        "STATZ": {"account_statz": []},
    }

    def answering(data: object):
        async def answer(message) -> None:
            await message.respond(json.dumps({"server": server, "data": data}).encode())

        return answer

    for endpoint, data in replies.items():
        for subject in {server_request(endpoint, whom) for whom in ("PING", "N9")}:
            await liar.subscribe(subject, cb=answering(data))
    await liar.flush()
    more = 'gather.timeout = "200ms"\ngather.sweep = "all"\n'
    try:
        async with watching(system, more=more) as watch:
            await watch.until(lambda: watch.heartbeats[-1].coverage.servers_known == 3)
            await watch.epochs(3)
            assert not watch.running.done()
            assert watch.agent.auditor.failed == 0
            assert watch.heartbeats[-1].cost.malformed > 0
            assert {code for _, code, _ in watch.story} <= {"SERVER_901"}
    finally:
        await liar.close()
