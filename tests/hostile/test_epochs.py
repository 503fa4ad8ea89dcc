"""Whole epochs of a system in which every name and every figure is hostile.

Replies are made as JSON and read as the agent reads them; what cannot be read is lost, as it would
be. From there on everything is the real thing, up to the bytes that are published and answered.
"""

from __future__ import annotations

import json
import re
from random import Random
from typing import Any

import jsonschema_rs

from kit.asked import ask, view
from kit.hostile import NAMES, NUMBERS, TIMES, survives
from kit.published import MIB, size, tell
from nats_insights.judge.lifecycle import Told
from nats_insights.model import build
from nats_insights.model.roster import State
from nats_insights.replies.fields import Malformed, ServerInfo
from nats_insights.tell.queries import QUERIES
from nats_insights.tell.schemas import schemas
from nats_insights.testing.systems import Replying
from scenario import Server, Story, System, cluster, read, system

VALID = jsonschema_rs.validator_for(
    schemas()["insights.advisory.v1.finding"], validate_formats=True
)
CLEAN = re.compile(r"\$?[A-Za-z0-9_@:/+=%~-]+")
LARGE = (2**31, 2**32 - 1, 2**32 - 1, 2**53 - 1, 2**63 - 1)
STATES: tuple[State, ...] = (*6 * ("answering",), "hung", "dead", "left")
OVERRIDES = """
checks.excessive_user_connections.max_connections = 2
checks.subscription_hotspot.min_subscriptions = 1
checks.connection_hotspot.min_connections = 1
checks.account_connection_concentration = { min_connections = 2, min_servers = 2 }
"""


ENDPOINTS = ("VARZ", "STATSZ", "SUBSZ", "ROUTEZ", "LEAFZ", "ACCOUNTZ", "STATZ", "CONNZ")


class Hostile:
    """A system with some names that stay, and servers that now and then answer otherwise."""

    def __init__(self, random: Random) -> None:
        self.random = random
        some = random.sample(NAMES, 5)
        self.clusters = [*some[:2], ""][: random.choice((1, 1, 2, 3))]
        self.accounts = [*some[2:], "APP", random.choice(some)]
        self.users = [random.choice(NAMES), random.choice(NAMES), "app"]
        self.servers = [
            {"name": random.choice((*NAMES, "n1", "n2")), "id": f"N{n}", "cluster": cluster}
            for n, cluster in enumerate(random.choices(self.clusters, k=random.choice((2, 3, 5))))
        ]
        self.heard: list[Replying] = []

    def now(self) -> System:
        """All servers as they answer in one epoch."""
        for at, who in enumerate(self.servers):
            if at >= len(self.heard) or self.random.random() < 0.4:
                self.heard[at : at + 1] = [self._heard(who)]
        return System(tuple(self.heard), own=self.random.choice(self.servers)["name"])

    def _heard(self, who: dict[str, str]) -> Replying:
        state = self.random.choice(STATES)
        if self.random.random() < 0.05:
            who["id"] += "again"
        replies: dict[str, Any] = {}
        for endpoint in ENDPOINTS:
            field = "statsz" if endpoint == "STATSZ" else "data"
            reply = {"server": who | {"ver": self._name()}, field: self._data(endpoint)}
            try:
                _, replies[endpoint] = read(endpoint, json.dumps(reply).encode())
            except Malformed:
                continue
        if "VARZ" not in replies and state == "answering":
            state = "hung"
        info = ServerInfo(name=who["name"], id=who["id"], cluster=who["cluster"], ver="2.15.1")
        return Replying(info, replies, state)

    def _name(self) -> str:
        return self.random.choice(NAMES)

    def _figure(self) -> int | float:
        kind = self.random.random()
        if kind < 0.02:
            return self.random.choice(NUMBERS)
        return self.random.choice(LARGE[:3]) if kind < 0.3 else self.random.randrange(30)

    def _time(self) -> str:
        if self.random.random() < 0.9:
            return f"202{self.random.randrange(10)}-01-01T00:00:00Z"
        return self.random.choice(TIMES)

    def _data(self, endpoint: str) -> dict[str, Any]:
        figure, random = self._figure, self.random
        if endpoint == "CONNZ":
            rows = [self._row(cid) for cid in range(random.choice((0, 1, 5, 20)))]
            return {"total": len(rows), "connections": rows}
        if endpoint == "STATZ":
            stats = [{"acc": name, "conns": figure()} for name in self.accounts]
            return {"account_statz": stats}
        if endpoint in ("ROUTEZ", "LEAFZ"):
            ids = [random.choice(("N0", "N1", "N9", self._name())) for _ in range(3)]
            links = [
                {"remote_id": id, "remote_name": self._name(), "subscriptions": figure()}
                for id in ids
            ]
            return {"routes" if endpoint == "ROUTEZ" else "leafs": links}
        if endpoint == "ACCOUNTZ":
            return {"accounts": self.accounts, "system_account": self._name()}
        return {
            "start": self._time(),
            "now": self._time(),
            "config_load_time": self._name(),
            "connections": figure(),
            "total_connections": figure(),
            "max_connections": random.choice((-1, 0, 1, 10, *LARGE, -(2**63))),
            "leafnodes": figure(),
            "subscriptions": figure(),
            "num_subscriptions": figure(),
            "max_pending": figure(),
            "active_servers": figure(),
            "system_account": random.choice((*self.accounts, "SYS", "SYS", "SYS")),
        }

    def _row(self, cid: int) -> dict[str, Any]:
        return {
            "cid": cid,
            "kind": self.random.choice(("Client", "Client", "Client", "Leafnode", self._name())),
            "account": self.random.choice(self.accounts),
            "authorized_user": self.random.choice(self.users),
            "subscriptions": self._figure(),
            "name": self._name(),
        }


