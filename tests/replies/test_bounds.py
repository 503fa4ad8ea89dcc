"""Figures beyond their bounds cannot be read, and a few bad rows of many are survived."""

from __future__ import annotations

import pytest

from nats_insights.model.build import seconds_between
from nats_insights.replies.connz import ROW_FIELDS, PageDecoder
from nats_insights.replies.endpoint import endpoints
from nats_insights.replies.fields import Malformed
from nats_insights.replies.statsz import STATSZ
from nats_insights.replies.varz import VARZ
from scenario import Story, cluster, system


def reply(data: bytes, server: bytes = b'{"name":"n1","id":"N1"}', field: bytes = b"data") -> bytes:
    """A reply with these parts."""
    return b'{"server":%s,"%s":%s}' % (server, field, data)


def connz(*rows: bytes, total: int = 0) -> bytes:
    """A page of CONNZ with these rows."""
    return reply(b'{"total":%d,"connections":[%s]}' % (total or len(rows), b",".join(rows)))


COUNTS = {
    "VARZ": b'{"connections":%d,"leafnodes":%d,"subscriptions":%d}',
    "STATSZ": b'{"connections":%d,"active_servers":%d}',
    "SUBSZ": b'{"num_subscriptions":%d,"max_fanout":%d}',
    "ROUTEZ": b'{"routes":[{"subscriptions":%d}]}',
    "LEAFZ": b'{"leafs":[{"subscriptions":%d}]}',
    "STATZ": b'{"account_statz":[{"acc":"A","conns":%d}]}',
}


@pytest.mark.parametrize("field", [b"connections", b"active_servers", b"total_connections"])
@pytest.mark.parametrize("count", [-1, 2**53, 2**63, 2**64, 10**300])
def test_no_figure_of_a_server_is_beyond_its_bounds(field, count):
    with pytest.raises(Malformed):
        STATSZ.decode(reply(b'{"%s":%d}' % (field, count), field=b"statsz"))


@pytest.mark.parametrize(("endpoint", "data"), COUNTS.items(), ids=COUNTS)
def test_what_a_server_counts_with_32_bits_has_no_more(endpoint, data):
    field = b"statsz" if endpoint == "STATSZ" else b"data"
    figures = data.count(b"%d")
    assert endpoints()[endpoint].decode(reply(data % ((2**32 - 1,) * figures), field=field))
    for one in range(figures):
        counts = tuple(2**32 if number == one else 0 for number in range(figures))
        with pytest.raises(Malformed):
            endpoints()[endpoint].decode(reply(data % counts, field=field))


@pytest.mark.parametrize("limit", [-(2**63), -1, 0, 1, 2**63 - 1])
def test_a_limit_may_be_whatever_a_configuration_says(limit):
    _, varz = VARZ.decode(reply(b'{"max_connections":%d,"max_pending":%d}' % (limit, limit)))
    assert (varz.max_connections, varz.max_pending) == (limit, limit)


@pytest.mark.parametrize("start", ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00"])
@pytest.mark.parametrize("now", ["9999-12-31T23:59:59Z", "9999-12-31T23:59:59.999-14:00"])
def test_times_however_far_apart_can_be_told_apart(start, now):
    _, varz = VARZ.decode(reply(b'{"start":"%s","now":"%s"}' % (start.encode(), now.encode())))
    assert seconds_between(varz.start, varz.now) > 9998 * 365 * 86_400
    assert seconds_between(varz.now, varz.start) < 0


# --- What broken replies do to findings.


def test_one_bad_row_of_a_hundred_is_survived():
    assert found_with_bad_rows(2) == ["opened USER_002 APP app"]


def test_three_bad_rows_of_a_hundred_make_the_server_unknown():
    assert found_with_bad_rows(3) == []


def found_with_bad_rows(bad: int) -> list[str]:
    """What is told of a user with 150 connections, 100 of them on a server with bad rows."""
    good = b'{"cid":%d,"kind":"Client","account":"APP","authorized_user":"app"}'
    page = PageDecoder(ROW_FIELDS).decode(
        connz(*[good % cid for cid in range(100 - bad)], *[b"null"] * bad)
    )
    given = system(cluster(n1=100, n2=50))
    given.servers[0].replies["CONNZ"] = page
    return [told for told in Story().hears(given) if "USER_002" in told]
