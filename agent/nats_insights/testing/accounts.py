"""Accounts with JWTs in one line, as servers would report them.

cluster(n1=Server(users={f"{key('APP')} app": 9}, accounts=account("APP", connections=10)))
Server(accounts=account("APP", imports=[imported("ORDERS", "orders.>", active=False)]))
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from nats_insights.testing.systems import DAY, START

_NO_LIMITS = {"conn": -1, "leaf": -1, "subs": -1}


def key(name: str) -> str:
    """The key of an account of this name."""
    return "A" + base64.b32encode(hashlib.sha512(name.encode()).digest()).decode()[:55]


def account(
    name: str = "APP",
    *,
    imports: Iterable[Mapping[str, Any]] = (),
    exports: Iterable[Mapping[str, Any]] = (),
    days: float = 0,
    life: float = 365,
    expired: bool = False,
    size: int = 600,
    **limits: int,
) -> dict[str, dict[str, Any]]:
    """An account by its key. Its JWT has `size` bytes and was issued for `life` days, of which
    `days` are left, 0 if it does not expire. `limits` are its `conn`, `leaf` and `subs`.
    """
    imports = list(imports)
    end = START + days * DAY
    jwt = {
        "name": name,
        "exp": round(end) if days else 0,
        "iat": round(end - life * DAY) if days else 0,
        "nats": {
            "limits": {one: n for one, n in (_NO_LIMITS | limits).items() if n},
            "imports": [_claim(one) for one in imports],
        },
    }
    detail = {
        "account_name": key(name),
        "expired": expired,
        "imports": [one["in_force"] for one in imports if one["in_force"]],
        "exports": list(exports),
        "jwt": size * "x",
        "decoded_jwt": jwt,
    }
    return {key(name): detail}


def imported(
    exporter: str,
    subject: str,
    type: str = "service",
    *,
    active: bool = True,
    invalid: bool = False,
    **claims: Any,
) -> dict[str, Any]:
    """An import from an account, by its name. It may have been in force, and now be `invalid`."""
    claim = {"account": key(exporter), "subject": subject, "type": type}
    in_force = {**claim, "local_subject": subject, "invalid": invalid}
    return {**claim, **claims, "in_force": in_force if active or invalid else None}


def exported(subject: str, type: str = "service", *, private: bool = False) -> dict[str, Any]:
    """An export; a private one is for some accounts only."""
    return {"subject": subject, "type": type, "token_req": private}


def _claim(one: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in one.items() if name != "in_force"}
