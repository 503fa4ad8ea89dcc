"""Exports of accounts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING

from nats_insights import subjects
from nats_insights.errors import Missing
from nats_insights.facts import Names
from nats_insights.model import loaded
from nats_insights.model.nouns.noun import ITS_CLUSTER, Noun
from nats_insights.model.nouns.system import System

if TYPE_CHECKING:
    from nats_insights.model.snapshot import Snapshot


class Export(Noun):
    """One export of an account of the configuration, in one cluster or on a server that is in none.

    With JWTs there are none: servers load the accounts that are used, so not all are known. The
    system account is left out. A check about it needs STATZ and ACCOUNTZ_DETAIL.
    """

    __slots__ = ("told",)
    kind, scope, depends_on = "export", "ACCOUNT", ITS_CLUSTER
    place = 1
    labelled = ("account", "subject", "cluster")
    when_gone = "account {account} does not export {subject} any more"

    def __init__(self, account: str, place: str, told: loaded.Export, snapshot: Snapshot) -> None:
        self.names, self.told = (account, place, told.type, told.subject), told
        self.snapshot = snapshot

    @classmethod
    def all(cls, snapshot: Snapshot) -> Iterable[Export]:
        for (account, place), detail in snapshot.loaded.accounts.items():
            if place and detail is not None:
                for told in detail.exports:
                    yield cls(account, place, told, snapshot)

    @classmethod
    def unseen(cls, snapshot: Snapshot, names: Names) -> str:
        return snapshot.loaded.unseen(names[:2])

    @property
    def home(self) -> str:
        return self.names[1] if self.names[1] in self.snapshot.clusters else ""

    @property
    def rests_on(self) -> Names:
        return () if self.home else ("", self.names[1])

    @property
    def is_imported(self) -> bool:
        """Whether an account of its cluster imports it or a part; Missing if one was not read."""
        account, place, kind, subject = self.names
        imported = self.snapshot.system.memo(_imported)[place]
        if isinstance(imported, Missing):
            raise imported.with_traceback(None)
        return any(subjects.covers(subject, part) for part in imported.get((account, kind), ()))

    def labels(self) -> dict[str, str]:
        account, _, _, subject = self.names
        return {"account": account, "subject": subject, "cluster": self.home}

    def entity(self) -> dict[str, str]:
        return {**super().entity(), "id": self.names[3], "name": self.names[3]}


# The subjects that are imported of each account, by its name and the type of the import.
_Imported = dict[tuple[str, str], set[str]]


def _imported(system: System) -> dict[str, _Imported | Missing]:
    """What is imported in each place, or why that is not known."""
    every: dict[str, _Imported | Missing] = {}
    known = system.snapshot.loaded
    for key in known.accounts:
        here = every.setdefault(key[1], defaultdict(set))
        if isinstance(here, Missing):
            continue
        try:
            for one in known.detail(key).imports:
                here[one.account, one.type].add(one.subject)
        except Missing as missing:
            every[key[1]] = missing
    return every
