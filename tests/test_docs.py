"""What is public is documented: pages that are generated are current, the others are complete."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

import pages
from nats_insights import subjects
from nats_insights.__main__ import parser
from nats_insights.tell import queries

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


@pytest.mark.parametrize("page", pages.PAGES)
def test_a_generated_page_is_current(page):
    text = pages.PAGES[page]()
    if os.environ.get("INSIGHTS_REGENERATE"):
        (DOCS / page).write_text(text)
    assert (DOCS / page).read_text() == text


def test_every_subject_is_documented():
    text = (DOCS / "subjects.md").read_text()
    wanted = [subjects.ADVISORY, subjects.HEARTBEAT, subjects.PING_SERVICE]
    wanted += [subjects.api(name) for name in (*queries.QUERIES, "EVALUATE", "FORGET")]
    assert [subject for subject in wanted if subject not in text] == []


def test_every_field_of_a_published_message_is_documented():
    text = (DOCS / "subjects.md").read_text()
    assert sorted(name for name in pages.message_fields() if f"`{name}`" not in text) == []


def test_every_page_is_in_the_readme_and_no_link_leads_nowhere():
    readme = (ROOT / "README.md").read_text()
    unlisted = {page.name for page in DOCS.glob("*.md")} - set(
        re.findall(r"docs/(\w+\.md)", readme)
    )
    assert unlisted == set()
    for page in (ROOT / "README.md", *DOCS.glob("*.md")):
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_the_commands_of_the_readme_exist():
    text = (ROOT / "README.md").read_text()
    known = parser().format_help()
    used = set(re.findall(r"nats-insights ([a-z]+)", text)) - {"run"}
    assert [command for command in sorted(used) if f" {command} " not in known] == []
