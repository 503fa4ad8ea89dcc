"""One view over all shards: verdict, counts, coverage, lists, and the message that carries it."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from nats.aio.msg import Msg

from kit.asked import AGENT, after, ask
from kit.hostile import changed, survives
from nats_insights.agent.shards import Others
from nats_insights.config import parse
from nats_insights.facts import Counted, Coverage
from nats_insights.model.shards import Shards, Share
from nats_insights.tell import whole
from nats_insights.tell.advisory import at
from nats_insights.tell.messages import (
    FindingsReply,
    FindingsRequest,
    Ledger,
    OpenCounts,
    ShardState,
    Verdict,
)
from nats_insights.tell.queries import Refused, answer
from nats_insights.tell.view import View
from scenario import START, Server, cluster, hung, system

WELL = cluster("EU", n1=1, n2=1)
FULL = Server(99, max_connections=100)


def other(verdict: Verdict = "ok", why: str = "", **more: Any) -> ShardState:
    counts = {"servers_known": 3, "servers_answered": 3} | more
    return ShardState(name="us", verdict="unknown" if why else verdict, why=why, **counts)


def seen(*shards: ShardState, servers: Any = WELL) -> View:
    """What the agent of a shard knows, and the others as it hears them."""
    return replace(after(system(servers), system(servers)), shards=list(shards))


@pytest.mark.parametrize(
    ("own", "others", "expected"),
    [
        (WELL, ["ok"], "ok"),
        (WELL, ["info", "warning"], "warning"),
        (WELL, ["warning", "unknown"], "unknown"),
        (WELL, ["unknown", "critical"], "critical"),
        (cluster("EU", n1=FULL, n2=1), ["ok"], "critical"),
        (cluster("EU", n1=1, n2=hung), ["warning"], "unknown"),
    ],
)
def test_the_verdict_is_the_worst_of_all_shards(own, others, expected):
    view = seen(*map(other, others), servers=own)
    assert ask(view, "STATUS")["verdict"] == expected


def test_a_silent_shard_makes_the_verdict_unknown_and_counts_as_missing():
    last = {"open": OpenCounts(critical=3), "checks_not_evaluated": 4}
    status = ask(seen(other(why="shard us is silent", **last)), "STATUS")
    assert status["verdict"] == "unknown"
    assert status["open"] == {"critical": 0, "warning": 0, "info": 0}
    assert status["checks_not_evaluated"] == 0
    assert status["coverage"] == {
        **{"servers_known": 3, "servers_answered": 2},
        "missing": ["all of shard us"],
    }
    (shard,) = status["shards"]
    assert (shard["name"], shard["why"]) == ("us", "shard us is silent")


def test_counts_and_coverage_are_of_all_shards():
    more = {"open": OpenCounts(warning=2, info=1), "checks_not_evaluated": 4}
    view = seen(other("warning", **more), servers=cluster("EU", n1=FULL, n2=1))
    status = ask(view, "STATUS")
    assert status["open"] == {"critical": 1, "warning": 2, "info": 1}
    assert status["checks_not_evaluated"] == 4
    assert status["coverage"] == {"servers_known": 5, "servers_answered": 5, "missing": []}


# Lists.


def reply(view: View, **body: Any) -> FindingsReply:
    return msgspec.json.decode(
        answer(view, "FINDINGS", json.dumps(body).encode()), type=FindingsReply
    )


def full(*names: str, cluster_name: str = "EU", least: int = 80) -> Any:
    """Servers that are nearer to their limit one after another."""
    servers = {name: Server(least + n, max_connections=100) for n, name in enumerate(names)}
    return cluster(cluster_name, **servers)


def together(request: FindingsRequest, *views: View, silent: Any = ()) -> FindingsReply:
    limit = min(1000, whole.wanted_of_each(request))
    body = msgspec.to_builtins(replace(request, offset=0, limit=limit))
    return whole.merged(views[0], request, [[reply(view, **body)] for view in views], list(silent))


def names(listed: FindingsReply) -> list[str]:
    return [found.entity.name for found in listed.findings]


def test_findings_of_all_shards_are_in_one_order_whoever_is_asked():
    eu = seen(servers=full("a", "c", "e", least=80))
    us = seen(servers=full("b", "d", "f", cluster_name="US", least=81))
    for views in ((eu, us), (us, eu)):
        listed = together(FindingsRequest(code="SERVER_011"), *views)
        assert names(listed) == ["f", "e", "d", "c", "b", "a"]
        assert (listed.total, listed.more) == (6, False)
        assert listed.counts == OpenCounts(warning=6)
        parts = [
            together(FindingsRequest(code="SERVER_011", offset=n, limit=2), *views)
            for n in (0, 2, 4, 6)
        ]
        assert [names(part) for part in parts] == [["f", "e"], ["d", "c"], ["b", "a"], []]
        assert [part.more for part in parts] == [True, True, False, False]
        assert {part.total for part in parts} == {6}


def test_resolved_findings_follow_the_last_one_first():
    full_then_well = [
        after(system(full("a", cluster_name=name)), *[system(cluster(name, a=1))] * 3)
        for name in ("EU", "US")
    ]
    listed = together(FindingsRequest(state="all", code="SERVER_011"), *full_then_well)
    assert [(found.state, found.entity.cluster) for found in listed.findings] == [
        ("resolved", "EU"),
        ("resolved", "US"),
    ]


def test_groups_of_the_same_name_are_one():
    eu = seen(servers=full("a", "b", least=90))
    us = seen(servers=full("c", "d", cluster_name="US", least=94))
    listed = together(FindingsRequest(by="code", code="SERVER_011"), eu, us)
    assert [(group.code, group.critical, group.warning) for group in listed.groups] == [
        ("SERVER_011", 1, 3)
    ]
    assert (listed.total, listed.findings) == (1, [])
    listed = together(FindingsRequest(by="cluster", code="SERVER_011", limit=1), eu, us)
    assert [group.cluster for group in listed.groups] == ["US"]
    assert (listed.total, listed.more) == (2, True)


def test_who_is_silent_is_named_in_a_list():
    eu = replace(seen(servers=full("a")), shards=[other(why="shard us is silent")])
    listed = together(FindingsRequest(), eu, silent=["us"])
    assert (listed.silent_shards, names(listed)) == (["us"], ["a"])
    assert listed.coverage.missing == ["all of shard us"]
    assert whole.merged(eu, FindingsRequest(), [[reply(eu)], []], ["us"]).total == 1


def test_a_page_too_far_down_is_refused():
    last = FindingsRequest(offset=1000, limit=1000)
    assert whole.wanted_of_each(last) == 2000
    with pytest.raises(Refused, match=r"INSIGHTS\.API\.FINDINGS@name"):
        whole.wanted_of_each(replace(last, offset=1001))


def test_more_groups_than_can_be_merged_are_refused():
    eu = seen(servers=full("a", "b"))
    page = reply(eu, by="server", limit=1)
    assert page.more
    with pytest.raises(Refused, match="more than 2000 groups"):
        whole.merged(eu, FindingsRequest(by="server"), [[page]], [])


# The message.


def ledger(**changed: Any) -> Ledger:
    members: dict[str, Any] = {
        "timestamp": at(START),
        "agent": replace(AGENT, id="us-1", shard="us"),
        "shard": "us",
        "others": ["eu"],
        "clusters": ["US"],
        "folds": {"by_user": Counted(floor=50.0, exact=True, counts=[(("APP", "app"), 60)])},
        "silent_after_seconds": 100.0,
        "verdict": "warning",
        "coverage": Coverage(servers_known=3, servers_answered=2, missing=["u3"]),
        "open": OpenCounts(warning=1),
        "checks_not_evaluated": 2,
    }
    return Ledger(**members | changed)


def others(*heard: Any) -> Others:
    """The other shards, as the agent of shard `eu` knows them after these messages."""
    known = Others(
        Shards(parse('shard = { name = "eu", clusters = ["EU"], others = ["us"] }').shard)
    )
    for one in heard:
        payload = one if isinstance(one, bytes) else msgspec.json.encode(one)
        asyncio.run(known.hear(Msg(None, "$INSIGHTS.LEDGER.us", "", payload)))
    return known


def test_a_ledger_has_what_others_need_to_know_of_a_shard():
    view = seen(servers=cluster("US", u1=FULL, u2=1))
    folds = {"by_user": Counted(floor=50.0, exact=True, counts=[(("A", "b"), 60), ("c", 51)])}
    share = Share(shard="us", others=["eu"], clusters=["US"], folds=folds)
    agent = replace(AGENT, shard="us")
    message = whole.ledger_message(view, share, agent, START, 1e6)
    assert message.subject == "$INSIGHTS.LEDGER.us"
    said = msgspec.json.decode(message.payload, type=Ledger)
    assert (said.verdict, said.open.critical, said.coverage.servers_known) == ("critical", 1, 2)
    assert (said.folds, said.silent_after_seconds) == (folds, 86_400.0)
    assert (said.shard, said.others, said.clusters) == ("us", ["eu"], ["US"])


def test_a_ledger_that_is_too_long_leaves_out_the_small_counts():
    counts = [(("ACCOUNT", f"user-{n:04}"), 100 + n) for n in range(1000)]
    folds = {"by_user": Counted(floor=50.0, exact=True, counts=counts)}
    share = Share(shard="us", others=["eu"], clusters=["US"], folds=folds)
    view = replace(seen(), max_payload=16 * 1024)
    message = whole.ledger_message(view, share, AGENT, START, 10.0)
    said = msgspec.json.decode(message.payload, type=Ledger).folds["by_user"]
    assert 8 * 1024 < len(message.payload) < 16 * 1024
    assert min(count for _, count in said.counts) == said.floor + 1
    assert max(count for _, count in said.counts) == 1099


def test_what_is_heard_of_a_shard():
    known = others(ledger())
    assert known.shards.shares["us"].folds == ledger().folds
    known.shards.begin(0.0, ["EU"])
    (state,) = known.states()
    assert state == ShardState(
        name="us",
        agent="us-1",
        verdict="warning",
        heard_at=at(START),
        open=OpenCounts(warning=1),
        servers_known=3,
        servers_answered=2,
        checks_not_evaluated=2,
    )
    known.shards.begin(1e12, ["EU"])
    (state,) = known.states()
    assert (state.verdict, state.why, state.agent) == ("unknown", "shard us is silent", "us-1")


def test_a_shard_that_was_never_heard_is_unknown():
    known = others()
    assert [(one.name, one.verdict, one.why) for one in known.states()] == [
        ("us", "unknown", "shard us was never heard")
    ]


def test_what_changed_is_said_once():
    known = others()
    known.shards.begin(0.0, [])
    assert known.news() == ["shard us was never heard"]
    assert known.news() == []
    asyncio.run(known.hear(Msg(None, "", "", msgspec.json.encode(ledger()))))
    known.shards.begin(0.0, [])
    assert known.news() == ["shard us is heard"]


@pytest.mark.parametrize(
    "later",
    [
        ledger(shard="eu"),
        ledger(agent=replace(AGENT, role="standby")),
        ledger(agent=replace(ledger().agent, epoch=6)),
        ledger(agent=replace(ledger().agent, epoch=7)),
        ledger(agent=replace(ledger().agent, instance=32 * "0", epoch=99)),
        b"{}",
        b"\xff",
        b"[" * 100_000,
        msgspec.json.encode(ledger()).replace(b'"shard":"us"', b'"shard":"u.s"'),
        msgspec.json.encode(ledger()).replace(b",60]", b",-1]"),
        msgspec.json.encode(ledger()).replace(b'"floor":50.0', b'"floor":-1'),
    ],
)
def test_what_is_no_later_ledger_of_another_shard_is_passed_over(later):
    known = others(ledger(verdict="ok"), later)
    assert known.shards.shares.keys() == {"us"}
    known.shards.begin(0.0, [])
    assert known.states()[0].verdict == "ok"


@pytest.mark.parametrize(
    "later",
    [
        ledger(agent=replace(ledger().agent, epoch=8)),
        ledger(
            agent=replace(ledger().agent, instance=32 * "0", epoch=1), timestamp=at(START + 0.1)
        ),
    ],
)
def test_a_later_ledger_replaces_the_last(later):
    known = others(ledger(verdict="ok"), later)
    known.shards.begin(0.0, [])
    assert known.states()[0].verdict == "warning"


def test_a_ledger_that_is_late_counts_from_when_it_was_sent(monkeypatch):
    known = others()
    until = []
    for epoch, sent, received in ((7, 0, 5), (8, 30, 36), (9, 60, 165), (10, 50, 170)):
        monkeypatch.setattr(time, "time", lambda received=received: START + received)
        beat = ledger(agent=replace(ledger().agent, epoch=epoch), timestamp=at(START + sent))
        asyncio.run(known.hear(Msg(None, "", "", msgspec.json.encode(beat))))
        until.append(known.shards.shares["us"].until - START)
    # The last one is of a clock that was set back.
    assert until == [105.0, 135.0, 165.0, 270.0]


def test_a_hostile_ledger_is_read_or_passed_over():
    def read(payload: bytes) -> None:
        known = others(payload)
        known.shards.begin(0.0, ["EU"])
        assert len(known.states()) <= 2
        for share in known.shards.shares.values():
            for counted in share.folds.values():
                assert all(count >= 0 for _, count in counted.counts)

    plain = msgspec.to_builtins(ledger())
    survives("ledger", lambda random: changed(random, plain), read, (), 0.1)
