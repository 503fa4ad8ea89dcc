"""AGENT_003: the agent does not receive all that its checks read."""

from __future__ import annotations

import pytest

from nats_insights.check import GATEWAYZ, STATSZ, STATZ, VARZ, Server
from nats_insights.checks.agent.incomplete_coverage import incomplete_coverage as check
from nats_insights.gather.stepwise import at_once
from nats_insights.judge.declare import INFO, Finding, Params
from nats_insights.judge.declare import check as declare
from nats_insights.testing import Server as SystemServer
from scenario import Story, cluster, dead, finding, found, hung, system

THREE = cluster(n1=1, n2=1, n3=1)


@declare("TEST_903", INFO, "health", needs=(STATZ, STATSZ))
def reader(server: Server, params: Params) -> Finding | None:
    """A server is read by this test.

    Finds: nothing at all, as it only needs two endpoints to be requested by the agent.

    Why: it is a test.

    Do: nothing.
    """


def missed(**endpoints: dict[str, int]):
    return system(THREE, missed=endpoints, readers={"JSZ": ["b", "a"], "CONNZ": ["a"]})


CASES = {
    "quiet when nothing lacks": (missed(), set()),
    "quiet after two replies that did not come": (missed(JSZ={"n1": 2, "n2": 1}), set()),
    "fires after three": (missed(JSZ={"n1": 2, "n2": 3}), {"me"}),
    "fires though a server hangs": (
        system(cluster(n1=1, n2=hung), missed={"JSZ": {"n1": 9}}),
        {"me"},
    ),
    "quiet while a cluster was not seen twice": (system(THREE, hidden_clusters={"US": 2}), set()),
    "fires when it was not for a third time": (system(THREE, hidden_clusters={"US": 3}), {"me"}),
    "quiet where a server does not answer at all": (system(cluster(n1=1, n2=hung)), set()),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


@pytest.mark.parametrize(("times", "expected"), [(5, set()), (4, {"me"})])
def test_its_parameters_can_be_set(times, expected):
    config = f"[checks.incomplete_coverage]\ntimes = {times}"
    assert found(check, missed(JSZ={"n1": 4}), config) == expected


def test_the_finding_says_what_is_not_read_and_which_checks_need_it():
    said = finding(check, missed(CONNZ={"n2": 3, "n3": 4}, JSZ={"n1": 7, "n2": 2}))
    assert (said.value, said.threshold, said.unit) == (2, 1, "gaps")
    assert said.summary == (
        "the agent does not see all (2): CONNZ does not come from 2 servers, such as n2, "
        "JSZ does not come from n1"
    )
    assert said.evidence == {
        "not_permitted": [],
        "no_reply": {
            "CONNZ": {"top": [["n3", 4], ["n2", 3]], "left_out": 0},
            "JSZ": {"top": [["n1", 7], ["n2", 2]], "left_out": 0},
        },
        "unknown_clusters": [],
        "checks": ["a", "b"],
        "checks_left_out": 0,
    }


def test_of_many_endpoints_three_are_named():
    said = finding(check, missed(**{key: {"n1": 3} for key in "ABCDE"}))
    assert said.summary.endswith("C does not come from n1, and 2 more")


def test_it_opens_for_a_reply_that_stays_away_and_resolves_when_it_comes():
    story, lost = Story(checks=[check, reader]), [("n2", "STATSZ")]
    given = system(THREE)
    told = [story.hears(given, now) for now in (lost, lost, [], lost, lost, lost, lost, [], [], [])]
    opened, resolved = ["opened AGENT_003 me"], ["resolved AGENT_003 me"]
    # It is told in the epoch after the third.
    assert told == [[], [], [], [], [], [], opened, [], [], resolved]


@declare("TEST_904", INFO, "health", needs=(GATEWAYZ,))
def gateway_reader(server: Server, params: Params) -> Finding | None:
    """A server is read by this test.

    Finds: nothing at all, as it only needs the gateways of servers to be requested.

    Why: it is a test.

    Do: nothing.
    """


def test_a_cluster_that_only_a_gateway_shows_is_found_until_one_of_its_servers_is_known():
    gateways = {"varz": {"gateway": {"name": "EU"}}}
    gateways["replies"] = {"GATEWAYZ": {"name": "EU", "outbound_gateways": {"US": {}}}}
    alone = cluster("EU", n1=SystemServer(**gateways), n2=1)
    story = Story("gather.every = { GATEWAYZ = 0.0 }", [check, gateway_reader])
    told = [story.hears(system(alone)) for _ in range(4)]
    assert told == [[], [], [], ["opened AGENT_003 me"]]
    (life,) = story.lives.values()
    assert life.summary == "the agent does not see all (1): no server of cluster US is known"
    both = system(alone, cluster("US", u1=1))
    assert [story.hears(both) for _ in range(3)] == [[], [], ["resolved AGENT_003 me"]]
    # A server that died is known, and so is its cluster.
    down = system(alone, cluster("US", u1=dead))
    assert [story.hears(down) for _ in range(5)] == [[]] * 5


@pytest.mark.parametrize("state", [hung, dead])
def test_a_server_that_fell_silent_is_the_ground_of_another_check(state):
    story = Story(checks=[check, reader])
    told = [story.hears(system(cluster(n1=1, n2=1, n3=one))) for one in (1, *[state] * 6)]
    assert told == [[]] * 7


def test_epochs_on_request_do_not_count():
    story, lost = Story(checks=[check, reader]), [("n2", "STATSZ")]
    assert [story.hears(system(THREE), lost, counts=False) for _ in range(9)] == [[]] * 9
    assert [story.hears(system(THREE), lost) for _ in range(3)] == [[]] * 3


def test_epochs_that_failed_change_nothing():
    story, lost = Story(checks=[check, reader]), [("n2", "STATSZ")]
    told = [story.hears(system(THREE), lost) for _ in range(4)]
    assert told[-1] == ["opened AGENT_003 me"]
    story.auditor.id = "me"
    for _ in range(5):
        story.auditor.begin(story.now)
        story.auditor.fail(ValueError())
        assert at_once(story.auditor.judge()) == []


def test_an_endpoint_that_is_not_due_is_not_counted():
    story = Story('gather.every = { STATSZ = "100s" }', [check, reader])
    lost = [("n2", "STATSZ")]
    assert [story.hears(system(THREE), lost) for _ in range(7)] == [[]] * 7


def test_what_is_not_permitted_is_found_at_once():
    story = Story(checks=[check, reader])
    denied = [["STATZ"]] * 5
    told = [story.hears(system(THREE), denied=one) for one in (*denied, [], [])]
    assert told == [["opened AGENT_003 me"], *[[]] * 5, ["resolved AGENT_003 me"]]


def test_the_summary_names_what_is_not_permitted():
    story = Story(checks=[check, reader])
    for _ in range(5):
        story.hears(system(THREE), denied=["STATZ"])
    (life,) = story.lives.values()
    assert life.summary == "the agent does not see all (1): STATZ is not permitted"


def test_what_is_not_permitted_on_purpose_is_no_gap():
    story = Story('access.without = ["STATZ"]', [check, reader])
    assert story.hears(system(THREE), denied=["STATZ"]) == []
    assert VARZ.key not in story.snapshot.agent.missed
