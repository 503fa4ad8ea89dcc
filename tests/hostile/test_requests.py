"""Hostile messages of clients and of other agents: answered, refused or passed over."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from random import Random
from typing import Any

from msgspec import to_builtins
from msgspec.structs import replace
from nats.aio.msg import Msg

from kit.asked import AGENT, after
from kit.hostile import NAMES, changed, strange, survives, torn
from nats_insights.agent import peers
from nats_insights.agent.peers import Peers
from nats_insights.facts import Cost, Coverage
from nats_insights.judge.mutes import MOST, Mutes
from nats_insights.tell import muting
from nats_insights.tell.advisory import at
from nats_insights.tell.messages import Heartbeat, OpenCounts
from nats_insights.tell.queries import QUERIES, Refused, answer
from scenario import START, Server, cluster, hung, system

BODIES: tuple[dict[str, Any], ...] = (
    {},
    {"code": "SERVER_011", "severity": "critical", "state": "all", "limit": 10, "offset": 0},
    {"scope": "ACCOUNT", "account": "APP", "cluster": "C1", "server": "n1"},
    {"offset": 1, "limit": 1000},
    {"name": "connection_hotspot"},
)


def test_a_request_is_answered_or_refused():
    full = Server(99, max_connections=100)
    known = after(*[system(cluster(n1=full, n2=0, n3=hung))] * 2)

    def make(random: Random) -> tuple[str, bytes]:
        body = {**random.choice(BODIES)}
        if random.random() < 0.3:
            body[random.choice((*NAMES, *body))] = strange(random)
        payload = changed(random, body)
        return random.choice(QUERIES), torn(random, payload) if random.random() < 0.3 else payload

    def read(given: tuple[str, bytes]) -> None:
        try:
            reply = answer(known, *given)
        except Refused as refused:
            printable = str(refused).isprintable() and len(str(refused)) <= 500
            if not printable or refused.code not in (400, 404):
                raise AssertionError("an answer that no header can hold") from refused
            raise
        assert len(reply) <= 256 * 1024
        assert json.loads(reply)["agent"]["id"] == "agent"

    taken, refused = survives("query", make, read, (Refused,), 0.1)
    assert taken > 0
    assert refused > 0


MUTES: tuple[dict[str, Any], ...] = (
    {"code": "SERVER_011", "until": "2h", "who": "ada", "why": "load test"},
    {"fingerprint": 32 * "a", "until": "2027-01-15T12:00:00Z"},
    {"cluster": "C1", "server": "n1", "account": "APP", "user": "app", "until": "30d"},
)


def test_a_mute_is_made_or_refused():
    full = Server(99, max_connections=100)
    known = after(*[system(cluster(n1=full, n2=0, n3=hung))] * 2)
    mutes = Mutes()

    def make(random: Random) -> tuple[bool, bytes]:
        body = {**random.choice(MUTES)}
        if random.random() < 0.5:
            body[random.choice(list(body))] = strange(random)
        payload = changed(random, body)
        return random.random() < 0.5, torn(random, payload) if random.random() < 0.3 else payload

    def read(given: tuple[bool, bytes]) -> None:
        mutes_it, body = given
        try:
            one = muting.mute(known, mutes, body, START) if mutes_it else None
            one = one or muting.unmute(known, mutes, body)
        except Refused as refused:
            printable = str(refused).isprintable() and len(str(refused)) <= 500
            if not printable or refused.code not in (400, 404, 409):
                raise AssertionError("an answer that no header can hold") from refused
            raise
        assert muting.words(one).isprintable()
        assert START < one.until <= START + muting.LONGEST
        assert len(mutes) <= MOST

    taken, refused = survives("mute", make, read, (Refused,), 0.1)
    assert taken > 0
    assert refused > 0


HEARTBEAT = Heartbeat(
    id=32 * "0",
    timestamp=at(START),
    agent=replace(AGENT, instance=32 * "e"),
    coverage=Coverage(servers_known=3, servers_answered=2, missing=["n3"]),
    interval_seconds=30.0,
    silent_after_seconds=100.0,
    leading_since=at(START),
    open=OpenCounts(),
    cost=Cost(),
)
OWN = replace(HEARTBEAT, agent=replace(AGENT, instance=32 * "f"))
PONG = {
    "name": "insights-agent",
    "id": 22 * "A",
    "version": "1.0.0",
    "metadata": {"role": "leader", "instance": 32 * "e", "id": "other"},
    "type": "io.nats.micro.v1.ping_response",
}


class Bus:
    """A connection on which whoever subscribes hears `payload`, once somebody publishes."""

    def __init__(self, payload: bytes = b"") -> None:
        self.payload = payload
        self.hear: Any = None

    def new_inbox(self) -> str:
        return "_INBOX.insights.1"

    async def subscribe(self, subject: str, cb: Any) -> Bus:
        self.hear = cb
        return self

    async def publish(self, subject: str = "", body: bytes = b"", reply: str = "") -> None:
        await self.hear(Msg(None, data=self.payload))

    async def unsubscribe(self) -> None:
        pass


def message(real: Any) -> Callable[[Random], bytes]:
    """Makes hostile messages of a real one."""

    def make(random: Random) -> bytes:
        payload = changed(random, real)
        return torn(random, payload) if random.random() < 0.4 else payload

    return make


def test_a_heartbeat_is_heard_or_passed_over():
    known, bus = Peers(32 * "f"), Bus()
    heard, told = 0, set()

    with asyncio.Runner() as runner:
        runner.run(known.listen(bus))

        def read(payload: bytes) -> None:
            nonlocal heard
            bus.payload = payload
            known.changed.clear()
            runner.run(bus.publish())
            heard += known.changed.is_set()
            other = known.leader()
            assert other is None or other.agent.role == "leader"
            first = known.before(OWN)
            assert first is None or first.claims or first.agent.role == "leader"
            told.update(known.differences(OWN))
            assert len(known._peers) <= peers.MOST

        taken, refused = survives("heartbeat", message(to_builtins(HEARTBEAT)), read, (), 0.06)
    assert 0 < heard < taken
    assert len(told) <= peers.MOST
    assert refused == 0


def test_an_answer_to_a_ping_is_heard_or_passed_over(monkeypatch):
    monkeypatch.setattr(peers, "LISTEN", 0.0)
    leaders = 0

    with asyncio.Runner() as runner:

        def read(payload: bytes) -> None:
            nonlocal leaders
            found = runner.run(Peers(32 * "f").ask(Bus(payload)))
            assert isinstance(found, str)
            leaders += bool(found)

        taken, refused = survives("pong", message(PONG), read, (), 0.06)
    assert 0 < leaders < taken
    assert refused == 0
