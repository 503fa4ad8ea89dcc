"""The flow is the import order: each room knows only those that come before it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import nats_insights

ROOT = Path(nats_insights.__file__).parent

# The rooms, in the order of the flow; a new room takes its place after all that it imports.
ORDER = (
    *("errors", "text", "config", "subjects", "facts"),
    *("connection", "replies", "gather", "model", "judge", "check", "checks", "tell"),
    *("testing", "agent", "lab", "commands", "__main__"),
)
PURE = (
    *("errors", "text", "config", "subjects", "facts"),
    *("replies", "model", "judge", "check", "checks", "tell"),
)

OUTSIDE = {"asyncio", "nats", "os", "random", "socket", "subprocess", "threading", "time", "uvloop"}
# A reply says when it was made; nothing else that is pure knows what time it is.
ALLOWED = {"tell": {"time"}}


@cache
def modules() -> list[str]:
    """Modules and packages of `nats_insights`, as their first name."""
    files = {path.stem for path in ROOT.glob("*.py")} - {"__init__"}
    return sorted(files | {path.parent.name for path in ROOT.glob("*/__init__.py")})


def sources(module: str) -> list[Path]:
    """The files of a module, or of a package."""
    path = ROOT / f"{module}.py"
    return [path] if path.exists() else sorted((ROOT / module).rglob("*.py"))


@cache
def imports(module: str) -> frozenset[str]:
    """The dotted names that its files import while they run."""
    return frozenset(name for source in sources(module) for name in _imported(source))


def _imported(source: Path) -> Iterator[str]:
    package = (nats_insights.__name__, *source.relative_to(ROOT).parent.parts)
    tree = ast.parse(source.read_text())
    for node in _run(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else ()
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _run(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        yield child
        yield from _run(child)


def own(module: str) -> set[str]:
    """The modules of the package that a module imports."""
    parts = [name.split(".") for name in imports(module)]
    return {p[1] for p in parts if p[0] == "nats_insights" and p[1] in modules()} - {module}


def test_every_module_has_its_place():
    assert modules() == sorted(ORDER)


def test_each_module_imports_only_what_comes_before_it():
    later = {module: own(module) - set(ORDER[: ORDER.index(module)]) for module in ORDER}
    assert {module: names for module, names in later.items() if names} == {}


def test_what_is_pure_neither_reaches_out_nor_looks_at_a_clock():
    reached = {
        module: {name.split(".")[0] for name in imports(module)} & OUTSIDE for module in PURE
    }
    assert {module: names for module, names in reached.items() if names} == ALLOWED


def test_what_is_pure_asks_no_date_for_the_time():
    texts = {module: "".join(path.read_text() for path in sources(module)) for module in PURE}
    calls = (".now(", ".utcnow(", ".today(")
    assert [module for module, text in texts.items() if any(call in text for call in calls)] == []


def test_nothing_imports_the_source_root():
    assert [m for m in ORDER if any(name.split(".")[0] == "agent" for name in imports(m))] == []


def test_a_check_imports_its_one_face_and_nothing_else():
    assert own("checks") == {"check"}


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_the_flow_is_drawn_as_rooms_import_one_another(page):
    text = (ROOT.parents[1] / page).read_text()
    (drawn,) = re.findall(r"```\n(connection > .*)\n", text)
    rooms = drawn.split(" > ")
    assert rooms == [room for room in ORDER if room in rooms]
