"""OPT_PLACE_003: much of the traffic of an account goes from one cluster to another."""

from __future__ import annotations

import pytest

from nats_insights.checks.opt_place.high_gateway_traffic_ratio import (
    high_gateway_traffic_ratio as check,
)
from nats_insights.replies.statsz import SplitTraffic, Traffic
from nats_insights.replies.statz import AccountTraffic, StatzTraffic
from nats_insights.replies.varz import GatewayOptions
from nats_insights.testing import (
    Epochs,
    Server,
    Story,
    System,
    cluster,
    finding,
    found,
    hung,
    system,
    then,
)

HOUR = 3600.0
MIB = 1024 * 1024


def way(mib: float, gateways: float = 0, routes: float = 0) -> SplitTraffic:
    """Traffic in one direction: all of it, and how much of that went between servers."""
    return SplitTraffic(
        msgs=int(mib * 9),
        bytes=int(mib * MIB),
        gateways=Traffic(bytes=int(gateways * MIB)),
        routes=Traffic(bytes=int(routes * MIB)),
    )


def moved(
    sent: SplitTraffic, received: SplitTraffic, account: str = "APP", **more: object
) -> Server:
    """A server with a gateway that moved so much for an account since its start."""
    stat = AccountTraffic(acc=account, total_conns=2, sent=sent, received=received)
    options = {"gateway": GatewayOptions(name="C1")}
    replies = {"STATZ_TRAFFIC": StatzTraffic(account_statz=[stat])}
    return Server(2, varz=options, replies=replies, **more)


def server(mib: float, gateways: float = 0, routes: float = 0, **more: object) -> Server:
    """A server that sent a half of this, and received the other half."""
    half = way(mib / 2, gateways / 2, routes / 2)
    return moved(half, half, **more)


QUIET = server(1, 0.5)
HALVES = [["e2", 0.5 * MIB], ["w1", 0.5 * MIB]]
EAST = system(cluster("EAST", e1=QUIET, e2=QUIET), cluster("WEST", w1=QUIET))


def hour(e1: Server, w1: Server = QUIET) -> Epochs:
    """What two clusters moved within an hour."""
    return then(EAST, system(cluster("EAST", e1=e1, e2=QUIET), cluster("WEST", w1=w1)), every=HOUR)


CASES = {
    "fires at 30 % of a GiB": (hour(server(1025, 307.8)), {"APP"}),
    "quiet at a little less": (hour(server(1025, 307.6)), set()),
    "quiet for less than a GiB": (hour(server(1024.9, 500)), set()),
    "fires for what two clusters moved together": (
        hour(server(513, 200.5), server(513, 200.5)),
        {"APP"},
    ),
    "quiet where another server moves more within its cluster": (
        hour(server(1025, 400.5), server(1025, 0.5)),
        set(),
    ),
    "fires where routes are most of it": (hour(server(4097, 400.5, routes=3072)), {"APP"}),
    "fires where it is only sent": (hour(moved(way(1025, 400), way(1))), {"APP"}),
    "fires where it is only received": (hour(moved(way(1), way(1025, 400))), {"APP"}),
    "quiet where it moved before": (
        then(hour(server(1025, 400)).last, hour(server(1025, 400)).last, every=HOUR),
        set(),
    ),
    "quiet in the first epoch": (hour(server(9999, 9999)).last, set()),
    "quiet about the system account": (hour(server(1025, 400, account="$SYS")), set()),
    "quiet while a server hangs": (hour(server(1025, 400), hung), set()),
    "quiet where a server is too old to tell": (
        then(
            *(
                system(cluster(o1=moved(SplitTraffic(msgs=9), SplitTraffic(), version="2.10.26")))
                for _ in range(2)
            ),
            every=HOUR,
        ),
        set(),
    ),
    "quiet where nothing crosses": (hour(server(9999, 0.5)), set()),
    "quiet where there are no gateways": (
        then(system(cluster(n1=9)), system(cluster(n1=9)), every=HOUR),
        set(),
    ),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


SETTINGS = {
    "percent = 40.1": set(),
    "percent = 39.9": {"APP"},
    "min_mib = 1101": set(),
    "min_mib = 1100": {"APP"},
    'window = "30m"': {"APP"},
}


@pytest.mark.parametrize(("setting", "expected"), SETTINGS.items(), ids=SETTINGS)
def test_its_parameters_can_be_set(setting, expected):
    given = hour(server(1101, 440.5))
    assert found(check, given, f"[checks.high_gateway_traffic_ratio]\n{setting}") == expected


def test_the_profile_insights_finds_a_mebibyte():
    assert found(check, hour(server(2, 0.9)), 'profile = "insights"') == {"APP"}


def test_it_says_how_much():
    said = finding(check, hour(server(2049, 1024.5)))
    assert (said.summary, said.value, said.threshold, said.unit, said.evidence) == (
        "50 % of the traffic of account APP goes over gateways, 1,024 of 2,048 MiB",
        50.0,
        30.0,
        "%",
        {
            "gateway_bytes": 1024 * MIB,
            "bytes": 2048 * MIB,
            "since_start": {"top": [["e1", 1024.5 * MIB], *HALVES], "left_out": 0},
            "seconds": 3600.0,
        },
    )


def test_after_a_restart_a_server_counts_from_its_start():
    busy = system(cluster("EAST", e1=server(90_000, 45_000)), cluster("WEST", w1=QUIET))
    restarted = system(cluster("EAST", e1=server(2048, 1024)), cluster("WEST", w1=QUIET))
    said = finding(check, then(busy, restarted, every=HOUR))
    assert said.evidence["bytes"] == 2048 * MIB


def looks(*mib: float) -> list[System]:
    """A server that has moved so much in all at each look, half of it over gateways."""
    return [system(cluster("EAST", e1=server(one, one / 2))) for one in mib]


def test_it_opens_at_the_second_look_and_resolves_when_less_crosses():
    story = Story('lifecycle.remind_every = "9h"', [check])
    told = [story.hears(one, after=HOUR) for one in looks(1, 1501, 3001, 4501, 4502, 4503)]
    opened, resolved = (f"{what} OPT_PLACE_003 APP" for what in ("opened", "resolved"))
    assert told == [[], [], [opened], [], [], [resolved]]
