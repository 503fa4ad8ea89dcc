"""USER_901: the idle connections of one user only ever grow."""

from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise
from typing import Annotated, Self

from nats_insights.check import (
    WARNING,
    Connection,
    Finding,
    Params,
    Snapshot,
    Tally,
    User,
    check,
    duration,
    fold,
    limit,
    samples,
    seconds,
)

_KEEP = 2 * 86_400.0
# Users with fewer idle connections are not remembered.
_FLOOR = 20


class Leak(Params, frozen=True):
    connections: Annotated[
        int, limit("connections", ge=_FLOOR, description="of one user that are idle")
    ] = 100
    growth: Annotated[
        float, limit("%", gt=0, description="more than at the start of the window")
    ] = 50.0
    idle: Annotated[float, duration(">", ge=1, description="without any message")] = 3600.0
    window: Annotated[
        float, duration("<=", ge=72_000, le=_KEEP, description="in which it never fell")
    ] = 86_400.0


_seconds = lru_cache(maxsize=65_536)(seconds)


@fold("idle", slow=True)
def idle_by_user(rows: list[Connection], tally: Tally, params: Leak) -> None:
    """Idle connections of each (account, user) that has several on a server."""
    idle = Counter([(r.account, r.authorized_user) for r in rows if _seconds(r.idle) > params.idle])
    tally.update({who: count for who, count in idle.items() if count > 1 and who[1]})


class IdleUser(User):
    """A user with many idle connections, in the epochs of a survey; `connections` are these."""

    __slots__ = ()
    counts = idle_by_user
    filled = ()

    @classmethod
    def all(cls, snapshot: Snapshot) -> Iterable[Self]:
        """None between two surveys, so that nothing is recorded then."""
        if idle_by_user.endpoint in snapshot.lacking.not_due:
            return ()
        return cls.above(snapshot, _FLOOR - 1)


@samples(keep=_KEEP, every=3600)
def idle(user: IdleUser) -> int:
    return user.connections


@check(
    "USER_901",
    WARNING,
    "saturation",
    needs=(idle_by_user, idle),
    clients="connections",
    resolve_after=1,
)
def connection_leak(user: IdleUser, params: Leak) -> Finding | None:
    """The idle connections of one user only ever grow.

    Finds: at least `connections` connections of one (account, user) had no message for longer than
    `idle`, these are `growth` more than at the start of the last `window`, and in no survey of that
    time were there fewer than in the one before. Connections are surveyed every four hours. Where
    a user has a single idle connection on a server, that is not counted.

    Why: a program that opens connections and forgets to close them goes on until it reaches the
    connection limit of its account or server, or has no file descriptors left. Then all other
    clients are refused too.

    Do: see which programs of {user} in {account} hold the connections: the finding names clients
    and servers. Restart the program to end the growth for now. Let it share one connection, and
    close each that it no longer uses, above all where an error ends its use.

    Default: in a day ordinary numbers of clients rise and fall at least once.
    """
    if user.seen_connections < params.connections:
        return None
    values = user.past(idle).unbroken(params.window)
    if any(later < earlier for earlier, later in pairwise(values)):
        return None
    percent = 100 * (values[-1] - values[0]) / values[0]
    if (reached := params.reached(percent, "growth")) is None:
        return None
    most = user.most()
    return reached.finding(
        f"user {user.name} of account {user.account} has {user.seen_connections:,} idle "
        f"connections, {percent:,.0f} % more than {params.window / 3600:,.0f} hours ago",
        servers=tuple(name for name, _ in most["top"]),
        before=round(values[0]),
        by_server=most,
    )
