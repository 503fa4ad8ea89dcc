"""Writes the generated pages of docs/ from the declarations that they document."""

from __future__ import annotations

import argparse
import textwrap
import typing
from collections.abc import Callable, Iterator

import msgspec
from msgspec import Meta, Struct

from nats_insights import checks
from nats_insights.__main__ import parser
from nats_insights.commands import show
from nats_insights.config import Config
from nats_insights.judge.declare import Check, Parameter, discover, parameters_of
from nats_insights.judge.rules import Judging
from nats_insights.tell import messages

NOTE = "<!-- Generated: `INSIGHTS_REGENERATE=1 pytest tests/test_docs.py` writes it anew. -->"


def checks_page() -> str:
    """docs/checks.md."""
    known = discover(checks)
    lines = ["# Checks", "", NOTE, "", "| code | name | severity | about |", "|---|---|---|---|"]
    lines += [
        f"| [{c.code}](#{c.code.lower()}-{c.name}) | `{c.name}` | {c.severity} | {c.about.kind} |"
        for c in known
    ]
    for check in known:
        lines += ["", *_check(check)]
    return "\n".join(lines) + "\n"


def _check(check: Check) -> Iterator[str]:
    yield f"## {check.code} `{check.name}`"
    yield from ("", f"{check.title}. Severity {check.severity}, category {check.category}.")
    for heading, text in (
        ("Finds", check.finds),
        ("Why", check.why),
        ("Do", check.remediation({})),
    ):
        yield ""
        yield from textwrap.wrap(f"**{heading}.** {text}", 100)
    yield from (
        "",
        "| parameter | default | unit | bounds | clears at | |",
        "|---|---|---|---|---|---|",
    )
    for parameter in parameters_of(check.params):
        clear = f"{parameter.clear:g} x" if parameter.clear else ""
        yield (
            f"| `{parameter.name}` | {parameter.default:g} | {parameter.unit} "
            f"| {_bounds(parameter)} | {clear} | {parameter.description} |"
        )
    waits = ", and waits while its cluster settles" if check.settle else ""
    yield ""
    yield (
        f"{show.reads(check.needs)} Opens after {check.open_after} and resolves after "
        f"{check.resolve_after} evaluations in a row{waits}."
    )


def _bounds(parameter: Parameter) -> str:
    signs = ((">=", parameter.ge), (">", parameter.gt), ("<=", parameter.le), ("<", parameter.lt))
    return ", ".join(f"{sign} {bound:g}" for sign, bound in signs if bound is not None)


def configuration_page() -> str:
    """docs/configuration.md."""
    lines = [
        "# Configuration",
        "",
        NOTE,
        "",
        "A TOML file, given as `--config FILE.toml` to `run` and `check`. Every key is optional;",
        "an unknown one is refused with its path and the nearest right one. Durations are written",
        "as `500ms`, `30s`, `2m`, `1h30m`. [examples/agent.toml](../examples/agent.toml) has",
        "them all.",
        "",
        "| key | default | |",
        "|---|---|---|",
        *_keys(Config, ""),
        "",
        "Each check has a section by its name, such as `[checks.connection_hotspot]`, with its own",
        "parameters ([checks](checks.md)) and these:",
        "",
        "| key | default | |",
        "|---|---|---|",
        *_keys(Judging, "checks.NAME."),
        "",
        "An `[[override]]` has a `match` of labels (`cluster`, `server`, `account`, `user`: all",
        "that are given must be equal) and parameters by name of the check. Later ones win:",
        "",
        "```toml",
        "[[override]]",
        'match = { cluster = "EU" }',
        "connection_hotspot = { ratio = 3.0 }",
        "```",
    ]
    return "\n".join(lines) + "\n"


def _keys(struct: type[Struct], prefix: str) -> Iterator[str]:
    hints = typing.get_type_hints(struct, include_extras=True)
    for field in msgspec.structs.fields(struct):
        hint = hints[field.name]
        if isinstance(hint, type) and issubclass(hint, Struct):
            yield from _keys(hint, f"{prefix}{field.name}.")
            continue
        meta = next(m for m in hint.__metadata__ if isinstance(m, Meta))
        is_duration = (meta.extra or {}).get("unit") == "duration"
        default = "" if field.default in ("", 0, msgspec.NODEFAULT) else f"{field.default}"
        if is_duration:
            default = f"{field.default:g}s"
        yield f"| `{prefix}{field.name}` | {default.lower()} | {meta.description} |"


def commands_page() -> str:
    """docs/commands.md."""
    top = parser()
    (below,) = [a for a in top._actions if isinstance(a, argparse._SubParsersAction)]
    lines = ["# Commands", "", NOTE, ""]
    lines += [
        "Every command ends with 0 when all is well. `check` and `status` end with their verdict:",
        "0 for ok and info, 1 for warning, 2 for critical, 3 for unknown. Of any other command",
        "3 means that something could not be told, and one sentence on standard error says why.",
        "The flags of the connection, which all but `demo` and `schemas` take, are on the page",
        "[Connecting](connecting.md).",
    ]
    for name, command in below.choices.items():
        lines += ["", f"## `nats-insights {name}`", "", command.description or "", ""]
        rows = [row for row in map(_flag, _own_flags(command)) if row]
        if rows:
            lines += ["| flag | |", "|---|---|", *rows]
    return "\n".join(line for line in lines).rstrip() + "\n"


def _own_flags(command: argparse.ArgumentParser) -> list[argparse.Action]:
    groups = [g for g in command._action_groups if g.title != "connection"]
    return [action for group in groups for action in group._group_actions]


def _flag(action: argparse.Action) -> str:
    if "--help" in action.option_strings:
        return ""
    names = ", ".join(f"`{name}`" for name in action.option_strings) or f"`{action.metavar}`"
    value = "" if action.nargs == 0 or not action.option_strings else f" `{action.metavar or ''}`"
    if action.choices:
        value = f" {' or '.join(f'`{one}`' for one in action.choices)}"
    return f"| {names}{value if value != ' ``' else ''} | {action.help or ''} |"


def message_fields() -> set[str]:
    """Every field of what is published."""
    return {
        name
        for struct in (messages.Advisory, messages.Heartbeat, messages.Entity)
        for name in struct.__struct_fields__
    }


PAGES: dict[str, Callable[[], str]] = {
    "checks.md": checks_page,
    "configuration.md": configuration_page,
    "commands.md": commands_page,
}
