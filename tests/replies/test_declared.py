"""What the endpoints of the program declare, held against what servers of each version send."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from nats_insights.errors import NotTold
from nats_insights.replies.endpoint import endpoints
from nats_insights.replies.fields import Part

from .recordings import VERSIONS, every_reply
from .test_recorded import declared

STRUCTS = {kind for endpoint in endpoints().values() for kind in declared(endpoint.reply)}
LATE = [
    (kind, field)
    for kind in sorted(STRUCTS, key=lambda kind: kind.__name__)
    for field in msgspec.structs.fields(kind)
    if type(field.default).__name__ == "_Late"
]


def test_only_objects_that_know_their_server_have_fields_of_a_version():
    assert LATE
    assert [kind for kind, _ in LATE if not issubclass(kind, Part)] == []


@pytest.mark.parametrize(("kind", "field"), LATE, ids=lambda x: getattr(x, "__name__", None))
def test_the_zero_of_a_field_is_of_its_type(kind, field):
    assert msgspec.convert(field.default.zero, field.type) == field.default.zero
    assert not field.default.zero


@pytest.mark.parametrize("version", VERSIONS)
def test_no_recorded_server_sends_what_its_version_is_said_not_to(version):
    early = {
        f"{type(part).__name__}.{field.name}"
        for key, payload in every_reply(version)
        for part in parts(endpoints()[key].decode(payload)[1])
        for kind, field in LATE
        if isinstance(part, kind) and not field.default.is_told_by(version)
        if field.name not in lacking(part)
    }
    assert early == set()


def lacking(part: Part) -> set[str]:
    """The fields that raise."""
    names = set()
    for name in part.__struct_fields__:
        try:
            getattr(part, name)
        except NotTold:
            names.add(name)
    return names


def parts(said: Any) -> list[Part]:
    """Every Part in a reply, the reply itself included."""
    inside: list[Any] = []
    if isinstance(said, msgspec.Struct):
        names = set(said.__struct_fields__)
        inside = [
            getattr(said, n) for n in names - (lacking(said) if isinstance(said, Part) else set())
        ]
    elif isinstance(said, dict):
        inside = [*said.values()]
    elif isinstance(said, list | tuple):
        inside = [*said]
    own = [said] if isinstance(said, Part) else []
    return own + [part for one in inside for part in parts(one)]
