"""The accounts that servers have loaded, read a few in each epoch and kept.

Servers with JWTs load an account when it is first used, and all of them have the same JWT, so one
server is asked for each account. Without JWTs the accounts are those of the configuration, which
may differ from cluster to cluster: then each is read once in each cluster.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict, deque
from collections.abc import Collection, Generator, Iterable, Iterator
from typing import TYPE_CHECKING

from msgspec import Struct

from nats_insights.errors import Missing, TooSoon
from nats_insights.facts import Names
from nats_insights.replies.accountz import ACCOUNTZ_DETAIL, AccountDetail, ImportClaim
from nats_insights.replies.claims import is_key
from nats_insights.replies.heard import AccountOn
from nats_insights.replies.statz import STATZ
from nats_insights.subjects import covers

if TYPE_CHECKING:
    from nats_insights.model.nouns.server import Server

# Accounts that are kept, since their names come from servers.
MOST = 200_000
# Accounts that are read in one epoch.
LEAST_AT_A_TIME, MOST_AT_A_TIME = 64, 500
# Requests in a row without a reply after which what is known of an account is too old.
TRIES = 3
# More clients than an account can have.
_AS_BEFORE = 2**53
# A wildcard of the other subject, where an import renames one.
_reference = re.compile(r"\$\d+").sub
_WAITS = "a reading of each account, a few in each epoch"


class Import(Struct, frozen=True, gc=False):
    """An import of an account: `subject` is that of the account that exports it.

    `activated` says that it has a token, which expires at `expires` in Unix seconds, 0 for never.
    """

    account: str
    type: str
    subject: str
    local: str
    activated: bool = False
    expires: int = 0


class Export(Struct, frozen=True, gc=False):
    """An export of an account. A private one is for some accounts only."""

    type: str
    subject: str
    private: bool


class Detail(Struct, frozen=True, gc=False):
    """What a server, by its (cluster, name), reported of an account at `at`, in Unix seconds.

    `size` is the length of its JWT in bytes, which is valid from `issued` to `expires`, 0 for ever.
    The other figures are limits of the account in the whole system, and `subscriptions` that of
    each of its connections; they are not positive where there is no limit. `inactive` are the
    imports that servers refuse or could not set up.
    """

    server: Names
    at: float
    size: int = 0
    issued: int = 0
    expires: int = 0
    expired: bool = False
    connections: int = -1
    leafnodes: int = -1
    subscriptions: int = -1
    imports: tuple[Import, ...] = ()
    inactive: tuple[Import, ...] = ()
    exports: tuple[Export, ...] = ()

    @property
    def life_days(self) -> float:
        """Days from its issue to its end."""
        return (self.expires - self.issued) / 86_400


class Loaded:
    """What is known of each loaded account, by its name and place: None until it was read.

    The place is "" with JWTs, else a cluster, or a server that is in none. `complete` says that
    every server told which accounts it has loaded, and of `stale` accounts too many readings in a
    row have failed.
    """

    def __init__(self) -> None:
        self.accounts: dict[Names, Detail | None] = {}
        self.complete = False
        self.stale: set[Names] = set()
        self._waiting: deque[tuple[Names, tuple[str, Names]]] = deque()
        self._tries: Counter[Names] = Counter()

    def plan(self, servers: Collection[Server], *, complete: bool) -> Generator[None, None, None]:
        """Read every account once more, those first that were read longest ago.

        The server with most clients of an account is asked, and the same one as the last time while
        it has the account. Unless all servers told, accounts that none of them has are kept.
        """
        chosen: dict[Names, tuple[int, int, tuple[str, Names]]] = {}
        keys: dict[str, dict[str, Names]] = defaultdict(dict)
        read_of: dict[Names, set[Names]] = defaultdict(set)
        for key, detail in self.accounts.items():
            if detail is not None:
                read_of[detail.server].add(key)
        for server in servers:
            yield
            reply = server.replies.get(STATZ.key)
            rows = () if reply is None else reply.account_statz or ()
            # A tie is broken otherwise for each account, so that all servers have their share.
            salt = hash(server.names)
            here, before = keys[place_of(server.names)], read_of[server.names]
            asked = server.id, server.names
            for one in rows:
                # There may be millions of rows.
                name, clients = one.acc, one.conns
                key = here.get(name) or here.setdefault(name, key_of(name, server.names))
                if key in before:
                    chosen[key] = _AS_BEFORE, 0, asked
                    continue
                best = chosen.get(key)
                if best is None:
                    if len(chosen) < MOST:
                        chosen[key] = clients, hash(name) ^ salt, asked
                elif clients >= best[0]:
                    tie = hash(name) ^ salt
                    if clients > best[0] or tie > best[1]:
                        chosen[key] = clients, tie, asked
        yield
        known_before = self.accounts
        self.accounts = {key: known_before.get(key) for key in chosen}
        if not complete:
            room = MOST - len(self.accounts)
            others = [key for key in known_before if key not in self.accounts]
            self.accounts |= {key: known_before[key] for key in others[: max(0, room)]}
        self.complete = complete
        self._tries = Counter({key: n for key, n in self._tries.items() if key in chosen})
        yield
        waiting = [(self._read_at(key), key) for key in chosen]
        yield
        waiting.sort()
        yield
        self._waiting = deque([(key, chosen[key][2]) for _, key in waiting])

    def next(self, share: float) -> list[AccountOn]:
        """The accounts to read in this epoch: this share of all, within bounds."""
        most = math.ceil(min(share, 1.0) * len(self.accounts))
        most = min(max(most, LEAST_AT_A_TIME), MOST_AT_A_TIME, len(self._waiting))
        wanted = [self._waiting.popleft() for _ in range(most)]
        self._tries.update([key for key, _ in wanted])
        self.stale = {key for key, tries in self._tries.items() if tries >= TRIES}
        return [AccountOn(names, server_id, key[0]) for key, (server_id, names) in wanted]

    def take(self, key: Names, detail: Detail) -> None:
        """Add what a server reported of an account."""
        if key in self.accounts:
            self.accounts[key] = detail
            del self._tries[key]
            self.stale.discard(key)

    def detail(self, key: Names) -> Detail:
        """What is known of an account; TooSoon if its turn has not come, Missing if it failed."""
        detail = self.accounts.get(key)
        if detail is not None and key not in self.stale:
            return detail
        if detail is None and not self._tries[key]:
            raise TooSoon(ACCOUNTZ_DETAIL.key, key[0], _WAITS)
        raise Missing(ACCOUNTZ_DETAIL.key, key[0])

    def unseen(self, key: Names) -> str:
        """Why nothing is known of an account that may exist, "" if what is known is all."""
        if self.accounts.get(key) is not None or (self.complete and key not in self.accounts):
            return ""
        return f"{ACCOUNTZ_DETAIL.key} of {key[0]}"

    def why_inactive(self, one: Import, now: float) -> str:
        """Why an import is not in force, "" if it cannot be told."""
        key = (one.account, "")
        if key not in self.accounts:
            return "servers do not find that account" if self.complete else ""
        try:
            exporter = self.detail(key)
        except Missing:
            return ""
        if exporter.expired:
            return "the JWT of that account has expired"
        fitting = [
            export
            for export in exporter.exports
            if export.type == one.type and covers(export.subject, one.subject)
        ]
        if not fitting:
            return "that account does not export it"
        if not all(export.private for export in fitting):
            return ""
        if not one.activated:
            return "it has no activation token"
        expired = 0 < one.expires <= now
        return f"its activation token {'has expired' if expired else 'is not accepted'}"

    def _read_at(self, key: Names) -> float:
        detail = self.accounts[key]
        return 0.0 if detail is None else detail.at


def key_of(account: str, server: Names) -> Names:
    """The key of an account that a server has loaded: its name and its place."""
    return (account, "" if is_key(account) else place_of(server))


def place_of(server: Names) -> str:
    """The name of the cluster of a server, or its own where it is in none."""
    return server[0] or server[1]


def read(told: AccountDetail, server: Names, now: float, system_account: str) -> Detail:
    """What is kept of a reply.

    Without a JWT, what the system account exports and others import of it is left out: servers add
    much of it to every account.
    """
    exports = tuple([Export(one.type, one.subject, one.private) for one in told.exports or ()])
    jwt = told.decoded_jwt
    if jwt is None:
        plain = [
            Import(one.account, one.type, one.subject, one.local_subject)
            for one in told.imports or ()
            if one.account != system_account
        ]
        own = told.account_name == system_account
        return Detail(server, now, imports=tuple(plain), exports=() if own else exports)
    limits, imports = jwt.nats.limits, [_import(one) for one in jwt.nats.imports or ()]
    return Detail(
        server,
        now,
        size=told.jwt.characters,
        issued=jwt.iat,
        expires=jwt.exp,
        expired=told.expired,
        connections=limits.conn,
        leafnodes=limits.leaf,
        subscriptions=limits.subs,
        imports=tuple(imports),
        inactive=tuple(_inactive(imports, told)),
        exports=exports,
    )


def _import(claim: ImportClaim) -> Import:
    # Where an older JWT renames the subject of a service, `to` is that of the exporter.
    renamed = claim.type == "service" and claim.to and not claim.local_subject
    return Import(
        claim.account,
        claim.type,
        _reference("*", claim.to) if renamed else claim.subject,
        claim.local_subject or (claim.subject if renamed else claim.to),
        claim.token.given,
        claim.token.expires,
    )


def _inactive(imports: Iterable[Import], told: AccountDetail) -> Iterator[Import]:
    """The imports of the JWT for which the server has no valid one in force."""
    valid = Counter(
        [(one.account, one.type, one.subject) for one in told.imports or () if not one.invalid]
    )
    for one in imports:
        key = (one.account, one.type, one.subject)
        if valid[key]:
            valid[key] -= 1
        else:
            yield one
