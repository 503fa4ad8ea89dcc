"""A system whose servers have a network namespace each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from tests.chaos.network import Network, network

from nats_insights.lab.servers import local

# A route whose other end is silent is given up within one and a half seconds.
ROUTING = 'ping_interval: "500ms", ping_max: 2'


class Apart(NamedTuple):
    """Servers, and the network between them."""

    system: local.System
    network: Network


@contextmanager
def apart(
    clusters: Mapping[str, Sequence[str]], *, routing: str = ROUTING, **settings: Any
) -> Iterator[Apart]:
    """Runs a system as `local.system` does, each of its servers in a namespace of its own.

    Unavailable if there can be no namespaces.
    """
    names = [name for names in clusters.values() for name in names]
    names += settings.get("leaves") or ()
    with (
        network(names) as net,
        local.system(clusters, hosts=net.hosts, routing=routing, **settings) as system,
    ):
        yield Apart(system, net)
