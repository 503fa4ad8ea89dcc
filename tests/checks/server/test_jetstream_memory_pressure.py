"""SERVER_005: streams nearly fill the memory that JetStream of a server may use."""

from __future__ import annotations

import pytest

from nats_insights.checks.server.jetstream_memory_pressure import (
    jetstream_memory_pressure as check,
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


def using(used: int, most: int = 1000, reserved: int = 0) -> Server:
    """A server whose streams use and reserve so many MiB of memory."""
    stats = {"memory": used * MIB, "reserved_memory": reserved * MIB, "storage": 10**15}
    return Server(varz={"jetstream": {"config": {"max_memory": most * MIB}, "stats": stats}})


def beside(one: Server) -> System:
    return system(cluster(n1=one, n2=using(0)))


CASES = {
    "fires at 90 % of the limit": (beside(using(900)), {"C1 n1"}),
    "quiet just below": (beside(using(899)), set()),
    "fires in the peer's case of 901 of 1000": (beside(using(901)), {"C1 n1"}),
    "quiet in the peer's case of 500 of 1000": (beside(using(500)), set()),
    "fires beyond the limit, which was lowered": (beside(using(1500)), {"C1 n1"}),
    "quiet where streams fill what they reserve": (beside(using(500, reserved=500)), set()),
    "quiet where no memory is allowed": (beside(using(1, most=0)), set()),
    "quiet without JetStream": (beside(Server(varz={"jetstream": {}})), set()),
    "fires on a server without a cluster": (system(lone(n1=using(900))), {"n1"}),
    "fires though a peer hangs": (system(cluster(n1=using(900), n2=hung)), {"C1 n1"}),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


OF_RESERVED = 'used_percent = "off"\nused_of_reserved_percent = 90.0'
SETTINGS = {
    "used_percent = 90.1": (using(900), set()),
    'used_percent = "off"': (using(1000), set()),
    OF_RESERVED: (using(90, reserved=100), {"C1 n1"}),
    f"{OF_RESERVED} # below": (using(89, reserved=100), set()),
    f"{OF_RESERVED} # of nothing": (using(90), set()),
    "used_of_reserved_percent = 90.0": (using(90, reserved=100), {"C1 n1"}),
}


@pytest.mark.parametrize(("setting", "expected"), SETTINGS.items(), ids=SETTINGS)
def test_its_parameters_can_be_set(setting, expected):
    one, names = expected
    assert found(check, beside(one), f"[checks.jetstream_memory_pressure]\n{setting}") == names


def test_it_says_how_full():
    said = finding(check, beside(using(950, reserved=100)))
    assert (said.summary, said.value, said.threshold, said.unit, said.evidence) == (
        "streams in memory of n1 use 95 % of what it may use, 950.0 of 1,000.0 MiB",
        95.0,
        90.0,
        "%",
        {"used": 950 * MIB, "reserved": 100 * MIB, "max_memory": 1000 * MIB},
    )


def test_it_says_of_what_it_is_a_share():
    reserved = f"[checks.jetstream_memory_pressure]\n{OF_RESERVED}"
    said = finding(check, beside(using(99, reserved=100)), reserved)
    assert said.summary == (
        "streams in memory of n1 use 99 % of what its streams reserve, 99.0 of 100.0 MiB"
    )


def test_it_opens_and_resolves_below_its_eased_limit():
    story = Story(checks=[check])
    told = [story.hears(beside(using(used))) for used in (899, 900, 856, 854, 854)]
    assert told == [[], ["opened SERVER_005 C1 n1"], [], [], ["resolved SERVER_005 C1 n1"]]
