"""Runs the system that is recorded: clusters EU and US, two leaves, clients, streams, consumers.

eu1 eu2 eu3     cluster EU: JetStream, tags; eu1 is the hub of both leaves
us1 us2         cluster US, joined by a gateway: no JetStream; clients of us2 need TLS
edge            a leaf in SYS and APP: answers the system user
private         a leaf in APP alone, with a system account of its own: never answers
"""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import nats
from msgspec import Struct
from nats.aio.client import Client
from nats.errors import Error
from nats.js.api import AckPolicy, ConsumerConfig, StorageType, StreamConfig, StreamSource

from nats_insights.lab.servers import conf, local
from nats_insights.lab.servers.crowd import Crowd

CLUSTERS = {"EU": ("eu1", "eu2", "eu3"), "US": ("us1", "us2")}
HUB, LEAF, PRIVATE = "eu1", "edge", "private"
TLS_SERVER = "us2"
ANSWERING = (*(name for names in CLUSTERS.values() for name in names), LEAF)

_PATIENCE_SECONDS = 60.0
# The certificate's end is in the recording, where it must not come near.
_CERTIFICATE_DAYS = 36_500
_ACK_WAIT_SECONDS = 3600.0


class Group(Struct, frozen=True):
    """Equal clients of one server; `{i}` counts them in `name`, and their subjects in `subject`."""

    server: str
    user: str
    name: str
    count: int
    subscriptions: int
    subject: str
    lang: str = "go"
    version: str = "1.48.0"


GROUPS = (
    Group("eu1", "app", "shop-{i}", 4, 3, "orders.eu.{i}"),
    Group("eu1", "worker", "worker-{i}", 2, 2, "jobs.{i}", "python3", "2.16.0"),
    Group("eu2", "app", "shop-{i}", 2, 2, "orders.eu.{i}"),
    Group("eu2", "big", "sensor-{i}", 3, 1, "metrics.{i}", "rust", "0.45.0"),
    Group("eu3", "batch", "batch", 1, 5, "batch.{i}", "java", "2.25.1"),
    Group("us1", "app", "shop-us-{i}", 3, 2, "orders.us.{i}"),
    Group("us1", "big", "sensor-us", 1, 1, "metrics.us"),
    Group("edge", "worker", "edge-worker-{i}", 2, 2, "orders.edge.{i}"),
    Group("private", "app", "till", 1, 2, "orders.till.{i}"),
)


class Running(Struct, frozen=True):
    """The system while it runs: a client of its system account, and the passwords of all users."""

    root: Client
    passwords: tuple[str, ...]


@asynccontextmanager
async def running(binary: Path) -> AsyncIterator[Running]:
    """The whole system, as it is to be recorded: nothing moves in it any more."""
    async with AsyncExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        system = stack.enter_context(_clusters(binary, home))
        root = await _login(stack, system, HUB, "root", "asker")
        private = stack.enter_context(_private_leaf(binary, system, await _of_hub(root, "VARZ")))
        await _until(partial(_has_joined, root), "the private leaf to join")
        await _until(partial(_has_leader, root), "JetStream to have a leader")
        crowd = await stack.enter_async_context(Crowd())
        for group in GROUPS:
            await _join(crowd, private if group.server == PRIVATE else system, group)
        await _tls_client(stack, system, home)
        await _streams(stack, system)
        await asyncio.sleep(2)  # Until round-trip times are known, and replicas have applied all.
        passwords = [one.user(user)[1] for one in (system, private) for user in _users()]
        yield Running(root, tuple(passwords))


def _users() -> list[str]:
    return [*conf.OPERATORS, *(user for users in conf.APPLICATIONS.values() for user in users)]


# --- Servers.


def _clusters(binary: Path, home: Path) -> AbstractContextManager[local.System]:
    _certificate(home)
    options = {name: _jetstream(home / name) for name in CLUSTERS["EU"]}
    options[TLS_SERVER] = (
        f"tls {{ cert_file: {conf.quote(f'{home}/cert.pem')}, verify: true,"
        f" key_file: {conf.quote(f'{home}/key.pem')}, ca_file: {conf.quote(f'{home}/cert.pem')} }}"
    )
    return local.system(
        CLUSTERS,
        leaves={LEAF: HUB},
        account_options=dict.fromkeys(conf.APPLICATIONS, "jetstream: enabled"),
        options=options,
        binary=binary,
    )


def _jetstream(store: Path) -> str:
    # With limits: the servers' own would be those of this machine.
    limits = "max_memory_store: 64MB, max_file_store: 256MB"
    return f"""
        jetstream {{ store_dir: {conf.quote(str(store))}, {limits} }}
        server_tags: ["region:eu", "disk:ssd"]
    """


def _certificate(home: Path) -> None:
    """A certificate that signs itself, for the listener and for its client."""
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", str(_CERTIFICATE_DAYS), "-subj", f"/CN={TLS_SERVER}"),
            *("-addext", f"subjectAltName=IP:{conf.LOOPBACK}"),
            *("-keyout", "key.pem", "-out", "cert.pem"),
        ],
        cwd=home,
        check=True,
        capture_output=True,
    )


def _private_leaf(
    binary: Path, system: local.System, varz: dict[str, Any]
) -> AbstractContextManager[local.System]:
    """A system of one server, that shares its account APP with ours; `varz` is of our hub."""
    remote = conf.leaf(f"{conf.LOOPBACK}:{varz['leaf']['port']}", {"APP": system.user("app")})
    return local.server(PRIVATE, options=remote, binary=binary)


