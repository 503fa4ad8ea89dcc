"""What nouns that are part of one server have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nats_insights.facts import Names

if TYPE_CHECKING:
    from nats_insights.model.nouns.server import Server


class PartOfServer:
    """A link or a listener of one `server`: it has the cluster and the tags of its server."""

    __slots__ = ()
    server: Server
    names: Names

    @property
    def home(self) -> str:
        return self.server.home

    @property
    def rests_on(self) -> Names:
        return self.server.names

    @property
    def tags(self) -> tuple[str, ...]:
        return self.server.tags

    def labels(self) -> dict[str, str]:
        return {"server": self.server.name, "cluster": self.server.home}

    def entity(self) -> dict[str, str]:
        """Its own name, and an id that includes the name of its server."""
        entity: dict[str, str] = super().entity()  # type: ignore[misc]
        return {**entity, "id": f"{self.server.name}/{self.names[-1]}"}
