"""Barred: accounts that the configuration wants as tenants, and whose names do not allow it."""

from __future__ import annotations

import logging
from collections.abc import Generator, Sequence, Set

from nats_insights.tell.ranking import parts
from nats_insights.tell.tenants import Tenants, barring

log = logging.getLogger(__name__)

# Accounts that are named in the log.
MOST = 100


class Barred:
    """Names each of these accounts once in the log."""

    def __init__(self) -> None:
        self._chosen: Sequence[str] = ()
        self._looked_at: set[str] = set()
        self._named: set[str] = set()

    def look(self, tenants: Tenants, accounts: Set[str]) -> Generator[None, None, None]:
        """Look at the accounts of an epoch, in steps; those of the last one are known already."""
        if tenants.chosen != self._chosen:
            self._chosen = tenants.chosen
            self._looked_at.clear()
        if not self._chosen:
            return
        for part in parts(list(accounts)):
            for name in tenants.barred([one for one in part if one not in self._looked_at]):
                if name not in self._named and len(self._named) < MOST:
                    log.warning("%s", barring(name))
                    self._named.add(name)
            yield
        self._looked_at = set(accounts)
