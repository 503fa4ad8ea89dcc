"""SERVER_016: a server cannot resolve accounts that have streams."""

from __future__ import annotations

import pytest

from nats_insights.checks.server.account_resolution_failure import (
    account_resolution_failure as check,
)
from nats_insights.replies.healthz import HealthError, Healthz
from nats_insights.testing import Server, Story, cluster, finding, found, hung, lone, system


def account(name="APP"):
    return HealthError(type="ACCOUNT", account=name, error=f"account '{name}' is not resolved")


JETSTREAM = HealthError(type="JETSTREAM", error="JetStream not enabled")
STREAM = HealthError(type="STREAM", account="APP", stream="ORDERS", error="is not current")


def sick(*errors):
    reply = Healthz(status="error", status_code=503, errors=list(errors))
    return Server(1, replies={"HEALTHZ": reply})


CASES = {
    "fires about an account": (system(cluster(n1=sick(account()), n2=1)), {"C1 n1"}),
    "fires about a lone server": (system(lone(n1=sick(account()))), {"n1"}),
    "fires where streams of others are ill, too": (
        system(lone(n1=sick(STREAM, account("B")))),
        {"n1"},
    ),
    "fires though a peer hangs": (system(cluster(n1=sick(account()), n2=hung)), {"C1 n1"}),
    "quiet about a healthy server": (system(lone(n1=1)), set()),
    "quiet about streams that are not healthy": (system(lone(n1=sick(STREAM))), set()),
    "quiet where JetStream as a whole is not healthy": (system(lone(n1=sick(JETSTREAM))), set()),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


@pytest.mark.parametrize(("accounts", "expected"), [(2, {"n1"}), (3, set())])
def test_its_limit_can_be_set(accounts, expected):
    given = system(lone(n1=sick(account(), account("B"))))
    config = f"checks.account_resolution_failure.accounts = {accounts}"
    assert found(check, given, config) == expected


@pytest.mark.parametrize(("count", "some"), [(1, "1 account"), (12, "12 accounts")])
def test_it_names_ten_of_many(count, some):
    told = finding(check, system(lone(n1=sick(*(account(f"A{n:02}") for n in range(count))))))
    assert told.summary == f"n1 cannot resolve {some} whose streams it keeps"
    first = {"account": "A00", "error": "account 'A00' is not resolved"}
    assert (told.value, told.evidence["accounts"][0]) == (count, first)
    assert (len(told.evidence["accounts"]), told.evidence["left_out"]) == (
        min(count, 10),
        max(0, count - 10),
    )


def test_it_opens_at_the_second_look_and_is_unknown_while_the_server_looks_no_further():
    story = Story(checks=[check])
    ill, hidden, well = (system(lone(n1=sick(one))) for one in (account(), JETSTREAM, STREAM))
    told = [story.hears(one, after=60) for one in (ill, ill, hidden, hidden, well, well)]
    assert told == [[], ["opened SERVER_016 n1"], [], [], [], ["resolved SERVER_016 n1"]]
    story.hears(hidden, after=60)
    assert story.audit.outcomes[check.code].why == "the health of accounts of n1"
