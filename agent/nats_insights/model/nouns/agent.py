"""The agent itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from nats_insights.facts import Expiry
from nats_insights.model.nouns.noun import NOBODY, Noun

if TYPE_CHECKING:
    from nats_insights.model.snapshot import Snapshot


class Agent(Noun):
    """The agent itself, by its configured id, and figures of its last epochs.

    `cut_offs` are the servers that disconnected it in the last MEMORY epochs, and `failures` says
    where in the program each of the failed epochs failed. `late` counts the epochs in a row that
    took longer than the interval, and `took` is the seconds of the last one. `unreachable` names
    the dead servers because of which it considers itself disconnected, of all that are `known`.

    `expiries` are the dates of its credentials, and `unusable` says why another log-in would fail,
    "" if nothing is known of it. `dangers` are requests that its user may send though they change
    something, and `restricted` whether that user has a list of what it may publish. `unpublished`
    says why what it publishes does not arrive or is not stored, "" if it is. `raised` maps
    the name of each check that raised in the last MEMORY epochs to the last error and its place.
    `unsaved` says why the state of the agent was not saved after the last epoch, "" if it was, and
    `unleased` why it cannot use the lease that decides who leads, "" if it can or need not.

    `missed` is, by endpoint and server, how often in a row no usable reply came from a server that
    otherwise answers, until the epoch before; `hidden_clusters` is how often in a row a gateway
    showed a cluster of which no server is known. `readers` are the checks that read each endpoint.
    """

    __slots__ = (
        "cut_offs",
        "dangers",
        "expiries",
        "failures",
        "hidden_clusters",
        "interval",
        "known",
        "late",
        "missed",
        "raised",
        "readers",
        "restricted",
        "took",
        "unleased",
        "unpublished",
        "unreachable",
        "unsaved",
        "unusable",
        "window",
    )
    kind, scope, depends_on = "agent", "SYSTEM", NOBODY
    MEMORY: ClassVar[int] = 20

    def __init__(self, id: str, snapshot: Snapshot) -> None:
        self.names, self.snapshot = (id,), snapshot
        self.cut_offs: list[str] = []
        self.failures: list[str] = []
        self.unreachable: list[str] = []
        self.expiries: Sequence[Expiry] = ()
        self.unusable = ""
        self.unpublished = ""
        self.dangers: Sequence[str] = ()
        self.restricted = False
        self.unsaved = self.unleased = ""
        self.raised: Mapping[str, str] = {}
        self.missed: Mapping[str, Mapping[str, int]] = {}
        self.hidden_clusters: Mapping[str, int] = {}
        self.readers: Mapping[str, Sequence[str]] = {}
        self.late = self.window = self.known = 0
        self.took = self.interval = 0.0

    @classmethod
    def all(cls, snapshot: Snapshot) -> Iterable[Agent]:
        return [snapshot.agent]

    @property
    def now(self) -> float:
        """The Unix second of this epoch."""
        return self.snapshot.now

    @property
    def denied(self) -> list[str]:
        """Endpoints that it has no permission for, without those for which that is on purpose."""
        return sorted(self.snapshot.lacking.denied - self.snapshot.lacking.accepted)
