"""One nats-server that replies, or whose reply is missing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar

from nats_insights.errors import Missing, NotTold
from nats_insights.facts import Names
from nats_insights.model import interest
from nats_insights.model.closed import CONNZ_CLOSED
from nats_insights.model.fold import Fold
from nats_insights.model.ledger import Part
from nats_insights.model.nouns.noun import ITS_SERVER, Noun
from nats_insights.model.roster import Entry
from nats_insights.replies.connz import Closed
from nats_insights.replies.endpoint import Endpoint
from nats_insights.replies.fields import ServerInfo
from nats_insights.replies.jetstream import Api, Config, Stats
from nats_insights.replies.routez import ROUTEZ
from nats_insights.replies.varz import Varz

if TYPE_CHECKING:
    from nats_insights.model.nouns.cluster import Cluster
    from nats_insights.model.snapshot import Snapshot

T = TypeVar("T")
# Of a server without JetStream.
_NO_CONFIG, _NO_STATS, _NO_API = Config(), Stats(), Api()

# Seconds within which a server replies, in an epoch and before it.
_LATE = 5.0


class Clock(NamedTuple):
    """How many seconds a clock is ahead of the agent's, or behind it where below zero.

    It was read at some moment while the agent waited, so the truth is up to `precision` less.
    """

    ahead: float
    precision: float

    @property
    def least(self) -> float:
        """How many seconds it differs at least."""
        return max(0.0, self.ahead - self.precision, -self.ahead)


class Server(Noun):
    """One nats-server. `reply(ENDPOINT)` is what it replied, or Missing; `varz` the same of VARZ.

    `accounts` are its own clients by account, `connections` their number without the system
    account's, and `own_connections` those of the agent. `settled` is the seconds since it started,
    `entry` is how the roster knows it.
    """

    __slots__ = (
        "accounts",
        "cluster",
        "connections",
        "entry",
        "id",
        "info",
        "name",
        "own_connections",
        "replies",
        "settled",
        "varz",
        "version",
    )
    kind, scope, depends_on = "server", "SERVER", ITS_SERVER
    labelled = ("cluster", "server")
    REPLY_OF: ClassVar[dict[str, str]] = {
        "varz": "VARZ",
        "accounts": "STATZ",
        "connections": "STATZ",
        "settled": "VARZ",
        "version": "VARZ",
        "info": "VARZ",
    }
    varz: Varz
    entry: Entry
    accounts: dict[str, int]
    connections: int
    settled: float
    version: str
    info: ServerInfo

    def __init__(self, name: str, cluster: Cluster | None, snapshot: Snapshot) -> None:
        self.name, self.cluster, self.snapshot = name, cluster, snapshot
        self.names = (cluster.name if cluster else "", name)
        self.id = ""
        self.own_connections = 0
        self.replies: dict[str, Any] = {}

    if not TYPE_CHECKING:  # Else mypy would take any name for a figure.

        def __getattr__(self, name: str) -> Any:
            # Called only for a slot that is not set: access to the other figures is not slower.
            if name in Server.REPLY_OF:
                raise Missing(Server.REPLY_OF[name], self.name)
            raise AttributeError(name)

    @classmethod
    def all(cls, snapshot: Snapshot) -> Iterable[Server]:
        return snapshot.servers.values()

    def reply(self, endpoint: Endpoint[T]) -> T:
        """Its reply in this epoch; Missing if there is none, NotTold if its version is too old."""
        try:
            reply: T = self.replies[endpoint.key]
        except KeyError:
            if endpoint.since and not endpoint.known_to(self.version):
                raise NotTold(endpoint.key, self.name, self.version) from None
            raise Missing(endpoint.key, self.name) from None
        return reply

    @property
    def clock(self) -> Clock:
        """Its clock; Missing if it did not reply, or does not tell the time."""
        if (time := self.info.time) is None:
            raise Missing("the clock", self.name)
        return Clock(time.timestamp() - self.snapshot.now, self.snapshot.roll_call_took)

    @property
    def crashed(self) -> bool:
        """Whether its last process ended without announcing it, and this one has its version.

        A process that ran already while the last one replied is another server of its name.
        """
        since = self.snapshot.now - self.entry.before_at
        return self.entry.crashed and self.settled <= since + _LATE

    @property
    def process(self) -> str:
        """The id of the process that replied last."""
        return self.entry.process

    @property
    def before(self) -> str:
        """The id of the process that replied before that one, "" if there was none."""
        return self.entry.before

    @property
    def shared_ago(self) -> float | None:
        """Seconds since two servers last took turns in its name, None if they never did."""
        at = self.entry.shared_at
        return None if at is None else self.snapshot.now - at

    @property
    def closed(self) -> list[Closed]:
        """The clients whose connections it closed last, the latest first, or Missing."""
        rows = self.reply(CONNZ_CLOSED).connections or []
        for row in rows:
            row.server = self.names
        return rows

    @property
    def home(self) -> str:
        return self.names[0]

    @property
    def rests_on(self) -> Names:
        return self.names

    @property
    def tags(self) -> tuple[str, ...]:
        return self.info.tags

    def labels(self) -> dict[str, str]:
        return {"server": self.name, "cluster": self.home}

    def entity(self) -> dict[str, str]:
        return {**super().entity(), "id": self.id}

    def folded(self, fold: Fold) -> Part:  # type: ignore[override]
        """The counts of a fold over this server's connections, exact or Missing."""
        return self.snapshot.part(self, fold)

    @property
    def local_interest(self) -> int:
        """Subscriptions made on this server, some 60 internal ones included."""
        return self.memo(interest.local)

    @property
    def routed(self) -> frozenset[str]:
        """The ids of the servers that it has routes to, however many connections each has."""
        return self.memo(_routed)

    @property
    def internal_interest(self) -> int:
        """Local subscriptions that belonged to no client when it was last swept."""
        return interest.internal(self)

    @property
    def jetstream_config(self) -> Config:
        """How its JetStream is configured; an empty one without JetStream."""
        jetstream = self.varz.jetstream
        return (jetstream and jetstream.config) or _NO_CONFIG

    @property
    def jetstream_stats(self) -> Stats:
        """What its streams use and reserve; zeros without JetStream."""
        jetstream = self.varz.jetstream
        return (jetstream and jetstream.stats) or _NO_STATS

    @property
    def jetstream_api(self) -> Api:
        """Requests to the JetStream API that it answered; zeros without JetStream."""
        return self.jetstream_stats.api or _NO_API


def _routed(server: Server) -> frozenset[str]:
    return frozenset([route.remote_id for route in server.reply(ROUTEZ).routes or ()])
