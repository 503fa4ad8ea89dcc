"""Selection: which findings a request asks for, and how many there are of each kind."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Generator, Iterable

from nats_insights.judge.declare import Check
from nats_insights.judge.finding import INFO, SEVERITIES, Severity
from nats_insights.judge.lifecycle import Life
from nats_insights.tell.messages import FilteredRequest, Group, OpenCounts
from nats_insights.tell.ranking import ordered
from nats_insights.tell.requests import Refused, unknown
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


def named(checks: Iterable[Check], asked: str) -> Check:
    """The check with this code or name, whatever its case; Refused with the nearest if none has."""
    found = {check.code: check for check in checks}
    found |= {check.name: check for check in found.values()}
    for name in (asked.upper(), asked.lower().replace("-", "_")):
        if name in found:
            return found[name]
    raise Refused(404, unknown("check", asked, found))


def asked_codes(checks: Iterable[Check], request: FilteredRequest) -> set[str]:
    """The codes of the checks that a request asks for; Refused if it names an unknown one."""
    checks = list(checks)
    code = named(checks, request.code).code if request.code else ""
    return {
        check.code
        for check in checks
        if code in ("", check.code) and request.scope in ("", check.about.scope)
    }


def passing(request: FilteredRequest, codes: Collection[str]) -> Callable[[list[Life]], list[Life]]:
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
            lives = [life for life in lives if life.has(label, value)]
        return lives

    return keep


class Counted:
    """How many findings were added, by severity and, if asked for, in groups; some are `muted`."""

    def __init__(self, by: str) -> None:
        self.by = by
        self.muted = 0
        self._severities: Counter[str] = Counter()
        # By the names of each group: critical, warning, info.
        self.groups: dict[tuple[str, ...], list[int]] = defaultdict(lambda: [0, 0, 0])

    def add(self, lives: Iterable[Life]) -> None:
        """Count these."""
        self._severities.update([str(life.severity) for life in lives])
        self.muted += sum([bool(life.muted) for life in lives])
        if self.by:
            labels = _LABELS[self.by]
            for life in lives:
                names = tuple([life.label(label) for label in labels])
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
