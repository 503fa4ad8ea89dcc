"""A check that is declared wrong is refused when it is found, with the file and what is wrong."""

from __future__ import annotations

import importlib
import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from nats_insights import checks
from nats_insights.check import VARZ
from nats_insights.errors import DeclarationError
from nats_insights.judge.declare import INFO, Check, Finding, Params, discover
from scenario import Story, cluster, found, system

GOOD = '''"""A module."""
from __future__ import annotations
from typing import Annotated
from nats_insights.check import *

class Some(Params, frozen=True):
    most: Annotated[int, limit("connections", ge=1, description="that a server may have")] = 5

class Others(Params, frozen=True):
    most: Annotated[int, limit("rows", ge=1, description="that a server may have")] = 5

@fold("name")
def by_name(rows: list[Connection], tally: Tally, params: Others) -> None:
    """Rows by name."""

@check("TEST_001", INFO, "health", needs=(VARZ,))
def a_condition(server: Server, params: Some) -> Finding | None:
    """A server is in a condition.

    Finds: a server.

    Why: it is one.

    Do: nothing about {server}.
    """
'''
NEEDS = "needs=(VARZ,)"
LIMIT = 'limit("connections", ge=1, description="that a server may have")'
THE_CHECK = "TEST_001 a_condition"

# What is written instead of what, and the sentence that answers it after the file and the line.
MISTAKES = {
    "a code in lower case": (
        '"TEST_001"',
        '"test_001"',
        "16: test_001 a_condition: its code is not one such as OPT_BALANCE_002",
    ),
    "a code without a number": (
        '"TEST_001"',
        '"TEST"',
        "16: TEST a_condition: its code is not one such as OPT_BALANCE_002",
    ),
    "a code that is no text": (
        '"TEST_001"',
        "1",
        "16: 1 a_condition: its code is not one such as OPT_BALANCE_002",
    ),
    "a severity in quotes": (
        "INFO,",
        '"info",',
        f"16: {THE_CHECK}: severity is INFO, WARNING or CRITICAL, not 'info'",
    ),
    "a misspelt category": (
        '"health"',
        '"helth"',
        f"16: {THE_CHECK}: there is no category 'helth'; did you mean 'health'?",
    ),
    "a category that is like none": (
        '"health"',
        '"zzz"',
        f"16: {THE_CHECK}: there is no category 'zzz'; it is one of health, performance, "
        "consistency, saturation, errors, change",
    ),
    "a misspelt ranking of clients": (
        NEEDS,
        f'{NEEDS}, clients="conections"',
        f"16: {THE_CHECK}: there is no clients 'conections'; did you mean 'connections'?",
    ),
    "the ranking of clients by its old name": (
        NEEDS,
        f'{NEEDS}, explain="connections"',
        "16: TypeError: check() got an unexpected keyword argument 'explain'",
    ),
    "settling for a time": (
        NEEDS,
        f"{NEEDS}, settle=120",
        f"16: {THE_CHECK}: settle is True or False, not 120",
    ),
    "news by a word": (
        NEEDS,
        f'{NEEDS}, news="no"',
        f"16: {THE_CHECK}: news is True or False, not 'no'",
    ),
    "opening after no evaluation": (
        NEEDS,
        f"{NEEDS}, open_after=0",
        f"16: {THE_CHECK}: open_after is a number of evaluations from 1, not 0",
    ),
    "resolving after half an evaluation": (
        NEEDS,
        f"{NEEDS}, resolve_after=1.5",
        f"16: {THE_CHECK}: resolve_after is a number of evaluations from 1, not 1.5",
    ),
    "a misspelt limit to be above": (
        NEEDS,
        f'{NEEDS}, above="mst"',
        f"16: {THE_CHECK}: above='mst' is refused: did you mean 'most'?",
    ),
    "no needs": (
        f", {NEEDS}",
        "",
        "16: TypeError: check() missing 1 required keyword-only argument: 'needs'",
    ),
    "one need in place of several": (
        NEEDS,
        'needs="VARZ"',
        f"16: {THE_CHECK}: needs is a sequence, such as needs=('VARZ',)",
    ),
    "an endpoint in quotes": (
        NEEDS,
        'needs=("VARS",)',
        f"16: {THE_CHECK}: needs has 'VARS', which is no endpoint, fold, worst rows or past figure",
    ),
    "a noun that is none": (
        "server: Server",
        "server: int",
        f"16: {THE_CHECK}: 'server' must be annotated with a noun, such as Server",
    ),
    "a noun or none": (
        "server: Server",
        "server: Server | None",
        f"16: {THE_CHECK}: 'server' must be annotated with a noun, such as Server",
    ),
    "any noun": (
        "server: Server",
        "server: Noun",
        f"16: {THE_CHECK}: 'server' must be annotated with a noun, such as Server",
    ),
    "no annotations": (
        "(server: Server, params: Some)",
        "(server, params)",
        f"16: {THE_CHECK}: 'server' must be annotated with a noun, such as Server",
    ),
    "parameters without an annotation": (
        "params: Some",
        "params",
        f"16: {THE_CHECK}: 'params' must be annotated with a class made of Params",
    ),
    "parameters that are no Params": (
        "params: Some",
        "params: dict",
        f"16: {THE_CHECK}: 'params' must be annotated with a class made of Params",
    ),
    "an annotation that nobody imported": (
        "server: Server",
        "server: Serwer",
        f"16: {THE_CHECK}: its annotations cannot be read: name 'Serwer' is not defined",
    ),
    "no argument": (
        "(server: Server, params: Some)",
        "()",
        f"16: {THE_CHECK}: it takes a noun and its parameters, not 0 arguments",
    ),
    "a third argument": (
        "params: Some)",
        "params: Some, past: int)",
        f"16: {THE_CHECK}: it takes a noun and its parameters, not 3 arguments",
    ),
    "no docstring": (
        '    """A server is',
        '    _ = """A server is',
        f"16: {THE_CHECK}: its docstring lacks the paragraph 'Finds'",
    ),
    "a misspelt paragraph": (
        "Finds: a server.",
        "Find: a server.",
        f"16: {THE_CHECK}: its docstring lacks the paragraph 'Finds'",
    ),
    "an empty Why": (
        "Why: it is one.",
        "Why:",
        f"16: {THE_CHECK}: its docstring lacks the paragraph 'Why'",
    ),
    "no Do": (
        "    Do: nothing about {server}.\n",
        "",
        f"16: {THE_CHECK}: its docstring lacks the paragraph 'Do'",
    ),
    "a title that is an order": (
        "A server is in a condition",
        "Check for a condition",
        f"16: {THE_CHECK}: its title 'Check for a condition' is not a condition such as "
        "'A server does not answer'",
    ),
    "a title in lower case": (
        "A server is in a condition",
        "a server is in a condition",
        f"16: {THE_CHECK}: its title 'a server is in a condition' is not a condition such as "
        "'A server does not answer'",
    ),
    "a name that the noun does not have": (
        "{server}.",
        "{sever}.",
        f"16: {THE_CHECK}: its Do names {{sever}}, but a server has {{cluster}}, {{server}}",
    ),
    "a parameter without a bound": (
        "ge=1, description",
        "description",
        f"16: {THE_CHECK}: class Some: a limit in 'connections' needs one or more of "
        "ge, gt, le, lt as bounds",
    ),
    "a parameter with a bound that is none": (
        'limit("connections", ge=1',
        'limit("connections", gte=1',
        f"16: {THE_CHECK}: class Some: a limit in 'connections' needs one or more of "
        "ge, gt, le, lt as bounds",
    ),
    "a parameter without a description": (
        f"{LIMIT}] = 5\n\nclass Others",
        'limit("connections", ge=1)] = 5\n\nclass Others',
        f"16: {THE_CHECK}: class Some: a number lacks its description",
    ),
    "a parameter with bounds that are no limit": (
        LIMIT,
        '__import__("msgspec").Meta(ge=1, description="that a server may have")',
        f"16: {THE_CHECK}: parameter 'most' is not annotated with limit(...), duration(...), "
        "choice(...), text(...) or flag(...)",
    ),
    "a parameter without a limit": (
        f"Annotated[int, {LIMIT}]",
        "int",
        f"16: {THE_CHECK}: parameter 'most' is not annotated with limit(...), duration(...), "
        "choice(...), text(...) or flag(...)",
    ),
    "a parameter without a default": (
        f"{LIMIT}] = 5",
        f"{LIMIT}]",
        f"16: {THE_CHECK}: parameter 'most' has no default",
    ),
    "a limit that is text": (
        f"Annotated[int, {LIMIT}] = 5",
        f"Annotated[str, {LIMIT}] = ''",
        f"16: {THE_CHECK}: parameter 'most' is a number, not of type <class 'str'>",
    ),
    "a flag that is a number": (
        LIMIT,
        'flag(description="whether a server may")',
        f"16: {THE_CHECK}: parameter 'most' is a flag, not of type <class 'int'>",
    ),
    "a choice of one": (
        LIMIT,
        'choice("one")',
        f"16: {THE_CHECK}: class Some: a choice needs two words or more",
    ),
    "a default that is not among the choices": (
        f"Annotated[int, {LIMIT}] = 5",
        'Annotated[str, choice("mean", "median", description="of the servers")] = "man"',
        f"16: {THE_CHECK}: the value 'man' of most is refused: there is no man; did you mean mean?",
    ),
    "a default of another type": (
        f"{LIMIT}] = 5",
        f"{LIMIT}] = 'five'",
        f"16: {THE_CHECK}: the value 'five' of most is refused: 'five' is not a whole number",
    ),
    "a default out of its bounds": (
        f"{LIMIT}] = 5",
        f"{LIMIT}] = 0",
        f"16: {THE_CHECK}: the value 0 of most is refused: 0 is not allowed, it must be at least 1",
    ),
    "a profile out of its bounds": (
        "ge=1, description",
        "ge=1, insights=0, description",
        f"16: {THE_CHECK}: the value 0 of most is refused: 0 is not allowed, it must be at least 1",
    ),
    "a limit that is reached by no known side": (
        '"connections", ge=1',
        '"connections", "=>", ge=1',
        f"16: {THE_CHECK}: class Some: a limit is reached by >=, >, <= or <, not by '=>'",
    ),
    "a limit that tightens where more is worse": (
        "ge=1, description",
        "ge=1, clear=1.1, description",
        f"16: {THE_CHECK}: class Some: clear=1.1 of a limit by >= is refused: "
        "it is above 0 and up to 1",
    ),
    "a limit that tightens where less is worse": (
        '"connections", ge=1',
        '"connections", "<", ge=1, clear=0.9',
        f"16: {THE_CHECK}: class Some: clear=0.9 of a limit by < is refused: "
        "it is 1 or more where less is worse",
    ),
    "a limit with a severity in quotes": (
        "ge=1, description",
        "ge=1, severity='critical', description",
        f"16: {THE_CHECK}: class Some: severity is INFO, WARNING or CRITICAL, not 'critical'",
    ),
    "a fold that reads the parameters of another check": (
        NEEDS,
        "needs=(by_name,)",
        f"16: {THE_CHECK}: the fold by_name reads parameters of Others, not of Some: "
        "give it a fold of its own",
    ),
    "a fold by a parameter that has no order": (
        f"{NEEDS})\ndef a_condition(server: Server, params: Some)",
        "needs=(by_tag,))\ndef a_condition(server: Server, params: Tagged)",
        f"25: {THE_CHECK}: the fold by_tag is called with the loosest parameters in force "
        "anywhere, but 'tag' is no limit",
    ),
    "what rules out by a parameter that has no order": (
        f"{NEEDS})\ndef a_condition(server: Server, params: Some)",
        f"{NEEDS}, rules_out=lambda a, b: True)\ndef a_condition(server: Server, params: Tagged)",
        f"25: {THE_CHECK}: its rules_out is called with the loosest parameters in force "
        "anywhere, but 'tag' is no limit",
    ),
    "a fold of a field that rows do not have": (
        '@fold("name")',
        '@fold("nam")',
        "12: a connection row has no field 'nam'",
    ),
    "no check": (
        '@check("TEST_001", INFO, "health", needs=(VARZ,))\n',
        "",
        " declares no check: decorate its function, or begin the name of the file with an "
        "underscore",
    ),
    "a check that is named unlike its file": (
        "def a_condition(",
        "def another_condition(",
        " declares TEST_001 another_condition, whose file is another_condition.py",
    ),
    "an error of syntax": (
        "-> Finding | None:",
        "-> Finding | None",
        "17: SyntaxError: expected ':'",
    ),
    "an import of what does not exist": (
        "import *",
        "import *, Serwer",
        "4: SyntaxError: invalid syntax",
    ),
    "an import of a name that does not exist": (
        "import *\n",
        "import *\nfrom nats_insights.check import Serwer\n",
        "5: ImportError: cannot import name 'Serwer' from 'nats_insights.check'",
    ),
}
TAGGED = '''
class Tagged(Params, frozen=True):
    tag: Annotated[str, text(description="of the servers that it is about")] = ""

@fold("name")
def by_tag(rows: list[Connection], tally: Tally, params: Tagged) -> None:
    """Rows by tag."""


'''
Package = Callable[..., ModuleType]
numbers = itertools.count()


