"""SERVER_015: a server says that streams or consumers are not healthy."""

from __future__ import annotations

import pytest

from nats_insights.check import CRITICAL, WARNING
from nats_insights.checks.server.streams_unhealthy import streams_unhealthy as check
from nats_insights.replies.healthz import HealthError, Healthz
from scenario import Server, Story, cluster, finding, found, hung, lone, system

OK = Healthz(status="ok", status_code=200)


def stream(name="ORDERS", error="is not current: group node unhealthy"):
    return HealthError(type="STREAM", account="APP", stream=name, error=error)


def consumer(name="billing"):
    return HealthError(
        type="CONSUMER", account="APP", stream="ORDERS", consumer=name, error="is not current"
    )


def sick(*errors, **more):
    reply = Healthz(status="error", status_code=503, errors=list(errors))
    return Server(1, replies={"HEALTHZ": reply}, **more)


JETSTREAM = HealthError(type="JETSTREAM", error="JetStream is not current with the meta leader")
CONNECTION = HealthError(type="CONNECTION", error="not ready for connections")
ACCOUNT = HealthError(type="ACCOUNT", account="APP", error="account not found")

CASES = {
    "fires about a stream": (system(cluster(n1=sick(stream()), n2=1)), {"C1 n1"}),
    "fires about a consumer": (system(cluster(n1=sick(consumer()), n2=1)), {"C1 n1"}),
    "fires about a lone server": (system(lone(n1=sick(stream()))), {"n1"}),
    "quiet about a healthy server": (system(lone(n1=Server(replies={"HEALTHZ": OK}))), set()),
    "quiet about an account that does not resolve": (system(lone(n1=sick(ACCOUNT))), set()),
    "quiet where JetStream as a whole is not healthy": (system(lone(n1=sick(JETSTREAM))), set()),
    "quiet where no connections are accepted yet": (system(lone(n1=sick(CONNECTION))), set()),
    "quiet about what a server says without a reason": (system(lone(n1=sick())), set()),
    "fires though a peer hangs": (system(cluster(n1=sick(stream()), n2=hung)), {"C1 n1"}),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


@pytest.mark.parametrize(
    ("errors", "severity", "value", "unit", "said"),
    [
        ([stream()], CRITICAL, 1, "streams", "1 stream and 0 consumers"),
        ([consumer(), consumer("x")], WARNING, 2, "consumers", "0 streams and 2 consumers"),
        ([consumer(), stream()], CRITICAL, 1, "streams", "1 stream and 1 consumer"),
    ],
)
def test_it_says_how_many_and_how_bad(errors, severity, value, unit, said):
    told = finding(check, system(lone(n1=sick(*errors))))
    assert told.summary == f"n1 says that {said} are not healthy"
    assert (told.severity, told.value, told.threshold, told.unit) == (severity, value, 1, unit)


def test_it_names_what_is_wrong_streams_first():
    told = finding(check, system(lone(n1=sick(consumer(), ACCOUNT, stream()))))
    orders = {"account": "APP", "stream": "ORDERS"}
    assert told.evidence == {
        "unhealthy": [
            {**orders, "consumer": "", "error": "is not current: group node unhealthy"},
            {**orders, "consumer": "billing", "error": "is not current"},
        ],
        "left_out": 0,
    }


def test_it_names_ten_of_many():
    many = [stream(f"S{number:02}") for number in range(25)]
    told = finding(check, system(lone(n1=sick(*many))))
    assert [one["stream"] for one in told.evidence["unhealthy"]] == [f"S{n:02}" for n in range(10)]
    assert (told.value, told.evidence["left_out"]) == (25, 15)


SETTINGS = {
    "streams = 3": set(),
    "streams = 2": {"n1"},
    "streams = 'off'\nconsumers = 2": set(),
    "streams = 'off'": {"n1"},
}


@pytest.mark.parametrize(("setting", "expected"), SETTINGS.items(), ids=SETTINGS)
def test_its_limits_can_be_set(setting, expected):
    consumers = [] if setting == "streams = 3" else [consumer()]
    given = system(lone(n1=sick(stream(), stream("X"), *consumers)))
    assert found(check, given, f"[checks.streams_unhealthy]\n{setting}") == expected


SICK, WELL = system(lone(n1=sick(stream()))), system(lone(n1=1))


def test_what_catches_up_within_a_minute_is_not_reported():
    story = Story(checks=[check])
    assert [story.hears(one, after=60) for one in (SICK, WELL, SICK, WELL)] == [[], [], [], []]


def test_it_opens_at_the_second_look_and_ends_when_all_are_healthy():
    story = Story(checks=[check])
    told = [story.hears(one, after=60) for one in (SICK, SICK, SICK, WELL, WELL)]
    assert told == [[], ["opened SERVER_015 n1"], [], [], ["resolved SERVER_015 n1"]]


@pytest.mark.parametrize("instead", [JETSTREAM, CONNECTION, ACCOUNT])
def test_it_stays_open_while_the_server_does_not_look_at_its_streams(instead):
    story = Story(checks=[check])
    hidden = system(lone(n1=sick(instead)))
    told = [story.hears(one, after=60) for one in (SICK, SICK, *[hidden] * 4, WELL, WELL)]
    assert told == [[], ["opened SERVER_015 n1"], [], [], [], [], [], ["resolved SERVER_015 n1"]]


def test_what_is_left_below_the_limit_is_told_at_the_end():
    story = Story("[checks.streams_unhealthy]\nstreams = 2", checks=[check])
    two, one = system(lone(n1=sick(stream(), stream("X")))), system(lone(n1=sick(stream())))
    told = [story.hears(given, after=60) for given in (two, two, one, one)]
    assert told[-1] == ["resolved SERVER_015 n1"]
    (resolved,) = story.told
    assert resolved.life.summary == "n1 says that 1 stream and 0 consumers are not healthy"


def test_it_is_unknown_why_nothing_is_known():
    story = Story(checks=[check])
    story.hears(system(lone(n1=sick(JETSTREAM))))
    assert story.audit.outcomes[check.code].why == "the health of streams of n1"
