"""SERVER_002: servers of one cluster run different versions."""

import re
from collections import defaultdict

from nats_insights.check import VARZ, WARNING, Cluster, Finding, check

_NAMED = 10


def newness(version: str) -> tuple[list[int], str]:
    """What sorts versions: by their numbers, and those of the same numbers by their text."""
    return [int(number) for number in re.findall(r"[0-9]{1,9}", version)[:3]], version


@check(
    "SERVER_002", WARNING, "consistency", needs=(VARZ,), open_after=20, resolve_after=1, settle=True
)
def version_mismatch(cluster: Cluster) -> Finding | None:
    """Servers of a cluster run different versions.

    Finds: the servers of a cluster do not all run one version, and that stays so for longer than a
    rolling upgrade takes. The version that most of them run counts as right; of several, the
    newest. Servers of other clusters, leaf nodes and servers without a cluster may differ.

    Why: the servers behave differently, assets that use what only the newer version has do not work
    on the others, and a fault that is fixed in one version is still there in the other.

    Do: finish the upgrade, or undo it: run one version on all servers of {cluster}. `nats server
    list` shows the version of each.

    Catalogue: corrected: after twenty epochs, so that a rolling upgrade is none, and one
    finding for the cluster.
    """
    by_version: dict[str, list[str]] = defaultdict(list)
    for server in cluster.servers:
        if VARZ.key in server.replies:  # The audit knows what the silence of the others means.
            by_version[server.varz.server.ver].append(server.name)
    if len(by_version) < 2:
        return None
    told = sorted(by_version, key=lambda one: (len(by_version[one]), newness(one)), reverse=True)
    usual, *others = told
    odd = sorted(name for version in others for name in by_version[version])
    return Finding(
        value=len(by_version),
        threshold=2,
        unit="versions",
        summary=f"{len(odd)} of {len(odd) + len(by_version[usual])} servers of {cluster.name} "
        f"do not run {usual} but {', '.join(others[:3])}",
        cleared=f"all servers of {cluster.name} run one version",
        evidence={
            "versions": {one: sorted(by_version[one])[:_NAMED] for one in told[:_NAMED]},
            "servers": {one: len(by_version[one]) for one in told[:_NAMED]},
            "left_out": max(0, len(told) - _NAMED),
        },
    )
