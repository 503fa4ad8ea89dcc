"""Unstored: what was published and is not known to be stored, in order for each finding.

A stream must store the messages of a finding in their order: an `opened` that were stored after its
`resolved` would be taken for the current state.
"""

from __future__ import annotations

from collections.abc import Iterator

from nats_insights.tell.advisory import Message


def finding_of(message: Message) -> str:
    """The fingerprint, which is the last token of the subject of an advisory."""
    return message.subject.rpartition(".")[2]


class Unstored:
    """Messages by finding, the finding that has waited longest first."""

    def __init__(self) -> None:
        self._by_finding: dict[str, list[Message]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Message]:
        """All of them, those of one finding one after the other; may be changed meanwhile."""
        for some in list(self._by_finding.values()):
            yield from list(some)

    @property
    def firsts(self) -> list[Message]:
        """The oldest message of each finding, which is to be stored next."""
        return [some[0] for some in self._by_finding.values()]

    def of(self, message: Message) -> list[Message]:
        """All that is to be stored of the finding of this message, the oldest first."""
        return list(self._by_finding.get(finding_of(message), ()))

    def add(self, message: Message) -> None:
        """Add a message behind those of its finding, if it is not there yet."""
        some = self._by_finding.setdefault(finding_of(message), [])
        if message not in some:
            some.append(message)
            self._count += 1

    def stored(self, message: Message) -> int:
        """Forget a message that is stored, and how many older ones no longer can be."""
        some = self._by_finding.get(finding_of(message), [])
        if message not in some:
            return 0
        older = some.index(message)
        del some[: older + 1]
        self._count -= older + 1
        self._clean(message)
        return older

    def drop(self, message: Message) -> None:
        """Forget a message that cannot be stored."""
        some = self._by_finding.get(finding_of(message), [])
        if message in some:
            some.remove(message)
            self._count -= 1
            self._clean(message)

    def drop_oldest(self) -> None:
        """Forget the oldest message of the finding that has waited longest."""
        if (oldest := next(iter(self), None)) is not None:
            self.drop(oldest)

    def clear(self) -> None:
        """Forget all of them."""
        self._by_finding.clear()
        self._count = 0

    def _clean(self, message: Message) -> None:
        finding = finding_of(message)
        if not self._by_finding.get(finding):
            self._by_finding.pop(finding, None)
