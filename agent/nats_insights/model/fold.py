"""Folds: what a check counts of connection rows, which are dropped after each page."""

from __future__ import annotations

import functools
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import fields as fields_of

from nats_insights.errors import DeclarationError
from nats_insights.replies.connz import CONNZ, ROW_FIELDS, Connection, Connz, Page
from nats_insights.replies.endpoint import Endpoint

if TYPE_CHECKING:
    from nats_insights.model.nouns.system import System

CAP = 100_000
TOLERANCE = 0.02
_ALWAYS = ("cid", "kind", "account", "authorized_user")
_ROW_FIELDS = frozenset(ROW_FIELDS)
# The fields of a row that do not change while a connection lasts.
_LASTING = frozenset(
    (
        *(*_ALWAYS, "type", "ip", "port", "start", "name", "lang", "version", "mqtt_client"),
        *("tls_version", "tls_cipher_suite", "tls_peer_certs", "tls_first"),
        *("issuer_key", "name_tag", "tags", "proxy"),
    )
)
# Rows that take more bytes than this on average may contain very long names.
_LONG_ROW = 1024
_LONG_NAME = 256
# The largest count that a ledger can store: its counts are 64-bit integers. Each row has bounds,
# but the sum of many rows may exceed this.
_LARGEST = 2**63 - 1
# The user name that servers give an anonymous client if only the system account has users: a
# different random name on each server, so these are not one user and cannot be compared.
_ANONYMOUS = re.compile(r"nats-[A-Za-z0-9]{8}")


class Tally(Counter[Any]):
    """Counts per key, bounded: the rarest keys are dropped first, and the error is reported.

    At most `2 * CAP` keys are kept. `error` is how much the count of any key may be too low at
    most, `dropped` how many keys were dropped.
    """

    error = dropped = 0

    def bound(self, cap: int = CAP) -> None:
        """Drop the rarest keys once there are more than twice `cap`."""
        if len(self) <= 2 * cap:
            return
        floor, kept = rarest(self.values(), cap)
        self.dropped += len(self) - kept
        self.error += floor
        for key in [key for key, count in self.items() if count <= floor]:
            del self[key]


def rarest(counts: Collection[int], cap: int) -> tuple[int, int]:
    """The count up to which keys are dropped so that at most `cap` stay, and how many stay."""
    floor, kept = 0, len(counts)
    for count, keys in sorted(Counter(counts).items()):
        if kept <= cap:
            break
        floor, kept = count, kept - keys
    return floor, kept


# All connections, for slow folds: a request of its own, in its own time.
SURVEY = Endpoint(
    CONNZ.name,
    Connz,
    weight=CONNZ.weight,
    every=14_400.0,
    packed=True,
    paged=True,
    key=f"{CONNZ.name}_SURVEY",
)

PageFunction = Callable[[list[Any], Tally, Any], None]


class Fold(Struct, frozen=True, eq=False):
    """A page function, and the fields of a connection row that it reads.

    `moves_with` is a figure of the server that changes whenever the fold changes though no
    connection was opened or closed, "" if there is none.
    """

    page: PageFunction
    fields: tuple[str, ...]
    moves_with: str = ""
    slow: bool = False

    @property
    def lasting(self) -> bool:
        """Whether it reads only what does not change while a connection lasts."""
        return _LASTING.issuperset(self.fields)

    @property
    def endpoint(self) -> str:
        """The key of the endpoint that it is read by."""
        return SURVEY.key if self.slow else CONNZ.key

    @property
    def name(self) -> str:
        """The name of the page function."""
        return self.page.__name__

    def __hash__(self) -> int:
        return hash(self.page)

    def exact(self, system: System) -> Counter[Any]:
        """Its sums over all servers, or Missing."""
        return system.snapshot.folded(self)

    def at_least(self, system: System) -> Counter[Any]:
        """Its sums over the servers whose connections are known."""
        return system.snapshot.seen(self)


def fold(*fields: str, moves_with: str = "", slow: bool = False) -> Callable[[PageFunction], Fold]:
    """Declare a page function `(rows, tally, params)`; it sees client rows only, a page at a time.

    Rows of the system account and leaf nodes are not passed to it. Its third argument is annotated
    with the parameters that it reads, those of all checks that need it, or with `object` if it
    reads none: they are the loosest in force anywhere, so what it drops by them no check needs.
    `moves_with` names a figure of the server that changes whenever the fold changes though no
    connection was opened or closed. A `slow` fold is read in a survey every few hours; its fields
    are not decoded in other sweeps. If one of them changes while a connection lasts, the survey
    reads every server. DeclarationError for a field that CONNZ rows do not have, and
    for one that changes while a connection lasts without such a figure: every server would have to
    list every connection in every epoch.
    """
    for field in fields:
        if field not in _ROW_FIELDS:
            raise DeclarationError(f"a connection row has no field {field!r}")
        if field not in _LASTING and not (moves_with or slow):
            raise DeclarationError(
                f"a fold reads {field!r}, which changes while a connection lasts: read the worst "
                "rows of each server, or name in moves_with a figure of the server that moves too"
            )

    def declare(page: PageFunction) -> Fold:
        return Fold(page, fields, moves_with, slow)

    return declare


