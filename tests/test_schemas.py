"""Schemas: one for each type of message, as the types have it, and true of real messages.

That the files in `schemas/` are current is tested with the generated pages, in `test_docs`.
"""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema_rs
import pytest

from nats_insights.__main__ import main
from nats_insights.tell.schemas import DRAFT, schemas, text

FILES = Path(__file__).parent.parent / "schemas"
SCHEMAS = schemas()
TYPES = {
    "insights.advisory.v1.finding",
    "insights.advisory.v1.heartbeat",
    "insights.advisory.v1.ledger",
    "insights.api.v1.checks_response",
    "insights.api.v1.error_response",
    "insights.api.v1.explain_response",
    "insights.api.v1.findings_response",
    "insights.api.v1.history_response",
    "insights.api.v1.mutes_response",
    "insights.api.v1.servers_response",
    "insights.api.v1.status_response",
}


def test_these_types_are_told():
    assert set(SCHEMAS) == TYPES


def test_there_is_a_file_for_each_type_and_no_other():
    assert {path.name for path in FILES.iterdir()} == {f"{name}.json" for name in TYPES}


@pytest.mark.parametrize("message_type", sorted(TYPES))
def test_it_is_a_schema_of_this_draft_that_names_its_type(message_type):
    schema = SCHEMAS[message_type]
    jsonschema_rs.meta.validate(schema)
    assert (schema["$schema"], schema["$id"], schema["properties"]["type"]) == (
        DRAFT,
        f"urn:nats-insights:schema:{message_type}",
        {"const": message_type},
    )
    assert "type" in schema["required"]


@pytest.mark.parametrize("message_type", sorted(TYPES))
def test_fields_may_be_added(message_type):
    assert '"additionalProperties": false' not in text(SCHEMAS[message_type])


ADVISORY = json.loads("""{
    "type": "insights.advisory.v1.finding", "id": "00000000000000000000000000000000",
    "timestamp": "2027-01-15T08:00:30Z", "transition": "opened", "reason": "condition_met",
    "state": "open", "code": "SERVER_011", "name": "connection_count_high", "title": "A title",
    "category": "saturation", "severity": "info", "revision": 1, "evidence": {},
    "fingerprint": "00000000000000000000000000000000",
    "entity": {"kind": "server", "id": "N1", "name": "n1"},
    "summary": "A summary", "value": null, "threshold": null, "unit": "", "remediation": "Do.",
    "opened_at": "2027-01-15T08:00:30Z", "updated_at": "2027-01-15T08:00:30Z",
    "valid_until": "2027-01-15T08:31:30Z",
    "agent": {"id": "a", "instance": "b", "version": "1", "epoch": 1, "role": "leader"},
    "coverage": {"servers_known": 1, "servers_answered": 1, "missing": []}
}""")


def is_valid(message: dict[str, object]) -> bool:
    """Whether it is an advisory by its schema."""
    schema = SCHEMAS["insights.advisory.v1.finding"]
    return jsonschema_rs.validator_for(schema, validate_formats=True).is_valid(message)


def test_a_whole_advisory_is_valid_with_fields_of_the_future():
    assert is_valid(ADVISORY | {"a_field_of_the_future": 1})


INVALID = {
    "another type": {"type": "insights.advisory.v2.finding"},
    "words for a value": {"value": "many"},
    "an unknown severity": {"severity": "bad"},
    "an upper case severity": {"severity": "INFO"},
    "an unknown kind of entity": {"entity": {"kind": "planet", "id": "3", "name": "Earth"}},
    "an entity without a name": {"entity": {"kind": "server", "id": "N1"}},
    "a short fingerprint": {"fingerprint": "0f"},
    "a time without a date": {"timestamp": "08:00:30Z"},
    "no revision": {"revision": 0},
    "an unknown transition": {"transition": "closed"},
}


@pytest.mark.parametrize("changed", INVALID.values(), ids=INVALID)
def test_what_the_contract_does_not_have_is_not_valid(changed):
    assert not is_valid(ADVISORY | changed)


@pytest.mark.parametrize("field", ADVISORY)
def test_no_field_may_lack(field):
    assert not is_valid({key: value for key, value in ADVISORY.items() if key != field})


@pytest.mark.parametrize("message_type", sorted(TYPES))
def test_the_command_prints_the_schema_of_one_type(message_type, capsys):
    assert main(["schemas", message_type]) == 0
    assert json.loads(capsys.readouterr().out) == SCHEMAS[message_type]


def test_the_command_lists_the_types_and_refuses_others(capsys):
    assert main(["schemas"]) == 0
    assert set(capsys.readouterr().out.split()) == TYPES
    with pytest.raises(SystemExit, match="3"):
        main(["schemas", "insights.advisory.v1.findin"])
    assert "did you mean insights.advisory.v1.finding?" in capsys.readouterr().err