def test_whatever_a_system_says_all_that_is_told_is_whole_and_clean():
    kinds: set[tuple[str, str]] = set()

    def make(random: Random) -> tuple[Story, list[System]]:
        given = Hostile(random)
        config = random.choice(("", OVERRIDES, OVERRIDES + 'gather.sweep = "all"'))
        return Story(config), [given.now() for _ in range(4)]

    def judge(given: tuple[Story, list[System]]) -> None:
        story, systems = given
        resolved: list[Told] = []
        for one in systems:
            story.hears(one, after=1000.0)
            whys = [outcome.why for outcome in story.audit.outcomes.values()]
            assert not [why for why in whys if "the check raised" in why]
            for told in story.told:
                kinds.add((told.life.key.code, told.transition))
                is_whole_and_clean(told)
                resolved.append(told)
        for query in QUERIES:
            body = {"EXPLAIN": {"code": "USER_002"}, "FINDINGS": {"state": "all"}}.get(query, {})
            assert ask(view(story, resolved=resolved), query, **body)["agent"]["id"] == "agent"

    taken, refused = survives("epochs", make, judge, (), 0.005)
    assert (taken > 0, refused) == (True, 0)
    assert len({code for code, _ in kinds}) >= 3
    assert {transition for _, transition in kinds} >= {"opened", "updated", "resolved"}


def is_whole_and_clean(told: Any) -> None:
    """What is published of a transition is valid, printable, and no larger than it may be."""
    made, sent = tell(told, MIB)
    VALID.validate(json.loads(sent.payload))
    assert size(sent) <= 16 * 1024
    tokens = sent.subject.split(".")
    assert len(tokens) == 8
    assert all(CLEAN.fullmatch(token) and len(token) <= 128 for token in tokens)
    assert made.summary.isprintable()
    assert made.remediation.isprintable()
    assert all(value.isascii() and value.isprintable() for value in sent.headers.values())


def test_accounts_are_told_apart_in_a_bounded_number_of_clusters(monkeypatch):
    monkeypatch.setattr(build, "MOST_ACCOUNTS", 3)
    users = Server(users={"A a": 1, "B b": 2, "C c": 3})
    story = Story()
    story.hears(system(cluster("C1", n1=users, n2=users), cluster("C2", n3=users)))
    here = story.snapshot
    assert here.accounts == {"A": 3, "B": 6, "C": 9}
    assert len(here.accounts_in_clusters) == 3
    assert here.lacking.dropped_accounts == 3
    assert "more accounts than the agent counts" in here.lacking.of_system(["STATZ"])