def row_fields(folds: Iterable[Fold]) -> list[str]:
    """The fields that a decoder of rows must read so that all these folds can run."""
    return list(dict.fromkeys((*_ALWAYS, *(field for fold in folds for field in fold.fields))))


@fold("authorized_user")
def by_user(rows: list[Connection], tally: Tally, params: object) -> None:
    """Connections of each (account, user); anonymous ones are not counted."""
    counts = Counter([(row.account, row.authorized_user) for row in rows])
    for key in [key for key in counts if not key[1] or key[0] == "$G"]:
        if is_anonymous(*key):
            del counts[key]
    tally.update(counts)


def is_anonymous(account: str, user: str) -> bool:
    """Whether clients without a user have this name: none, or a random one of their server."""
    return not user or (account == "$G" and _ANONYMOUS.fullmatch(user) is not None)


@fold("subscriptions", moves_with="local_interest")
def local_subscriptions(rows: list[Connection], tally: Tally, params: object) -> None:
    """Subscriptions of the clients of this server."""
    tally["subscriptions"] += sum([row.subscriptions for row in rows])


class Sweep:
    """The connection rows of one server, folded page by page; valid only if `exact`.

    `unnamed` counts clients without a user name: they are anonymous, or have not authenticated yet.
    """

    def __init__(self, folds: Mapping[Fold, Any], system_accounts: frozenset[str]) -> None:
        self.system_accounts = system_accounts
        self.params = folds
        self.parts = {fold: Tally() for fold in folds}
        self.rows = self.bad = self.total = self.pages = self.unnamed = 0
        self._fell = 0
        self._cids: set[int] = set()

    def page(self, page: Page) -> None:
        """Fold one page in. A row seen on an earlier page is not counted again."""
        rows = page.connections
        if self.pages:
            rows = [row for row in rows if row.cid not in self._cids]
        if self.pages or page.total > len(rows):
            self._cids.update([row.cid for row in rows])
        self.pages += 1
        self.rows += len(rows)
        self.bad += page.bad
        self._fell += max(0, self.total - page.total)
        self.total = page.total
        if page.size > _LONG_ROW * len(rows):
            _shorten(rows)
        clients = [row for row in rows if row.kind == "Client"] if page.kinds else rows
        # Few servers have clients in a system account: this test takes a third of the filter.
        if not self.system_accounts.isdisjoint([row.account for row in clients]):
            clients = [row for row in clients if row.account not in self.system_accounts]
        self.unnamed += [row.authorized_user for row in clients].count("")
        for fold, tally in self.parts.items():
            fold.page(clients, tally, self.params[fold])
            tally.bound()

    @property
    def exact(self) -> bool:
        """Whether the rows agree with the server's own total to within 2 %, and can be summed.

        A connection that closed between two pages may have been counted, and may have moved another
        one to a page that was already read.
        """
        off = abs(self.total - self.rows) + self._fell
        fits = all(max(t.values(), default=0) <= _LARGEST for t in self.parts.values())
        return self.pages > 0 and off <= TOLERANCE * self.total and fits


def _shorten(rows: Iterable[Connection]) -> None:
    """Shorten each long name to its beginning and a hash, so that a million fit into memory."""
    for row in rows:
        for field in _texts(type(row)):
            value = getattr(row, field)
            if len(value) > _LONG_NAME:
                setattr(row, field, _short(value))


@functools.cache
def _texts(row: type[Any]) -> tuple[str, ...]:
    """The fields of a row that hold text."""
    return tuple(field.name for field in fields_of(row) if field.type is str)


def short_key(key: Any) -> Any:
    """A key with its long names shortened, the same for each page that it is on."""
    if isinstance(key, str):
        return _short(key)
    if isinstance(key, tuple):
        for name in key:
            if isinstance(name, str) and len(name) > _LONG_NAME:
                return tuple([_short(one) if isinstance(one, str) else one for one in key])
    return key  # The usual case, without a copy.


def _short(name: str) -> str:
    if len(name) <= _LONG_NAME:
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{name[: _LONG_NAME - 17]}~{digest[:16]}"
