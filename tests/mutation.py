"""Changes the pure rooms in one place at a time, and sees whether a pure test notices.

    pytest -m pure --cov --cov-context=test     # Writes down which test runs which line.
    python -m tests.mutation                    # Judges a sample of all mutants.
    python -m tests.mutation judge/audit.py     # Judges all mutants of these files.

A mutant is the source with one comparison, boolean, arithmetic operator or constant changed, one
condition negated or one statement left out; not so a pause (`yield`), nor how often one is made.
The sample is the same as long as the source is: a change of one line changes the mutants of that
line only. Settings: `[tool.mutation]` in pyproject.toml. Mutants that change nothing stand in
`equivalent_mutants.txt`, one a line, as this program prints them.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import importlib.abc
import importlib.util
import os
import re
import signal
import sys
import time
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest
from coverage import CoverageData

# Imported before the first fork, so that the tests of a mutant start at once.
import hypothesis  # isort: skip
import jsonschema_rs  # noqa: F401  # isort: skip
import nats  # noqa: F401  # isort: skip
import uvloop  # noqa: F401  # isort: skip

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "agent" / "nats_insights"
EQUIVALENT = Path(__file__).with_name("equivalent_mutants.txt")
# Longer than all pure tests take, of processor and in all: whoever needs more does not end.
BUSY_SECONDS, ALARM_SECONDS = 60, 240

OPERATORS: dict[type[ast.AST], tuple[str, str]] = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
    ast.And: ("and", "or"),
    ast.Or: ("or", "and"),
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"),
    ast.Mod: ("%", "*"),
    ast.BitOr: ("|", "&"),
    ast.BitAnd: ("&", "|"),
}
REMOVED = (ast.Expr, ast.AugAssign, ast.Delete, ast.Raise, ast.Break, ast.Continue)


@dataclass(frozen=True)
class Mutant:
    """One change of one file: `old`, at byte `start` of its source, becomes `new`."""

    path: str  # Below the package.
    line: int
    lines: tuple[int, ...]  # Those by which tests are found that may notice.
    text: str  # The line as it is.
    start: int
    old: str
    new: str

    def __str__(self) -> str:
        shown = " ".join(self.old.split())
        return f"{self.path} | {self.text} | {shown} -> {self.new}"

    @property
    def module(self) -> str:
        return ".".join(("nats_insights", *Path(self.path).with_suffix("").parts))

    def source(self) -> bytes:
        whole = (PACKAGE / self.path).read_bytes()
        end = self.start + len(self.old.encode())
        return whole[: self.start] + self.new.encode() + whole[end:]


def mutants(path: str, source: str) -> list[Mutant]:
    """All mutants of the source of the file at `path`, in its order."""
    return list(_Changes(path, source.encode()).of_body(ast.parse(source)))


class _Changes:
    """Walks the tree of one file."""

    def __init__(self, path: str, source: bytes) -> None:
        self._path = path
        self._source = source
        self._lines = source.splitlines(keepends=True)
        self._offsets = [0]
        for line in self._lines:
            self._offsets.append(self._offsets[-1] + len(line))

    def of_body(self, tree: ast.Module) -> Iterator[Mutant]:
        for statement in _changeable(tree):
            assert isinstance(statement, ast.stmt)
            yield from self._of(statement, statement)

    def _of(self, node: ast.AST, statement: ast.stmt) -> Iterator[Mutant]:
        if isinstance(node, ast.stmt):
            statement = node
            yield from self._of_statement(node)
        yield from self._of_expression(node, statement)
        for child in _changeable(node):
            yield from self._of(child, statement)

    def _of_statement(self, node: ast.stmt) -> Iterator[Mutant]:
        removed = isinstance(node, REMOVED) or (
            isinstance(node, ast.Assign)
            and all(isinstance(target, ast.Attribute | ast.Subscript) for target in node.targets)
        )
        if removed and not _is_text(node) and not _is_pause(node):
            yield self._mutant(node, self._start(node), self._end(node), "pass")
        if isinstance(node, ast.Return) and node.value is not None and not _is_false(node.value):
            yield self._mutant(node, self._start(node.value), self._end(node.value), "None")

    def _of_expression(self, node: ast.AST, statement: ast.stmt) -> Iterator[Mutant]:
        if isinstance(node, ast.Compare):
            terms = [node.left, *node.comparators]
            for operator, left, right in zip(node.ops, terms, terms[1:], strict=False):
                yield from self._operator(operator, left, right, statement)
        elif isinstance(node, ast.BoolOp):
            for left, right in zip(node.values, node.values[1:], strict=False):
                yield from self._operator(node.op, left, right, statement)
        elif isinstance(node, ast.BinOp):
            yield from self._operator(node.op, node.left, node.right, statement)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            yield self._mutant(statement, self._start(node), self._start(node) + len("not"), "")
        elif isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float):
            other = not node.value if isinstance(node.value, bool) else node.value + 1
            yield self._mutant(statement, self._start(node), self._end(node), repr(other))
        if isinstance(node, ast.If | ast.IfExp | ast.While):
            conditions = [node.test]
        else:
            conditions = node.ifs if isinstance(node, ast.comprehension) else []
        for condition in conditions:
            if isinstance(condition, ast.Name | ast.Attribute | ast.Call | ast.NamedExpr):
                start, end = self._start(condition), self._end(condition)
                text = self._source[start:end].decode()
                yield self._mutant(statement, start, end, f"(not ({text}))")

    def _operator(
        self, operator: ast.AST, left: ast.expr, right: ast.expr, statement: ast.stmt
    ) -> Iterator[Mutant]:
        if type(operator) not in OPERATORS:
            return
        old, new = OPERATORS[type(operator)]
        start, end = self._end(left), self._start(right)
        pattern = rf"\b{old.replace(' ', '[ ]+')}\b" if old[0].isalpha() else re.escape(old)
        if found := re.search(pattern.encode(), self._source[start:end]):
            yield self._mutant(statement, start + found.start(), start + found.end(), new)

    def _mutant(self, statement: ast.stmt, start: int, end: int, new: str) -> Mutant:
        line = self._source.count(b"\n", 0, start) + 1
        text = self._lines[line - 1].decode().strip()
        old = self._source[start:end].decode()
        lines = tuple(sorted({line, statement.lineno}))
        return Mutant(self._path, line, lines, text, start, old, new)

    def _start(self, node: ast.stmt | ast.expr) -> int:
        return self._offsets[node.lineno - 1] + node.col_offset

    def _end(self, node: ast.stmt | ast.expr) -> int:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self._offsets[node.end_lineno - 1] + node.end_col_offset


def _changeable(node: ast.AST) -> Iterator[ast.AST]:
    """The parts of a node that say what the program does."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list"):
            continue
        if name == "keywords" and isinstance(node, ast.ClassDef):
            continue  # How a Struct is laid out.
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not _is_left_alone(child):
                yield child


