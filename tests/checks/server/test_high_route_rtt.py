"""SERVER_010: servers of a cluster are far apart."""

from __future__ import annotations

import pytest

from nats_insights.checks.server.high_route_rtt import high_route_rtt as check
from nats_insights.replies.routez import Route, RoutezDetail
from scenario import Server, Story, cluster, finding, found, hung, routes_to, system

OFTEN = "gather.every.ROUTEZ_DETAIL = 0.0\n"


def far(*rtts: str | tuple[str, str]):
    """A server with connections to n2, or to other servers, with these round trips."""
    named = [one if isinstance(one, tuple) else ("n2", one) for one in rtts]
    rows = [Route(remote_id=name, remote_name=name, rtt=rtt) for name, rtt in named]
    return system(cluster(n1=Server(replies={"ROUTEZ_DETAIL": RoutezDetail(routes=rows)}), n2=1))


CASES = {
    "fires above 50 ms": (far("50.000001ms"), {"C1 n1"}),
    "quiet at 50 ms": (far("50ms"), set()),
    "quiet in one zone": (far("999µs", "214µs"), set()),
    "fires above a second": (far("1.5s"), {"C1 n1"}),
    "fires above a second and a half, written in short": (far("9.5s"), {"C1 n1"}),
    "fires above a minute": (far("1m0.5s"), {"C1 n1"}),
    "fires where one connection of the pool is slow": (
        far("1ms", "60ms", "300µs", "0s"),
        {"C1 n1"},
    ),
    "quiet before the first ping": (far("0s"), set()),
    "quiet where nothing is said": (far(""), set()),
    "fires though the other server hangs": (
        system(cluster(n1=Server(replies=routes_to("n2", rtt="60ms")), n2=hung)),
        {"C1 n1"},
    ),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


def test_its_limit_can_be_set():
    config = "checks.high_route_rtt.max_rtt = 12.5"
    assert found(check, far("12.6ms"), config) == {"C1 n1"}
    assert found(check, far("9.9ms", "999.9µs", "9ms"), config) == set()


def test_its_lowest_limit_is_eased_to_what_is_read():
    story = Story(f"{OFTEN}checks.high_route_rtt = {{ max_rtt = 12.5, open_after = 1 }}", [check])
    told = [story.hears(far(rtt)) for rtt in ("13ms", "10.1ms", "10.1ms", "10ms", "9.9ms")]
    assert told == [["opened SERVER_010 C1 n1"], [], [], [], ["resolved SERVER_010 C1 n1"]]


def test_it_says_who_and_how_long():
    said = finding(check, far("1ms", "61.204518ms"))
    assert said.summary == "a round trip from n1 to n2 takes 61 ms"
    assert (said.value, said.threshold, said.unit) == (61.2, 50.0, "ms")
    assert said.evidence == {"top": [["n2", 61]], "left_out": 0}


def test_it_names_the_slowest_and_how_many_more():
    said = finding(check, far(("b", "70ms"), ("c", "90ms"), ("c", "60ms"), ("d", "51ms")))
    assert said.summary == "a round trip from n1 to c takes 90 ms, the longest of 3 that take long"
    assert said.evidence["top"] == [["c", 90], ["b", 70], ["d", 51]]


def test_it_names_the_slower_of_two():
    said = finding(check, far(("b", "70ms"), ("c", "60ms")))
    assert said.summary == "a round trip from n1 to b takes 70 ms, the longest of 2 that take long"


def test_it_opens_at_the_third_look_and_ends_when_clearly_below():
    story = Story(OFTEN, [check])
    told = [story.hears(far(rtt)) for rtt in ("60ms", "60ms", "60ms", "45ms", "39ms", "39ms")]
    assert told == [[], [], ["opened SERVER_010 C1 n1"], [], [], ["resolved SERVER_010 C1 n1"]]


def test_a_cluster_across_regions_is_one_finding():
    story = Story(f"{OFTEN}checks.high_route_rtt = {{ open_after = 1 }}", [check])
    names = {f"n{number}" for number in range(5)}
    mesh = {name: Server(replies=routes_to(*names - {name}, rtt="70ms")) for name in names}
    assert story.hears(system(cluster(**mesh))) == ["opened SERVER_010 system"]
