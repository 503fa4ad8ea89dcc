"""The agent's streams and buckets: how those that exist compare with those that should be."""

from __future__ import annotations

from typing import Any

import pytest

from nats_insights.config import span
from nats_insights.tell import assets as these
from nats_insights.tell.assets import assets, fit, updated

WANTED = {asset.name: asset for asset in assets(replicas=3)}
HISTORY, CURRENT = "INSIGHTS", "INSIGHTS_STATE"
LEASES, KEPT = "KV_INSIGHTS_LEASE", "KV_INSIGHTS_AGENT"
SECOND, HOUR = 10**9, 3600 * 10**9


def existing(name: str, **other: Any) -> dict[str, Any]:
    """A stream as the server describes it: with more keys, and without those that are false."""
    more = {"sealed": False, "deny_purge": False, "metadata": {"_nats.level": "2"}}
    config = WANTED[name].config | more | other
    return {key: value for key, value in config.items() if value is not None}


def test_there_are_two_streams_and_two_buckets_and_the_mirror_comes_after_what_it_mirrors():
    assert list(WANTED) == [HISTORY, CURRENT, LEASES, KEPT]
    assert [asset.bucket for asset in WANTED.values()] == ["", "", these.LEASES, these.KEPT]
    assert {asset.config["num_replicas"] for asset in WANTED.values()} == {3}


def test_the_current_state_is_kept_for_four_reminders():
    (_, current, *_) = assets(remind_every=60)
    assert current.config["max_age"] == 240 * SECOND
    assert (current.config["mirror"], current.config["max_msgs_per_subject"]) == (
        {"name": HISTORY},
        1,
    )
    assert "subjects" not in current.config


def test_history_is_kept_for_thirty_days_and_within_bounds():
    config = WANTED[HISTORY].config
    assert span(config["max_age"] / SECOND) == "30d"
    assert span(config["duplicate_window"] / SECOND) == "5m"
    assert (config["max_bytes"], config["max_msgs_per_subject"]) == (2**30, 5000)
    assert config["subjects"] == ["$INSIGHTS.ADVISORY.>"]


def test_only_leases_expire_and_a_window_of_duplicates_is_never_longer_than_a_life():
    *_, leases, kept = assets(lease=15)
    assert (leases.config["max_age"], leases.config["duplicate_window"]) == (15 * SECOND,) * 2
    assert (kept.config["max_age"], kept.config["duplicate_window"]) == (0, 120 * SECOND)
    *_, leases, _ = assets(lease=600)
    assert leases.config["duplicate_window"] == 120 * SECOND


@pytest.mark.parametrize("name", WANTED)
def test_what_is_as_it_should_be_fits(name):
    assert fit(WANTED[name], existing(name)) == these.Fit(state="fits")
    assert fit(WANTED[name], None) == these.Fit(state="missing")


def test_what_the_server_leaves_out_because_it_is_not_set_fits():
    assert fit(WANTED[KEPT], existing(KEPT, max_age=None)).state == "fits"


DIFFERENT = {
    "age": (HISTORY, {"max_age": 90 * 24 * HOUR}, "max_age is 90d, not 30d"),
    "no age": (HISTORY, {"max_age": None}, "max_age is not set, not 30d"),
    "replicas": (HISTORY, {"num_replicas": 1}, "num_replicas is 1, not 3"),
    "more subjects": (
        HISTORY,
        {"subjects": ["a", "$INSIGHTS.>"]},
        "subjects is a, $INSIGHTS.>, not $INSIGHTS.ADVISORY.>",
    ),
    "storage": (KEPT, {"storage": "memory"}, "storage is memory, not file"),
    "a flag": (KEPT, {"deny_delete": None}, "deny_delete is not set, not true"),
    "a full stream refuses": (HISTORY, {"discard": "new"}, "discard is new, not old"),
    "a longer age of the current state": (
        CURRENT,
        {"max_age": 2 * HOUR},
        "max_age is 2h, not 1h",
    ),
    "TTL": (LEASES, {"max_age": 30 * SECOND}, "max_age is 30s, not 15s"),
}


@pytest.mark.parametrize(("name", "other", "note"), DIFFERENT.values(), ids=DIFFERENT)
def test_what_works_as_its_owner_wants_it_differs(name, other, note):
    assert fit(WANTED[name], existing(name, **other)) == these.Fit(state="differs", notes=[note])


NOT_ALL = "it does not store and acknowledge all of "
FAULTY = {
    "some subjects": (
        HISTORY,
        {"subjects": ["$INSIGHTS.ADVISORY.CRITICAL.>"]},
        f"{NOT_ALL}$INSIGHTS.ADVISORY.>",
    ),
    "no subjects": (HISTORY, {"subjects": None}, f"{NOT_ALL}$INSIGHTS.ADVISORY.>"),
    "no acknowledgements": (HISTORY, {"no_ack": True}, f"{NOT_ALL}$INSIGHTS.ADVISORY.>"),
    "a work queue": (
        HISTORY,
        {"retention": "workqueue"},
        "retention is workqueue: what was read is removed",
    ),
    "sealed": (HISTORY, {"sealed": True}, "it is sealed: nothing can be written"),
    "one message": (
        HISTORY,
        {"max_msgs_per_subject": 1},
        "it keeps one message per subject, so that an old one can replace a new one",
    ),
    "no mirror": (
        CURRENT,
        {"mirror": None, "subjects": ["a"]},
        "it is not a mirror of INSIGHTS",
    ),
    "a mirror of another": (CURRENT, {"mirror": {"name": "A"}}, "it is not a mirror of INSIGHTS"),
    "all messages": (
        CURRENT,
        {"max_msgs_per_subject": -1},
        "it does not keep one message per subject",
    ),
    "forgets what is open": (
        CURRENT,
        {"max_age": HOUR // 2 - SECOND},
        "max_age is 29m59s: what is open is valid for 30m",
    ),
    "no TTL": (
        LEASES,
        {"max_age": None},
        "it has no TTL: a leader that vanished would keep the lead",
    ),
    "not a bucket": (LEASES, {"subjects": ["other"]}, f"{NOT_ALL}$KV.INSIGHTS_LEASE.>"),
    "not a bucket either": (KEPT, {"subjects": ["other"]}, f"{NOT_ALL}$KV.INSIGHTS_AGENT.>"),
}


@pytest.mark.parametrize(("name", "other", "fault"), FAULTY.values(), ids=FAULTY)
def test_what_cannot_work_is_wrong(name, other, fault):
    assert fit(WANTED[name], existing(name, **other)) == these.Fit(state="wrong", notes=[fault])


def test_the_current_state_may_end_when_what_is_open_does():
    assert fit(WANTED[CURRENT], existing(CURRENT, max_age=HOUR // 2)).state == "differs"


def test_an_update_keeps_what_it_is_not_about():
    before = existing(HISTORY, max_age=HOUR, placement={"tags": ["ssd"]})
    after = updated(WANTED[HISTORY], before)
    assert (after["max_age"], after["placement"]) == (30 * 24 * HOUR, {"tags": ["ssd"]})
