"""Every subject that the agent requests, publishes or answers, and how a name becomes a token."""

from __future__ import annotations

import hashlib
import re
import string

ADVISORY = "$INSIGHTS.ADVISORY"
HEARTBEAT = "$INSIGHTS.HEARTBEAT"
LEDGER = "$INSIGHTS.LEDGER"
# What agents hear of each other.
OF_AGENTS = (f"{ADVISORY}.>", f"{HEARTBEAT}.*", f"{LEDGER}.*")
API = "INSIGHTS.API"
# The tree of the tenants: its third token is an account, as servers call it.
TENANTS = "INSIGHTS.ACCOUNT"
SERVICE = "insights-agent"

PING_SERVICE = f"$SRV.PING.{SERVICE}"
# Before the name of a micro service and the id of one of its instances.
INSTANCE = "$SRV.PING."
# Before requests to servers, where no account imports them under another name.
SYS_REQ = "$SYS.REQ"
# Before requests to JetStream, where it is in no other domain.
JS_API = "$JS.API"
USER_INFO = "$SYS.REQ.USER.INFO"
# The monitoring endpoints of servers, including those that are not requested yet.
MONITORING = (
    *("VARZ", "STATSZ", "CONNZ", "SUBSZ", "ROUTEZ", "GATEWAYZ", "LEAFZ", "ACCOUNTZ", "STATZ"),
    *("JSZ", "HEALTHZ", "RAFTZ", "IPQUEUESZ", "IDZ", "EXPVARZ"),
)
EVENTS = ("$SYS.SERVER.*.SHUTDOWN", "$SYS.SERVER.*.LAMEDUCK")

_VERBATIM = frozenset((string.ascii_letters + string.digits + "-_@:/+=").encode())
_IN_KEYS = frozenset((string.ascii_letters + string.digits + "-_").encode())
_LONGEST = 128
_KEPT = 96
_A_TOKEN = re.compile(rf"[A-Za-z0-9\-_@:/+=]{{1,{_LONGEST}}}").fullmatch


def token(name: str) -> str:
    """One subject token for any name: percent-encoded, never empty, at most 128 bytes.

    `A-Za-z0-9-_@:/+=` stay, other bytes of the UTF-8 form become `%XX`. An empty name is `_`, so a
    name that is `_` becomes `%5F`. Longer ones keep 96 bytes, `~` and 16 hex of their SHA-256.
    """
    if name in ("", "_"):
        return "%5F" if name else "_"
    raw = name.encode("utf-8", "surrogatepass")
    encoded = "".join(chr(byte) if byte in _VERBATIM else f"%{byte:02X}" for byte in raw)
    if len(encoded) <= _LONGEST:
        return encoded
    kept = re.sub("%.?$", "", encoded[:_KEPT])
    return f"{kept}~{hashlib.sha256(raw).hexdigest()[:16]}"


def key(name: str) -> str:
    """One token of a key in a bucket for any name: as `token`, with what clients take in a key.

    They refuse `%`, `~` and more, although servers take it: `A-Za-z0-9-_` stay, other bytes become
    `=XX`, and longer ones are cut as a token is, with `/` before the hash.
    """
    if name in ("", "_"):
        return "=5F" if name else "_"
    raw = name.encode("utf-8", "surrogatepass")
    encoded = "".join(chr(byte) if byte in _IN_KEYS else f"={byte:02X}" for byte in raw)
    if len(encoded) <= _LONGEST:
        return encoded
    kept = re.sub("=.?$", "", encoded[:_KEPT])
    return f"{kept}/{hashlib.sha256(raw).hexdigest()[:16]}"


def advisory(
    severity: str, scope: str, cluster: str, scope_id: str, code: str, fingerprint: str
) -> str:
    """Where the advisories of one finding go, as long as its severity stays."""
    names = (severity.upper(), scope, token(cluster), token(scope_id), token(code), fingerprint)
    return ".".join((ADVISORY, *names))


def heartbeat(agent_id: str) -> str:
    """Where an agent publishes its heartbeat, once per epoch."""
    return f"{HEARTBEAT}.{token(agent_id)}"


def ledger(shard: str) -> str:
    """Where a shard publishes its counts, once per epoch."""
    return f"{LEDGER}.{shard}"


def api(name: str, shard: str = "") -> str:
    """Where the query `name`, upper case, is answered; for one shard alone, if it is given."""
    return f"{API}.{name}@{shard}" if shard else f"{API}.{name}"


def is_token(name: str) -> bool:
    """Whether a name is a token as it stands, so that a server finds an account by it."""
    return name != "_" and _A_TOKEN(name) is not None


def tenant_advisory(account: str, severity: str, code: str, fingerprint: str) -> str:
    """Where the users of an account, which `is_token`, receive the advisories about it."""
    return ".".join((TENANTS, account, "ADVISORY", severity.upper(), token(code), fingerprint))


def tenant_api(name: str, account: str = "*") -> str:
    """Where the query `name`, upper case, is answered for one account, by default for each."""
    return f"{TENANTS}.{account}.API.{name}"


def account_of(subject: str) -> str:
    """The account that a subject of the tenants' tree is about, "" for any other subject."""
    return subject.split(".", 3)[2] if subject.startswith(f"{TENANTS}.") else ""


def permission(subject: str) -> str:
    """What to allow so that this subject may be used, whatever its ids are the next time."""
    if re.match(r"\$SYS\.REQ\.SERVER\.[^.]+\.", subject):
        return f"$SYS.REQ.SERVER.*.{subject.split('.', 4)[4]}"
    if subject.startswith(f"{API}."):
        return api("*")
    if subject.startswith(f"{TENANTS}."):
        return tenant_api("*") if ".API." in subject else f"{TENANTS}.*.ADVISORY.>"
    if subject in OF_AGENTS:
        return subject
    if subject.startswith((ADVISORY, HEARTBEAT, LEDGER)):
        return "$INSIGHTS.>"
    if consumer := re.match(r"(.+\.CONSUMER\.(CREATE|MSG\.NEXT|DELETE)\.[^.]+)\.", subject):
        return f"{consumer[1]}.>"
    if subject.startswith("$SRV.") and subject != PING_SERVICE:
        return "$SRV.>"
    return subject


def server_request(endpoint: str, server_id: str = "PING") -> str:
    """Where a monitoring endpoint is asked: of every server, or of the one with this id."""
    if endpoint == "STATZ":  # Account statistics exist only as a fan-out.
        return "$SYS.REQ.ACCOUNT.PING.STATZ"
    return f"$SYS.REQ.SERVER.{server_id}.{endpoint}"


def requests_of(prefix: str, subject: str) -> str:
    """A request to servers as an account sends it that imports them with this prefix.

    `$SYS.REQ.USER.INFO` stays: servers answer it in each account.
    """
    if subject.startswith((f"{SYS_REQ}.SERVER.", f"{SYS_REQ}.ACCOUNT.")):
        return f"{prefix}{subject.removeprefix(SYS_REQ)}"
    return subject


def covers(wide: str, subject: str) -> bool:
    """Whether a subject, which may have wildcards itself, is part of a wide one."""
    wanted, tokens = wide.split("."), subject.split(".")
    if wanted[-1] == ">":
        if len(tokens) < len(wanted):
            return False
        wanted, tokens = wanted[:-1], tokens[: len(wanted) - 1]
    return len(wanted) == len(tokens) and all(
        want == token or (want == "*" and token != ">")
        for want, token in zip(wanted, tokens, strict=True)
    )
