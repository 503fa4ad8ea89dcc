"""JSON Schema 2020-12 of all that is published and answered, from the types themselves."""

from __future__ import annotations

import inspect
import json
from typing import Any

import msgspec

from nats_insights.tell.advisory import SCHEMAS
from nats_insights.tell.messages import ADVISORIES, REPLIES

DRAFT = "https://json-schema.org/draft/2020-12/schema"


def schemas() -> dict[str, dict[str, Any]]:
    """One schema for each type of message, by its `type`."""
    return {schema["title"]: schema for schema in map(_schema, (*ADVISORIES, *REPLIES))}


def file_name(message_type: str) -> str:
    """The file below `schemas/` that holds a type."""
    return f"{message_type}.json"


def text(schema: dict[str, Any]) -> str:
    """A schema as it stands in its file."""
    return json.dumps(schema, indent=2) + "\n"


def _schema(struct: Any) -> dict[str, Any]:
    (schema,), definitions = msgspec.json.schema_components([struct])
    top = definitions.pop(schema["$ref"].rpartition("/")[2])
    for described in (top, *definitions.values()):
        if "description" in described:
            # Python 3.13 removes the indentation of docstrings, older ones do not.
            described["description"] = inspect.cleandoc(described["description"])
    message_type = top["properties"]["type"]["enum"][0]
    top["properties"]["type"] = {"const": message_type}
    top["required"] = sorted({*top["required"], "type"})
    return {
        "$schema": DRAFT,
        "$id": SCHEMAS + message_type,
        **top,
        "title": message_type,
        "$defs": definitions,
    }
