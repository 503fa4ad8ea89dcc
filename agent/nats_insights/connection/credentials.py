"""Credentials and certificates, read and checked before a connection uses them."""

from __future__ import annotations

import base64
import re
import ssl
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import msgspec
import nkeys
from msgspec import Struct
from nats.aio.client import RawCredentials

from nats_insights.connection.certificate import validity
from nats_insights.connection.contexts import Settings, decoded
from nats_insights.errors import ConnectError
from nats_insights.facts import Expiry

_JWT = re.compile(r"BEGIN NATS USER JWT-+\s+(\w[\w.-]*)")
_SEED = re.compile(r"\bSU[A-Z2-7]{56}\b")
_CREDS = "-BEGIN NATS USER JWT-\n{}\n-END NATS USER JWT-\n-BEGIN USER NKEY SEED-\n{}\n-END-\n"


class Login(NamedTuple):
    """Checked credentials for nats-py, and the sentence for a server that refuses them."""

    options: dict[str, Any]
    refusal: str


_ANONYMOUS = Login({}, "requires credentials: give --creds, --nkey, --user or --context")


class _User(Struct):
    type: str = ""
    bearer_token: bool = False


class _Claims(Struct):
    nats: _User
    sub: str = ""
    iat: int = 0
    exp: int = 0


# What OpenSSL says of files that it cannot use, in other words.
_TLS_PROBLEMS = {
    "KEY_VALUES_MISMATCH": "the key is not that of the certificate",
    None: "not in PEM format, or the key has a password",
}


def login(settings: Settings, url: str) -> Login:
    """The login for the server at `url`, checked as far as this side can; raises ConnectError."""
    user, password, token = _typed(settings, url)
    if user:
        refusal = f"refused user {user!r}: check the name and the password"
        return Login({"user": user, "password": password}, refusal)
    chosen = Login({}, "refused the token: check it") if token else _ANONYMOUS
    if settings.creds:
        chosen = _creds(settings.creds)
    elif settings.user_jwt:
        chosen = _user_jwt(settings.user_jwt, settings.user_seed, "the settings")
    elif settings.nkey:
        chosen = _nkey(settings.nkey)
    return Login(chosen.options | ({"token": token} if token else {}), chosen.refusal)


def tls(settings: Settings) -> ssl.SSLContext | None:
    """The TLS that the settings ask for; None when the server may decide. Raises ConnectError."""
    urls = any(url.startswith("tls://") for url in settings.servers)
    if not (urls or settings.ca or settings.cert or settings.tls_first):
        return None
    files = [path for path in (settings.ca, settings.cert, settings.key) if path]
    for path in files:
        _read(path, "TLS file")
    try:
        context = ssl.create_default_context(cafile=settings.ca or None)
        if settings.cert:
            # An empty password, so that an encrypted key is refused without a prompt.
            context.load_cert_chain(settings.cert, settings.key, password="")
    except ssl.SSLError as error:
        reason = _TLS_PROBLEMS.get(error.reason, error.reason)
        raise ConnectError(f"{' and '.join(files)} cannot be used for TLS: {reason}") from error
    return context


def expiries(settings: Settings, url: str) -> list[Expiry]:
    """What another login at `url` would use that has a date: a user JWT, a client certificate.

    The files are read again. Raises ConnectError if one of them cannot be read or decoded.
    """
    found = []
    user, _, _ = _typed(settings, url)
    if settings.creds and not user:
        jwt, _, where = _creds_parts(settings.creds)
        found += _of_jwt(jwt, where)
    elif settings.user_jwt and not user:
        found += _of_jwt(settings.user_jwt, "the settings")
    elif settings.nkey and not user:
        _material(settings.nkey, "nkey")
    if settings.cert:
        found.append(_of_certificate(settings.cert))
    return found


def _typed(settings: Settings, url: str) -> tuple[str, str, str]:
    """User, password and token: those of the URL, else those of the settings."""
    parts = urlsplit(url)
    if parts.username and parts.password is None:
        return "", settings.password, unquote(parts.username)
    if parts.username:
        return unquote(parts.username), unquote(parts.password or ""), settings.token
    return settings.user, settings.password, settings.token


def _creds(reference: str) -> Login:
    return _user_jwt(*_creds_parts(reference))


