"""Everything that the file of a check imports, from here and from nowhere else."""

from __future__ import annotations

from typing import Annotated

from nats_insights.facts import Expiry
from nats_insights.judge.declare import (
    CRITICAL,
    INFO,
    OFF,
    WARNING,
    Check,
    Finding,
    Params,
    Severity,
    check,
    choice,
    duration,
    flag,
    limit,
    text,
)
from nats_insights.model.changes import changes
from nats_insights.model.closed import CONNZ_CLOSED, evidence_of_closed
from nats_insights.model.fold import Tally, by_user, fold, local_subscriptions
from nats_insights.model.nouns.account import (
    Account,
    AccountInCluster,
    AccountOverGateways,
    JwtAccount,
    ListedAccount,
)
from nats_insights.model.nouns.agent import Agent
from nats_insights.model.nouns.cluster import Cluster
from nats_insights.model.nouns.consumer import Consumer
from nats_insights.model.nouns.export import Export
from nats_insights.model.nouns.links import Gateway, Leaf, Route
from nats_insights.model.nouns.listener import Listener
from nats_insights.model.nouns.member import Member
from nats_insights.model.nouns.noun import ALL_SERVERS, ITS_CLUSTER, ITS_SERVER, Noun, largest
from nats_insights.model.nouns.raft import MetaGroup, RaftGroup
from nats_insights.model.nouns.server import Server
from nats_insights.model.nouns.service import Service
from nats_insights.model.nouns.stream import Stream, StreamReplica
from nats_insights.model.nouns.system import System
from nats_insights.model.nouns.user import ClosedUser, User
from nats_insights.model.samples import samples
from nats_insights.model.snapshot import Snapshot
from nats_insights.model.worst import worst
from nats_insights.replies.accountz import ACCOUNTZ, ACCOUNTZ_DETAIL
from nats_insights.replies.connz import CONNZ, CONNZ_SERVICES, Closed, Connection, Row
from nats_insights.replies.durations import milliseconds, seconds
from nats_insights.replies.endpoint import Endpoint
from nats_insights.replies.fields import Reply, is_from, since
from nats_insights.replies.gatewayz import GATEWAYZ
from nats_insights.replies.healthz import HEALTHZ
from nats_insights.replies.ipqueuesz import IPQUEUESZ
from nats_insights.replies.jsz import JSZ, JSZ_STREAMS
from nats_insights.replies.leafz import LEAFZ
from nats_insights.replies.raftz import RAFTZ
from nats_insights.replies.routez import ROUTEZ, ROUTEZ_DETAIL
from nats_insights.replies.statsz import STATSZ
from nats_insights.replies.statz import STATZ, STATZ_TRAFFIC
from nats_insights.replies.subsz import SUBSZ
from nats_insights.replies.varz import VARZ

__all__ = [
    "ACCOUNTZ",
    "ACCOUNTZ_DETAIL",
    "ALL_SERVERS",
    "CONNZ",
    "CONNZ_CLOSED",
    "CONNZ_SERVICES",
    "CRITICAL",
    "GATEWAYZ",
    "HEALTHZ",
    "INFO",
    "IPQUEUESZ",
    "ITS_CLUSTER",
    "ITS_SERVER",
    "JSZ",
    "JSZ_STREAMS",
    "LEAFZ",
    "OFF",
    "RAFTZ",
    "ROUTEZ",
    "ROUTEZ_DETAIL",
    "STATSZ",
    "STATZ",
    "STATZ_TRAFFIC",
    "SUBSZ",
    "VARZ",
    "WARNING",
    "Account",
    "AccountInCluster",
    "AccountOverGateways",
    "Agent",
    "Annotated",
    "Check",
    "Closed",
    "ClosedUser",
    "Cluster",
    "Connection",
    "Consumer",
    "Endpoint",
    "Expiry",
    "Export",
    "Finding",
    "Gateway",
    "JwtAccount",
    "Leaf",
    "ListedAccount",
    "Listener",
    "Member",
    "MetaGroup",
    "Noun",
    "Params",
    "RaftGroup",
    "Reply",
    "Route",
    "Row",
    "Server",
    "Service",
    "Severity",
    "Snapshot",
    "Stream",
    "StreamReplica",
    "System",
    "Tally",
    "User",
    "by_user",
    "changes",
    "check",
    "choice",
    "duration",
    "evidence_of_closed",
    "flag",
    "fold",
    "is_from",
    "largest",
    "limit",
    "local_subscriptions",
    "milliseconds",
    "samples",
    "seconds",
    "since",
    "text",
    "worst",
]
