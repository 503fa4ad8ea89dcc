"""Connection settings: flags override variables, which override a context of the `nats` CLI."""

from __future__ import annotations

import base64
import os
import re
from argparse import SUPPRESS, ArgumentParser, Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from nats_insights.config import Publish
from nats_insights.errors import ConfigError
from nats_insights.subjects import JS_API, SYS_REQ
from nats_insights.text import nearest, plain

DEFAULT_SERVER = "nats://127.0.0.1:4222"


class Settings(Struct, frozen=True, kw_only=True):
    """What a connection needs; "" is absent, and no secret is in the repr.

    `is_default` says that no server was given. At most one kind of credentials is present; a token
    may be added to creds, nkey and JWT. `creds` and `nkey` are a path or a `data:` reference;
    `cert`, `key` and `ca` are paths.
    """

    servers: tuple[str, ...] = (DEFAULT_SERVER,)
    is_default: bool = False
    user: str = ""
    password: str = ""
    token: str = ""
    creds: str = ""
    nkey: str = ""
    user_jwt: str = ""
    user_seed: str = ""
    cert: str = ""
    key: str = ""
    ca: str = ""
    tls_first: bool = False
    inbox_prefix: str = "_INBOX.insights"
    sys_req_prefix: str = SYS_REQ
    js_domain: str = ""
    js_api_prefix: str = ""

    @property
    def js_api(self) -> str:
        """The prefix of requests to JetStream."""
        return f"$JS.{self.js_domain}.API" if self.js_domain else self.js_api_prefix or JS_API

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        shown: list[tuple[str, Any]] = [("servers", tuple(map(without_login, self.servers)))]
        for option in _OPTIONS[1:]:
            if value := getattr(self, option.field):
                secret = option.form == "secret" or str(value).startswith("data:")
                shown.append((option.field, "***" if secret else value))
        return shown

    def __repr__(self) -> str:
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"


class _Option(NamedTuple):
    """One setting and its names: field of Settings, flag, variable, key of a context file.

    A "secret" may be a reference to where it is kept, "material" is a file or such a reference.
    """

    field: str
    flag: str
    variable: str
    key: str
    form: str
    metavar: str
    help: str


_OPTIONS = (
    _Option("servers", "server", "NATS_URL", "url", "plain", "URLS", "servers, comma-separated"),
    _Option("user", "user", "NATS_USER", "user", "plain", "USER", "user name, or a token"),
    _Option("password", "password", "NATS_PASSWORD", "password", "secret", "PASSWORD", "password"),
    _Option("token", "token", "NATS_TOKEN", "token", "secret", "TOKEN", "token"),
    _Option("creds", "creds", "NATS_CREDS", "creds", "material", "FILE", "credentials file"),
    _Option("nkey", "nkey", "NATS_NKEY", "nkey", "material", "FILE", "file with an nkey seed"),
    _Option("user_jwt", "", "NATS_JWT", "user_jwt", "secret", "", ""),
    _Option("user_seed", "", "NATS_SEED", "user_seed", "secret", "", ""),
    _Option("cert", "tlscert", "NATS_CERT", "cert", "file", "FILE", "TLS client certificate"),
    _Option("key", "tlskey", "NATS_KEY", "key", "file", "FILE", "TLS private key"),
    _Option("ca", "tlsca", "NATS_CA", "ca", "file", "FILE", "TLS certificate authorities"),
    _Option("tls_first", "tlsfirst", "", "tls_first", "plain", "", "TLS before the server greets"),
    _Option(
        "inbox_prefix",
        "inbox_prefix",
        "",
        "inbox_prefix",
        "plain",
        "PREFIX",
        "subject prefix of replies",
    ),
    _Option(
        "sys_req_prefix",
        "sys_req_prefix",
        "",
        "",
        "plain",
        "PREFIX",
        "subject prefix of requests to servers, as an account imports them",
    ),
    _Option(
        "js_domain",
        "js_domain",
        "",
        "jetstream_domain",
        "plain",
        "DOMAIN",
        "JetStream domain in which the streams are",
    ),
    _Option(
        "js_api_prefix",
        "js_api_prefix",
        "",
        "jetstream_api_prefix",
        "plain",
        "PREFIX",
        "subject prefix of requests to JetStream, as an account imports them",
    ),
)
_DEFAULTS = {
    "servers": DEFAULT_SERVER,
    "inbox_prefix": "_INBOX.insights",
    "sys_req_prefix": SYS_REQ,
    "js_api_prefix": JS_API,
}
# Settings that are subjects, and what a sentence calls them.
_SUBJECTS = {
    "inbox_prefix": "an inbox prefix",
    "sys_req_prefix": "--sys-req-prefix",
    "js_api_prefix": "an API prefix of JetStream",
}
# Two ways to say where JetStream is.
_JETSTREAM = ("js_domain", "js_api_prefix")
_NAME = re.compile(r"[^\s.*>]+")
_SUBJECT = re.compile(rf"{_NAME.pattern}(\.{_NAME.pattern})*")
_SUMMARY = (
    "--server, --context, --creds and the other settings of the nats CLI; "
    "`nats-insights help connection` lists them"
)
# Kinds of credentials, the likelier first, and what belongs to each; "@" is a login in a URL.
_KINDS: dict[str, tuple[str, ...]] = {
    "@": (),
    "user": ("password",),
    "creds": ("token",),
    "nkey": ("token",),
    "user_jwt": ("user_seed", "token"),
    "token": (),
}

