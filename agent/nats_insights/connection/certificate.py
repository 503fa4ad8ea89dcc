"""The dates in a certificate, which Python's ssl tells only of those of a peer."""

from __future__ import annotations

import re
import ssl
from datetime import UTC, datetime

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_VERSION, _UTC_TIME = 0xA0, 0x17


def validity(pem: str) -> tuple[float, float]:
    """From when to when the first certificate is valid, in Unix seconds; ValueError if none is."""
    found = _PEM.search(pem)
    if found is None:
        raise ValueError("no certificate in PEM format")
    try:
        (_, certificate), *_ = _parts(ssl.PEM_cert_to_DER_cert(found[0]))
        (_, signed), *_ = _parts(certificate)
        # Serial number, algorithm, issuer, validity; before them a version, or none.
        fields = [value for tag, value in _parts(signed) if tag != _VERSION]
        begins, ends = (_seconds(tag, value) for tag, value in _parts(fields[3]))
    except (ValueError, IndexError) as error:
        raise ValueError("a damaged certificate") from error
    return begins, ends


def _parts(der: bytes) -> list[tuple[int, bytes]]:
    """The values of a sequence in DER, each after its tag."""
    found, at = [], 0
    while at < len(der):
        tag, size, at = der[at], der[at + 1], at + 2
        if size & 0x80:  # So many bytes have the size.
            long = size & 0x7F
            size, at = int.from_bytes(der[at : at + long], "big"), at + long
        found.append((tag, der[at : at + size]))
        at += size
    return found


def _seconds(tag: int, value: bytes) -> float:
    text = value.decode("ascii")
    if tag == _UTC_TIME:  # Two digits for the year, until 2049.
        text = ("20" if text < "50" else "19") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()
