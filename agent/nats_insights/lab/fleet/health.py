"""HEALTHZ and IPQUEUESZ of a simulated server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nats_insights.lab.fleet.jetstream import meta
from nats_insights.lab.fleet.model import Server
from nats_insights.lab.fleet.request import HealthzOptions, QueueOptions
from nats_insights.lab.fleet.streams import Stream

_BUSY = "System recvQ"
_WITHOUT_JETSTREAM = ("SendQ", _BUSY, "System recvQ Pings", "System sendQ")
_QUEUES = (
    "JetStream API info queue",
    "JetStream API queue",
    *_WITHOUT_JETSTREAM,
    "delayed API responses",
)


def healthz(server: Server, options: HealthzOptions) -> dict[str, Any]:
    """Whether its replicas are current. A group that elects a leader in vain is not reported: a
    real server of 2.15.1 that was a candidate itself did not report it either."""
    code, problems = _problems(server, options)
    if not problems:
        return {"status": "ok", "status_code": 200}
    if options.details:
        return {"status": "error", "status_code": code, "errors": problems}
    status = "error" if code == 400 else "unavailable"
    return {"status": status, "status_code": code, "error": problems[0]["error"]}


def ipqueuesz(server: Server, options: QueueOptions) -> dict[str, Any]:
    """The queue that the request went through; with `all` those of the server, but of no asset."""
    wanted = _QUEUES if server.cluster.jetstream else _WITHOUT_JETSTREAM
    queues: dict[str, dict[str, int]] = {name: {"pending": 0} for name in wanted}
    queues[_BUSY]["in_progress"] = 1
    return {
        name: queue
        for name, queue in queues.items()
        if options.filter in name and (options.all or name == _BUSY)
    }


def _problems(server: Server, options: HealthzOptions) -> tuple[int, list[dict[str, str]]]:
    account, stream, consumer = options.account, options.stream, options.consumer
    if stream and not account:
        return 400, [_bad_request("account", "stream")]
    if consumer and not stream:
        return 400, [_bad_request("stream", "consumer")]
    if not server.cluster.jetstream or options.js_server_only or options.js_enabled_only:
        return 200, []
    if account:
        if problem := _unknown(server, account, stream, consumer):
            return 404, [problem]
    elif "leader" not in meta(server):
        said = "JetStream has not established contact with a meta leader"
        return 503, [{"type": "JETSTREAM", "error": said}]
    streams = [] if options.js_meta_only else server.streams
    return 503, list(_late(server, [s for s in streams if _meant(s, account, stream)]))


def _bad_request(missing: str, what: str) -> dict[str, str]:
    error = f'"{missing}" must not be empty when checking {what} health'
    return {"type": "BAD_REQUEST", "error": error}


def _unknown(server: Server, account: str, stream: str, consumer: str) -> dict[str, str] | None:
    if account not in server.cluster.jetstream:
        said = f'JetStream account "{account}" not found'
        return {"type": "ACCOUNT", "account": account, "error": said}
    if not stream:
        return None
    where = {"account": account, "stream": stream}
    found = [s for s in server.streams if _meant(s, account, stream)]
    if not found:
        said = f'JetStream stream "{stream}" not found on account "{account}"'
        return {"type": "STREAM", **where, "error": said}
    if consumer and consumer not in {one.name for one in found[0].consumers}:
        said = f'JetStream consumer "{consumer}" not found for stream "{stream}" '
        said += f'on account "{account}"'
        return {"type": "CONSUMER", **where, "consumer": consumer, "error": said}
    return None


def _meant(stream: Stream, account: str, name: str) -> bool:
    return (not account or stream.account == account) and (not name or stream.name == name)


def _late(server: Server, streams: list[Stream]) -> Iterator[dict[str, str]]:
    for stream in streams:
        if server.name in stream.behind:
            said = f"JetStream stream '{stream.account} > {stream.name}' is not current: "
            yield {
                "type": "STREAM",
                "account": stream.account,
                "stream": stream.name,
                "error": said + "group node unhealthy",
            }
