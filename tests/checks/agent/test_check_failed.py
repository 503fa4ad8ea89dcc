"""AGENT_006: a check raised an error."""

from __future__ import annotations

import pytest

from nats_insights.check import VARZ, Server, changes
from nats_insights.checks.agent.check_failed import check_failed as check
from nats_insights.judge.declare import INFO, Finding, Params
from nats_insights.judge.declare import check as declare
from scenario import Story, cluster, finding, found, hung, system

WELL = system(cluster(n1=1))


def raised(number: int):
    """An agent of which so many checks raised."""
    errors = {f"check_{i:02}": f"KeyError at a.py:{i}" for i in range(number)}
    return system(cluster(n1=1, n2=hung), raised=errors)


CASES = {
    "quiet when none did": (WELL, set()),
    "fires when one did": (raised(1), {"me"}),
    "fires when several did": (raised(12), {"me"}),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


@pytest.mark.parametrize(("most", "expected"), [(1, {"me"}), (2, set())])
def test_its_parameters_can_be_set(most, expected):
    assert found(check, raised(2), f"[checks.check_failed]\nmost = {most}") == expected


def test_the_finding_names_the_checks_and_the_places():
    said = finding(check, raised(1))
    assert (said.value, said.threshold, said.unit) == (1, 0, "checks")
    assert said.summary == (
        "1 check raised an error in the last 20 epochs: check_00, KeyError at a.py:0"
    )
    assert said.evidence == {"places": {"check_00": "KeyError at a.py:0"}, "left_out": 0}
    many = finding(check, raised(12))
    assert (len(many.evidence["places"]), many.evidence["left_out"]) == (10, 2)
    assert many.summary.startswith("12 checks raised an error in the last 20 epochs: check_00, ")


@changes(keep=60.0)
def inverse(server: Server) -> float:
    return 1 / server.varz.connections


@declare("TEST_906", INFO, "health", needs=(VARZ, inverse))
def raises_on_idle_servers(server: Server, params: Params) -> Finding | None:
    """A server has no connections at all.

    Finds: it raises instead.

    Why: it is a test.

    Do: nothing.
    """
    assert 1 / server.varz.connections
    return None


def test_an_error_is_told_in_the_next_epoch_and_for_twenty_more():
    story = Story("lifecycle.remind_every = 100000.0", [check, raises_on_idle_servers])
    idle = system(cluster(n1=0, n2=1))
    assert [story.hears(one) for one in (idle, WELL)] == [[], ["opened AGENT_006 me"]]
    (life,) = story.lives.values()
    assert life.value == 2  # The check, and the figure of the past.
    assert "raises_on_idle_servers" in str(bytes(life.evidence))
    assert [story.hears(WELL) for _ in range(19)] == [[]] * 19
    assert [story.hears(WELL) for _ in range(2)] == [[], ["resolved AGENT_006 me"]]
