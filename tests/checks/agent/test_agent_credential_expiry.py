"""AGENT_004: the agent's own credentials expire soon."""

from __future__ import annotations

import pytest

from nats_insights.check import CRITICAL, WARNING, Expiry
from nats_insights.checks.agent.agent_credential_expiry import agent_credential_expiry as check
from nats_insights.testing import START
from scenario import Story, cluster, finding, found, hung, system

DAY = 86_400.0
# When the first epoch of a story is.
NOW = START + 30.0


def jwt(left: float, life: float = 365.0, what: str = "the user JWT") -> Expiry:
    """It expires in so many days, and was made for so many; 0 is not known."""
    ends = NOW + left * DAY
    return Expiry(what=what, ends=ends, begins=ends - life * DAY if life else 0.0)


def having(*expiries: Expiry):
    return system(cluster(n1=1, n2=hung), expiries=expiries)


CASES = {
    "quiet without a date": (having(), set()),
    "quiet a month before": (having(jwt(30)), set()),
    "fires after that": (having(jwt(29.99)), {"me"}),
    "fires after the date": (having(jwt(-1)), {"me"}),
    "fires for the first of several": (having(jwt(300), jwt(20), jwt(200)), {"me"}),
    "quiet for a life of 90 days after two thirds of it": (having(jwt(30, 90)), set()),
    "fires in the last quarter of it": (having(jwt(22.4, 90)), {"me"}),
    "quiet for a life of a day six hours before": (having(jwt(0.25, 1)), set()),
    "fires after that, too": (having(jwt(0.249, 1)), {"me"}),
    "fires as for a long life where its begin is not known": (having(jwt(29, 0)), {"me"}),
    "quiet for a fresh short life": (having(jwt(0.9, 1), jwt(100)), set()),
    "fires for the one that is nearer to its end": (having(jwt(0.5, 1), jwt(5, 365)), {"me"}),
    "fires where the files cannot be read": (
        system(cluster(n1=1), unusable="creds file x cannot be read: Permission denied"),
        {"me"},
    ),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


SEVERITIES = {
    "seven days": (jwt(7), WARNING, 30.0),
    "fewer": (jwt(6.9), CRITICAL, 7.0),
    "an hour and 24 minutes of a day": (jwt(1.41 / 24, 1), WARNING, 0.25),
    "fewer of a day": (jwt(1.39 / 24, 1), CRITICAL, 0.058),
}


@pytest.mark.parametrize(("one", "severity", "limit"), SEVERITIES.values(), ids=SEVERITIES)
def test_its_limits_follow_the_lifetime(one, severity, limit):
    said = finding(check, having(one))
    assert (said.severity, said.threshold) == (severity, limit)


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("warning_days = 19", set()),
        ("warning_days = 21", {"me"}),
        ("critical_days = 19", {"me"}),
        ("lifetime_days = 0", {"me"}),
        ("lifetime_days = 240", set()),
    ],
)
def test_its_parameters_can_be_set(setting, expected):
    given = having(jwt(20, 160))
    assert found(check, given, f"[checks.agent_credential_expiry]\n{setting}") == expected


def test_it_says_what_expires_and_when():
    said = finding(check, having(jwt(3.26, what="the user JWT in creds file a.creds")))
    assert (said.value, said.unit) == (3.26, "days")
    assert said.summary == (
        "the user JWT in creds file a.creds expires in 3.3 days, at 2027-01-18 14:14 UTC"
    )
    assert said.evidence == {"expires": "2027-01-18T14:14:54+00:00", "lifetime_days": 365.0}
    assert finding(check, having(jwt(-0.5, 0))).summary == (
        "the user JWT expired 12.0 hours ago, at 2027-01-14 20:00 UTC"
    )


def test_it_says_why_another_log_in_would_fail():
    said = finding(check, system(cluster(n1=1), unusable="creds file x is empty"))
    assert (said.severity, said.value) == (CRITICAL, None)
    assert said.summary == "the agent could not log in again: creds file x is empty"


def test_it_opens_in_the_second_epoch_and_resolves_when_they_were_renewed():
    story, fine = Story(checks=[check]), having(jwt(300))
    told = [story.hears(one) for one in (having(jwt(5)), having(jwt(5)), fine, fine)]
    assert told == [[], ["opened AGENT_004 me"], [], ["resolved AGENT_004 me"]]
