"""USER_002: one user holds very many connections."""

from __future__ import annotations

import pytest

from nats_insights.checks.user.excessive_user_connections import excessive_user_connections as check
from scenario import Server, Story, System, cluster, finding, found, hung, lone, system


def held(user: str, *connections: int, name: str = "C1") -> System:
    """A cluster on whose servers this user has so many connections."""
    servers = {f"n{i}": Server(users={user: n}) for i, n in enumerate(connections, 1)}
    return system(cluster(name, **servers))


CASES = {
    "fires at 101 over three servers": (held("APP bob", 34, 34, 33), {"APP bob"}),
    "quiet at 100": (held("APP bob", 34, 33, 33), set()),
    "quiet at 99": (held("APP bob", 33, 33, 33), set()),
    "fires at 101 on a server without a cluster": (
        system(lone(n1=Server(users={"APP bob": 101}))),
        {"APP bob"},
    ),
    "fires over two clusters": (
        system(cluster("EU", n1=60), cluster("US", n1=60)),
        {"APP app"},
    ),
    "fires for each account that has a user of this name": (
        system(cluster(n1=Server(users={"A bob": 101, "B bob": 101}))),
        {"A bob", "B bob"},
    ),
    "quiet when only two users of one name make it 101": (
        system(cluster(n1=Server(users={"A bob": 51, "B bob": 50}))),
        set(),
    ),
    "quiet about clients without a user": (held("APP ", 500), set()),
    "quiet about anonymous clients beside a system account": (held("$G nats-a1B2c3D4", 500), set()),
    "fires for a user that is only called like one": (
        held("APP nats-a1B2c3D4", 500),
        {"APP nats-a1B2c3D4"},
    ),
    "fires for a real user of $G": (held("$G bob", 500), {"$G bob"}),
    "quiet about the system account": (held("$SYS admin", 500), set()),
    "fires on what is seen, though a server hangs": (
        system(cluster(n1=60, n2=60, n3=hung)),
        {"APP app"},
    ),
    "quiet on what is seen, though a server hangs": (
        system(cluster(n1=40, n2=40, n3=hung)),
        set(),
    ),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


SETTINGS = {"max_connections = 101": set(), "max_connections = 50": {"APP bob"}}


@pytest.mark.parametrize(("setting", "expected"), SETTINGS.items(), ids=SETTINGS)
def test_its_parameters_can_be_set(setting, expected):
    config = f"[checks.excessive_user_connections]\n{setting}"
    assert found(check, held("APP bob", 101), config) == expected


def test_it_says_how_many_and_where():
    said = finding(check, held("APP bob", 34, 35, 33))
    assert (said.summary, said.value, said.threshold, said.unit, said.evidence) == (
        "user bob of account APP holds 102 connections",
        102,
        100,
        "connections",
        {"by_server": {"top": [["n2", 35], ["n1", 34], ["n3", 33]], "left_out": 0}},
    )


def test_no_connection_is_lost_when_two_servers_share_a_name():
    said = finding(check, system(cluster("EU", n1=60), cluster("US", n1=50)))
    assert sum(count for _, count in said.evidence["by_server"]["top"]) == 110


# Connections of one user on three servers, epoch by epoch, and what each epoch tells.
LIVES = {
    "held above 90": ([(101, 0, 0), (91, 0, 0), (91, 0, 0)], ["opened", "", ""]),
    "resolved at 90": ([(101, 0, 0), (90, 0, 0), (90, 0, 0)], ["opened", "", "resolved"]),
    "gone with its last connection": (
        [(101, 0, 0), (0, 0, 0), (0, 0, 0)],
        ["opened", "", "resolved"],
    ),
    "held while a server that had many hangs": (
        [(40, 40, 40), (40, 40, hung), (40, 40, hung)],
        ["opened", "", ""],
    ),
    "resolved though a server that had few hangs": (
        [(40, 60, 10), (40, 10, hung), (40, 10, hung)],
        ["opened", "", "resolved"],
    ),
    "held while a server hangs of which nothing is known": (
        [(101, 0), (10, 0, hung), (10, 0, hung)],
        ["opened", "", ""],
    ),
    "held though all that is left of it is on a server that hangs": (
        [(0, 0, 101), (0, 0, hung), (0, 0, hung)],
        ["opened", "", ""],
    ),
}


@pytest.mark.parametrize(("counts", "expected"), LIVES.values(), ids=LIVES)
def test_its_life(counts, expected):
    story = Story(checks=[check])
    told = [
        story.hears(
            system(
                cluster(
                    **{
                        f"n{i}": count if count is hung else Server(users={"APP bob": count})
                        for i, count in enumerate(counts_now, 1)
                    }
                )
            )
        )
        for counts_now in counts
    ]
    assert [" ".join(one.split()[0] for one in epoch) for epoch in told] == expected
    assert "raised" not in story.audit.outcomes[check.code].why
