"""The agent itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from nats_insights.model.nouns.noun import NOBODY, Noun

if TYPE_CHECKING:
    from nats_insights.model.snapshot import Snapshot


class Agent(Noun):
    """The agent itself, by its configured id, and figures of its last epochs.

    `cut_offs` are the servers that disconnected it in the last MEMORY epochs, and `failures` says
    where in the program each of the failed epochs failed. `late` counts the epochs in a row that
    took longer than the interval, and `took` is the seconds of the last one. `unreachable` names
    the dead servers because of which it considers itself disconnected, of all that are `known`.
    """

    __slots__ = (
        "cut_offs",
        "failures",
        "interval",
        "known",
        "late",
        "took",
        "unreachable",
        "window",
    )
    kind, scope, depends_on = "agent", "SYSTEM", NOBODY
    MEMORY: ClassVar[int] = 20

    def __init__(self, id: str, snapshot: Snapshot) -> None:
        self.names, self.snapshot = (id,), snapshot
        self.cut_offs: list[str] = []
        self.failures: list[str] = []
        self.unreachable: list[str] = []
        self.late = self.window = self.known = 0
        self.took = self.interval = 0.0

    @classmethod
    def all(cls, snapshot: Snapshot) -> Iterable[Agent]:
        return [snapshot.agent]
