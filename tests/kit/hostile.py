"""Hostile inputs, made from real ones: `INSIGHTS_HOSTILE` says how many there are in all.

Every input follows from its number alone, so a failure that names the number can be had again:

    INSIGHTS_HOSTILE=1000000 pytest tests/hostile --timeout=0
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from scenario import VERSIONS

T = TypeVar("T")
RECORDED = Path(__file__).parent.parent / "wire"
ONE_BY_ONE = Path(__file__).parent.parent / "replies" / "recorded"
ALL = int(os.environ.get("INSIGHTS_HOSTILE", "20000"))

# Written as they stand: a value that is one of these becomes what is behind it.
TOKENS = {
    "token 1": b"NaN",
    "token 2": b"-Infinity",
    "token 3": b"1e400",
    "token 4": b"-1e-400",
    "token 5": 5000 * b"9",
    "token 6": 300 * b"[" + 300 * b"]",
    "token 7": 100_000 * b'{"a":',
    "token 8": b'"\xff\xfe"',
    "token 9": b'"\xed\xa0\x80"',
    "token 10": b'"\\ud800"',
    "token 11": b"01",
    "token 12": b"",
}
NUMBERS = (
    *(sign * (2**bits + more) for bits in (7, 31, 32, 53, 62, 63, 64) for more in (-1, 0, 1)
      for sign in (1, -1)),
    *(-1, 0, 1, 2, 100, 65_536, 10**30, 10**300, -(10**300)),
    *(0.0, -0.0, 0.5, -1.5, 1e-320, 1e15, 1e308, -1e308),
)  # fmt: skip
NAMES = (
    "",
    "_",
    "$G",
    "$SYS",
    "SYS",
    "nats-a1B2c3D4",
    "a.b.c",
    "*",
    ">",
    "a b\tc",
    "x\r\nNats-Expected-Stream: S\r\n",
    "\r\n-ERR 'no'\r\n",
    "\0",
    "\x1b[31mred\x1b]0;title\x07",
    "\x7f\x80\x9f\xad",
    "\u202etxt.exe\u2066\u2028",
    "\ufeff\ufffe\U0010ffff",
    "Zürich 東京 🐇",
    '"}\\',
    "{server}{0}{account!r}{}}{",
    "%s%n%(x)s",
    "../../etc/passwd",
    "#1",
    128 * "n",
    257 * "é",
    5000 * "a",
    1250 * "🐇",
    5000 * "\x01",
)
TIMES = (
    "0001-01-01T00:00:00Z",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59.999999999-14:00",
    "2026-01-01T00:00:00",
    "2026-02-30T00:00:00Z",
    "1969-12-31T23:59:59Z",
    "12026-01-01T00:00:00Z",
)
OTHERS = (None, True, False, [], {}, [None], {"a": {}}, [[]])


def inputs(name: str, share: float) -> Iterator[tuple[int, Random]]:
    """The numbers of this share of all inputs, each with the chance that it is made by."""
    return ((number, Random(f"{name} {number}")) for number in range(max(1, int(ALL * share))))


def survives(
    name: str,
    make: Callable[[Random], T],
    read: Callable[[T], object],
    refusals: tuple[type[Exception], ...],
    share: float,
) -> tuple[int, int]:
    """Reads a share of all inputs: how many could be read, and how many were refused.

    AssertionError with the number of the input for each other exception.
    """
    taken = refused = 0
    for number, random in inputs(name, share):
        given = make(random)
        try:
            read(given)
            taken += 1
        except refusals:
            refused += 1
        except Exception as error:
            words = f"{name} {number}: {type(error).__name__}: {error}"
            raise AssertionError(f"{words[:500]}\n{given!r:.2000}") from error
    return taken, refused


@cache
def recorded(endpoint: str) -> list[Any]:
    """The replies of an endpoint that real servers of all versions gave."""
    replies: list[Any] = []
    for version in VERSIONS:
        folder = RECORDED / version
        heard = json.loads((folder / "SCENARIO_hotspot.json").read_bytes())["endpoints"]
        asked = "ACCOUNT_PING_STATZ" if endpoint == "STATZ" else endpoint
        if asked in heard:
            replies += heard[asked]["replies"]
        if endpoint == "CONNZ":
            replies += [
                json.loads((folder / f"CONNZ_auth_{kind}.json").read_bytes())
                for kind in ("jwt", "kinds")
            ]
        if endpoint == "ACCOUNTZ_DETAIL":
            replies += json.loads((ONE_BY_ONE / version / f"{endpoint}.json").read_bytes())
        if endpoint == "EVENTS":
            replies += json.loads((folder / "EVENTS.json").read_bytes()).values()
    return replies


def reply(endpoint: str) -> Callable[[Random], bytes]:
    """Makes hostile replies of an endpoint: other in what they say, in how they say it, or not."""

    def make(random: Random) -> bytes:
        payload = changed(random, random.choice(recorded(endpoint)))
        return torn(random, payload) if random.random() < 0.4 else payload

    return make


def changed(random: Random, real: Any) -> bytes:
    """JSON in which some values are others, gone or there twice."""
    value = [copy.deepcopy(real)]
    for _ in range(random.choice((0, 1, 1, 2, 5, 20))):
        _change(random, value)
    text = json.dumps(value[0] if value else None, ensure_ascii=random.random() < 0.5)
    payload = text.encode("utf-8", "surrogatepass")
    for token, bytes_ in TOKENS.items():
        payload = payload.replace(f'"{token}"'.encode(), bytes_)
    return payload


def torn(random: Random, payload: bytes) -> bytes:
    """Bytes that are cut, flipped, doubled, moved or strange."""
    for _ in range(random.choice((1, 1, 2, 8))):
        start = random.randrange(len(payload) + 1)
        stop = min(len(payload), start + random.choice((0, 1, 1, 2, 8, 64, 4096)))
        middle = random.choice(
            (
                b"",
                payload[start:stop] * 2,
                random.randbytes(random.choice((1, 1, 4, 32))),
                random.choice((*TOKENS.values(), b'"', b"{", b"]", b",", b"\\", b"\0", b"\xff")),
                bytes(byte ^ 1 << random.randrange(8) for byte in payload[start : start + 1]),
            )
        )
        payload = payload[:start] + middle + payload[stop:]
        if random.random() < 0.1:
            payload = payload[: random.randrange(len(payload) + 1)]
    return payload


def strange(random: Random) -> Any:
    """A value that nobody expects."""
    kinds = (NUMBERS, NUMBERS, NAMES, NAMES, TIMES, OTHERS, tuple(TOKENS))
    return copy.deepcopy(random.choice(random.choice(kinds)))


def _change(random: Random, value: Any) -> None:
    """Change one value, however deep in this list or object it is."""
    while True:
        keys = list(value) if isinstance(value, dict) else range(len(value))
        if not keys:
            return
        key = random.choice(keys)
        inner = value[key]
        if not isinstance(inner, dict | list) or not inner or random.random() < 0.1:
            break
        value = inner
    how = random.random()
    if how < 0.1:
        del value[key]
    elif how < 0.2 and isinstance(value, list):
        value.extend(copy.deepcopy(value[: random.choice((1, 100))]))
    elif how < 0.3:
        value[key] = copy.deepcopy(random.choice([value[one] for one in keys]))
    else:
        value[key] = strange(random)