@pytest.fixture
def package(tmp_path, monkeypatch) -> Iterator[Package]:
    """`package(a_condition=source)`: an importable package of these files."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(**files: str) -> ModuleType:
        name = f"package_{next(numbers)}"
        write(tmp_path / name, files)
        return importlib.import_module(name)

    yield make
    for name in [name for name in sys.modules if name.startswith("package_")]:
        del sys.modules[name]


def write(folder: Path, files: dict[str, str]) -> None:
    folder.mkdir()
    (folder / "__init__.py").touch()
    for file, source in files.items():
        path = folder / f"{file}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(source, encoding="utf-8")


def named(name: str, code: str = "TEST_001") -> str:
    """The source of a good check with this name and code."""
    return GOOD.replace("a_condition", name).replace("TEST_001", code)


def test_a_good_check_is_declared(package):
    (check,) = discover(package(a_condition=GOOD))
    assert (check.code, check.name, check.title, check.finds, check.why, check.do) == (
        "TEST_001",
        "a_condition",
        "A server is in a condition",
        "A server.",
        "It is one.",
        "Nothing about {server}.",
    )


@pytest.mark.parametrize(("right", "wrong", "expected"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_answered_by_one_sentence_with_the_file(package, right, wrong, expected):
    source = GOOD.replace("@check", f"{TAGGED}@check") if "Tagged" in wrong else GOOD
    assert right in source
    bad = package(a_condition=source.replace(right, wrong))
    with pytest.raises(DeclarationError) as refused:
        discover(bad)
    separator = "" if expected.startswith(" ") else ":"
    said = f"{bad.__name__}/a_condition.py{separator}{expected}"
    assert str(refused.value).split(" (/")[0] == said


def test_a_fold_of_its_own_may_read_the_parameters_of_a_check(package):
    source = GOOD.replace(NEEDS, "needs=(by_name,)").replace("params: Some", "params: Others")
    (check,) = discover(package(a_condition=source))
    assert [fold.name for fold in check.folds] == ["by_name"]


def test_a_check_without_parameters_takes_its_noun_alone(package):
    source = GOOD.replace(", params: Some", "").replace("-> Finding | None:", "-> Finding | None:")
    (check,) = discover(package(a_condition=source))
    assert (check.params, check.judge.__module__.rpartition(".")[2]) == (Params, "a_condition")


def test_a_check_without_parameters_finds():
    check = lone_check()
    assert found(check, system(cluster(n1=1))) == {"C1 n1"}
    assert Story(checks=[check]).auditor.rules[0].params == Params()


def lone_check() -> Check:
    """A check that takes no parameters."""
    from nats_insights.check import Server, check

    def is_there(server):
        """A server is there.

        Finds: it.

        Why: so.

        Do: that.
        """
        return Finding(summary=f"{server.name} is there")

    is_there.__annotations__ = {"server": Server}
    return check("TEST_002", INFO, "health", needs=(VARZ,))(is_there)


# --- Where checks are found.

TWINS = {
    "one code": (
        {"a": named("a"), "b": named("b")},
        "TEST_001 b of {0}/b.py is there already: {0}/a.py declares TEST_001 a",
    ),
    "one name": (
        {"f/a": named("a"), "f/__init__": "", "g/__init__": "", "g/a": named("a", "TEST_002")},
        "TEST_002 a of {0}/g/a.py is there already: {0}/f/a.py declares TEST_001 a",
    ),
}


@pytest.mark.parametrize(("files", "expected"), TWINS.values(), ids=TWINS)
def test_two_checks_are_refused_that_have(files, expected, package):
    twins = package(**files)
    with pytest.raises(DeclarationError) as refused:
        discover(twins)
    assert str(refused.value) == expected.format(twins.__name__)


def test_a_code_of_this_program_is_refused(package):
    known = discover(checks)[0]
    twin = package(a=named("a", known.code))
    with pytest.raises(DeclarationError, match=rf"a of {twin.__name__}/a\.py is there already: "):
        discover(checks, twin)


def test_checks_are_found_in_folders(package):
    files = {"f/__init__": "", "f/b": named("b"), "a": named("a", "TEST_002")}
    assert [check.name for check in discover(package(**files))] == ["b", "a"]


def test_a_file_that_begins_with_an_underscore_needs_no_check(package):
    files = {"_shared": "RATIO = 2", "a": named("a")}
    assert [check.name for check in discover(package(**files))] == ["a"]


def test_a_check_that_another_file_imports_is_one_check(package):
    imports = "from .a import a\n"
    files = {
        "a": named("a"),
        "b": named("b", "TEST_002").replace("class Some", f"{imports}class Some"),
    }
    assert [check.code for check in discover(package(**files))] == ["TEST_001", "TEST_002"]


def test_a_file_that_only_imports_a_check_is_refused(package):
    lender = package(a=named("a"), b="from .a import a\n")
    with pytest.raises(DeclarationError, match=rf"{lender.__name__}/b\.py declares no check"):
        discover(lender)


def test_a_mistake_in_a_folder_is_told_with_its_path(package):
    broken = package(**{"f/__init__": "1 / 0", "f/a": named("a")})
    with pytest.raises(DeclarationError) as refused:
        discover(broken)
    assert str(refused.value) == (
        f"{broken.__name__}/f/__init__.py:1: ZeroDivisionError: division by zero"
    )
