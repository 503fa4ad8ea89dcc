"""What a check can be about: stable names, labels, and figures that are there or raise Missing."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from nats_insights.errors import DeclarationError, Missing
from nats_insights.facts import KINDS, LABELS, SCOPES, Names
from nats_insights.model.fold import Fold
from nats_insights.model.history import Changes, Past, Samples

if TYPE_CHECKING:
    from nats_insights.model.snapshot import Snapshot

T = TypeVar("T")
R = TypeVar("R", bound="Changes | Samples")

# Whose replies must all be in before silence about a noun means that it is fine. Of members of the
# roster even silence is known, but only while the agent itself is not cut off.
NOBODY, ROLL_CALL, ITS_SERVER, ITS_CLUSTER, ALL_SERVERS = (
    "nobody",
    "roll call",
    "server",
    "cluster",
    "system",
)


class Noun:
    """Something a check can be about.

    A subclass says its `kind`, its `scope`, on whose replies its silence rests (`depends_on`) and
    which labels it has; `all` finds every one of its kind in a snapshot. DeclarationError for a
    kind, a scope or a label that the published schema does not know.
    """

    __slots__ = ("_memo", "names", "snapshot")
    kind: ClassVar[str]
    labelled: ClassVar[tuple[str, ...]] = ()
    scope: ClassVar[str]
    depends_on: ClassVar[str]
    # What is said of a finding whose entity is no more, with the members of the entity.
    when_gone: ClassVar[str] = "{kind} {name} is gone"
    # The folds whose missing parts `at_most` fills in.
    filled: ClassVar[tuple[Fold, ...]] = ()
    names: Names
    snapshot: Snapshot
    _memo: dict[Any, Any]

    def __init_subclass__(cls) -> None:
        for what, word, known in (
            ("kind", getattr(cls, "kind", None), KINDS),
            ("scope", getattr(cls, "scope", None), SCOPES),
            *(("label", label, LABELS) for label in cls.labelled),
        ):
            if word not in known:
                raise DeclarationError(
                    f"noun {cls.__name__}: there is no {what} {word!r}; known are "
                    f"{', '.join(known)}"
                )

    @classmethod
    def all(cls, snapshot: Snapshot) -> Iterable[Noun]:
        """Every noun of this kind in a snapshot."""
        raise NotImplementedError

    @classmethod
    def above(cls, snapshot: Snapshot, figure: float) -> Iterable[Noun]:
        """Those whose main figure exceeds `figure`, where that is known without making them all."""
        return cls.all(snapshot)

    @classmethod
    def find(cls, snapshot: Snapshot, names: Names) -> Noun | None:
        """The one of these names, None if there is none."""
        return next((noun for noun in cls.all(snapshot) if noun.names == names), None)

    @classmethod
    def count(cls, snapshot: Snapshot) -> int:
        """How many there are."""
        return sum(1 for _ in cls.all(snapshot))

    @classmethod
    def unseen(cls, snapshot: Snapshot, names: Names) -> str:
        """Why a noun of these names may exist though the snapshot has none; "" if it cannot."""
        return ""

    @property
    def home(self) -> str:
        """The name of the cluster that it lives in, "" when it lives in none."""
        return ""

    @property
    def rests_on(self) -> Names:
        """The (cluster, name) of the server that it is part of, () when it is of no single one."""
        return ()

    @property
    def metadata(self) -> Mapping[str, str]:
        """What its owner wrote beside it, such as `io.nats.monitor.lag-critical`."""
        return {}

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags of the server that it is part of."""
        return ()

    def labels(self) -> dict[str, str]:
        """What overrides match on, and what fills the names into a remediation.

        Its keys are those of `labelled`.
        """
        return {}

    def entity(self) -> dict[str, str]:
        """How an advisory names it: kind, id and name, and the labels that it has."""
        labels = {label: name for label, name in self.labels().items() if name}
        return {"kind": self.kind, "id": self.names[0], "name": self.names[-1], **labels}

    def memo(self, figure: Callable[[Any], T]) -> T:
        """`figure(self)`, computed once per epoch; a Missing is remembered like a value."""
        try:
            memory = self._memo
        except AttributeError:
            memory = self._memo = {}
        if figure not in memory:
            try:
                memory[figure] = figure(self)
            except Missing as missing:
                memory[figure] = missing
        value = memory[figure]
        if isinstance(value, Missing):
            raise value.with_traceback(None)
        return value  # type: ignore[no-any-return]

    def forget(self) -> None:
        """Drop what was computed once, where what it was computed of has changed."""
        self._memo = {}

    def past(self, past: Past[R]) -> R:
        """What is remembered of a figure of it; Missing where this epoch did not tell it."""
        return self.snapshot.history.of(past, self.names, self.snapshot.now)

    def folded(self, fold: Fold) -> Counter[Any]:
        """A fold over all servers, exact or Missing."""
        return self.snapshot.system.memo(fold.exact)

    def seen(self, fold: Fold) -> Counter[Any]:
        """A fold over all servers, with what has come: at least this."""
        return self.snapshot.system.memo(fold.at_least)

    def at_most(self) -> Noun | None:
        """Itself with each missing part at its last known figure; None where nothing is known."""
        return None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self.names)})"


def largest(counts: Mapping[str, int], few: int = 10) -> dict[str, Any]:
    """The `few` largest of some counts, largest first, and how many names were left out."""
    top = heapq.nsmallest(few, counts.items(), key=lambda item: (-item[1], item[0]))
    return {"top": [list(item) for item in top], "left_out": len(counts) - len(top)}
