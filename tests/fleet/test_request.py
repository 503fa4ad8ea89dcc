"""Requests are read as servers read them: subject, header and body."""

from __future__ import annotations

import pytest

from kit.fleet.asking import read
from nats_insights.lab.fleet import request


@pytest.mark.parametrize(
    ("subject", "addressed"),
    [
        ("$SYS.REQ.SERVER.PING", ("PING", "STATSZ")),
        ("$SYS.REQ.SERVER.PING.VARZ", ("PING", "VARZ")),
        ("$SYS.REQ.SERVER.NABC.CONNZ", ("NABC", "CONNZ")),
        ("$SYS.REQ.ACCOUNT.PING.STATZ", ("PING", "STATZ")),
    ],
)
def test_a_subject_says_who_is_asked_for_what(subject: str, addressed: tuple[str, str]) -> None:
    asked = request.read(subject, "_INBOX.x", b"", b"")
    assert asked is not None
    assert (asked.target, asked.endpoint) == addressed


@pytest.mark.parametrize("endpoint", ["KICK", "RELOAD", "PROFILEZ", "STATZ", "NONSENSE"])
def test_what_a_simulated_server_does_not_know_is_not_answered(endpoint: str) -> None:
    assert request.read(f"$SYS.REQ.SERVER.NABC.{endpoint}", "_INBOX.x", b"", b"") is None


def test_a_request_without_an_inbox_is_not_answered() -> None:
    assert request.read("$SYS.REQ.SERVER.PING.VARZ", "", b"", b"") is None


@pytest.mark.parametrize(
    ("header", "encoding"),
    [
        (b"", ""),
        (b"NATS/1.0\r\nAccept-Encoding: gzip\r\n\r\n", "gzip"),
        (b"NATS/1.0\r\nX: y\r\nAccept-Encoding: br, GZIP;q=0\r\n\r\n", "gzip"),
        (b"NATS/1.0\r\nAccept-Encoding: br\r\n\r\n", "identity"),
        (b"NATS/1.0\r\nAccept: gzip\r\n\r\n", ""),
    ],
)
def test_the_encoding_is_gzip_wherever_it_is_named(header: bytes, encoding: str) -> None:
    assert read("VARZ", header=header).encoding == encoding
