"""Encodes connections as rows of CONNZ."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import lru_cache

import msgspec

from nats_insights.lab.fleet.model import GLOBAL_ACCOUNT, Fleet, Server, User

_KINDS = {
    "nats": '"kind":"Client","type":"nats"',
    "websocket": '"kind":"Client","type":"websocket"',
    "mqtt": '"kind":"Client","type":"mqtt"',
    "leaf": '"kind":"Leafnode"',
}


def encode(fleet: Fleet, server: Server, rows: Iterable[int], auth: bool, now: float) -> bytes:
    """The connections at these places of the server's arrays, as JSON objects between commas.

    `now` in Unix seconds, for `uptime` and the like. What the model has no figure for (addresses,
    messages, bytes) follows from the cid. A few microseconds a row, which is why it looks so.
    """
    current = int(now)
    columns = (server.cids, server.users, server.subscriptions, server.opened)
    taken = zip(*([column[row] for row in rows] for column in columns), strict=True)
    users, encoded = fleet.users, []
    for cid, user, subscriptions, opened in taken:
        kind, before, after = _constants(users[user], auth)
        address, nanoseconds, rtt = _FIGURES[cid % _VARIANTS]
        heard = max(opened, current - cid % 60)
        encoded.append(
            f'{{"cid":{cid},{kind},{address},"start":"{_second(opened)}.{nanoseconds}Z",'
            f'"last_activity":"{_second(heard)}.{nanoseconds}Z","rtt":"{rtt}",'
            f'"uptime":"{uptime(current - opened)}","idle":"{uptime(current - heard)}",'
            f'{_TRAFFIC[cid % _PATTERNS]},"subscriptions":{subscriptions}{before}{cid}{after}}}'
        )
    return ",".join(encoded).encode()


def timestamp(at: float) -> str:
    """A moment in Unix seconds, as Go writes it."""
    return f"{_second(int(at))}.{int(at % 1 * 1e9):09d}Z"


@lru_cache(maxsize=65_536)
def uptime(seconds: int) -> str:
    """A time that passed, as servers write it: `1y2d3h4m5s`, without what leads and is zero."""
    years, rest = divmod(max(0, seconds), 365 * 86_400)
    days, rest = divmod(rest, 86_400)
    hours, rest = divmod(rest, 3_600)
    minutes, rest = divmod(rest, 60)
    parts = [(years, "y"), (days, "d"), (hours, "h"), (minutes, "m"), (rest, "s")]
    while len(parts) > 1 and parts[0][0] == 0:
        del parts[0]
    return "".join(f"{figure}{unit}" for figure, unit in parts)


@lru_cache(maxsize=65_536)
def _second(at: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at))


@lru_cache(maxsize=16_384)
def _constants(user: User, auth: bool) -> tuple[str, str, str]:
    """What all rows of a user share: its kind, and what stands before and after a number."""
    login = f',"authorized_user":{_quoted(user.name)}' if auth else ""
    if auth and user.account != GLOBAL_ACCOUNT:
        login += f',"account":{_quoted(user.account)}'
    if auth:
        login += f',"name_tag":{_quoted(user.account)}'
    kind, program = _KINDS[user.kind], _quoted(user.program)[:-1]
    version = f',"version":{_quoted(user.version)}'
    if user.kind == "mqtt":
        return kind, f'{login},"mqtt_client":{program}-', '"'
    if user.kind == "leaf":
        return kind, f',"name":{program}-', f'"{version}{login}'
    return kind, f',"name":{program}-', f'","lang":{_quoted(user.lang)}{version}{login}'


@lru_cache(maxsize=4_096)
def _quoted(text: str) -> str:
    return msgspec.json.encode(text).decode()


def _figures(variant: int) -> tuple[str, str, str]:
    """An address, nanoseconds, and an RTT: all different on one page."""
    spread = variant * 2_654_435_761 % 1_000_000_007
    address = f'"ip":"10.20.{variant % 4}.{spread % 251}","port":{1024 + spread % 64_000}'
    return address, f"{spread % 1_000_000_000:09d}", f"1.{100 + spread % 900}ms"


def _traffic(pattern: int) -> str:
    """A few ways in which clients behave; most of a page compresses well, as in the field."""
    messages = pattern * 997 % 8_191
    figures = {
        "pending_bytes": 0,
        "in_msgs": messages,
        "out_msgs": 3 * messages,
        "in_bytes": 256 * messages,
        "out_bytes": 768 * messages,
    }
    return msgspec.json.encode(figures).decode()[1:-1]


_VARIANTS = 1021
_FIGURES = [_figures(variant + 1) for variant in range(_VARIANTS)]
_PATTERNS = 31
_TRAFFIC = [_traffic(pattern) for pattern in range(_PATTERNS)]
