"""Account statistics of one server: its own clients, leaf nodes and traffic of each account."""

from __future__ import annotations

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
    sent: SplitTraffic | None = None
    received: SplitTraffic | None = None
    slow_consumers: Counter = 0


class Statz(Reply, gc=False):
    """Account statistics; the order of the accounts is random."""

    server_id: str = ""
    now: Time | None = None
    account_statz: list[AccountStat] | None = None

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
STATZ = Endpoint(
    "STATZ",
    Statz,
    b'{"include_unused":true}',
    root="$SYS.REQ.ACCOUNT",
    addressable=False,
    packed=True,
)
