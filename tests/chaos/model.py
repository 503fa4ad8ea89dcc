"""The truth that the random sequence keeps: what holds at a moment, by the checks' own rules.

A moment says of each server what it holds and in which ways it may be seen. Where several ways
are right, because a server is dead or cut off, each condition is computed for all of them: it may
be met, it may be over, or both. Nothing of the agent's own code is used here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Literal, NamedTuple

from msgspec import Struct

# WHOLE: it counts in every sum and in the mean of its cluster.
# ASIDE: it is dead for a short time. What it last held still counts in sums; means leave it out.
# EMPTY: it came back, and holds nothing yet.
# ABSENT: it is gone, with all that it held.
View = Literal["WHOLE", "ASIDE", "EMPTY", "ABSENT"]
Severity = Literal["info", "warning", "critical"]
User = tuple[str, str]  # Account, and user within it.

# The agent leaves its own connection out; ours, by which we listen, may be there or not.
OBSERVERS = 2
# Each guest may have a connection of the system account beside its own, with some subscriptions.
GUEST_CONNECTIONS, GUEST_SUBSCRIPTIONS = 2, 6


class Load(NamedTuple):
    """What one user holds on one server."""

    connections: int
    subscriptions: int


class Place(Struct, frozen=True):
    """One server at one moment: `held` is what it holds, or last held."""

    held: Mapping[User, Load]
    limit: int
    views: frozenset[View] = frozenset({"WHOLE"})

    def connections(self, account: str = "") -> int:
        """Client connections on it, of all accounts or of one."""
        return sum(load.connections for user, load in self.held.items() if account in ("", user[0]))

    @property
    def subscriptions(self) -> int:
        return sum(load.subscriptions for load in self.held.values())


class Moment(Struct, frozen=True):
    """All servers of one cluster at one time, which is Unix seconds.

    `honest` is whether the agent hears all that is said to it, `guests` how many connections may
    be on each server, or not, beside those that are known.
    """

    at: float
    places: Mapping[str, Place]
    honest: bool = True
    guests: int = 0


class Key(NamedTuple):
    """A condition: the code, the name of the entity, and how severe it is."""

    code: str
    name: str
    severity: Severity


class Figure(NamedTuple):
    """One value of a condition, and what it says."""

    value: float
    met: bool
    over: bool


class Reading(NamedTuple):
    """All values that a condition may have at a moment."""

    least: float
    most: float
    may_be_met: bool
    may_be_over: bool
    is_met: bool
    is_over: bool


NOTHING = Reading(0.0, 0.0, may_be_met=False, may_be_over=True, is_met=False, is_over=True)


def readings(moment: Moment) -> dict[Key, Reading]:
    """Every condition about something that there is; `NOTHING` holds for all others."""
    names = sorted(moment.places)
    figures: dict[Key, list[Figure]] = {}
    ways = [sorted(moment.places[name].views) for name in names]
    worlds = [dict(zip(names, way, strict=True)) for way in product(*ways)]
    for world in worlds:
        for key, figure in _figures(moment.places, world, moment.guests):
            figures.setdefault(key, []).append(figure)
    # In the worlds that say nothing of a condition, there is nothing that it could be about, save
    # for servers, of which each world speaks unless they are aside.
    return {key: _reading(found) for key, found in figures.items()}


def _reading(figures: list[Figure]) -> Reading:
    values = [figure.value for figure in figures]
    return Reading(
        min(values),
        max(values),
        any(figure.met for figure in figures),
        any(figure.over for figure in figures),
        all(figure.met for figure in figures),
        all(figure.over for figure in figures),
    )


def _figures(
    places: Mapping[str, Place], world: Mapping[str, View], guests: int
) -> Iterator[tuple[Key, Figure]]:
    users = {user for place in places.values() for user in place.held}
    yield from _limits(places, world, max(OBSERVERS, GUEST_CONNECTIONS * guests))
    for user in sorted(users):
        held = sum(
            place.held[user].connections
            for name, place in places.items()
            if user in place.held and world[name] in ("WHOLE", "ASIDE")
        )
        yield Key("USER_002", user[1], "warning"), Figure(held, held > 100, held <= 90)
    members = {
        name: place if world[name] == "WHOLE" else Place({}, place.limit)
        for name, place in places.items()
        if world[name] in ("WHOLE", "EMPTY")
    }
    absent = [name for name in places if world[name] == "ABSENT"]
    held = {name: place.connections() for name, place in members.items()}
    subscribed = {name: place.subscriptions for name, place in members.items()}
    for code, least, counts, more in (
        ("OPT_BALANCE_002", 10, held, guests),
        ("OPT_BALANCE_003", 100, subscribed, guests * GUEST_SUBSCRIPTIONS),
    ):
        for name, figure in _hotspots(counts, least, more):
            yield Key(code, name, "info"), figure
        for name in absent:
            yield Key(code, name, "info"), Figure(0, False, True)
    for account in sorted({account for account, _ in users}):
        counts = {name: place.connections(account) for name, place in members.items()}
        yield Key("OPT_BALANCE_006", account, "info"), _concentration(counts)


def _limits(
    places: Mapping[str, Place], world: Mapping[str, View], more: int
) -> Iterator[tuple[Key, Figure]]:
    for name, place in places.items():
        held = place.connections() if world[name] in ("WHOLE", "ASIDE") else 0
        for connections in (held, held + more):
            percent = 100 * connections / place.limit if world[name] != "ABSENT" else 0.0
            yield (
                Key("SERVER_011", name, "warning"),
                Figure(percent, percent >= 80, percent < 80 * 0.94),
            )
            yield (
                Key("SERVER_011", name, "critical"),
                Figure(percent, percent >= 95, percent < 95 * 0.97),
            )


def _hotspots(counts: Mapping[str, int], least: int, more: int) -> Iterator[tuple[str, Figure]]:
    """Up to `more` may be on the server, or on all others."""
    for name, known in counts.items():
        others = sum(counts.values()) - known
        for here, there in {(0, more * (len(counts) - 1)), (more, 0), (0, 0)}:
            count, total = known + here, known + here + others + there
            if len(counts) < 2 or not total:
                yield name, Figure(0, False, True)
                continue
            ratio = count * len(counts) / total
            enough = count >= least
            yield name, Figure(ratio, enough and ratio >= 2.0, not enough or ratio < 2.0 * 0.9)


def _concentration(counts: Mapping[str, int]) -> Figure:
    total = sum(counts.values())
    if len(counts) < 3 or total < 10:
        return Figure(0, False, True)
    percent = 100 * max(counts.values()) / total
    return Figure(percent, percent > 70, percent <= 70 * 0.93)
