"""SERVER_017: streams reserve more file storage than JetStream of a server may use."""

from __future__ import annotations

import pytest

from nats_insights.checks.server.jetstream_storage_pressure import (
    jetstream_storage_pressure as check,
)
from nats_insights.testing import (
    Server,
    Story,
    System,
    cluster,
    finding,
    found,
    hung,
    lone,
    system,
)

MIB = 2**20


def reserving(reserved: int, used: int = 0, most: int = 1000) -> Server:
    """A server whose file streams reserve and use so many MiB."""
    stats = {"storage": used * MIB, "reserved_storage": reserved * MIB, "memory": 10**15}
    return Server(varz={"jetstream": {"config": {"max_storage": most * MIB}, "stats": stats}})


def beside(one: Server) -> System:
    return system(cluster(n1=one, n2=reserving(0)))


CASES = {
    "fires where more is reserved than there is": (beside(reserving(1001)), {"C1 n1"}),
    "quiet where all is reserved": (beside(reserving(1000)), set()),
    "quiet where streams fill what they reserve": (beside(reserving(500, used=500)), set()),
    "quiet where much is used, which SERVER_019 says": (beside(reserving(0, used=999)), set()),
    "quiet where no storage is allowed": (beside(reserving(1, most=0)), set()),
    "quiet without JetStream": (beside(Server(varz={"jetstream": {}})), set()),
    "fires on a server without a cluster": (system(lone(n1=reserving(1001))), {"n1"}),
    "fires though a peer hangs": (system(cluster(n1=reserving(1001), n2=hung)), {"C1 n1"}),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


OF_RESERVED = 'reserved_percent = "off"\nused_of_reserved_percent = 90.0'
SETTINGS = {
    "reserved_percent = 100.2": (reserving(1001), set()),
    "reserved_percent = 90.0": (reserving(901), {"C1 n1"}),
    'reserved_percent = "off"': (reserving(2000), set()),
    OF_RESERVED: (reserving(100, used=90), {"C1 n1"}),
    f"{OF_RESERVED} # below": (reserving(100, used=89), set()),
    f"{OF_RESERVED} # of nothing": (reserving(0, used=90), set()),
}


@pytest.mark.parametrize(("setting", "expected"), SETTINGS.items(), ids=SETTINGS)
def test_its_parameters_can_be_set(setting, expected):
    one, names = expected
    assert found(check, beside(one), f"[checks.jetstream_storage_pressure]\n{setting}") == names


def test_it_says_how_much_is_reserved():
    said = finding(check, beside(reserving(1500, used=20)))
    assert (said.summary, said.value, said.threshold, said.unit, said.evidence) == (
        "file streams of n1 reserve 150 % of what it may use, 1,500.0 of 1,000.0 MiB",
        150.0,
        100.0,
        "%",
        {"used": 20 * MIB, "reserved": 1500 * MIB, "max_storage": 1000 * MIB},
    )


def test_it_says_how_much_of_that_is_used():
    reserved = f"[checks.jetstream_storage_pressure]\n{OF_RESERVED}"
    said = finding(check, beside(reserving(100, used=99)), reserved)
    assert said.summary == "file streams of n1 use 99 % of what they reserve, 99.0 of 100.0 MiB"


def test_it_opens_and_resolves():
    story = Story(checks=[check])
    told = [story.hears(beside(reserving(reserved))) for reserved in (1000, 1001, 1000, 1000)]
    assert told == [[], ["opened SERVER_017 C1 n1"], [], ["resolved SERVER_017 C1 n1"]]
