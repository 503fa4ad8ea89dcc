"""What the benchmark of judging measures is judged as it says."""

from __future__ import annotations

import pytest

from bench.judging import measure


@pytest.mark.long
async def test_every_row_judges_all_nouns_by_all_checks_and_finds_what_it_should() -> None:
    rows = await measure(3, 20, 50)
    assert [row["judgements"] for row in rows.values()] == [60, 60, 60, 50]
    assert [row["troubles"] for row in rows.values()] == [[], [], [], []]
