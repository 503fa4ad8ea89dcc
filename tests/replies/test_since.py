"""Fields that came with a version: missing of an older server, zero of a newer one, else told."""

from __future__ import annotations

from typing import Any

import pytest

from nats_insights.errors import Missing, NotTold
from nats_insights.replies.endpoint import Endpoint
from nats_insights.replies.fields import Malformed, Part, Reply, ServerInfo, since

from .recordings import reply


class Inner(Part, gc=False):
    figure: int = since("2.12.0", zero=0)


class Outer(Reply, gc=False):
    old: int = 0
    figure: int = since("2.11.12", "2.12.4", zero=0)
    words: str = since("2.14.0", zero="")
    inner: Inner | None = None
    rows: list[Inner] | None = None


OUTER = Endpoint("OUTERZ", Outer)


def told(data: Any, version: str) -> Outer:
    """What a server of this version said."""
    return OUTER.decode(reply(data, version))[1]


OLDER = ["2.10.26", "2.11.11", "2.12.0", "2.12.3", "2.12.4-RC.1", "2.11.12-dev", "1.0.0", "", "x"]
NEWER = ["2.11.12", "2.11.17", "2.12.4", "2.12.10", "2.14.0", "2.15.0-dev", "3.0.0"]


@pytest.mark.parametrize("version", OLDER)
def test_what_an_older_server_leaves_out_is_missing(version):
    with pytest.raises(NotTold) as missing:
        told({"old": 1}, version).figure  # noqa: B018
    assert str(missing.value) == f"figure of n1: not told by {version}"
    assert isinstance(missing.value, Missing)


@pytest.mark.parametrize("version", NEWER)
def test_what_a_newer_server_leaves_out_is_zero(version):
    assert told({"old": 1}, version).figure == 0


@pytest.mark.parametrize("version", OLDER + NEWER)
def test_what_a_server_sends_is_told_whatever_its_version(version):
    assert told({"figure": 7}, version).figure == 7


def test_other_fields_are_read_as_ever():
    said = told({"old": 3}, "2.10.26")
    assert said.old == 3
    said.figure = 4
    assert said.figure == 4


def test_what_an_object_in_a_reply_lacks_is_missing_of_the_same_server():
    said = told({"inner": {}, "rows": [{}, {"figure": 2}]}, "2.10.26")
    for part in (said.inner, said.rows[0]):
        with pytest.raises(NotTold, match=r"figure of n1: not told by 2\.10\.26"):
            part.figure  # noqa: B018
        assert part.server.name == "n1"
    assert said.rows[1].figure == 2
    assert told({"inner": {}}, "2.12.0").inner.figure == 0


def test_who_sent_a_reply_is_known_wherever_it_says_so():
    whole = b'{"data":{"inner":{}},"server":{"name":"n2","id":"N2","ver":"2.15.1"}}'
    info, said = OUTER.decode(whole)
    assert (said.server, said.inner.server) == (info, info)
    assert said.figure == 0


def test_each_reply_keeps_its_own_server():
    first, second = told({}, "2.10.26"), told({}, "2.15.1")
    with pytest.raises(Malformed):
        OUTER.decode(reply({"old": "x"}, "2.14.0"))
    with pytest.raises(NotTold):
        first.figure  # noqa: B018
    assert second.figure == 0


def test_of_what_no_server_said_nothing_new_is_told():
    made = Outer(old=1)
    told({}, "2.15.1")
    with pytest.raises(NotTold):
        made.figure  # noqa: B018
    assert made.server == ServerInfo()


def test_equal_replies_of_two_servers_are_equal():
    _, one = OUTER.decode(reply({"figure": 1}, id="N1"))
    _, two = OUTER.decode(reply({"figure": 1}, id="N2"))
    assert one == two
    assert told({}, "2.15.1") != told({"figure": 1}, "2.15.1")


FORGED: list[Any] = [None, 0, "N2", [], {}, {"server": {"name": "n2", "ver": "2.15.1"}}]


@pytest.mark.parametrize("forged", FORGED, ids=str)
def test_a_server_cannot_say_that_its_reply_is_of_another(forged):
    assert told({"server": forged, "old": 1}, "2.10.26").server.name == "n1"
    for data in ({"origin": forged}, {"inner": {"origin": forged}}):
        with pytest.raises(Malformed):
            told(data, "2.10.26")


def test_a_server_cannot_say_that_a_field_is_not_told():
    for forged in (None, {}, {"zero": 0}, "<not in the reply>"):
        with pytest.raises(Malformed):
            told({"figure": forged}, "2.10.26")
