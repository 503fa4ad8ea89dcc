"""A check that is declared wrong is refused when it is imported, and says what is wrong."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

from nats_insights.errors import DeclarationError
from nats_insights.judge.declare import discover

GOOD = '''
"""A module."""
from typing import Annotated
import msgspec
from nats_insights.check import VARZ, INFO, Params, Server, check, fold, limit

class Some(Params, frozen=True):
    most: Annotated[int, limit("connections", ge=1, description="that a server may have")] = 5

@check("TEST_001", INFO, "health", needs=(VARZ,))
def a_condition(server: Server, params: Some):
    """A server is in a condition.

    Finds: a server.

    Why: it is one.

    Do: nothing about {server}.
    """
'''
BAD = {
    "a code in lower case": ('"TEST_001"', '"test_001"', "'test_001' is not a code"),
    "a code without a number": ('"TEST_001"', '"TEST"', "'TEST' is not a code"),
    "no noun": ("server: Server", "server: int", "must be annotated with a noun"),
    "a noun or none": ("server: Server", "server: Server | None", "annotated with a noun"),
    "no endpoint": ("needs=(VARZ,)", 'needs=("VARZ",)', "TEST_001: needs has 'VARZ', which is no"),
    "no docstring": ('"""A server is', '_ = """A server is', "lacks the paragraph 'Finds'"),
    "no Finds": ("Finds: a server.", "", "a_condition: its docstring lacks the paragraph 'Finds'"),
    "an empty Why": ("Why: it is one.", "Why:", "lacks the paragraph 'Why'"),
    "no Do": ("    Do: nothing about {server}.\n", "", "lacks the paragraph 'Do'"),
    "a parameter without a bound": ("ge=1, ", "", "lacks its description or its bounds"),
    "a parameter without a description": (
        ', description="that a server may have"',
        "",
        "lacks its description or its bounds",
    ),
    "a parameter with bounds that are no limit": (
        'limit("connections", ge=1, description="that a server may have")',
        'msgspec.Meta(ge=1, description="that a server may have")',
        "parameter 'most' is not annotated with limit(...)",
    ),
    "a parameter without a limit": (
        'Annotated[int, limit("connections", ge=1, description="that a server may have")]',
        "int",
        "parameter 'most' is not annotated with limit(...)",
    ),
}


def test_a_good_check_is_declared(tmp_path):
    check = declared(tmp_path, GOOD).a_condition
    assert (check.title, check.finds, check.why, check.do) == (
        "A server is in a condition",
        "A server.",
        "It is one.",
        "Nothing about {server}.",
    )


@pytest.mark.parametrize(("right", "wrong", "expected"), BAD.values(), ids=BAD)
def test_a_bad_check_is_refused_when_it_is_imported(tmp_path, right, wrong, expected):
    assert right in GOOD
    with pytest.raises(DeclarationError, match=re.escape(expected)):
        declared(tmp_path, GOOD.replace(right, wrong))


def declared(tmp_path: Path, source: str) -> Any:
    """A check file with this source, imported."""
    path = tmp_path / "a_condition.py"
    path.write_text(source, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("a_condition", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TWINS = {
    "one_code": (("one", "TEST_001"), ("other", "TEST_001"), "TEST_001 other"),
    "one_name": (("twin", "TEST_001"), ("twin", "TEST_002"), "TEST_002 twin"),
}


@pytest.mark.parametrize("of", TWINS)
def test_two_checks_are_refused_that_are(of, tmp_path, monkeypatch):
    *twins, expected = TWINS[of]
    package = tmp_path / of
    package.mkdir()
    (package / "__init__.py").touch()
    for file, (name, code) in zip("ab", twins, strict=True):
        source = GOOD.replace("a_condition", name).replace("TEST_001", code)
        (package / f"{file}.py").write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DeclarationError, match=f"{expected} is declared twice"):
        discover(importlib.import_module(of))


def test_a_check_that_another_file_imports_is_one_check(tmp_path, monkeypatch):
    package = tmp_path / "shared"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "a.py").write_text(GOOD, encoding="utf-8")
    (package / "b.py").write_text("from shared.a import a_condition", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    found = discover(importlib.import_module("shared"))
    assert [check.code for check in found] == ["TEST_001"]
