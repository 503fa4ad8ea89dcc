"""Account statistics of one server: its own clients, leaf nodes and traffic of each account.

What accounts sent and received is most of this reply, and most of the time that its decoding takes:
it is an endpoint of its own, which is not requested in each epoch.
"""

from __future__ import annotations

from msgspec import Struct

from nats_insights.replies.endpoint import Endpoint
from nats_insights.replies.fields import Count, Counter, Part, Reply, Time, shared, since
from nats_insights.replies.statsz import SplitTraffic


class AccountStat(Part, gc=False):
    """One account on this server. `num_subscriptions` counts interest of other servers, too."""

    acc: str = ""
    name: str = since("2.11.0", zero="")
    conns: Count = 0
    leafnodes: Count = 0
    total_conns: Count = 0
    num_subscriptions: Count = 0
    slow_consumers: Counter = 0


class Statz(Reply, gc=False):
    """Account statistics without traffic; the order of the accounts is random."""

    server_id: str = ""
    now: Time | None = None
    account_statz: list[AccountStat] | None = None

    def __post_init__(self) -> None:
        for account in self.account_statz or ():
            account.acc = shared(account.acc)

    @property
    def connections(self) -> dict[str, int]:
        """Connected clients by account id; accounts without any left out, unless some were slow."""
        return {
            one.acc: one.conns
            for one in self.account_statz or ()
            if one.conns or one.slow_consumers
        }


# Servers without used accounts do not reply unless the unused accounts are requested. A request
# to a single server is not possible.
_UNUSED_TOO = b'{"include_unused":true}'
STATZ = Endpoint(
    "STATZ", Statz, _UNUSED_TOO, root="$SYS.REQ.ACCOUNT", addressable=False, packed=True
)


class AccountTraffic(Struct, gc=False):
    """What the clients of one account on this server, and its links, sent and received."""

    acc: str = ""
    total_conns: Count = 0
    sent: SplitTraffic | None = None
    received: SplitTraffic | None = None


class StatzTraffic(Reply, gc=False):
    """The traffic of the accounts."""

    account_statz: list[AccountTraffic] | None = None

    def __post_init__(self) -> None:
        # Most accounts of most servers are idle: they share one object, instead of eight for each.
        idle: SplitTraffic | None = None
        for account in self.account_statz or ():
            account.acc = shared(account.acc)
            if account.sent and not account.sent.msgs:
                idle = idle or account.sent
                account.sent = idle if account.sent == idle else account.sent
            if account.received and not account.received.msgs:
                idle = idle or account.received
                account.received = idle if account.received == idle else account.received


STATZ_TRAFFIC = Endpoint(
    "STATZ",
    StatzTraffic,
    _UNUSED_TOO,
    every=300.0,
    root="$SYS.REQ.ACCOUNT",
    addressable=False,
    packed=True,
    key="STATZ_TRAFFIC",
)
