"""SERVER_905: several servers use one name."""

from __future__ import annotations

import pytest

from nats_insights.checks.server.duplicate_server_name import duplicate_server_name as check
from nats_insights.testing import (
    Epochs,
    Server,
    Story,
    System,
    cluster,
    dead,
    finding,
    found,
    hung,
    lone,
    system,
    then,
)

FIRST, SECOND = Server(1, id="first"), Server(1, id="second")


def turns(*servers: Server, every: float = 30.0) -> Epochs:
    """Leaf nodes of one name, of which one replies at a time."""
    leafs = (cluster("leaf", leaf=one) for one in servers)
    return then(*(system(cluster(n1=1, n2=1), leaf) for leaf in leafs), every=every)


BOTH = system(cluster(n1=FIRST, n2=1), cluster(n1=SECOND))
CASES = {
    "fires where two reply in one cluster": (BOTH, {"system"}),
    "quiet where two clusters have servers of one name": (
        system(cluster("EU", n1=1, n2=1), cluster("US", n1=1, n3=1), lone(n1=1)),
        set(),
    ),
    "fires where two take turns": (turns(FIRST, SECOND, FIRST), {"system"}),
    "fires for ten minutes": (turns(FIRST, SECOND, *21 * [FIRST]), {"system"}),
    "quiet after that": (turns(FIRST, SECOND, *22 * [FIRST]), set()),
    "quiet where one restarts": (turns(FIRST, SECOND, SECOND), set()),
    "quiet where one restarts again and again": (
        turns(FIRST, SECOND, dead, Server(1, id="third")),
        set(),
    ),
    "fires though a peer hangs": (
        system(cluster(n1=FIRST, n2=hung), cluster(n1=SECOND)),
        {"system"},
    ),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


@pytest.mark.parametrize(("within", "expected"), [("60s", {"system"}), ("59s", set())])
def test_its_parameter_can_be_set(within, expected):
    given = turns(FIRST, SECOND, FIRST, FIRST, FIRST)
    assert found(check, given, f'checks.duplicate_server_name.within = "{within}"') == expected


def test_it_names_them():
    said = finding(check, BOTH)
    assert (said.summary, said.value) == ("1 name is used by several servers, such as n1", 1)
    one = {"host": "", "id_before": ""}
    both = [{**one, "id": "first"}, {**one, "id": "second"}]
    names = [{"cluster": "C1", "name": "n1", "servers": both}]
    assert said.evidence == {"names": names, "left_out": 0}


def test_it_names_both_that_take_turns():
    said = finding(check, turns(FIRST, SECOND, FIRST))
    (told,) = said.evidence["names"]
    (leaf,) = told["servers"]
    assert (told["name"], leaf["id"], leaf["id_before"]) == ("leaf", "first", "second")


def test_it_names_ten_of_many():
    one, other = ({f"n{n:02}": Server(1, id=f"{which} {n}") for n in range(12)} for which in "ab")
    said = finding(check, system(cluster(**one), cluster(**other)))
    assert said.summary == "12 names are used by several servers, such as n00"
    assert (len(said.evidence["names"]), said.evidence["left_out"]) == (10, 2)


def test_it_is_open_until_one_has_left():
    story = Story("lifecycle.gone_after = '45s'", [check])
    alone: System = system(
        cluster(n1=FIRST, n2=1, n3=1), cluster(n1=Server(id="second", state="dead"))
    )
    both = system(cluster(n1=FIRST, n2=1, n3=1), cluster(n1=SECOND))
    heard = [story.hears(one) for one in (both, *6 * [alone])]
    assert [line for lines in heard for line in lines] == [
        "opened SERVER_905 system",
        "resolved SERVER_905 system",
    ]
