"""Within: the clusters that an agent looks at, and how servers of others are kept silent."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence

import msgspec

# More requests than this cost more than the replies that they save.
_MOST_REQUESTS = 16


class Within:
    """The clusters that match one of these globs; "" is a server that is in none."""

    def __init__(self, clusters: Sequence[str]) -> None:
        self._everywhere = "*" in clusters
        self._patterns = [re.compile(fnmatch.translate(glob)) for glob in clusters]
        names = list(dict.fromkeys(clusters))
        self._names = names if len(names) <= _MOST_REQUESTS and _distinct(names) else []

    def has(self, cluster: str) -> bool:
        """Whether an agent looks at this cluster."""
        return self._everywhere or any(pattern.fullmatch(cluster) for pattern in self._patterns)

    def bodies(self, body: bytes) -> list[bytes]:
        """The bodies of a request to all servers that together reach those of these clusters.

        Servers compare the name of their cluster with the one in the request. They know no globs:
        then all of them reply, and the others are not heard. Before 2.11 it is enough for them that
        the one name contains the other.
        """
        if not self._names:
            return [body]
        options = msgspec.json.decode(body or b"{}")
        return [
            msgspec.json.encode(options | {"cluster": name, "exact_match": True})
            for name in self._names
        ]


def _distinct(names: Sequence[str]) -> bool:
    """Whether no server would reply to the requests for two of these names."""
    if not all(name and not re.search(r"[*?\[]", name) for name in names):
        return False
    return not any(one != other and one in other for one in names for other in names)


EVERYWHERE = Within(["*"])
