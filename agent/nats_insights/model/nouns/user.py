"""Users over all servers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Self

from nats_insights.facts import Names
from nats_insights.model.closed import closed_by_user
from nats_insights.model.fold import Fold, by_user
from nats_insights.model.nouns.noun import ALL_SERVERS, Noun, largest
from nats_insights.model.worst import Worst
from nats_insights.replies.connz import Closed, Row

if TYPE_CHECKING:
    from nats_insights.model.snapshot import Snapshot


class User(Noun):
    """One (account, user). `connections` is exact or Missing, `seen_connections` a lower bound.

    With JWTs, `account` and `name` are keys: see Account. A check about it needs the fold that
    `counts` its connections by (account, user), and so names the users that there are.
    """

    __slots__ = ("account", "name", "seen_connections")
    counts: ClassVar[Fold] = by_user
    kind, scope, depends_on = "user", "ACCOUNT", ALL_SERVERS
    labelled = ("account", "user")
    when_gone = "user {name} of account {account} has no connections any more"
    filled: ClassVar[tuple[Fold, ...]] = (by_user,)

    def __init__(self, account: str, name: str, seen: int, snapshot: Snapshot) -> None:
        self.account, self.name, self.seen_connections = account, name, seen
        self.names, self.snapshot = (account, name), snapshot

    @classmethod
    def all(cls, snapshot: Snapshot) -> Iterable[Self]:
        return cls.above(snapshot, float("-inf"))

    @classmethod
    def above(cls, snapshot: Snapshot, figure: float) -> Iterable[Self]:
        ledger, owed = snapshot.sweeps.ledgers.get(cls.counts), snapshot.owed_parts(cls.counts)
        for (account, name), count in () if ledger is None else ledger.above(figure):
            yield cls(account, name, count - owed[account, name], snapshot)

    @classmethod
    def find(cls, snapshot: Snapshot, names: Names) -> Self | None:
        ledger, owed = snapshot.sweeps.ledgers.get(cls.counts), snapshot.owed_parts(cls.counts)
        if ledger is None or names not in ledger:
            return None
        account, name = names
        return cls(account, name, ledger[names] - owed[names], snapshot)

    @classmethod
    def count(cls, snapshot: Snapshot) -> int:
        ledger = snapshot.sweeps.ledgers.get(cls.counts)
        return 0 if ledger is None else len(ledger)

    @property
    def connections(self) -> int:
        """Its connections on all servers, or Missing."""
        return self.snapshot.lacking.whole(self.counts.endpoint, self.seen_connections)

    def rows(self, worst: Worst) -> list[Row]:
        """Its clients among the rows that matter of all servers, the worst first, or Missing."""
        return self.snapshot.lacking.whole(worst.endpoint.key, self.seen_rows(worst))

    def seen_rows(self, worst: Worst) -> list[Row]:
        """The same of the servers that replied, which may not be all."""
        of_account = self.snapshot.system.memo(worst.by_account).get(self.account, [])
        return [row for row in of_account if row.authorized_user == self.name]

    def labels(self) -> dict[str, str]:
        return {"account": self.account, "user": self.name}

    def jwt_name(self, label: str) -> str:
        if label == "user":
            return self.snapshot.jwt_names.of_user(self.names)
        return super().jwt_name(label)

    def entity(self) -> dict[str, str]:
        name = self.snapshot.jwt_names.users.get(self.names) or self.name
        return {**super().entity(), "id": self.name, "name": name}

    def most(self) -> dict[str, Any]:
        """The servers with most of its connections."""
        on: Counter[str] = Counter()  # Servers of two clusters may share a name.
        for server, count in self.snapshot.held_by(self.counts, self.names).items():
            on[server[-1]] += count
        return largest(on)

    def at_most(self) -> User | None:
        most = self.snapshot.at_most(self.counts, self.names)
        return None if most is None else User(self.account, self.name, most, self.snapshot)


class ClosedUser(Noun):
    """One (account, user) among the clients whose connections servers closed last.

    It may have no connection now. Its names are those of a User, and `closed` is a lower bound:
    the connections of the servers that replied, the latest first.
    """

    __slots__ = ("account", "closed", "name")
    kind, scope, depends_on = "user", "ACCOUNT", ALL_SERVERS
    labelled = ("account", "user")
    when_gone = "no connection of user {name} of account {account} was closed lately"

    def __init__(self, names: Names, closed: list[Closed], snapshot: Snapshot) -> None:
        self.names, self.closed, self.snapshot = names, closed, snapshot
        self.account, self.name = names

    @classmethod
    def all(cls, snapshot: Snapshot) -> Iterable[ClosedUser]:
        for names, closed in snapshot.system.memo(closed_by_user).items():
            yield cls(names, closed, snapshot)

    def labels(self) -> dict[str, str]:
        return {"account": self.account, "user": self.name}

    def jwt_name(self, label: str) -> str:
        if label == "user":
            return self.closed[0].user_name
        return super().jwt_name(label)

    def entity(self) -> dict[str, str]:
        return {**super().entity(), "id": self.name, "name": self.jwt_name("user") or self.name}
