"""CONN_003: servers close connections of an account for a fault."""

from __future__ import annotations

import pytest

from nats_insights.checks.conn.connection_stopped import connection_stopped as check
from nats_insights.replies.connz import Closed
from nats_insights.testing import (
    Server,
    Story,
    System,
    closed,
    cluster,
    finding,
    found,
    hung,
    system,
)

SLOW = "Slow Consumer (Pending Bytes)"


def faults(*rows: Closed, connections: int = 100) -> System:
    """Two servers, of which the first closed these connections."""
    return system(cluster(n1=Server(connections, closed=rows), n2=0))


def ten(reason: str = SLOW, ago: float = 60.0, **fields) -> tuple[Closed, ...]:
    return 10 * (closed(reason, ago, **fields),)


ORDINARY = [
    *("Client Closed", "Read Error", "Write Error", "Server Shutdown"),
    *("Authentication Expired", "Credentials Revoked", "Kicked", "Missing Account"),
]
CASES = {
    "fires at ten": (faults(*ten()), {"APP"}),
    "quiet at nine, unlike the rule that judges each": (faults(*ten()[:9]), set()),
    "fires for a quarter of an hour": (faults(*ten(ago=900.0)), {"APP"}),
    "quiet after that": (faults(*ten(ago=900.1)), set()),
    "quiet about less than a hundredth": (faults(*ten(), connections=1001), set()),
    "fires at a hundredth": (faults(*ten(), connections=1000), {"APP"}),
    "fires for several reasons together": (
        faults(*ten("Stale Connection")[:5], *ten("Protocol Violation")[:5]),
        {"APP"},
    ),
    "fires for several servers together": (
        system(cluster(n1=Server(9, closed=ten()[:5]), n2=Server(9, closed=ten()[:5]))),
        {"APP"},
    ),
    **{f"quiet about {one}": (faults(*ten(one)), set()) for one in ORDINARY},
    "quiet about refused logins, which are of no account": (
        faults(*ten("Authentication Failure", account="$G"), *ten("TLS Handshake Failure")),
        set(),
    ),
    "quiet about leaf nodes": (faults(*ten(kind="Leafnode")), set()),
    "quiet about the system account": (faults(*ten(account="$SYS")), set()),
    "fires for one account only": (faults(*ten(), *ten(account="B")[:9]), {"APP"}),
    "fires on what is seen, though a server hangs": (
        system(cluster(n1=Server(9, closed=ten()), n2=hung)),
        {"APP"},
    ),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


SETTINGS = {
    "closed = 11": set(),
    "percent = 10.1": set(),
    "percent = 10": {"APP"},
    "window = '59s'": set(),
    "window = '1m'": {"APP"},
}


@pytest.mark.parametrize(("setting", "expected"), SETTINGS.items(), ids=SETTINGS)
def test_its_parameters_can_be_set(setting, expected):
    assert found(check, faults(*ten()), f"[checks.connection_stopped]\n{setting}") == expected


def test_one_fault_is_found_in_the_profile_of_the_catalogue_and_no_ordinary_end():
    one = (closed("Stale Connection"), closed("Client Closed"))
    assert found(check, faults(*one, connections=1000), 'profile = "insights"') == {"APP"}
    assert not found(check, faults(one[1]), 'profile = "insights"')


def test_it_says_why_which_and_where():
    rows = (*ten(ago=5.0, cid=7, ip="::1"), closed("Stale Connection", 2.4, cid=9, name="pump"))
    said = finding(check, faults(*rows))
    assert (said.summary, said.value, said.threshold, said.unit, said.servers) == (
        "11 connections of account APP were closed for a fault, 10 of them as "
        "Slow Consumer (Pending Bytes)",
        11,
        10,
        "connections",
        ("n1",),
    )
    assert said.evidence["by_reason"] == {
        "top": [[SLOW, 10], ["Stale Connection", 1]],
        "left_out": 0,
    }
    assert (len(said.evidence["closed"]["top"]), said.evidence["closed"]["left_out"]) == (10, 1)
    assert said.evidence["closed"]["top"][0] == {
        "cid": 9,
        "name": "pump",
        "ip": "",
        "server": "n1",
        "cluster": "C1",
        "account": "APP",
        "user": "app",
        "reason": "Stale Connection",
        "seconds_ago": 2,
    }


def test_it_looks_every_ten_minutes_and_resolves_when_it_is_long_ago():
    story = Story(checks=[check])
    told = [
        story.hears(faults(*ten(ago=ago)), after=after)
        for ago, after in ((1.0, 300), (301.0, 300), (601.0, 300), (1201.0, 600))
    ]
    assert told == [["opened CONN_003 APP"], [], [], ["resolved CONN_003 APP"]]


def test_a_server_that_closed_none_is_not_asked():
    story = Story(checks=[check])
    story.hears(system(cluster(n1=9)), lost=[("n1", "CONNZ")])
    assert story.audit.unknown == {}
