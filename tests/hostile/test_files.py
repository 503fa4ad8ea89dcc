"""Hostile files: a configuration, a context or credentials are read, or refused in a sentence."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from random import Random
from typing import Any

from kit.hostile import (
    NAMES,
    NUMBERS,
    TIMES,
    TOKENS,
    changed,
    strange,
    survives,
    torn,
)
from nats_insights import checks, config
from nats_insights.connection.contexts import Settings, settings
from nats_insights.connection.credentials import login
from nats_insights.errors import ConfigError, ConnectError
from nats_insights.judge.declare import discover
from nats_insights.judge.rules import rules
from nats_insights.lab.servers.jwts import Operator

URL = "nats://127.0.0.1:4222"
EXAMPLE = Path(__file__).parents[2] / "examples" / "agent.toml"
# Every key of the example, set.
LINES = [
    line.removeprefix("#")
    for line in EXAMPLE.read_text().splitlines()
    if ("=" in line and not line.startswith("# ")) or line.startswith(("[", "#["))
]
VALUES = (
    *map(str, NUMBERS),
    *("nan", "inf", "-inf", "0x7fffffffffffffffff", "1_0", "07", "1e400", "true", "30s", "[]"),
    *("{}", '"30s"', '"1d1d"', '"-1s"', '"1e9s"', '"99999999999999999999d"', "5000-01-01"),
    *(*(f'"{time}"' for time in TIMES), *TIMES, 5000 * "9", "{ a = { a = 1 } }", "[[[]]]"),
    *(500 * "[" + 500 * "]", 5000 * "[", 500 * "{a=", '"\\ud800"', '"""', "'\\'"),
    *map(json.dumps, NAMES),
)


def toml(random: Random) -> bytes:
    """A configuration in which some values, keys or lines are others."""
    lines = list(LINES)
    for _ in range(random.choice((0, 1, 1, 3))):
        at = random.randrange(len(lines))
        key, equals, _ = lines[at].partition("=")
        if equals and random.random() < 0.7:
            lines[at] = f"{key}= {random.choice(VALUES)}"
        else:
            name = random.choice(NAMES)
            other = (f"{json.dumps(name)} = 1", f"[{json.dumps(name)}]", "", random.choice(LINES))
            lines[at] = random.choice(other)
    text = "\n".join(lines).encode("utf-8", "surrogatepass")
    return torn(random, text) if random.random() < 0.3 else text


def test_a_configuration_is_read_or_refused(tmp_path):
    file, known = tmp_path / "agent.toml", discover(checks)

    def read(text: bytes) -> None:
        file.write_bytes(text)
        read = config.load(file)
        assert 0.1 <= read.interval <= 366 * 86_400
        assert rules(known, read)

    taken, refused = survives("config", toml, read, (ConfigError,), 0.02)
    assert taken > 0
    assert refused > 0


CONTEXT: dict[str, Any] = {
    "description": "East",
    "url": "nats://127.0.0.1:4222,tls://[::1]:4222",
    "user": "sys",
    "password": "pw",
    "token": "",
    "creds": "$HOME/sys.creds",
    "nkey": "",
    "cert": "~/cert.pem",
    "key": "file:///key.pem",
    "ca": "",
    "nsc": "",
    "user_jwt": "env://JWT",
    "tls_first": True,
    "inbox_prefix": "_INBOX.insights",
    "socks_proxy": "",
}
REFERENCES = (
    "data:;base64,",
    "data:;base64,eHg=",
    "data:x",
    "file://",
    "env://",
    "op://",
    "nsc://",
)
URLS = (
    "nats://",
    "nats://a:b@c:d",
    "tls://[::1",
    "nats://h:99999",
    "nats://@",
    "ws://h",
    "a b",
    ",",
)


def context(random: Random) -> bytes:
    """A file of a context of the `nats` CLI, changed."""
    some = random.sample(sorted(CONTEXT), random.randrange(len(CONTEXT)))
    given = {key: CONTEXT[key] for key in some}
    if random.random() < 0.5:
        given["url"] = random.choice((*URLS, *(f"nats://{name}:1" for name in NAMES)))
    if given and random.random() < 0.5:
        given[random.choice(sorted(given))] = random.choice((*REFERENCES, strange(random)))
    payload = changed(random, given)
    return torn(random, payload) if random.random() < 0.2 else payload


def test_a_context_is_read_or_refused(tmp_path):
    file = tmp_path / "east.json"
    environ = {"HOME": str(tmp_path), "JWT": "x.y.z"}

    def read(text: bytes) -> None:
        file.write_bytes(text)
        made = settings({"context": str(file)}, environ, tmp_path)
        assert made.servers

    taken, refused = survives("context", context, read, (ConfigError,), 0.03)
    assert taken > 0
    assert refused > 0


def test_credentials_are_read_or_refused(tmp_path):
    user = Operator().account("A").user("u")
    file = tmp_path / "u.creds"
    body = user.jwt.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(body + "==="))

    def make(random: Random) -> bytes:
        text = user.creds.encode()
        if random.random() < 0.5:
            said = random.choice((*6 * (changed(random, claims),), *TOKENS.values()))
            other = base64.urlsafe_b64encode(said).rstrip(b"=")
            text = text.replace(body.encode(), other)
        if random.random() < 0.2:
            text = random.choice((user.jwt, user.key.seed, "", *TOKENS)).encode()
        return torn(random, text) if random.random() < 0.5 else text

    def read(text: bytes) -> None:
        file.write_bytes(text)
        field = "nkey" if b"JWT" not in text else "creds"
        assert login(Settings(**{field: str(file)}), URL).options

    taken, refused = survives("creds", make, read, (ConnectError,), 0.02)
    assert taken > 0
    assert refused > 0