_LOGIN_FIELDS = {field for kind, belongings in _KINDS.items() for field in (kind, *belongings)}


def add_options(parser: ArgumentParser, *, listed: bool = False) -> None:
    """Adds the flags of the connection, under a heading of their own.

    The help of a command sums them up; they are `listed` once, by the command `help`.
    """
    group = parser.add_argument_group("connection", None if listed else _SUMMARY)

    def add(*names: str, help: str, **settings: Any) -> None:
        group.add_argument(*names, help=help if listed else SUPPRESS, **settings)

    for option in _OPTIONS:
        names = ["-s"] * (option.flag == "server") + [f"--{option.flag.replace('_', '-')}"]
        default = _DEFAULTS.get(option.field, "")
        notes = "; ".join(filter(None, (option.variable, default and f"default: {default}")))
        text = f"{option.help} ({notes})" if notes else option.help
        if option.metavar:
            add(*names, dest=option.flag, metavar=option.metavar, help=text)
        elif option.flag:
            add(*names, action="store_const", const="yes", help=text)
    text = "context of the nats CLI (NATS_CONTEXT; default: the selected one)"
    add("--context", metavar="NAME", help=text)


def given(args: Namespace) -> bool:
    """Whether any flag of the connection is on a parsed command line."""
    names = ("context", *(option.flag for option in _OPTIONS if option.flag))
    return any(getattr(args, name, None) for name in names)


def from_args(args: Namespace) -> Settings:
    """The settings of a parsed command line, in the environment of this process."""
    return settings(vars(args), os.environ)


def settings(
    flags: Mapping[str, str | None], environ: Mapping[str, str], config_home: Path | None = None
) -> Settings:
    """Settings from flags (by name, no dashes), variables, and the context these lead to.

    `config_home` is the directory above `nats/context`, in place of XDG_CONFIG_HOME.
    Raises ConfigError.
    """
    if flags.get("context") == "":
        raise ConfigError("--context is empty: name a context, or leave it out")
    name = flags.get("context") or environ.get("NATS_CONTEXT") or ""
    context = _context(name, _home(environ, config_home))
    if environ.get("NATS_SOCKS_PROXY"):
        context["socks_proxy"] = environ["NATS_SOCKS_PROXY"]
    variables = {o.field: value for o in _OPTIONS if (value := environ.get(o.variable))}
    return _settled(flags, variables, context, environ)


def publishing(
    section: Publish, first: Settings, environ: Mapping[str, str], config_home: Path | None = None
) -> Settings | None:
    """The settings of the second connection; None where its section is empty.

    The variables are those of the `first` connection, and so is the context that is selected. The
    servers of the first one are also its own, with their TLS, where it names no other.
    Raises ConfigError.
    """
    if section == Publish():
        return None
    flags = {name: value for name, value in msgspec.structs.asdict(section).items() if value}
    flags["server"] = ",".join(flags.pop("server", ()))
    flags["tlsfirst"] = "yes" if section.tlsfirst else ""
    if section.user and not section.password:
        raise ConfigError("publish.user needs publish.password, such as env://NAME")
    try:
        context = _context(section.context, _home(environ, config_home)) if section.context else {}
        found = _settled(flags, {}, context, environ)
    except ConfigError as error:
        raise ConfigError(f"[publish]: {error}") from None
    if not found.is_default:
        return found
    own = {name for name in ("cert", "key", "ca", "tls_first") if getattr(found, name)}
    shared = {"ca", "tls_first", *(() if found.cert else ("cert", "key"))} - own
    return replace(
        found,
        servers=tuple(map(without_login, first.servers)),
        is_default=first.is_default,
        **{name: getattr(first, name) for name in shared},
    )


