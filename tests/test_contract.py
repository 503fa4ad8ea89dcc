"""What every check must be, for each check that is discovered: a new one is covered at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import jsonschema_rs
import msgspec

from nats_insights import checks
from nats_insights.judge.declare import discover
from nats_insights.tell.schemas import schemas
from nats_insights.testing import contract
from scenario import VERSIONS, whole

# Codes that once meant something stay with their meaning: nobody takes them up again.
RETIRED: tuple[str, ...] = ()

SCHEMA = jsonschema_rs.validator_for(
    schemas()["insights.advisory.v1.finding"], validate_formats=True
)


def its_folder_is_its_family(tested: contract.Tested) -> Iterator[str]:
    check = tested.check
    family = check.code.rpartition("_")[0].lower()
    if check.judge.__module__ != f"{checks.__name__}.{family}.{check.name}":
        yield f"its file is checks/{family}/{check.name}.py"


def it_is_sure_of_replies_of_real_servers(tested: contract.Tested) -> Iterator[str]:
    for version in (VERSIONS[0], VERSIONS[-1]):
        story = tested.story()
        story.hears(whole(version))
        outcome = story.audit.outcomes[tested.check.code]
        if outcome.why and not outcome.excused:
            yield f"it cannot tell of {version}: {outcome.why}"


def its_advisories_are_as_their_schema_says(tested: contract.Tested) -> Iterator[str]:
    for given in tested.firing:
        for told in tested.advisories(given):
            yield from map(str, SCHEMA.iter_errors(json.loads(msgspec.json.encode(told))))


OURS = (
    its_folder_is_its_family,
    it_is_sure_of_replies_of_real_servers,
    its_advisories_are_as_their_schema_says,
)

test_contract = contract.of(checks, Path(__file__).parent / "checks", OURS)


def test_no_code_is_one_of_those_that_are_retired():
    assert {check.code for check in discover(checks)}.isdisjoint(RETIRED)
