"""CHANGE_002: the JetStream domain of a server changed."""

from __future__ import annotations

import pytest

from nats_insights.checks.change.jetstream_domain_changed import (
    jetstream_domain_changed as check,
)
from nats_insights.testing import (
    Epochs,
    Server,
    Story,
    cluster,
    finding,
    found,
    hung,
    left,
    lone,
    system,
    then,
)


def of(domain: str, start: str = "first") -> Server:
    """A server of a domain; each of its starts has an id of its own."""
    return Server(id=start, varz={"jetstream": {"config": {"domain": domain}}})


OFF = Server(varz={"jetstream": {}})
PEER = Server(varz={"jetstream": {"config": {"domain": "hub"}}})


def lives(*servers: Server, every: float = 60.0) -> Epochs:
    return then(*(system(cluster(n1=one, n2=PEER)) for one in servers), every=every)


CASES = {
    "fires for another domain": (lives(of("hub"), of("leaf")), {"C1 n1"}),
    "fires across a restart": (lives(of("hub"), of("leaf", "second")), {"C1 n1"}),
    "fires though it was down meanwhile": (
        lives(of("hub"), left, left, of("leaf", "second")),
        {"C1 n1"},
    ),
    "fires for a domain where there was none": (lives(of(""), of("leaf")), {"C1 n1"}),
    "fires for none where there was one": (lives(of("hub"), of("")), {"C1 n1"}),
    "fires nearly an hour later": (lives(of("hub"), *60 * [of("leaf")]), {"C1 n1"}),
    "quiet after more": (lives(of("hub"), *62 * [of("leaf")]), set()),
    "quiet where it stays the same": (lives(of("hub"), of("hub", "second")), set()),
    "quiet where JetStream is switched on": (lives(OFF, of("hub")), set()),
    "quiet where it is switched off": (lives(of("hub"), OFF), set()),
    "quiet where a reply was lost": (lives(of("hub"), hung, of("hub")), set()),
    "quiet in the first epoch": (system(cluster(n1=of("hub"))), set()),
    "quiet about servers of two domains with one name": (
        then(
            *2
            * [
                system(
                    cluster("EU", n1=Server(varz={"jetstream": {"config": {"domain": "eu"}}})),
                    cluster("US", n1=Server(varz={"jetstream": {"config": {"domain": "us"}}})),
                )
            ]
        ),
        set(),
    ),
    "fires on a server without a cluster": (
        then(system(lone(n1=of("hub"))), system(lone(n1=of("leaf")))),
        {"n1"},
    ),
    "fires though a peer hangs": (
        then(
            system(cluster(n1=of("hub"), n2=PEER)),
            system(cluster(n1=of("leaf"), n2=hung)),
        ),
        {"C1 n1"},
    ),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


@pytest.mark.parametrize(("within", "expected"), [("119s", set()), ("2m", {"C1 n1"})])
def test_its_parameters_can_be_set(within, expected):
    given = lives(of("hub"), of("leaf"), of("leaf"), of("leaf"))
    assert (
        found(check, given, f"[checks.jetstream_domain_changed]\nwithin = {within!r}") == expected
    )


def test_it_says_what_it_was_and_is():
    said = finding(check, lives(of("hub"), of(""), of("")))
    assert (said.summary, said.value, said.threshold, said.unit, said.evidence) == (
        "the JetStream domain of n1 changed from hub to none 60 s ago",
        60.0,
        3600.0,
        "s",
        {"before": "hub", "now": ""},
    )


def test_it_is_told_for_an_hour():
    story = Story("lifecycle.remind_every = '1d'", checks=[check])
    looks = [of("hub"), of("leaf", "second"), *5 * [of("leaf", "second")]]
    heard = [story.hears(system(cluster(n1=one, n2=PEER)), after=900.0) for one in looks]
    opened, resolved = ["opened CHANGE_002 C1 n1"], ["resolved CHANGE_002 C1 n1"]
    assert heard == [[], opened, [], [], [], [], resolved]


def test_another_domain_for_all_servers_is_one_finding():
    story = Story(checks=[check])
    told = []
    for domain in ("hub", "leaf"):
        told += story.hears(system(cluster(**{f"n{i}": of(domain, f"{i}") for i in range(6)})))
    assert told == ["opened CHANGE_002 system"]
