"""Sweeps: what is remembered of servers ends with their membership."""

from __future__ import annotations

from nats_insights.gather.stepwise import at_once
from nats_insights.model.fold import Sweep, by_user
from nats_insights.model.sweeps import Mark, Sweeps, Swept
from nats_insights.replies.connz import Page
from nats_insights.replies.fields import ServerInfo
from nats_insights.testing import row

A, B = ("C1", "a"), ("C1", "b")
MARK = Mark("id", None, "", 0, 0)


def swept(**times: float) -> Sweeps:
    """Servers that were swept at these times, with one client of user `app` each."""
    sweeps = Sweeps([by_user])
    for name, at in times.items():
        sweep = Sweep({by_user: None}, frozenset())
        sweep.page(Page(ServerInfo(), [row(cid=1, authorized_user="app")], 1))
        at_once(sweeps.take(("C1", name), Swept(at=at, mark=MARK, unnamed=0, figures={}), sweep))
    return sweeps


def test_the_oldest_sweep_is_that_of_the_server_that_was_swept_first():
    assert swept(a=10.0, b=30.0).oldest(now=40.0) == 30.0


def test_where_nobody_was_swept_no_sweep_is_old():
    assert swept().oldest(now=40.0) == 0.0


def test_a_server_that_is_no_member_any_more_was_never_swept():
    sweeps = swept(a=10.0, b=30.0)
    sweeps.begin({B})
    assert (set(sweeps.last), sweeps.oldest(now=40.0)) == ({B}, 10.0)
    assert sweeps.ledgers[by_user].held_by(("APP", "app")) == {B: 1}


def test_members_are_remembered_until_they_are_swept_again():
    sweeps = swept(a=10.0, b=30.0)
    for _ in range(3):
        sweeps.begin({A, B})
    assert set(sweeps.last) == {A, B}
    assert sweeps.ledgers[by_user]["APP", "app"] == 2
