"""All checks at once on a simulated fleet, at looks that are far apart."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec.structs import replace

from kit.fleet.auditing import Watch, auditing
from nats_insights import checks
from nats_insights.judge.declare import discover
from nats_insights.lab.fleet.faults import plant_some
from nats_insights.lab.fleet.model import Fleet
from nats_insights.lab.fleet.plant import Faults, plant
from nats_insights.lab.servers import local

# Seconds between two looks, of which so many cover an hour: the longest window but for a few,
# that are made shorter here.
STEP, LOOKS = 900.0, 5
CONFIG = f"""
interval = {STEP}
checks.connection_count_change.window = "10m"
checks.connection_limit_ahead.window = "45m"
checks.inactive_account.window = "30m"
checks.subscription_count_growth.window = "1h"
"""
# The servers that the agent is connected to have another clock and nothing to do.
CARRIERS = "carriers"
CONFIG += f"""
[[override]]
match = {{ cluster = "{CARRIERS}" }}
clock_offset = {{ enabled = false }}
server_underused = {{ enabled = false }}
"""
for _account in ("APP", "BIG", "OPS"):
    CONFIG += f"""
[[override]]
match = {{ account = "{_account}" }}
inactive_account = {{ enabled = false }}
"""
# In how many evaluations in a row each condition has to be true, or not to be, is left to the tests
# of the checks.
EVERYTHING = {
    check.code: replace(check, open_after=1, resolve_after=1) for check in discover(checks)
}


def any_fleet(seed: int) -> tuple[Fleet, dict[str, bool]]:
    """A random fleet, with what was planted in it: by code, whether it is a fault.

    Nothing was planted in one of ten.
    """
    rng = random.Random(seed)
    servers = rng.randint(6, 30)
    of_connections = [
        "connection_hotspots",
        "subscription_hotspots",
        "concentrated_accounts",
        "crowded_servers",
        "leaking_users",
    ]
    none = dict.fromkeys(Faults.__struct_fields__, 0)
    healthy = seed % 10 == 0
    wanted = {kind: 0 if healthy else rng.randint(0, 2) for kind in of_connections}
    fleet = plant(
        servers,
        rng.randint(20, 120),
        clusters=rng.randint(1, min(6, servers // 3)),
        accounts=rng.randint(4, 30),
        streams=rng.choice((0, 6)),
        faults=Faults(**none | wanted),
        seed=seed,
    )
    return fleet, {} if healthy else plant_some(fleet, rng)


@asynccontextmanager
async def watching_all(fleet: Fleet, far: local.Server, near: local.Server) -> AsyncIterator[Watch]:
    """An auditor with all checks, and servers that live by its clock."""
    async with auditing(fleet, far, near, CONFIG, EVERYTHING.values()) as watch:
        watch.share_clock()
        yield watch
