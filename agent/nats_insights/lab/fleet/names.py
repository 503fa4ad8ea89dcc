"""Names that a large NATS system could bear: clusters, servers, accounts, programs."""

from __future__ import annotations

import random
import string

REGIONS = (
    "us-east",
    "us-west",
    "eu-central",
    "eu-west",
    "ap-south",
    "ap-northeast",
    "sa-east",
    "af-south",
)
ACCOUNTS = (
    "ORDERS",
    "PAYMENTS",
    "INVENTORY",
    "SHIPPING",
    "TELEMETRY",
    "DEVICES",
    "PRICING",
    "SEARCH",
    "CHAT",
    "FRAUD",
    "BILLING",
    "LOGGING",
)
PROGRAMS = ("api", "worker", "feed", "gateway", "cache", "scheduler", "exporter", "sensor")
# Language and version as the client libraries of each language state them.
CLIENTS = (
    ("go", "1.47.0"),
    ("java", "2.21.1"),
    ("python3", "2.16.0"),
    ("nats.js", "3.1.0"),
    ("rust", "0.44.2"),
    (".NET", "2.6.11"),
    ("C", "3.10.1"),
)

_BASE32 = string.ascii_uppercase + "234567"


def cluster(number: int) -> str:
    """The name of the cluster with this number, from 0: `us-east-1`, `us-west-1` …"""
    return f"{REGIONS[number % len(REGIONS)]}-{number // len(REGIONS) + 1}"


def server(cluster_name: str, number: int) -> str:
    """The name of the server with this number, from 0, of a cluster: `us-east-1-n001` …"""
    return f"{cluster_name}-n{number + 1:03}"


def account(number: int) -> str:
    """The name of the account with this number, from 0: `ORDERS`, … `ORDERS-2` …"""
    again = number // len(ACCOUNTS)
    return ACCOUNTS[number % len(ACCOUNTS)] + (f"-{again + 1}" if again else "")


def server_id(rng: random.Random) -> str:
    """A server's public key: 56 characters, the first of them `N`."""
    return "N" + "".join(rng.choices(_BASE32, k=55))
