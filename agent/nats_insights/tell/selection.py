"""Selection: which findings a request asks for, and how many there are of each kind."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Generator, Iterable, Mapping

from nats_insights.judge.finding import INFO, SEVERITIES, Severity
from nats_insights.judge.lifecycle import Life
from nats_insights.tell.messages import FindingsRequest, Group, OpenCounts
from nats_insights.tell.ranking import ordered
from nats_insights.text import shortened

# The labels by which findings are filtered.
_FILTERS = ("account", "cluster", "server", "user")
# The labels that name a group; the code is none.
_LABELS: dict[str, tuple[str, ...]] = {
    "code": (),
    "cluster": ("cluster",),
    "server": ("cluster", "server"),
    "account": ("account", "account_name"),
    "user": ("account", "account_name", "user", "user_name"),
}


def passing(request: FindingsRequest, codes: Collection[str]) -> Callable[[list[Life]], list[Life]]:
    """A function that keeps the findings of these checks which pass the filters of a request."""
    least = SEVERITIES.get(request.severity_at_least, INFO)
    severities = {one for one in Severity if request.severity in ("", str(one)) and one >= least}
    labels = [(label, value) for label in _FILTERS if (value := getattr(request, label))]

    def keep(lives: list[Life]) -> list[Life]:
        # One filter after another: the fastest way through a hundred thousand.
        lives = [life for life in lives if life.key.code in codes]
        if len(severities) < len(Severity):
            lives = [life for life in lives if life.severity in severities]
        for label, value in labels:
            lives = [life for life in lives if _has(life.entity, label, value)]
        return lives

    return keep


class Counted:
    """How many findings were added, by severity and, if asked for, in groups."""

    def __init__(self, by: str) -> None:
        self.by = by
        self._severities: Counter[str] = Counter()
        # By the names of each group: critical, warning, info.
        self.groups: dict[tuple[str, ...], list[int]] = defaultdict(lambda: [0, 0, 0])

    def add(self, lives: Iterable[Life]) -> None:
        """Count these."""
        self._severities.update([str(life.severity) for life in lives])
        if self.by:
            labels = _LABELS[self.by]
            for life in lives:
                names = tuple([_label(life.entity, label) for label in labels])
                self.groups[names or (life.key.code,)][Severity.CRITICAL - life.severity] += 1

    def counts(self) -> OpenCounts:
        """By severity."""
        return OpenCounts(**self._severities)

    def names(self) -> Generator[None, None, list[tuple[str, ...]]]:
        """The names of the groups, in steps: the one with most of the worst first."""
        return ordered(self.groups, lambda names: ([-n for n in self.groups[names]], names))

    def group(self, names: tuple[str, ...]) -> Group:
        """One of them, as it is told."""
        critical, warning, info = self.groups[names]
        labels = _LABELS[self.by] or ("code",)
        told = dict(zip(labels, (shortened(name, 128) for name in names), strict=True))
        return Group(**told, critical=critical, warning=warning, info=info)


def _has(entity: Mapping[str, str], label: str, value: str) -> bool:
    """Whether an entity has this label, an account and a user by their key or by their name."""
    return value in (entity.get(label), _label(entity, f"{label}_name"))


def _label(entity: Mapping[str, str], label: str) -> str:
    if label == "user_name":
        is_named = entity["kind"] == "user" and entity["name"] != entity["user"]
        return entity["name"] if is_named else ""
    return entity.get(label, "")