def _settled(
    flags: Mapping[str, str | None],
    variables: dict[str, str],
    context: dict[str, str],
    environ: Mapping[str, str],
) -> Settings:
    """What flags, variables (by field) and a context (by key) say together."""
    if context.get("socks_proxy"):
        raise ConfigError("a SOCKS proxy is set, and the agent cannot connect through one")
    if context.get("windows_cert_store"):
        raise ConfigError("a Windows certificate store is set: use files for cert, key and ca")
    own = {option.field: value for option in _OPTIONS if (value := flags.get(option.flag))}
    others = {option.field: value for option in _OPTIONS if (value := context.get(option.key))}
    if own.keys() & set(_JETSTREAM):
        others = {field: value for field, value in others.items() if field not in _JETSTREAM}
    given, login = _strongest(own, variables, others)
    if ("cert" in given) != ("key" in given):
        raise ConfigError("a client certificate and its key go together: --tlscert and --tlskey")
    for field in _SUBJECTS.keys() & given.keys():
        subject(field, given[field])
    if given.keys() >= set(_JETSTREAM):
        raise ConfigError("a JetStream domain and an API prefix exclude each other: give one")
    if not _NAME.fullmatch(domain := given.get("js_domain", "hub")):
        raise ConfigError(f"a JetStream domain is a name without dots, which {domain!r} is not")
    is_default = "servers" not in given
    urls = _urls(given.pop("servers", DEFAULT_SERVER))
    return Settings(
        servers=urls if login == "@" else tuple(map(without_login, urls)),
        is_default=is_default,
        tls_first=bool(given.pop("tls_first", "")),
        **{o.field: _resolve(o, given[o.field], environ) for o in _OPTIONS if o.field in given},
    )


def subject(field: str, value: str) -> str:
    """The value of a setting that is a subject; ConfigError if it cannot be one."""
    if not _SUBJECT.fullmatch(value):
        raise ConfigError(f"{_SUBJECTS[field]} is a subject, which {value!r} is not")
    return value


def _home(environ: Mapping[str, str], config_home: Path | None) -> Path:
    """The directory of the contexts."""
    home = config_home or Path(environ.get("XDG_CONFIG_HOME") or _expand("~/.config", environ))
    return home / "nats"


