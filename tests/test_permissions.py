"""The permissions that are printed are those of what is asked, and of no more."""

from __future__ import annotations

from nats_insights.check import HEALTHZ, JSZ, STATZ
from nats_insights.tell.permissions import permissions

ALWAYS = ["GATEWAYZ", "LEAFZ", "ROUTEZ", "STATSZ", "VARZ"]


def asked(text: str) -> list[str]:
    """The endpoints of the servers that a user with these permissions may ask."""
    subjects = [line.strip(' "') for line in text.splitlines()]
    asked = [subject for subject in subjects if subject.startswith("$SYS.REQ.SERVER.*.")]
    return [subject.rpartition(".")[2] for subject in asked if not subject.endswith("IDZ")]


def test_what_the_agent_asks_in_any_case_is_permitted():
    assert asked(permissions([])) == ALWAYS


def test_what_checks_need_is_permitted_too():
    assert asked(permissions([JSZ, HEALTHZ])) == sorted([*ALWAYS, "JSZ", "HEALTHZ"])


def test_account_statistics_are_asked_of_all_servers_at_once():
    assert '"$SYS.REQ.ACCOUNT.PING.STATZ"' in permissions([STATZ])
    assert "ACCOUNT.PING" not in permissions([])