def _creds_parts(reference: str) -> tuple[str, str, str]:
    """The JWT and the seed in a creds file, and how a sentence calls its place."""
    text, where = _material(reference, "creds")
    jwt, seed = _JWT.search(text), _SEED.search(text)
    if not text.strip():
        raise ConnectError(f"{where} is empty")
    if not jwt or not seed:
        absent = " and no ".join(["user JWT"] * (not jwt) + ["user seed"] * (not seed))
        raise ConnectError(f"{where} has no {absent}: generate it again, with nsc for example")
    return jwt[1], seed[0], where


def _user_jwt(jwt: str, seed: str, where: str) -> Login:
    claims = _claims(jwt, where)
    refusal = f"refused the user in {where}: it is of an unknown account, or revoked"
    if not seed and claims.nats.bearer_token:
        return Login({"user_jwt_cb": jwt.encode, "signature_cb": lambda nonce: b""}, refusal)
    if not seed:
        raise ConnectError(f"the user JWT in {where} needs its seed too (NATS_SEED)")
    if _public_key(seed, where) != claims.sub:
        raise ConnectError(f"the seed in {where} belongs to another user than the JWT")
    return Login({"user_credentials": RawCredentials(_CREDS.format(jwt, seed))}, refusal)


def _nkey(reference: str) -> Login:
    text, where = _material(reference, "nkey")
    seed = _SEED.search(text)
    if not seed:
        raise ConnectError(f"{where} holds no user seed, which is 58 letters beginning with SU")
    refusal = f"refused nkey {_public_key(seed[0], where)}: it is not among the users there"
    return Login({"nkeys_seed_str": seed[0]}, refusal)


def _of_jwt(jwt: str, where: str) -> list[Expiry]:
    """When the user JWT in this place expires, empty if never."""
    claims = _decoded(jwt, where)
    what = f"the user JWT in {where}"
    return [Expiry(what=what, begins=claims.iat, ends=claims.exp)] if claims.exp > 0 else []


def _of_certificate(path: str) -> Expiry:
    """When the first certificate in a file, which is the client's own, expires."""
    try:
        begins, ends = validity(_read(path, "TLS file"))
    except ValueError as error:
        raise ConnectError(f"TLS file {path} has {error}") from error
    return Expiry(what=f"the client certificate {path}", begins=begins, ends=ends)


def _claims(jwt: str, where: str) -> _Claims:
    claims = _decoded(jwt, where)
    if 0 < claims.exp <= time.time():
        when = datetime.fromtimestamp(claims.exp, UTC).isoformat().replace("+00:00", "Z")
        raise ConnectError(f"the user JWT in {where} expired at {when}: generate it again")
    return claims


def _decoded(jwt: str, where: str) -> _Claims:
    try:
        body = jwt.split(".")[1]
        claims = msgspec.json.decode(base64.urlsafe_b64decode(body + "==="), type=_Claims)
    except (IndexError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise ConnectError(f"the user JWT in {where} is damaged") from error
    if claims.nats.type not in ("user", ""):
        raise ConnectError(f"{where} holds the JWT of an {claims.nats.type}, not of a user")
    return claims


def _public_key(seed: str, where: str) -> str:
    """The public half of a user seed. Its checksum is verified, which nkeys does not do."""
    if not _SEED.fullmatch(seed):
        raise ConnectError(f"the seed in {where} is not that of a user, which begins with SU")
    try:
        prefix, raw = nkeys.decode_seed(seed.encode())
        sound = nkeys.encode_seed(raw, prefix).decode() == seed
    except nkeys.NkeysError:
        sound = False
    if not sound:
        raise ConnectError(f"the seed in {where} is mistyped: its checksum is wrong")
    return str(nkeys.from_seed(bytearray(seed.encode())).public_key.decode())


def _material(reference: str, kind: str) -> tuple[str, str]:
    """The text behind a reference, and how a sentence calls its place."""
    if reference.startswith("data:"):
        return decoded(reference), f"the {kind} reference"
    return _read(reference, f"{kind} file"), f"{kind} file {reference}"


def _read(path: str, kind: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError as error:
        raise ConnectError(f"{kind} {path} cannot be read: {error.strerror}") from error
