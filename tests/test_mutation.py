"""The mutants of a source: one small change each, and none of what is not the program."""

from __future__ import annotations

import ast

import pytest
from tests.mutation import PACKAGE, mutants, sampled


@pytest.mark.parametrize(
    ("source", "changes"),
    [
        ("x = a < b", [("<", "<=")]),
        ("x = a < b == c", [("<", "<="), ("==", "!=")]),
        ("x = a is not b", [("is not", "is")]),
        ("x = (a\n  not in b)", [("not in", "in")]),
        ("x = a and (b or c)", [("and", "or"), ("or", "and")]),
        ("x = a + b * c", [("+", "-"), ("*", "/")]),
        ("x = not (a)", [("not", "")]),
        ("x = 7, True, 0.5", [("7", "8"), ("True", "False"), ("0.5", "1.5")]),
        ("x = [a for a in b if a]", [("a", "(not (a))")]),
        ("if a.b: c.d = e", [("a.b", "(not (a.b))"), ("c.d = e", "pass")]),
        ("for a in b:\n  a()\n  break", [("a()", "pass"), ("break", "pass")]),
        ("def f(): return a", [("a", "None")]),
        ("# ÄÖ\nx = 'ü', a >= b", [(">=", ">")]),
    ],
)
def test_a_mutant_is_one_small_change(source, changes):
    assert [(one.old, one.new) for one in mutants("f.py", source)] == changes


@pytest.mark.parametrize(
    "source",
    [
        '"""A text."""',
        "x: int | None = a",
        "X: TypeAlias = int | None",
        "class A(Struct, frozen=True): pass",
        "@d(1)\ndef f(a: B | None) -> C | None: yield",
        "if TYPE_CHECKING: import a",
        "assert a < b",
        "x = f'{a + 1}'",
        "x = zip(a, b, strict=True)",
        "def f(): return ()",
        "def f():\n  if a % 7 == 0: yield",
    ],
)
def test_what_is_not_the_program_has_no_mutants(source):
    assert mutants("f.py", source) == []


def test_every_mutant_of_a_module_is_a_program_unlike_it():
    path = "judge/lifecycle.py"
    source = (PACKAGE / path).read_text()
    every = mutants(path, source)
    assert len(every) > 50
    for mutant in every:
        assert ast.dump(ast.parse(mutant.source())) != ast.dump(ast.parse(source))


def test_a_new_line_changes_the_sample_by_its_own_mutants_only():
    lines = [f"x{number} = a{number} < b" for number in range(100)]
    before, after = (
        {str(one) for one in sampled(mutants("f.py", "\n".join(text)), 50)}
        for text in (lines, ["y = a and b", *lines])
    )
    assert len(before) == 50
    assert len(before - after) <= 1
