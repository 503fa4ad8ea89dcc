"""What a check can be about: stable names, labels, and figures, which may raise Missing."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from nats_insights.errors import DeclarationError, Missing
from nats_insights.facts import KINDS, LABELS, SCOPES, Names
from nats_insights.model.changes import Changes
from nats_insights.model.fold import Fold
from nats_insights.model.past import Past
from nats_insights.model.samples import Samples

if TYPE_CHECKING:
    from nats_insights.model.snapshot import Snapshot

T = TypeVar("T")
R = TypeVar("R", bound="Changes | Samples")

# Whose replies are needed before the absence of a finding about a noun means that it is fine.
# Members of the roster need no reply, but the agent itself must not be disconnected.
NOBODY, ROLL_CALL, ITS_SERVER, ITS_CLUSTER, ALL_SERVERS = (
    "nobody",
    "roll call",
    "server",
    "cluster",
    "system",
)


class Noun:
    """Something a check can be about.

    A subclass declares its `kind`, its `scope`, whose replies are needed to resolve a finding
    (`depends_on`) and its labels; `all` returns every noun of its kind in a snapshot.
    DeclarationError for a kind, a scope or a label that the published schema does not contain.
    """

    __slots__ = ("_memo", "names", "snapshot")
    kind: ClassVar[str]
    labelled: ClassVar[tuple[str, ...]] = ()
    scope: ClassVar[str]
    depends_on: ClassVar[str]
    # Whether servers of several clusters contribute to it though it does not depend on all.
    across: ClassVar[bool] = False
    # The summary of a finding whose entity was removed, formatted with the members of the entity.
    when_gone: ClassVar[str] = "{kind} {name} is gone"
    # Where in `names` its place is: the name of a cluster, or of a server that is in none.
    place: ClassVar[int | None] = None
    # The folds whose missing parts `at_most` replaces by their last known counts.
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
        """Those whose main figure exceeds `figure`; all, if the kind cannot select them cheaply."""
        return cls.all(snapshot)

    @classmethod
    def find(cls, snapshot: Snapshot, names: Names) -> Noun | None:
        """The noun with these names, None if there is none."""
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
        """The name of its cluster, "" if it is in none."""
        return ""

    @property
    def rests_on(self) -> Names:
        """The (cluster, name) of the server that it is part of, () if it is not of one server."""
        return ()

    @property
    def metadata(self) -> Mapping[str, str]:
        """Metadata from its configuration, such as `io.nats.monitor.lag-critical`."""
        return {}

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags of the server that it is part of."""
        return ()

    def labels(self) -> dict[str, str]:
        """The labels that overrides match on, and that are filled into a remediation.

        Its keys are those of `labelled`.
        """
        return {}

    def jwt_name(self, label: str) -> str:
        """The name that a JWT gives to one of its labels, "" if none does.

        Missing for a user whose name was not read yet.
        """
        if label != "account" or label not in self.labelled:
            return ""
        return self.snapshot.jwt_names.accounts.get(self.labels()["account"], "")

    def entity(self) -> dict[str, str]:
        """The entity of an advisory: kind, id and name, and the labels that are not empty."""
        labels = {label: name for label, name in self.labels().items() if name}
        if name := self.jwt_name("account"):
            labels["account_name"] = name
        return {"kind": self.kind, "id": self.names[0], "name": self.names[-1], **labels}

    def memo(self, figure: Callable[[Any], T]) -> T:
        """`figure(self)`, computed once per epoch; a Missing is cached like a value."""
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
        """Clear the cache of `memo` after the underlying data has changed."""
        self._memo = {}

    def past(self, past: Past[R]) -> R:
        """The past of one of its figures; Missing if it was not reported in this epoch."""
        return self.snapshot.history.of(past, self.names, self.snapshot.now)

    def folded(self, fold: Fold) -> Counter[Any]:
        """A fold over all servers, exact or Missing."""
        return self.snapshot.system.memo(fold.exact)

    def seen(self, fold: Fold) -> Counter[Any]:
        """A fold over all servers, without missing parts: a lower bound."""
        return self.snapshot.system.memo(fold.at_least)

    def at_most(self) -> Noun | None:
        """The noun with the last known figure for each missing part; None if one is not known."""
        return None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self.names)})"


def largest(counts: Mapping[str, int], few: int = 10) -> dict[str, Any]:
    """The `few` largest of some counts, largest first, and how many names were left out."""
    top = heapq.nsmallest(few, counts.items(), key=lambda item: (-item[1], item[0]))
    return {"top": [list(item) for item in top], "left_out": len(counts) - len(top)}
