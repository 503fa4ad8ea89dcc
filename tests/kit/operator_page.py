"""The commands of docs/operator-mode.md, and a place where they can be run."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from kit.programs import program

PAGE = Path(__file__).parents[2] / "docs" / "operator-mode.md"
WAYS = ("With the nats CLI", "With nsc")


def blocks(*headings: str) -> Iterator[str]:
    """The commands below these headings, block by block."""
    for section in re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE):
        if section.partition("\n")[0] in headings:
            yield from re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


def workplace(directory: Path, way: str, nats_server: Path) -> tuple[Path, dict[str, str]]:
    """A home without anything, and the environment in which the commands of a way are found.

    The test is skipped where the programs of that way are not on this machine: `NATS_CLI` and `NSC`
    name them, and they are else looked for on PATH.
    """
    programs = {"nats": program("NATS_CLI", "nats"), "nats-server": nats_server}
    if way == "With nsc":
        programs["nsc"] = program("NSC", "nsc")
    programs["nats-insights"] = Path(sys.executable).parent / "nats-insights"
    return home_with(directory, programs)


def home_with(directory: Path, programs: Mapping[str, Path]) -> tuple[Path, dict[str, str]]:
    """A home without anything, and the environment in which it has these programs."""
    tools, home = directory / "bin", directory / "home"
    tools.mkdir()
    home.mkdir()
    for name, path in programs.items():
        (tools / name).symlink_to(path)
    # A home in the password database would be used without the three variables.
    environment = {"HOME": str(home), "PATH": f"{tools}:/usr/bin:/bin"}
    for variable in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        environment[variable] = str(home / variable)
    return home, environment
