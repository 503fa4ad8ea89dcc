"""What is public is documented: generated files are current, written pages are complete."""

from __future__ import annotations

import json
import re
import shlex
from argparse import Namespace
from pathlib import Path
from typing import Any, get_args

import jsonschema_rs
import msgspec
import pytest

from nats_insights import checks, subjects
from nats_insights.__main__ import COMMANDS, main, parser
from nats_insights.commands import docs
from nats_insights.judge import lifecycle
from nats_insights.judge.declare import Severity, discover
from nats_insights.model import roster
from nats_insights.tell import documentation, messages, queries
from nats_insights.tell.schemas import schemas

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PACKAGE = ROOT / "agent" / "nats_insights"
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
GENERATED = documentation.files(discover(checks), parser())
# What a reader opens first, and what the forge shows.
ENTRIES = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#]*)(#[^)]*)?\)")


def pages_of_the_repository() -> list[Path]:
    """Every page that is written or generated."""
    return [*(ROOT / name for name in ENTRIES), *sorted(DOCS.rglob("*.md"))]


def test_generated_files_are_current():
    stale = docs.outdated(ROOT, GENERATED)
    assert stale == [], f"run `{documentation.COMMAND}`"


def test_docs_writes_every_file_and_then_has_nothing_to_do(tmp_path, capsys):
    assert main(["docs", str(tmp_path)]) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / name) for name in sorted(GENERATED)]
    assert main(["docs", str(tmp_path)]) == 0
    assert main(["docs", "--check", str(tmp_path)]) == 0
    assert capsys.readouterr().out == ""


def test_docs_check_names_what_is_not_current_and_the_command(tmp_path, capsys):
    main(["docs", str(tmp_path)])
    (tmp_path / "docs/commands.md").write_text("# Commands\n")
    (tmp_path / "docs/checks/retired.md").write_text("# Retired\n")
    assert main(["docs", "--check", str(tmp_path)]) == 3
    assert capsys.readouterr().err == (
        "nats-insights: not current: docs/checks/retired.md, docs/commands.md; "
        "run `nats-insights docs`\n"
    )


async def test_docs_writes_over_nothing_that_it_does_not_generate(tmp_path, capsys):
    (tmp_path / "schemas").mkdir()
    (mine := tmp_path / "schemas/mine.json").write_text("{}")
    await docs.run(Namespace(directory=tmp_path, check=False, parser=parser))
    assert f"{mine} is no longer generated: delete it" in capsys.readouterr().out
    assert mine.read_text() == "{}"


@pytest.mark.parametrize("check", discover(checks), ids=lambda check: check.name)
def test_each_check_stands_in_the_index_and_on_the_page_of_its_family(check):
    family = check.code.rpartition("_")[0].lower()
    assert f"checks/{family}.md#{check.code.lower()}-{check.name})" in GENERATED["docs/checks.md"]
    assert f"## {check.code} `{check.name}`" in GENERATED[f"docs/checks/{family}.md"]


@pytest.mark.parametrize("page", sorted(DOCS.glob("checks/*.md")), ids=lambda page: page.stem)
def test_each_family_has_a_title_and_says_what_it_is_about(page):
    title, _, _, _, about, *_ = page.read_text().splitlines()
    assert re.fullmatch(r"# [A-Z][A-Za-z ]+", title)
    assert re.fullmatch(r"[A-Z].{10,}\.", about)


def test_every_command_has_a_section():
    page = GENERATED["docs/commands.md"]
    assert [name for name in COMMANDS if f"## `nats-insights {name}`\n" not in page] == []


def test_every_subject_is_documented():
    text = (DOCS / "subjects.md").read_text()
    wanted = [subjects.ADVISORY, subjects.HEARTBEAT, subjects.PING_SERVICE]
    wanted += [subjects.api(name) for name in (*queries.QUERIES, *queries.CHANGES)]
    wanted += [
        subjects.tenant_api("<NAME>", "<account>"),
        subjects.tenant_advisory("<account>", "<SEVERITY>", "X", "<fingerprint>").replace(
            "X", "<CODE>"
        ),
    ]
    assert [subject for subject in wanted if subject not in text] == []


