"""Reads one monitoring request: which endpoint, of which servers, with which options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct, field

from nats_insights.lab.fleet.model import Server

SUBJECTS = ("$SYS.REQ.SERVER.PING", "$SYS.REQ.SERVER.*.*", "$SYS.REQ.ACCOUNT.PING.STATZ")

_SERVER = "$SYS.REQ.SERVER."
_LONGEST_PAGE = 1024


class Refused(Exception):
    """A request that a server answers with an error envelope."""

    def __init__(self, code: int, description: str) -> None:
        super().__init__(f"{code} {description}")
        self.code = code
        self.description = description


class Options(Struct, kw_only=True):
    """What every endpoint but IDZ takes: which servers are meant."""

    server_name: str = ""
    cluster: str = ""
    host: str = ""
    domain: str = ""
    tags: list[str] = []
    exact_match: bool = False

    def admits(self, server: Server) -> bool:
        """Whether this server is meant; it stays silent otherwise. Ours have no tags, no domain."""
        same: Callable[[str, str], bool] = str.__eq__ if self.exact_match else str.__contains__
        asked = (
            (server.name, self.server_name),
            (server.cluster.name, self.cluster),
            (server.host, self.host),
            ("", self.domain),
        )
        return not self.tags and all(same(own, wish) for own, wish in asked if wish)


class PagedOptions(Options, kw_only=True):
    """What the endpoints that list something take beside: an offset from 0, and a limit."""

    offset: int = 0
    limit: int = 0

    def __post_init__(self) -> None:
        self.offset = max(0, self.offset)
        if self.limit <= 0:
            self.limit = _LONGEST_PAGE


class ConnzOptions(PagedOptions, kw_only=True):
    """Which connections, in which order, and whether with their logins."""

    auth: bool = False
    subscriptions: bool = False
    subscriptions_detail: bool = False
    sort: str = "cid"
    state: int = 0
    cid: int = 0
    acc: str = ""
    user: str = ""
    mqtt_client: str = ""
    filter_subject: str = ""


class SubszOptions(PagedOptions, kw_only=True):
    """Whether to count and list the local subscriptions."""

    subscriptions: bool = False
    account: str = ""
    test: str = ""


class AccountOptions(Options, kw_only=True):
    """One account, in detail."""

    account: str = ""


class JszOptions(PagedOptions, kw_only=True):
    """Which details of which accounts; `consumer` implies `streams`, and these `accounts`."""

    account: str = ""
    accounts: bool = False
    streams: bool = False
    consumer: bool = False
    direct_consumer: bool = False
    config: bool = False
    raft: bool = False
    leader_only: bool = False
    stream_leader_only: bool = False


class RaftzOptions(Options, kw_only=True):
    """The groups of which account, the system account's by default; or only one of them."""

    account: str = ""
    group: str = ""


class QueueOptions(Options, kw_only=True):
    """Whether empty queues too, and what their names contain."""

    all: bool = False
    filter: str = ""


class HealthzOptions(Options, kw_only=True):
    """What to look at, and whether to name all that is wrong."""

    js_enabled_only: bool = field(default=False, name="js-enabled-only")
    js_server_only: bool = field(default=False, name="js-server-only")
    js_meta_only: bool = field(default=False, name="js-meta-only")
    account: str = ""
    stream: str = ""
    consumer: str = ""
    details: bool = False


class LinkOptions(Options, kw_only=True):
    """What is accepted and ignored: our links have no lists of subscriptions."""

    subscriptions: bool = False
    subscriptions_detail: bool = False
    account: str = ""
    accounts: bool = False
    account_name: str = ""


class StatzOptions(Options, kw_only=True):
    """Which accounts, and whether those without connections too."""

    accounts: list[str] = []
    include_unused: bool = False


OPTIONS: dict[str, type[Options]] = {
    "IDZ": Options,
    "STATSZ": Options,
    "VARZ": Options,
    "CONNZ": ConnzOptions,
    "SUBSZ": SubszOptions,
    "ROUTEZ": LinkOptions,
    "LEAFZ": LinkOptions,
    "GATEWAYZ": LinkOptions,
    "ACCOUNTZ": AccountOptions,
    "STATZ": StatzOptions,
    "HEALTHZ": HealthzOptions,
    "JSZ": JszOptions,
    "RAFTZ": RaftzOptions,
    "IPQUEUESZ": QueueOptions,
}


class Request(Struct, frozen=True, kw_only=True):
    """One request. `target` is `PING` or the id of a server; `problem` says what is wrong with
    its body; `encoding` is the Content-Encoding of the reply, empty where none was asked for."""

    endpoint: str
    target: str
    reply: str
    encoding: str
    options: Options
    problem: Refused | None = None


def read(subject: str, reply: str, header: bytes, body: bytes) -> Request | None:
    """One request as it came, or None where no server would answer: unknown, or no inbox."""
    target, endpoint = _addressed(subject)
    if endpoint not in OPTIONS or not reply:
        return None
    kind = OPTIONS[endpoint]
    options, problem = kind(), None
    # IDZ looks at nothing that it is sent.
    if endpoint != "IDZ":
        try:
            options = _options(kind, body)
        except Refused as refused:
            problem = refused
    return Request(
        endpoint=endpoint,
        target=target,
        reply=reply,
        encoding=_encoding(header),
        options=options,
        problem=problem,
    )


def _addressed(subject: str) -> tuple[str, str]:
    if subject == SUBJECTS[0]:
        return "PING", "STATSZ"
    if subject == SUBJECTS[2]:
        return "PING", "STATZ"
    target, _, endpoint = subject.removeprefix(_SERVER).partition(".")
    return target, "" if endpoint == "STATZ" else endpoint


def _options(kind: type[Options], body: bytes) -> Options:
    try:
        fields: Any = msgspec.json.decode(body) if body else None
        # As in Go, null leaves an option as it was.
        if isinstance(fields, dict):
            fields = {name: value for name, value in fields.items() if value is not None}
        return kind() if fields is None else msgspec.convert(fields, kind)
    except msgspec.MsgspecError as error:
        raise Refused(400, f"json: {error}") from None


def _encoding(header: bytes) -> str:
    """Real servers know snappy too, and prefer it."""
    for line in header.decode("utf-8", "replace").split("\r\n"):
        name, _, value = line.partition(":")
        if name == "Accept-Encoding":
            return "gzip" if "gzip" in value.lower() else "identity"
    return ""
