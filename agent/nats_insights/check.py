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
from nats_insights.model.nouns.account import Account, AccountInCluster
from nats_insights.model.nouns.agent import Agent
from nats_insights.model.nouns.cluster import Cluster
from nats_insights.model.nouns.member import Member
from nats_insights.model.nouns.noun import Noun, largest
from nats_insights.model.nouns.server import Server
from nats_insights.model.nouns.system import System
from nats_insights.model.nouns.user import User
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
