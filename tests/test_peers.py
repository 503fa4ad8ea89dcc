"""What an agent makes of the heartbeats of others."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from nats.aio.msg import Msg

from nats_insights import subjects
from nats_insights.agent.peers import Peers
from nats_insights.facts import Cost, Coverage
from nats_insights.tell.messages import AgentInfo, Heartbeat, OpenCounts

NOW = datetime(2027, 1, 15, 12, tzinfo=UTC)


def beat(
    epoch: int, seconds: float, *, role: str = "leader", patience: float = 3600.0, of: str = "other"
) -> Heartbeat:
    """A heartbeat of instance `of`, so many seconds after noon."""
    return Heartbeat(
        id=32 * "0",
        timestamp=NOW + timedelta(seconds=seconds),
        agent=AgentInfo(id=of, instance=of, version="1", epoch=epoch, role=role),
        coverage=Coverage(servers_known=1, servers_answered=1, missing=[]),
        interval_seconds=30.0,
        silent_after_seconds=patience,
        leading_since=NOW,
        open=OpenCounts(),
        cost=Cost(),
    )


async def after(*beats: Heartbeat) -> Heartbeat | None:
    """Who leads for an agent that heard these, one after another."""
    peers = Peers("own")
    for one in beats:
        subject = subjects.heartbeat(one.agent.id)
        await peers.hear(Msg(_client=None, subject=subject, data=msgspec.json.encode(one)))
    return peers.leader()


LATER = beat(18, 60)
HEARD = {
    "one that leads": ([LATER], LATER),
    "one that stands by": ([beat(0, 60, role="standby")], None),
    "itself": ([beat(18, 60, of="own")], None),
    "one that has been silent for longer than it said": ([beat(18, 60, patience=0.0)], None),
    "an older one, which a server had held back": ([LATER, beat(8, 30)], LATER),
    "an older one of somebody who stopped": ([beat(18, 60, role="stopped"), beat(17, 59)], None),
    "an older one of somebody who is silent": (
        [beat(18, 60, patience=0.0), beat(17, 59)],
        None,
    ),
    "the last word, which counts no further epoch": ([LATER, beat(18, 61, role="stopped")], None),
    "a later epoch though the clock was set back": ([LATER, beat(19, 5)], beat(19, 5)),
    "another instance, which begins anew": (
        [beat(18, 60, role="stopped"), beat(1, 61, of="new")],
        beat(1, 61, of="new"),
    ),
}


@pytest.mark.parametrize(("beats", "leader"), HEARD.values(), ids=HEARD)
async def test_who_leads(beats, leader):
    assert await after(*beats) == leader
