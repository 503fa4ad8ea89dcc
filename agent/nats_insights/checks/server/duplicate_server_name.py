"""SERVER_905: several servers use one name."""

from typing import Annotated, Any

from nats_insights.check import CRITICAL, VARZ, Finding, Params, Server, System, check, duration

_NAMED = 10


class Turns(Params, frozen=True):
    within: Annotated[
        float, duration(gt=0, description="since two servers last took turns in one name")
    ] = 600.0


@check("SERVER_905", CRITICAL, "consistency", needs=(VARZ,))
def duplicate_server_name(system: System, params: Turns) -> Finding | None:
    """Several servers use the same name.

    Finds: two servers of one cluster, or two leaf nodes, have the same name: they reply at once, or
    they took turns within the last `within`, which shows when the first one replies again after the
    second. A leaf node may have the name of a server of its hub.

    Why: a server refuses routes and gateways to a name that it has already, so parts of the system
    do not reach each other. Of two leaf nodes at one server, each cuts off the other again and
    again. JetStream takes both for one member, which can lose data.

    Do: give each server a `server_name` of its own, such as that of its machine or its pod, and
    restart it. Look for a configuration that was copied with its name.

    Default: leaf nodes that cut off each other take turns within seconds.
    """
    shared = system.namesakes(params.within)
    if not shared:
        return None
    first = min(name for _, name in shared)
    many = "1 name is" if len(shared) == 1 else f"{len(shared)} names are"
    return Finding(
        value=len(shared),
        threshold=1,
        unit="names",
        summary=f"{many} used by several servers, such as {first}",
        cleared="no two servers use one name any more",
        evidence={
            "names": [
                {"cluster": cluster, "name": name, "servers": _told(shared[cluster, name])}
                for cluster, name in sorted(shared)[:_NAMED]
            ],
            "left_out": max(0, len(shared) - _NAMED),
        },
    )


def _told(servers: list[Server]) -> list[dict[str, Any]]:
    return [
        {"id": one.id, "host": one.info.host, "id_before": one.before}
        for one in sorted(servers, key=lambda one: one.id)[:_NAMED]
    ]