async def _has_joined(root: Client) -> bool:
    leafz = await _of_hub(root, "LEAFZ")
    return PRIVATE in {leaf["name"] for leaf in leafz["leafs"]}


async def _has_leader(root: Client) -> bool:
    jsz = await _of_hub(root, "JSZ")
    return bool((jsz.get("meta_cluster") or {}).get("leader"))


async def _of_hub(root: Client, endpoint: str) -> Any:
    body = json.dumps({"server_name": HUB}).encode()
    reply = await root.request(f"$SYS.REQ.SERVER.PING.{endpoint}", body, timeout=5)
    return json.loads(reply.data)["data"]


# --- Clients.


async def _join(crowd: Crowd, system: local.System, group: Group) -> None:
    user, password = system.user(group.user)
    await crowd.join(
        system[group.server].url,
        group.count,
        user=user,
        password=password,
        name=group.name,
        lang=group.lang,
        version=group.version,
        subscriptions=group.subscriptions,
        subject=group.subject,
    )


async def _login(
    stack: AsyncExitStack, system: local.System, server: str, user: str, name: str, **more: Any
) -> Client:
    user, password = system.user(user)
    url = system[server].url
    client = await nats.connect(
        url, user=user, password=password, name=name, allow_reconnect=False, **more
    )
    stack.push_async_callback(client.close)
    return client


async def _tls_client(stack: AsyncExitStack, system: local.System, home: Path) -> None:
    context = ssl.create_default_context(cafile=home / "cert.pem")
    context.load_cert_chain(home / "cert.pem", home / "key.pem")
    client = await _login(stack, system, TLS_SERVER, "billing", "ledger", tls=context)
    await client.subscribe("orders.us.*", queue="ledger")
    await client.flush()


# --- Streams and consumers.


async def _streams(stack: AsyncExitStack, system: local.System) -> None:
    app = await _login(stack, system, "eu1", "app", "publisher")
    big = await _login(stack, system, "eu3", "big", "meter")
    billing = await _login(stack, system, "eu2", "billing", "billing")
    await _add_streams(app, big)
    await _add_consumers(app, big)
    for number in range(40):
        await app.jetstream().publish(f"orders.eu.{number % 8}", b"one order of several items")
    for number in range(25):
        await big.jetstream().publish(f"metrics.{number % 4}", b"21.5")
    await _take_orders(billing)
    for copy in ("ORDERS-COPY", "EVERYTHING"):
        await _until(partial(_holds, app, copy, 40), f"stream {copy} to catch up")


async def _add_streams(app: Client, big: Client) -> None:
    orders = StreamConfig(
        name="ORDERS",
        subjects=["orders.>"],
        num_replicas=3,
        max_msgs=10_000,
        max_age=30 * 86_400.0,
        metadata={
            "io.nats.monitor.enabled": "true",
            "io.nats.monitor.peer-expect": "3",
            "io.nats.monitor.peer-lag-critical": "100",
            "io.nats.monitor.msgs-critical": "8000",
        },
    )
    copy = StreamConfig(
        name="ORDERS-COPY",
        mirror=StreamSource(name="ORDERS"),
        metadata={
            "io.nats.monitor.enabled": "true",
            "io.nats.monitor.lag-critical": "100",
            "io.nats.monitor.seen-critical": "5m",
        },
    )
    everything = StreamConfig(name="EVERYTHING", sources=[StreamSource(name="ORDERS")])
    for stream in (orders, copy, everything):
        # Refused until the leader has heard of enough peers, and on 2.10 lost now and then.
        await _until(partial(_added, app, stream), f"stream {stream.name} to be added")
    metrics = StreamConfig(name="METRICS", subjects=["metrics.>"], storage=StorageType.MEMORY)
    await _until(partial(_added, big, metrics), "stream METRICS to be added")


async def _add_consumers(app: Client, big: Client) -> None:
    billing = ConsumerConfig(
        durable_name="billing",
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=_ACK_WAIT_SECONDS,
        max_ack_pending=100,
        metadata={
            "io.nats.monitor.enabled": "true",
            "io.nats.monitor.outstanding-ack-critical": "50",
            "io.nats.monitor.last-ack-critical": "10m",
        },
    )
    await app.jetstream().add_consumer("ORDERS", billing)
    await big.jetstream().subscribe("metrics.>", durable="dashboard", stream="METRICS")


async def _take_orders(billing: Client) -> None:
    """Of twelve delivered orders seven are done, one is taken again, and five stay open."""
    subscription = await billing.jetstream().pull_subscribe_bind("billing", "ORDERS")
    orders = await subscription.fetch(12, timeout=10)
    for order in orders[:7]:
        await order.ack_sync()
    # Asked, not just told: the server has taken it back before the next one is fetched.
    await billing.request(orders[7].reply, b"-NAK", timeout=10)
    await subscription.fetch(1, timeout=10)


async def _added(client: Client, stream: StreamConfig) -> bool:
    try:
        await client.jetstream(timeout=2).add_stream(stream)
    except Error:
        return False
    return True


async def _holds(client: Client, stream: str, messages: int) -> bool:
    info = await client.jetstream().stream_info(stream)
    return bool(info.state.messages == messages)


async def _until(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while not await condition():  # noqa: ASYNC110
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise RuntimeError(f"waited {_PATIENCE_SECONDS:.0f} s for {what}, in vain") from None
