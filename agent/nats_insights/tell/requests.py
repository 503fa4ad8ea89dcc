"""Requests: from the body of a query to its type, or a sentence that says what is wrong in it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from typing import TypeVar

import msgspec
from msgspec import Struct, inspect

from nats_insights.text import nearest, plain, shortened

R = TypeVar("R", bound=Struct)
_NO_OBJECT = "the request is not a JSON object"


class Refused(Exception):
    """A request that is answered with an error: an HTTP-like code and a sentence."""

    def __init__(self, code: int, description: str) -> None:
        super().__init__(plain(description)[:500])
        self.code = code


def read(body: bytes, into: type[R]) -> R:
    """The request in a body, which may be empty; Refused with what is wrong in it."""
    try:
        return msgspec.json.decode(body or b"{}", type=into)
    except Exception:  # Also of a body that is nested too deeply, or is not UTF-8.
        raise Refused(400, _why(body, into)) from None


def _why(body: bytes, into: type[Struct]) -> str:
    try:
        given = msgspec.json.decode(body)
    except Exception:
        return _NO_OBJECT
    if not isinstance(given, dict):
        return _NO_OBJECT
    fields = _fields(into)
    for name in given:
        if name not in fields:
            return unknown("field", name, fields)
    for name, field in fields.items():
        if name in given:
            if sentence := _why_not(name, given[name], field.type):
                return sentence
        elif field.required:
            return f"the request lacks {name}"
    return "the request cannot be read"


def unknown(what: str, word: str, known: Iterable[str]) -> str:
    """The sentence for a word that is none of the known ones, with the nearest of them."""
    words = list(filter(None, known))
    near = nearest(word, words)
    hint = f"did you mean {near}?" if near else f"known are {', '.join(words) or 'none'}"
    return f"there is no {what} {shortened(word)}; {hint}"


@cache
def _fields(into: type[Struct]) -> dict[str, inspect.Field]:
    of = inspect.type_info(into)
    assert isinstance(of, inspect.StructType)
    return {field.name: field for field in of.fields}


def _why_not(name: str, value: object, of: inspect.Type) -> str:
    """Why a field may not have this value, "" if it may."""
    kinds = of.types if isinstance(of, inspect.UnionType) else (of,)
    words = [word for one in kinds if isinstance(one, inspect.LiteralType) for word in one.values]
    if words and isinstance(value, str):
        return "" if value in words else unknown(name, value, map(str, words))
    shown = shortened(json.dumps(value))
    if words:
        return f"{name} is one of {', '.join(map(str, filter(None, words)))}, not {shown}"
    if isinstance(of, inspect.IntType):
        if isinstance(value, int) and (of.ge or 0) <= value <= (value if of.le is None else of.le):
            return ""
        most = "" if of.le is None else f" to {of.le}"
        return f"{name} is a whole number from {of.ge or 0}{most}, not {shown}"
    if isinstance(value, str) or (value is None and len(kinds) > 1):
        return ""
    return f"{name} is text, not {shown}"
