"""Everything that the file of a check imports, from here and from nowhere else."""

from __future__ import annotations

from nats_insights.judge.declare import (
    CRITICAL,
    INFO,
    WARNING,
    Check,
    Finding,
    Params,
    Severity,
    check,
    limit,
)
from nats_insights.model.fold import Tally, by_user, fold, local_subscriptions
from nats_insights.model.nouns import (
    Account,
    AccountInCluster,
    Agent,
    Cluster,
    Member,
    Noun,
    Server,
    System,
    User,
    largest,
)
from nats_insights.replies.wire import Connection

__all__ = [
    "CRITICAL",
    "INFO",
    "WARNING",
    "Account",
    "AccountInCluster",
    "Agent",
    "Check",
    "Cluster",
    "Connection",
    "Finding",
    "Member",
    "Noun",
    "Params",
    "Server",
    "Severity",
    "System",
    "Tally",
    "User",
    "by_user",
    "check",
    "fold",
    "largest",
    "limit",
    "local_subscriptions",
]