def _is_left_alone(node: ast.AST) -> bool:
    """Whether a change of it is none of the program, or has no position of its own."""
    if isinstance(node, ast.AnnAssign):
        return isinstance(node.annotation, ast.Name) and node.annotation.id == "TypeAlias"
    if isinstance(node, ast.If):
        return ast.unparse(node.test) == "TYPE_CHECKING" or all(map(_is_pause, node.body))
    if isinstance(node, ast.keyword):
        return node.arg == "strict"  # Of `zip`: it guards against slips that are not there.
    # What stands in a formatted string has no position before Python 3.12.
    return isinstance(node, ast.JoinedStr | ast.Assert)


def _is_pause(node: ast.stmt) -> bool:
    """Whether it is a `yield` of nothing, at which others may have their turn."""
    value = node.value if isinstance(node, ast.Expr) else None
    return isinstance(value, ast.Yield) and value.value is None


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_false(node: ast.expr) -> bool:
    """Whether it is a constant that is as false as None."""
    if isinstance(node, ast.Tuple | ast.List | ast.Dict):
        return ast.unparse(node) in ("()", "[]", "{}")
    return isinstance(node, ast.Constant) and not node.value


class Noticing:
    """Which tests run which lines, as the last run with coverage wrote it down."""

    def __init__(self, file: Path) -> None:
        if not file.exists():
            sys.exit("first: pytest -m pure --cov --cov-context=test")
        self._data = CoverageData(str(file))
        self._data.read()
        self._by_path: dict[str, Mapping[int, list[str]]] = {}

    def tests(self, mutant: Mutant) -> set[str]:
        """The node ids of the tests that run one of its lines.

        What runs once, when the module is imported, is noticed by any test that uses the module.
        """
        if mutant.path not in self._by_path:
            path = str(PACKAGE / mutant.path)
            self._by_path[mutant.path] = self._data.contexts_by_lineno(path)
        by_line = self._by_path[mutant.path]
        for lines in (mutant.lines, by_line):
            contexts = {context for line in lines for context in by_line.get(line, ())}
            if tests := {context.rpartition("|")[0] for context in contexts if context}:
                return tests
        return set()


