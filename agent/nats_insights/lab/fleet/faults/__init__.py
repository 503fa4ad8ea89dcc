"""Faults: for each check what to plant, what to plant that just is none, and what is true.

Each class is found by itself, in any file of this folder.
"""

from __future__ import annotations

import random
from importlib import import_module
from pkgutil import iter_modules

from nats_insights.lab.fleet.faults.fault import FAULTS, Fault, Look
from nats_insights.lab.fleet.model import Fleet, Server
from nats_insights.lab.fleet.truth import Fact, truth

__all__ = ["FAULTS", "Fault", "Look", "all_truth", "plant_some"]

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")


def plant_some(fleet: Fleet, rng: random.Random) -> dict[str, bool]:
    """Plants one fault in about half of the servers, or what just is none: whether it is one,
    by the code. No server gets two of them."""
    planted: dict[str, bool] = {}
    free = set(fleet.servers)
    for fault in rng.sample(list(FAULTS.values()), len(FAULTS)):
        places = [one for one in fault.places(fleet) if _servers(one) <= free]
        if places and rng.random() < fault.chance:
            place, over = rng.choice(places), rng.random() < 0.5
            fault.plant(fleet, place, over)
            planted[fault.code] = over
            free -= _servers(place)
    return planted


def all_truth(look: Look) -> set[Fact]:
    """Everything that all checks have to find, named as in their findings."""
    facts = {(fault.code, names) for fault in FAULTS.values() for names in fault.truth(look)}
    return facts | {fact for fact in truth(look.fleet) if fact[0] not in FAULTS}


def _servers(place: object) -> set[Server]:
    parts = place if isinstance(place, tuple) else (place,)
    return {one for one in parts if isinstance(one, Server)}
