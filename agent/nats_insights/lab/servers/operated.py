"""The accounts of a local system in operator mode: those of `conf.accounts`, as JWTs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from nats_insights.lab.servers.jwts import Operator
from nats_insights.lab.servers.login import Login
from nats_insights.replies.endpoint import endpoints
from nats_insights.tell.permissions import claims

_EXPORTS = [
    {"name": "advisories", "type": "stream", "subject": "$INSIGHTS.>"},
    {"name": "queries", "type": "service", "subject": "INSIGHTS.API.>"},
    {"name": "discovery", "type": "service", "subject": "$SRV.>", "response_type": "Stream"},
]


def accounts(applications: Mapping[str, Sequence[str]]) -> tuple[str, dict[str, Login]]:
    """The configuration of the servers, and how each user logs in.

    SYS and OPS have the users, permissions, exports and imports of `system.conf`, but for what one
    account is told about itself; `applications` has the users of each other account.
    """
    operator = Operator("LAB")
    system = operator.account("SYS", exports=_EXPORTS)
    ops = operator.account("OPS", imports=_imports(system.id))
    users = [
        ("root", system.user("root")),
        ("agent", system.user("agent", **json.loads(claims(endpoints().values())))),
        ("ops", ops.user("ops", **_subscriber())),
    ]
    for name, members in applications.items():
        account = operator.account(name)
        users += [(member, account.user(member)) for member in members]
    logins = {name: Login(name, signed=user) for name, user in users}
    return operator.configuration(system), logins


def _subscriber() -> dict[str, Any]:
    return {
        "pub": {"deny": ["$INSIGHTS.>"]},
        "sub": {"deny": ["INSIGHTS.API.>", "insights.srv.>"]},
    }


def _imports(system: str) -> list[dict[str, str]]:
    """All that the system account exports, with its services under a name of their own."""
    imports = [
        {key: export[key] for key in ("name", "type", "subject")} | {"account": system}
        for export in _EXPORTS
    ]
    imports[-1]["local_subject"] = "insights.srv.>"
    return imports