def test_every_field_of_a_published_message_is_documented():
    text = (DOCS / "subjects.md").read_text()
    published = (messages.Advisory, messages.Heartbeat, messages.Entity)
    fields = {name for struct in published for name in struct.__struct_fields__}
    assert sorted(name for name in fields if f"`{name}`" not in text) == []


def test_the_advisory_that_the_page_shows_is_whole_and_valid():
    text = (DOCS / "subjects.md").read_text()
    shown_with = re.compile(r"On the subject `(.+)`:\n\n```json\n(.+?)\n```", re.S)
    ((subject, shown),) = shown_with.findall(text)
    advisory = msgspec.json.decode(shown, type=messages.Advisory, strict=True)
    # What only a change of severity has is not in it.
    optional = {"severity_before", "severity_now"}
    assert set(msgspec.json.decode(shown)) == {*messages.Advisory.__struct_fields__} - optional
    assert schema_of(advisory.type).is_valid(json.loads(shown))
    severity, scope, code = advisory.severity.upper(), "ACCOUNT", advisory.code
    parts = (severity, scope, "_", advisory.entity.account, code, advisory.fingerprint)
    assert subject == ".".join((subjects.ADVISORY, *parts))
    (shown_check,) = (check for check in discover(checks) if check.code == advisory.code)
    assert (shown_check.name, shown_check.title) == (advisory.name, advisory.title)
    assert shown_check.do.startswith(advisory.remediation)


def schema_of(message_type: str) -> Any:
    return jsonschema_rs.validator_for(schemas()[message_type], validate_formats=True)


def test_the_readme_names_every_family_of_checks():
    linked = set(re.findall(r"\(docs/checks/(\w+)\.md\)", (ROOT / "README.md").read_text()))
    assert linked == {page.stem for page in DOCS.glob("checks/*.md")}


def anchors(page: Path) -> set[str]:
    """What links can point to in a page: its headings, as forges spell them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


@pytest.mark.parametrize("page", pages_of_the_repository(), ids=lambda p: str(p.relative_to(ROOT)))
def test_no_link_leads_nowhere(page):
    for path, anchor in LINK.findall(page.read_text()):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), path
        assert not anchor or anchor[1:] in anchors(target), f"{path}{anchor}"


BLOCK = re.compile(r"^```(?:sh|console)?\n(.*?)^```", re.S | re.M)
OURS = re.compile(r"^(?:\$ )?(?:\S*/)?nats-insights (.+)$", re.M)


@pytest.mark.parametrize("page", pages_of_the_repository(), ids=lambda p: str(p.relative_to(ROOT)))
def test_every_command_in_a_block_can_be_given(page):
    blocks = re.sub(r"\\\n\s*", " ", "\n".join(BLOCK.findall(page.read_text())))
    for command in OURS.findall(blocks):
        words = shlex.split(re.split(" [|>] ", command)[0], comments=True)
        if words != ["--version"]:
            assert parser().parse_args(words), command


def test_every_page_can_be_reached_from_the_readme():
    reached, found = set(), {ROOT / "README.md"}
    while found - reached:
        page = (found - reached).pop()
        reached.add(page)
        links = (page.parent / path for path, _ in LINK.findall(page.read_text()) if path)
        found |= {link.resolve() for link in links if link.suffix == ".md"}
    assert sorted(set(pages_of_the_repository()) - reached) == []


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`([a-z_/.]+/[a-z_.]*)`", CONTRIBUTING))))
def test_the_files_of_the_tour_exist(path):
    assert any((root / path).exists() for root in (ROOT, PACKAGE))


def test_the_tour_names_every_room():
    rooms = {path.stem for path in PACKAGE.iterdir() if not path.name.startswith("_")} - {"py"}
    named = set(re.findall(r"\b[a-z]+\b", CONTRIBUTING.partition("## Recipe")[0]))
    assert sorted(rooms - named) == []


def test_the_commands_of_the_readme_exist():
    text = (ROOT / "README.md").read_text()
    used = set(re.findall(r"nats-insights ([a-z]+)", text))
    assert sorted(used - set(COMMANDS)) == []


def test_the_words_for_states_and_transitions_are_in_the_glossary():
    words = [*get_args(roster.State), *get_args(lifecycle.Transition), *map(str, Severity)]
    text = (DOCS / "glossary.md").read_text()
    assert [word for word in words if not re.search(rf"\b{word}\b", text)] == []