class _Only:
    """Runs these tests, those that bear the module's name first."""

    def __init__(self, tests: set[str], name: str) -> None:
        self._tests = tests
        self._name = name

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        chosen = [item for item in items if item.nodeid in self._tests]
        items[:] = sorted(chosen, key=lambda item: (self._name not in item.nodeid, item.location))


class _Instead(importlib.abc.SourceLoader, importlib.abc.MetaPathFinder):
    """Imports the mutant in the place of its module."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != self._mutant.module:
            return None
        return importlib.util.spec_from_file_location(name, self.get_filename(name), loader=self)

    def get_filename(self, name: str) -> str:
        return str(PACKAGE / self._mutant.path)

    def get_data(self, path: str | bytes) -> bytes:
        return self._mutant.source()


def run(mutant: Mutant, tests: set[str]) -> int:
    """Runs tests against a mutant, in a process made for it; the exit code of pytest."""
    # By default these signals end the process.
    signal.setitimer(signal.ITIMER_PROF, BUSY_SECONDS)
    signal.alarm(ALARM_SECONDS)
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    sys.meta_path.insert(0, _Instead(mutant))
    sys.dont_write_bytecode = True
    hypothesis.settings.register_profile(
        "mutants", database=None, derandomize=True, phases=[hypothesis.Phase.generate]
    )
    files = sorted({test.partition("::")[0] for test in tests})
    options = ["-x", "-q", "-n0", "--no-cov", "--timeout=0", "-p", "no:cacheprovider"]
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # Hypothesis is there already.
    only = _Only(tests, Path(mutant.path).stem)
    return pytest.main([*options, "--hypothesis-profile=mutants", *files], plugins=[only])


def survivors(
    sample: Iterable[Mutant], noticing: Noticing, deadline: float, told: bool = True
) -> tuple[list[Mutant], int]:
    """The mutants that no test noticed, and how many were judged before the deadline."""
    waiting = list(sample)[::-1]
    running: dict[int, Mutant] = {}
    lived: list[Mutant] = []
    judged = 0
    while running or (waiting and time.monotonic() < deadline):
        while waiting and len(running) < (os.cpu_count() or 1) and time.monotonic() < deadline:
            mutant = waiting.pop()
            tests = noticing.tests(mutant)
            if pid := os.fork():
                running[pid] = mutant
            else:
                os._exit(run(mutant, tests) if tests else 0)
        if running:
            pid, status = os.wait()
            mutant, judged = running.pop(pid), judged + 1
            code = os.waitstatus_to_exitcode(status)
            if code in (pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.NO_TESTS_COLLECTED):
                sys.exit(f"no tests for {mutant}: run them with coverage again")
            if code == 0:
                lived.append(mutant)
                if told:
                    print(f"survived, line {mutant.line}:\n{mutant}", flush=True)
    return lived, judged


def sampled(every: Iterable[Mutant], count: int) -> list[Mutant]:
    """So many of them, by a hash of what they are: the same from run to run."""
    return sorted(every, key=lambda one: hashlib.sha256(str(one).encode()).digest())[:count]


def main() -> int:
    """0 if the share of mutants that tests noticed is as large as it must be."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mutation"]
    options = argparse.ArgumentParser(description="Judges mutants of the pure rooms.")
    options.add_argument("paths", nargs="*", help="files of the package: all of their mutants")
    options.add_argument("--count", type=int, default=settings["count"])
    options.add_argument("--seconds", type=float, default=settings["seconds"])
    given = options.parse_args()
    os.chdir(ROOT)
    in_rooms = [
        file for room in settings["rooms"] for file in sorted((PACKAGE / room).glob("*.py"))
    ]
    files = [PACKAGE / path for path in given.paths] or in_rooms
    equivalent = set(EQUIVALENT.read_text().splitlines())
    every = [
        mutant
        for file in files
        for mutant in mutants(str(file.relative_to(PACKAGE)), file.read_text())
        if str(mutant) not in equivalent
    ]
    sample = every if given.paths else sampled(every, given.count)
    seconds = float("inf") if given.paths else given.seconds
    noticing = Noticing(ROOT / ".coverage")
    unchanged = [replace(sample[0], new=sample[0].old)]
    if not survivors(unchanged, noticing, float("inf"), told=False)[0]:
        sys.exit(f"the tests of {sample[0].path} fail on the source as it is")
    lived, judged = survivors(sample, noticing, time.monotonic() + seconds)
    share = 1 - len(lived) / judged
    print(f"{share:.1%} of {judged} mutants were noticed, of {len(every)} that there are")
    return 0 if share >= settings["least"] else 1


if __name__ == "__main__":
    sys.exit(main())
