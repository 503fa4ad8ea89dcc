"""OPT_SYS_005: a server holds messages back for another server of its cluster."""

from __future__ import annotations

import pytest

from nats_insights.checks.opt_sys.route_pending_pressure import route_pending_pressure as check
from nats_insights.replies.routez import Route, RoutezDetail
from scenario import Server, Story, cluster, finding, found, hung, routes_to, system

MIB = 1024 * 1024


def holding(pending: int, back: int = 0):
    n1, n2 = routes_to("n2", pending_size=pending), routes_to("n1", pending_size=back)
    return system(cluster(n1=Server(replies=n1), n2=Server(replies=n2)))


def pool(*held: tuple[str, int]):
    rows = [
        Route(remote_id="2", remote_name="n2", account=account, pending_size=size, rtt="9ms")
        for account, size in held
    ]
    return system(cluster(n1=Server(replies={"ROUTEZ_DETAIL": RoutezDetail(routes=rows)}), n2=hung))


CASES = {
    "fires above 8 MiB": (holding(8 * MIB + 1), {"C1 n1"}),
    "quiet at 8 MiB": (holding(8 * MIB), set()),
    "fires for each direction": (holding(9 * MIB, 9 * MIB), {"C1 n1", "C1 n2"}),
    "quiet where each connection of the pool has a little": (pool(*4 * [("", 3 * MIB)]), set()),
    "fires where one connection of the pool has much": (
        pool(("", 0), ("APP", 9 * MIB)),
        {"C1 n1"},
    ),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


@pytest.mark.parametrize(
    "config", [f"checks.route_pending_pressure.max_bytes = {MIB}", 'profile = "insights"']
)
def test_its_limit_can_be_set(config):
    assert found(check, holding(MIB + 1), config) == {"C1 n1"}
    assert found(check, holding(MIB), config) == set()


def test_it_says_what_waits_and_of_which_account():
    said = finding(check, pool(("", 5), ("APP", 9 * MIB), ("", 6)))
    assert said.summary == "n1 holds 9,437,184 bytes that n2 is to get"
    assert (said.value, said.threshold, said.unit) == (9 * MIB, 8 * MIB, "bytes")
    assert said.evidence == {
        "account": "APP",
        "rtt": "9ms",
        "top": [["n2", 9 * MIB]],
        "left_out": 0,
    }


def test_it_names_the_servers_for_which_much_waits():
    held = {"n2": 9 * MIB, "n3": 8 * MIB, "n4": 10 * MIB}
    rows = [Route(remote_name=name, pending_size=size) for name, size in held.items()]
    n1 = Server(replies={"ROUTEZ_DETAIL": RoutezDetail(routes=rows)})
    said = finding(check, system(cluster(n1=n1)))
    assert said.evidence["top"] == [["n4", 10 * MIB], ["n2", 9 * MIB]]


def test_it_opens_at_the_second_look_and_ends_below_half():
    story = Story("gather.every.ROUTEZ_DETAIL = 0.0", [check])
    told = [story.hears(holding(held * MIB)) for held in (9, 9, 5, 4, 4)]
    assert told == [
        [],
        ["opened OPT_SYS_005 C1 n1"],
        ["updated OPT_SYS_005 C1 n1"],
        [],
        ["resolved OPT_SYS_005 C1 n1"],
    ]
