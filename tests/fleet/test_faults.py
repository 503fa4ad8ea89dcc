"""Every check has a fault that the simulator plants, or a reason why it cannot."""

from __future__ import annotations

import random

import pytest

from kit.fleet.everything import EVERYTHING, LOOKS, STEP
from nats_insights.lab.fleet.faults import FAULTS, Look, all_truth
from nats_insights.lab.fleet.model import BORN
from nats_insights.lab.fleet.plant import HEALTHY, plant
from scenario import FOUNDING

pytestmark = pytest.mark.long

# Counted by `truth`, and planted where the connections are dealt: `plant.Faults`.
OF_CONNECTIONS = {check.code for check in FOUNDING.values()} - set(FAULTS)
NOT_CARRIED = {
    **dict.fromkeys(
        [code for code in EVERYTHING if code.startswith("AGENT_")],
        "about the agent, not about servers",
    ),
    **dict.fromkeys(
        (
            *("ACCOUNTS_001", "ACCOUNTS_003", "ACCOUNTS_004", "ACCOUNTS_006"),
            *("ACCOUNTS_901", "ACCOUNTS_902", "OPT_ACCT_002"),
        ),
        "simulated accounts have no JWTs, and neither imports nor exports",
    ),
    **dict.fromkeys(
        ("CONN_003", "CONN_903", "USER_902"), "the simulator keeps no closed connections"
    ),
    **dict.fromkeys(
        ("CONN_001", "OPT_IDLE_007", "USER_901"),
        "simulated clients are all near, and none has ever been busy",
    ),
    **dict.fromkeys(
        ("CONN_901", "CONN_902"), "all simulated clients have names, and libraries of today"
    ),
    **dict.fromkeys(("SERVICE_001", "SERVICE_002"), "simulated clients offer no services"),
    **dict.fromkeys(
        ("META_006", "OPT_SYS_009", "SERVER_901", "SYSTEM_901"),
        "of servers that do not answer, of whose clusters most is unknown: tests/fleet, tests/live",
    ),
    "SYSTEM_902": "of servers that the configuration of the agent names",
    "SERVER_905": "the simulator knows its servers by their names",
    "OPT_PLACE_004": "of a version whose replies were never recorded",
    "CONN_002": "simulated clients have nothing pending",
    **dict.fromkeys(
        ("CONSUMER_006", "JETSTREAM_022"),
        "simulated streams and consumers have no limits in their metadata",
    ),
}


class Clock:
    """The time of a fleet, which a test moves on."""

    def __init__(self) -> None:
        self.now = BORN + 500 * 86_400.25

    def __call__(self) -> float:
        return self.now


def new_facts(code: str, over: bool, seed: int) -> set[str]:
    """The codes of what is true after an hour with this, and was not before."""
    clock = Clock()
    streams = 0 if code == "OPT_IDLE_001" else 6  # A server with streams has something to do.
    fleet = plant(12, 60, clusters=3, streams=streams, faults=HEALTHY, seed=seed, clock=clock)
    before = all_truth(Look(fleet, STEP))
    places = list(FAULTS[code].places(fleet))
    FAULTS[code].plant(fleet, random.Random(seed).choice(places), over)
    for _ in range(LOOKS - 1):
        clock.now += STEP
        for restart in fleet.due():
            fleet.restart(restart.server, restart.announced)
    return {found for found, _ in all_truth(Look(fleet, STEP)) - before}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("code", FAULTS)
def test_what_was_planted_is_true(code: str, seed: int) -> None:
    assert code in new_facts(code, True, seed)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("code", FAULTS)
def test_what_just_is_no_fault_is_not(code: str, seed: int) -> None:
    assert code not in new_facts(code, False, seed)


def test_every_check_has_a_fault_or_a_reason_why_not() -> None:
    assert {*FAULTS, *OF_CONNECTIONS, *NOT_CARRIED} == set(EVERYTHING)
    assert len(FAULTS) + len(OF_CONNECTIONS) + len(NOT_CARRIED) == len(EVERYTHING)