def without_login(url: str) -> str:
    """A server URL as it may be shown: no user, password or token in it."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


def decoded(reference: str) -> str:
    """The text in a `data:` reference; raises ConfigError."""
    head, _, body = reference.partition(",")
    try:
        if not head.endswith(";base64"):
            raise ValueError
        return base64.b64decode(body, validate=True).decode()
    except ValueError:
        raise ConfigError("a data: reference is not base64 text ('data:;base64,...')") from None


def _strongest(
    flags: dict[str, str], variables: dict[str, str], context: dict[str, str]
) -> tuple[dict[str, str], str]:
    """What was given, the stronger place over the weaker, and the kind of its credentials.

    Credentials of different kinds do not mix: the strongest place that has any decides.
    """
    if "password" not in flags | variables:
        for place in (flags, variables):
            if "user" in place:
                place["token"] = place.pop("user")
    given = {**context, **variables, **flags}
    for place in (flags, variables, context):
        present = {*place, "@"} if "@" in place.get("servers", "") else {*place}
        for kind, belongings in _KINDS.items():
            if kind in present:
                others = _LOGIN_FIELDS - {kind, *belongings}
                return {field: given[field] for field in given.keys() - others}, kind
    return given, ""


def _context(name: str, directory: Path) -> dict[str, str]:
    """The values of the named or selected context, by the keys of its file."""
    if name.endswith(".json") and ("/" in name or Path(name).is_file()):
        return _context_file(Path(name))
    selected = directory / "context.txt"
    if not name and selected.is_file():
        name = selected.read_text(errors="replace").strip()
    if not name:
        return {}
    contexts = directory / "context"
    known = sorted(file.stem for file in contexts.glob("*.json"))
    if name not in known:
        near = f" did you mean {found!r}?" if (found := nearest(name, known)) else ""
        there = f"there are {', '.join(known)}" if known else "there are none"
        raise ConfigError(f"there is no context {name!r} in {contexts}:{near} {there}")
    return _context_file(contexts / f"{name}.json")


def _context_file(path: Path) -> dict[str, str]:
    try:
        found = msgspec.json.decode(path.read_bytes(), type=dict[str, object])
    except OSError as error:
        raise ConfigError(f"context file {path} cannot be read: {error.strerror}") from error
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ConfigError(f"context file {path} is not a JSON object: {error}") from error
    except UnicodeDecodeError as error:  # msgspec lets it pass.
        raise ConfigError(f"context file {path} is not UTF-8 text: {error.reason}") from error
    context = {}
    for key, value in found.items():
        if isinstance(value, str) or value is True:
            context[key] = "yes" if value is True else value
        elif value and key in {option.key for option in _OPTIONS}:
            raise ConfigError(f"{key!r} in context file {path} must be a string")
    if nsc := context.get("nsc"):
        context["creds"] = context.get("creds") or f"nsc://{nsc}"
    return context


def _urls(text: str) -> tuple[str, ...]:
    """Server URLs in full, from a list with commas that may lack schemes and ports."""
    urls = []
    for url in filter(None, map(str.strip, text.split(","))):
        shown = plain(url)
        if "@" in text:
            shown = "with a login in it (write its special characters as %XX)"
        try:
            parts = urlsplit(url if "://" in url else f"nats://{url}")
            host, port = parts.hostname, parts.port or 4222
        except ValueError:
            host = None
        # urlsplit takes line ends and tabs out, and lets all else pass.
        strange = not url.isprintable() or " " in url
        if strange or not host or "@" in parts.path + parts.query + parts.fragment:
            raise ConfigError(f"not a server URL: {shown}")
        if parts.scheme not in ("nats", "tls"):
            raise ConfigError(f"a server URL begins with nats:// or tls://, not {parts.scheme}://")
        login, at, _ = parts.netloc.rpartition("@")
        urls.append(f"{parts.scheme}://{login}{at}{f'[{host}]' if ':' in host else host}:{port}")
    if not urls:
        raise ConfigError("no server URL is given")
    return tuple(urls)


def _resolve(option: _Option, value: str, environ: Mapping[str, str]) -> str:
    """A value as it is used: references followed, `~` and `$VAR` in paths expanded."""
    reference = re.match(r"(data:)|(file|env|op|nsc)://", value)
    if option.form == "plain":
        return value
    if not reference:
        return value if option.form == "secret" else _expand(value, environ)
    scheme, rest = reference[2] or "data", value[reference.end() :]
    if scheme in ("op", "nsc"):
        raise ConfigError(f"{option.field} is an {scheme}:// reference: the agent reads files only")
    if scheme == "file":
        path = _expand(rest, environ)
        return path if option.form != "secret" else _read(option.field, path)
    if option.form == "file":
        raise ConfigError(f"{option.field} must be a file, not a reference of the kind {scheme}:")
    text = decoded(value) if scheme == "data" else environ.get(rest)
    if text is None:
        raise ConfigError(f"{option.field} is {value}, and there is no such variable")
    if option.form == "secret":
        return text.rstrip("\r\n")
    return f"data:;base64,{base64.b64encode(text.encode()).decode()}"


def _read(field: str, path: str) -> str:
    try:
        return Path(path).read_text(errors="replace").rstrip("\r\n")
    except OSError as error:
        raise ConfigError(f"{field} cannot be read from {path}: {error.strerror}") from error


def _expand(path: str, environ: Mapping[str, str]) -> str:
    home = environ.get("HOME") or os.path.expanduser("~")  # Unlike Path.home(), it cannot fail.
    known = re.sub(r"\$(?:(\w+)|\{(\w+)\})", lambda m: environ.get(m[1] or m[2], ""), path)
    return re.sub(r"^~(?=/|$)", lambda _: home, known)
