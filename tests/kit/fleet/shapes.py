"""Tells the shape of JSON: the keys of its objects, their types, and which are always there."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

# Objects whose keys are names, not fields.
MAPS = ("feature_flags", "outbound_gateways", "inbound_gateways", "metadata")
TYPES = {
    str: "string",
    int: "number",
    float: "number",
    bool: "boolean",
    dict: "object",
    list: "array",
    type(None): "null",
}

Shape = dict[str, dict[str, set[str]]]


def shape(replies: Iterable[Any]) -> tuple[Shape, dict[str, set[str]]]:
    """The types of each key by the object's path, and the keys that every such object has."""
    found: Shape = defaultdict(lambda: defaultdict(set))
    objects: Counter[str] = Counter()
    keys: dict[str, Counter[str]] = defaultdict(Counter)

    def walk(value: Any, path: str) -> None:
        if isinstance(value, list):
            for item in value:
                walk(item, path + "[]")
        if isinstance(value, dict):
            objects[path] += 1
            for key, member in value.items():
                name = "*" if path.rpartition(".")[2] in MAPS else key
                found[path][name].add(TYPES[type(member)])
                keys[path][name] += 1
                walk(member, f"{path}.{name}")

    for reply in replies:
        walk(reply, "")
    always = {path: {k for k, n in keys[path].items() if n >= objects[path]} for path in found}
    return found, always


def written(text: dict[str, str]) -> tuple[Shape, dict[str, set[str]]]:
    """The same from how `captured.py` writes it: `name:string` always, `name?:string` at times."""
    found: Shape = {}
    always: dict[str, set[str]] = {}
    for path, line in text.items():
        found[path] = {}
        always[path] = set()
        for word in line.split():
            key, _, types = word.partition(":")
            found[path][key.rstrip("?")] = set(types.split("|"))
            if not key.endswith("?"):
                always[path].add(key)
    return found, always
