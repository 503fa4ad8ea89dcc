"""The listeners of a server."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, TypeAlias

from nats_insights.model.nouns.noun import ITS_SERVER, Noun
from nats_insights.model.nouns.part import PartOfServer
from nats_insights.replies.varz import (
    VARZ,
    ClusterOptions,
    GatewayOptions,
    LeafOptions,
    MqttOptions,
    Varz,
    WebsocketOptions,
)

if TYPE_CHECKING:
    from nats_insights.model.nouns.server import Server
    from nats_insights.model.snapshot import Snapshot

Options: TypeAlias = (
    Varz | WebsocketOptions | MqttOptions | LeafOptions | GatewayOptions | ClusterOptions
)


class Listener(PartOfServer, Noun):
    """A port on which a server accepts connections.

    `name` is client, websocket, mqtt, leafnode, gateway or cluster; `options` is its part of VARZ,
    which is all of VARZ for clients.
    """

    __slots__ = ("name", "options", "server")
    kind, scope, depends_on = "listener", "SERVER", ITS_SERVER
    labelled = ("cluster", "listener", "server")
    when_gone = "{server} has no {name} listener any more"

    def __init__(self, server: Server, name: str, options: Options) -> None:
        self.server, self.name, self.options = server, name, options
        self.names, self.snapshot = (*server.names, name), server.snapshot

    @classmethod
    def all(cls, snapshot: Snapshot) -> Iterable[Listener]:
        for server in snapshot.servers.values():
            if (varz := server.replies.get(VARZ.key)) is not None:
                yield from (cls(server, name, options) for name, options in _open(varz))

    @property
    def certificate_ends(self) -> datetime | None:
        """When its certificate expires, None if it has none; NotTold for old servers.

        For client and MQTT listeners, old servers do not even report whether there is one:
        `tls_required` is false if connections without TLS are accepted, too.
        """
        match self.options:
            case WebsocketOptions(no_tls=True):
                return None
            case ClusterOptions() | GatewayOptions() | LeafOptions() if (
                not self.options.tls_required
            ):
                return None
        return self.options.tls_cert_not_after

    def labels(self) -> dict[str, str]:
        return {**super().labels(), "listener": self.name}


def _open(varz: Varz) -> Iterator[tuple[str, Options]]:
    """The listeners that are configured; the others have no port."""
    yield "client", varz
    for name, options in (
        ("websocket", varz.websocket),
        ("mqtt", varz.mqtt),
        ("leafnode", varz.leaf),
        ("gateway", varz.gateway),
    ):
        if options is not None and options.port:
            yield name, options
    if varz.cluster is not None and varz.cluster.cluster_port:
        yield "cluster", varz.cluster
