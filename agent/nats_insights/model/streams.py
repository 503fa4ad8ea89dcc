"""What servers report of their streams and consumers, by stream.

Each server with a replica of a stream reports it, but only the leader knows the state of the other
replicas: followers report each other as not current. There may be a hundred thousand replicas, so
of a replica that does not lead only its own state and the name of the leader are kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterable, Mapping

from nats_insights.facts import Names
from nats_insights.replies.jsz import AccountDetail, Consumer, Group, Stream

# What each server reported of one stream, by the name of the server.
Rows = dict[str, Stream]
# Streams that are taken between two yields.
_AT_A_STEP = 64


def take(
    known: dict[Names, Rows], server: Names, details: Iterable[AccountDetail]
) -> Generator[None, None, None]:
    """Add to `known` what a server, by its (cluster, name), reported.

    The place of a stream is a cluster, or a server that is in none.
    """
    cluster, name = server
    for account in details:
        for number, stream in enumerate(account.stream_detail or ()):
            if number % _AT_A_STEP == 0:
                yield
            _slim(stream, name)
            known.setdefault((account.id, stream.name, cluster or name), {})[name] = stream


def leader(groups: Mapping[str, Group | None]) -> str:
    """The server that reports itself as leader of a group; "" if none does."""
    claims = [server for server, group in groups.items() if leads(group, server)]
    if len(claims) < 2:
        return claims[0] if claims else ""
    # All but one of them have not received yet that another one leads.
    named = Counter(group.leader for group in groups.values() if group)
    return max(sorted(claims), key=named.__getitem__)


def leads(group: Group | None, server: str) -> bool:
    """Whether a server reports that it leads; what is not replicated may have no group."""
    return group is None or group.leader == server


def _slim(stream: Stream, server: str) -> None:
    """Drop what this server cannot know, and what another one reports, too."""
    if stream.cluster is not None and _follows(stream.cluster, server):
        stream.config = stream.mirror = stream.sources = None
        stream.cluster.replicas = None
    stream.consumer_detail = _led(stream.consumer_detail, server)


def _led(consumers: Iterable[Consumer] | None, server: str) -> tuple[Consumer, ...]:
    return tuple([one for one in consumers or () if not _follows(one.cluster, server)])


def _follows(group: Group | None, server: str) -> bool:
    """Whether another server leads; without a leader the report of each member is kept."""
    return group is not None and group.leader not in ("", server)
