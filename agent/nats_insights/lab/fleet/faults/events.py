"""What happens to servers while somebody looks on; a `STEP` is the time between two looks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

from nats_insights.lab.fleet.accounts import account_row
from nats_insights.lab.fleet.faults.fault import (
    Fault,
    Look,
    Names,
    OfCluster,
    OfJetStream,
    OfServer,
)
from nats_insights.lab.fleet.model import (
    GLOBAL_ACCOUNT,
    SYSTEM_ACCOUNT,
    Cluster,
    Fleet,
    Restart,
    Server,
)
from nats_insights.lab.fleet.said import from_then_on, growing

STEP = 900.0
_LATE = 3.5 * STEP  # Between the last two of five looks.
# An agent waits for who has ended, which takes time.
_SELDOM = 0.15


class Crash(OfServer, code="SERVER_008"):
    """A server starts anew without a goodbye, or with one."""

    chance = _SELDOM

    def plant(self, fleet: Fleet, place: Server, over: bool) -> None:
        fleet.agenda.append(Restart(fleet.clock() + _LATE, place, not over))

    def holds(self, look: Look, server: Server) -> bool:
        last = server.restarts[-1] if server.restarts else None
        return last is not None and not last.announced and look.now - last.at <= 3600


class CrashLoop(OfServer, code="SERVER_009"):
    """Three restarts within an hour, or two."""

    chance = _SELDOM

    def plant(self, fleet: Fleet, place: Server, over: bool) -> None:
        now = fleet.clock()
        turns = range(3 if over else 2)
        fleet.agenda += [Restart(now + (turn + 0.5) * STEP, place, True) for turn in turns]

    def holds(self, look: Look, server: Server) -> bool:
        return sum(look.now - one.at <= 3600 for one in server.restarts) >= 3


class ConnectionCountChange(OfCluster, code="CLUSTER_006"):
    """Far more connections from one look to the next; or five hundred, which are few."""

    def plant(self, fleet: Fleet, place: Cluster, over: bool) -> None:
        more = 5_000 if over else 500
        at = fleet.clock() + _LATE
        place.running[0].say(
            "VARZ", {"connections": lambda was, now: was + (more if now >= at else 0)}
        )

    def holds(self, look: Look, cluster: Cluster) -> bool:
        now, before = (
            sum(look.varz(one, ago)["connections"] for one in cluster.running) for ago in (0, 300)
        )
        gained = abs(now - before)
        return bool(gained > 500 and 10 * gained >= 3 * before)


class LimitAhead(OfServer, code="SERVER_908"):
    """Connections rise from look to look, and the limit is near; or they no longer rise."""

    WINDOW = 2700.0

    def places(self, fleet: Fleet) -> Iterable[Server]:
        return [server for server in fleet.running if len(server.cids) >= 20]

    def plant(self, fleet: Fleet, place: Server, over: bool) -> None:
        held, begun = len(place.cids), fleet.clock()
        place.max_connections = 8 * held // 5
        until = begun + (1e9 if over else 1.9 * STEP)
        rising = growing((1.01 + held // 60) / STEP, since=begun)
        place.say("VARZ", {"connections": lambda was, now: rising(was, min(now, until))})

    def holds(self, look: Look, server: Server) -> bool:
        third = self.WINDOW / 3
        if any(look.now - one.started < self.WINDOW for one in server.cluster.running):
            return False
        held = [look.varz(server, turn * third)["connections"] for turn in (3, 2, 1, 0)]
        pace = min(after - before for before, after in pairwise(held)) / third
        most = look.varz(server)["max_connections"]
        near = 0 < most <= 2 * held[-1]
        return bool(near and pace > 0 and most - held[-1] < 86_400 * pace)


class DomainChanged(OfJetStream, code="CHANGE_002"):
    """Another JetStream domain than before; or the same for long."""

    def plant(self, fleet: Fleet, place: Server, over: bool) -> None:
        at = fleet.clock() + (_LATE if over else -STEP)
        place.say("VARZ", {"jetstream": {"config": {"domain": from_then_on(at, "hub")}}})

    def holds(self, look: Look, server: Server) -> bool:
        told = [look.varz(server, ago)["jetstream"] for ago in (0, STEP)]
        return all(told) and len({one["config"].get("domain") for one in told}) > 1


class AccountsChanged(OfServer, code="CHANGE_003"):
    """An account more than before; or the same in another order."""

    def plant(self, fleet: Fleet, place: Server, over: bool) -> None:
        at = fleet.clock() + _LATE

        def changed(rows: Any, now: float) -> Any:
            if now < at:
                return rows
            return [*(rows or ()), "NEW"] if over else (rows or [])[::-1]

        place.say("ACCOUNTZ", {"accounts": changed})

    def holds(self, look: Look, server: Server) -> bool:
        now, before = (look.said(server, "ACCOUNTZ", ago)["accounts"] for ago in (0, STEP))
        return set(now) != set(before)


class InactiveAccount(Fault[Server], code="OPT_IDLE_005"):
    """An account that nobody uses; or of which a message comes now and then."""

    WINDOW = 1800.0

    def places(self, fleet: Fleet) -> Iterable[Server]:
        return fleet.running

    def plant(self, fleet: Fleet, place: Server, over: bool) -> None:
        sent = growing(0.0 if over else 0.01)
        idle = account_row(f"FORGOTTEN-{place.name}", 0, 0, 4)

        def with_it(rows: Any, now: float) -> Any:
            return [*rows, idle | {"sent": {**idle["sent"], "msgs": sent(3, now)}}]

        place.say("STATZ", {"account_statz": with_it})

    def truth(self, look: Look) -> Iterator[Names]:
        streaming = {one.account for cluster in look.fleet.clusters for one in cluster.streams}
        said, before = _messages(look, 0), _messages(look, self.WINDOW)
        for account, messages in said.items():
            idle = messages is not None and messages == before[account]
            if idle and account not in (*streaming, SYSTEM_ACCOUNT, GLOBAL_ACCOUNT):
                yield (account,)


def _messages(look: Look, window: float) -> dict[str, int | None]:
    """The messages of each account over all servers, or None where somebody is connected."""
    messages: dict[str, int | None] = {}
    for server in look.servers:
        for row in look.said(server, "STATZ", window)["account_statz"]:
            so_far = messages.get(row["acc"], 0)
            here = row["sent"]["msgs"] + row["received"]["msgs"]
            used = so_far is None or row["total_conns"] > 0
            messages[row["acc"]] = None if used or so_far is None else so_far + here
    return messages
