"""SYSTEM_901: servers of a cluster use another system account."""

from __future__ import annotations

from typing import Any

import pytest

from nats_insights.checks.system.other_system_account import other_system_account as check
from nats_insights.testing import Server, Story, cluster, finding, found, hung, lone, system

SHARED = ("", "", "", "SYS")
POOLED = ("", "", "")


def routed(pool: int = 3, account: str = "SYS", **peers: tuple[str, ...]) -> Server:
    """A server with routes to peers: the account of each connection, "" for those of the pool."""
    routes: list[dict[str, Any]] = [
        {"remote_id": f"ID{name}", "remote_name": name, "account": pinned}
        for name, connections in peers.items()
        for pinned in connections
    ]
    return Server(
        varz={"system_account": account, "cluster": {"name": "C1", "pool_size": pool}},
        replies={"ROUTEZ": {"num_routes": len(routes), "routes": routes}},
    )


CASES = {
    "fires for a silent server without a route for the system account": (
        system(cluster(n1=routed(n2=SHARED, n3=POOLED), n2=routed(n1=SHARED, n3=POOLED), n3=hung)),
        {"C1"},
    ),
    "fires in a cluster of two": (system(cluster(n1=routed(n2=POOLED), n2=hung)), {"C1"}),
    "fires where another account has a route of its own": (
        system(cluster(n1=routed(n2=(*POOLED, "APP")), n2=hung)),
        {"C1"},
    ),
    "fires in operator mode, where accounts are keys": (
        system(cluster(n1=routed(account="ADKEY", n2=POOLED), n2=hung)),
        {"C1"},
    ),
    "quiet where a silent server has that route": (
        system(cluster(n1=routed(n2=SHARED, n3=SHARED), n2=routed(n1=SHARED, n3=SHARED), n3=hung)),
        set(),
    ),
    "quiet where one server has that route": (
        system(cluster(n1=routed(n2=SHARED, n3=POOLED), n2=routed(n1=SHARED, n3=SHARED), n3=hung)),
        set(),
    ),
    "fires where the pool is of one": (
        system(cluster(n1=routed(pool=1, n2=("",)), n2=hung)),
        {"C1"},
    ),
    "quiet where routes are not pooled": (
        system(cluster(n1=routed(pool=-1, n2=("",)), n2=hung)),
        set(),
    ),
    "quiet where nobody has a route to a silent server": (
        system(cluster(n1=routed(n2=SHARED), n2=routed(n1=SHARED), n3=hung)),
        set(),
    ),
    "quiet where all answer": (
        system(cluster(n1=routed(n2=SHARED), n2=routed(n1=SHARED))),
        set(),
    ),
    "quiet about servers without a cluster": (system(lone(n1=0, n2=hung)), set()),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


def test_it_names_them():
    peers = {f"n{i}": POOLED for i in range(2, 14)}
    said = finding(check, system(cluster(n1=routed(**peers), **dict.fromkeys(peers, hung))))
    assert (said.summary, said.value, said.evidence) == (
        "servers of C1 do not use its system account SYS: n10, n11, n12 and 9 more",
        None,
        {"servers": sorted(peers)[:10], "system_accounts": ["SYS"]},
    )
    few = dict.fromkeys(["n2", "n3", "n4"], POOLED)
    said = finding(check, system(cluster(n1=routed(**few), **dict.fromkeys(few, hung))))
    assert said.summary == "servers of C1 do not use its system account SYS: n2, n3, n4"


def test_it_opens_after_three_looks_and_resolves_when_they_answer():
    story = Story(checks=[check])
    apart = system(cluster(n1=routed(n2=POOLED), n2=hung))
    joined = system(cluster(n1=routed(n2=SHARED), n2=routed(n1=SHARED)))
    told = [story.hears(one) for one in (apart, apart, apart, joined, joined)]
    assert told == [
        [],
        [],
        ["opened SYSTEM_901 C1"],
        [],
        ["resolved SYSTEM_901 C1"],
    ]
