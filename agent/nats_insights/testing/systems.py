"""Systems in one line, as they would reply.

system(cluster(n1=60, n2=15, n3=15))                     three servers with these connections
system(cluster("EU", a=Server(5, up=10), b=hung), lone(n1=60))
system(cluster(n1=Server(varz={"cpu": 360.0, "cores": 4})))
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import fields as fields_of
from msgspec.structs import replace

from nats_insights.errors import Missing
from nats_insights.facts import Names
from nats_insights.model.fold import SURVEY
from nats_insights.model.roster import State
from nats_insights.replies.accountz import Accountz, AccountzDetail
from nats_insights.replies.connz import (
    CONNZ,
    ROW_FIELDS,
    SORTS,
    TIMES,
    Closed,
    ClosedRows,
    Connection,
    Host,
    Page,
    Row,
    Rows,
)
from nats_insights.replies.endpoint import Endpoint, endpoints
from nats_insights.replies.fields import Origin, Part, ServerInfo, told
from nats_insights.replies.gatewayz import Gatewayz
from nats_insights.replies.healthz import Healthz
from nats_insights.replies.leafz import Leaf, Leafz
from nats_insights.replies.routez import Link, Route, Routez, RoutezDetail
from nats_insights.replies.statsz import SplitTraffic, Statsz
from nats_insights.replies.statz import AccountStat, AccountTraffic, Statz, StatzTraffic
from nats_insights.replies.subsz import Subsz
from nats_insights.replies.varz import PerKind, Varz

START = 1_800_000_000.0
DAY = 86_400.0

T = TypeVar("T")


class Server(Struct, frozen=True):
    """What a server holds: connections of user `app` in account APP, and more by "ACCOUNT user".

    `accepted` is the number of connections that it ever accepted, by default those that it holds.
    `services` are the instances of micro services on it: the client library of each, such as
    "go 1.40.0", by "ACCOUNT service"; each is one more connection of the account.
    Its clock is `clock` seconds ahead of the agent's. `goodbye` is the event that it publishes
    though it still replies: "lame duck" or "shutdown". `varz` are more figures of VARZ, `replies`
    whole replies by the name of their endpoint, each an object or the JSON that a server sends,
    `rows` more connections, and `leafs` its leaf node connections. `names` are those in the JWTs of
    accounts and users, by key; a user without one cannot be named now. `accounts` are loaded
    accounts, by name, each as the JSON that ACCOUNTZ has of it.
    """

    connections: int = 0
    users: dict[str, int] = {}
    services: dict[str, tuple[str, ...]] = {}
    subscriptions: int = 0  # Of all its clients together.
    internal: int = 0  # Subscriptions that no client holds.
    accepted: int = 0
    max_connections: int = 65_536
    up: float = DAY
    state: State = "answering"
    goodbye: str = ""
    clock: float = 0.0
    id: str = ""
    version: str = "2.15.1"
    tags: tuple[str, ...] = ()
    varz: dict[str, Any] = {}
    replies: dict[str, Any] = {}
    rows: tuple[Connection, ...] = ()
    leafs: tuple[Leaf, ...] = ()
    closed: tuple[Closed, ...] = ()
    closed_in_all: int = 0
    names: dict[str, str] = {}
    accounts: dict[str, dict[str, Any]] = {}


hung, dead, left = (Server(state=state) for state in ("hung", "dead", "left"))


class Replying(Struct, frozen=True):
    """One server as it replies: its identity, and its reply to each endpoint, a page for CONNZ."""

    info: ServerInfo
    replies: dict[str, Any]
    state: State = "answering"
    goodbye: str = ""
    names: dict[str, str] = {}
    clock: float = 0.0
    services: dict[str, list[Host]] = {}
    accounts: dict[str, AccountzDetail] = {}

    @property
    def key(self) -> Names:
        """Its (cluster, name)."""
        return (self.info.cluster, self.info.name)

    def reply(self, endpoint: Endpoint[T]) -> T:
        """Its reply: an empty one if none was given for this endpoint."""
        reply: Any = self.replies.get(CONNZ.key if endpoint is SURVEY else endpoint.key)
        if reply is None and endpoint.reply is Rows:
            reply = _of(_worst(self.replies["CONNZ"], endpoint), self.info)
        if reply is None and endpoint.without is not None:
            reply = endpoint.without(self.replies["VARZ"])
        return _of(endpoint.reply(), self.info) if reply is None else reply


def _worst(page: Page, endpoint: Endpoint[Any]) -> Rows:
    """The rows of a page that a server sends first, in the requested order."""
    asked = msgspec.json.decode(endpoint.body)
    (figure,) = (figure for figure, sort in (SORTS | TIMES).items() if sort == asked["sort"])
    told = [(one.name, one.encode_name) for one in fields_of(Row) if one.encode_name in ROW_FIELDS]
    rows = [
        Row(**{name: getattr(row, told_as) for name, told_as in told}) for row in page.connections
    ]
    rows.sort(key=lambda row: -getattr(row, figure))
    return Rows(connections=rows[: asked["limit"]])


class System(Struct, frozen=True):
    """Servers, the name of the one that the agent is connected to, and figures of the agent.

    `expect` is the expected number of servers, or their names, in place of the configured one.
    """

    servers: tuple[Replying, ...]
    own: str = ""
    agent: dict[str, Any] = {}
    expect: int | list[str] = 0

    def __repr__(self) -> str:
        return f"system({', '.join(f'{one.info.cluster} {one.info.name}' for one in self.servers)})"


class Epochs(Struct, frozen=True):
    """Systems for one epoch each, `every` seconds apart."""

    systems: tuple[System, ...]
    every: float = 30.0

    @property
    def last(self) -> System:
        return self.systems[-1]

    def __repr__(self) -> str:
        return f"then({', '.join(map(repr, self.systems))})"


def then(*systems: System, every: float = 30.0) -> Epochs:
    """Systems for a check that compares with the past: it judges the last one."""
    return Epochs(systems, every)


def system(*clusters: Iterable[Replying], own: str = "", **agent: Any) -> System:
    """All servers of some clusters; `agent` are figures of the agent itself."""
    return System(tuple(one for cluster in clusters for one in cluster), own, agent)


def cluster(name: str = "C1", /, **servers: int | Server) -> list[Replying]:
    """A cluster of servers, each a number of connections or a `Server`.

    Each has a route to each other one that runs, if its ROUTEZ is not given.
    """
    all_held = {own: Server(it) if isinstance(it, int) else it for own, it in servers.items()}
    replying = [_replying(name, own, held) for own, held in all_held.items()]
    rows: dict[str, dict[str, Any]] = {
        one.info.id: {"remote_id": one.info.id, "remote_name": one.info.name}
        for one in replying
        if name and one.state in ("answering", "hung")
    }
    for one, held in zip(replying, all_held.values(), strict=True):
        others = [row for id, row in rows.items() if id != one.info.id]
        if "ROUTEZ" not in held.replies:
            one.replies["ROUTEZ"].routes = [Link(**row) for row in others]
        if "ROUTEZ_DETAIL" not in held.replies:
            one.replies["ROUTEZ_DETAIL"].routes = [Route(**row, rtt="214µs") for row in others]
    return replying


def lone(**servers: int | Server) -> list[Replying]:
    """Servers without a cluster."""
    return cluster("", **servers)


def routes_to(*peers: str, home: str = "C1", **figures: Any) -> dict[str, Any]:
    """ROUTEZ of a server with a route to each of these, for `Server(replies=routes_to("n2"))`.

    `home` is their cluster, and `figures` are those of each route.
    """
    rows: list[dict[str, Any]] = [
        {"remote_id": f"id of {home} {one}", "remote_name": one} for one in peers
    ]
    detail = [Route(**(row | figures)) for row in rows]
    return {
        "ROUTEZ": Routez(routes=[Link(**row) for row in rows]),
        "ROUTEZ_DETAIL": RoutezDetail(routes=detail),
    }


def row(**fields: Any) -> Connection:
    """One more connection, by default of user `app` in account APP."""
    plain = {"kind": "Client", "account": "APP", "authorized_user": "app", "name": "app"}
    return Connection(**(plain | fields))


def leaf(name: str = "edge", rtt: str = "1ms", **fields: Any) -> Leaf:
    """A leaf node connection, by default in account APP, as the hub lists it."""
    return Leaf(**({"account": "APP", "name": name, "rtt_text": rtt} | fields))


def closed(reason: str, ago: float = 60.0, *, lasted: float = 5.0, **fields: Any) -> Closed:
    """A connection that was closed `ago` seconds ago, by default of user `app` in account APP."""
    stop = datetime.fromtimestamp(START - ago, UTC)
    plain = {"kind": "Client", "account": "APP", "authorized_user": "app", "name": "app"}
    times = {"start": stop - timedelta(seconds=lasted), "stop": stop}
    return Closed(reason=reason, **(plain | times | fields))


def _replying(cluster: str, name: str, held: Server) -> Replying:
    info = ServerInfo(
        name=name,
        id=held.id or f"id of {cluster} {name}",
        cluster=cluster,
        ver=held.version,
        tags=held.tags,
    )
    rows = _rows(held)
    now = datetime.fromtimestamp(START, UTC)
    started = now - timedelta(seconds=held.up)
    accounts = Counter(one.account for one in rows)
    accounts.update(dict.fromkeys(held.accounts, 0))
    varz = Varz(
        start=started,
        now=now,
        connections=len(rows),
        total_connections=held.accepted or len(rows),
        max_connections=held.max_connections,
        config_load_time=started.isoformat(),
        slow_consumer_stats=PerKind(),
        auth_required=True,
        subscriptions=held.subscriptions + held.internal,
        leafnodes=len(held.leafs),
    )
    replies: dict[str, Any] = {
        "VARZ": replace(varz, **_figures(held.varz, info)),
        "STATSZ": Statsz(start=started, connections=len(rows)),
        "SUBSZ": Subsz(num_subscriptions=held.subscriptions),
        "ROUTEZ": Routez(),
        "ROUTEZ_DETAIL": RoutezDetail(),
        "LEAFZ": Leafz(leafs=list(held.leafs)),
        "ACCOUNTZ": Accountz(accounts=sorted(accounts)),
        "STATZ": Statz(
            account_statz=[_account(account, n, held) for account, n in accounts.items()]
        ),
        "STATZ_TRAFFIC": StatzTraffic(
            account_statz=[
                AccountTraffic(acc=account, total_conns=n, sent=SplitTraffic())
                for account, n in accounts.items()
            ]
        ),
        "GATEWAYZ": Gatewayz(),
        "HEALTHZ": Healthz(status="ok", status_code=200),
        "CONNZ": Page(info, rows, len(rows)),
        "CONNZ_CLOSED": ClosedRows(
            now=now,
            total=held.closed_in_all or len(held.closed),
            connections=[replace(one) for one in held.closed],
        ),
    }
    replies |= {key: _read(key, said, info) for key, said in held.replies.items()}
    sent = {key: _of(reply, info) for key, reply in replies.items()}
    details = {account: held.accounts.get(account, {}) for account in accounts}
    told = {
        account: _read("ACCOUNTZ_DETAIL", _detail(one), info) for account, one in details.items()
    }
    return Replying(
        info=info,
        replies=sent,
        state=held.state,
        goodbye=held.goodbye,
        names=held.names,
        clock=held.clock,
        services=_services(name, held),
        accounts=told,
    )


def _detail(account: dict[str, Any]) -> dict[str, Any]:
    return {"system_account": "$SYS", "account_detail": account}


def _account(key: str, connections: int, held: Server) -> AccountStat:
    """An account as servers of this version report it."""
    stat = AccountStat(acc=key, conns=connections, total_conns=connections)
    of_jwt = held.accounts.get(key, {}).get("decoded_jwt", {}).get("name")
    name = held.names.get(key, of_jwt)
    if name and told(AccountStat, "name", held.version):
        stat.name = name
    return stat


def _services(server: str, held: Server) -> dict[str, list[Host]]:
    """The connections of each account that are instances of services."""
    hosts: dict[str, list[Host]] = {}
    for who, libraries in held.services.items():
        account, _, service = who.partition(" ")
        for number, library in enumerate(libraries):
            lang, _, version = library.partition(" ")
            here = f"$SRV.PING.{service}"
            subjects = ("$SRV.PING", here, f"{here}.{server}-{number}")
            host = Host(kind="Client", lang=lang, version=version, subjects=subjects)
            hosts.setdefault(account, []).append(host)
    return hosts


def _of(reply: T, info: ServerInfo) -> T:
    """A reply with its origin set."""
    if not isinstance(reply, Page):  # Its rows are the same in all versions.
        _sign(reply, Origin(info))
    return reply


def _sign(said: Any, origin: Origin) -> None:
    """Set the origin of all objects of a reply, as in decoded replies of servers."""
    if isinstance(said, Part):
        said.origin = origin
    if isinstance(said, Struct):
        for name in said.__struct_fields__:
            with suppress(Missing):  # Its version does not send this field.
                _sign(getattr(said, name), origin)
    elif isinstance(said, dict | list | tuple):
        for one in said.values() if isinstance(said, dict) else said:
            _sign(one, origin)


def _figures(said: Mapping[str, Any], info: ServerInfo) -> dict[str, Any]:
    """Figures of VARZ, with JSON objects decoded as by the agent."""
    plain = {name: value for name, value in said.items() if isinstance(value, dict)}
    varz = _read("VARZ", plain, info)
    return {**said, **{name: getattr(varz, name) for name in plain}}


def _read(key: str, said: Any, info: ServerInfo) -> Any:
    """A reply, decoded as by the agent."""
    if not isinstance(said, dict):
        return said
    endpoint, sender = endpoints()[key], replace(info, id="ID")
    return endpoint.decode(msgspec.json.encode({"server": sender, endpoint.member: said}))[1]


def _rows(held: Server) -> list[Connection]:
    users: Mapping[str, int] = Counter({"APP app": held.connections}) + Counter(held.users)
    rows = list(held.rows)
    for who, count in users.items():
        account, _, user = who.partition(" ")
        rows += [row(account=account, authorized_user=user) for _ in range(count)]
    for who, libraries in held.services.items():
        account, _, service = who.partition(" ")
        rows += [row(account=account, authorized_user=service) for _ in libraries]
    rows = [replace(one, cid=number) for number, one in enumerate(rows, 1)]
    if held.subscriptions:
        rows[0].subscriptions = held.subscriptions
    return rows
