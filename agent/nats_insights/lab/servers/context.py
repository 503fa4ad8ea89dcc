"""Contexts of the `nats` CLI for the users of a system on this machine."""

from __future__ import annotations

import json
import os
from pathlib import Path

from nats_insights.lab.servers.local import System


def context_file(system: System, user: str, server: str) -> Path:
    """A context file by which a user connects to one server; only its owner can read it.

    It is in the directory of the servers' own files and is deleted with them. So is the file with
    credentials that it names in operator mode.
    """
    login = system.login(user)
    path = system[server].log.with_name(f"{user}.json")
    context = {"url": system[server].url}
    if login.signed is None:
        context |= {"user": login.user, "password": login.password}
    else:
        context["creds"] = str(path.with_suffix(".creds"))
        _write(path.with_suffix(".creds"), login.signed.creds)
    _write(path, json.dumps(context))
    return path


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
