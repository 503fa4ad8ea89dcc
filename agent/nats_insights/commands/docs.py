"""Write the generated pages and schemas into a checkout of the source."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from nats_insights import checks
from nats_insights.errors import InsightsError
from nats_insights.judge.declare import discover
from nats_insights.tell import documentation

# Folders that hold generated files and no others.
_GENERATED = ("docs/checks", "schemas")


def options(parser: ArgumentParser) -> None:
    """Flags of `docs`."""
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail if a file is not current"
    )
    parser.add_argument(
        "directory",
        nargs="?",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="top directory of the checkout; the current directory by default",
    )


async def run(args: Namespace) -> int:
    """Write the files that are not current and print their paths."""
    texts = documentation.files(discover(checks), args.parser())
    stale = outdated(args.directory, texts)
    if args.check and stale:
        raise InsightsError(f"not current: {', '.join(stale)}; run `{documentation.COMMAND}`")
    for name in stale:
        path = args.directory / name
        try:
            if name in texts:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(texts[name], encoding="utf-8")
        except OSError as error:
            raise InsightsError(f"cannot write {path}: {error.strerror or error}") from None
        print(path if name in texts else f"{path} is no longer generated: delete it")
    return 0


def outdated(directory: Path, texts: dict[str, str]) -> list[str]:
    """Paths of the files that differ from their text, are absent, or are generated no longer."""
    there = {
        path.relative_to(directory).as_posix()
        for folder in _GENERATED
        for path in (directory / folder).glob("*.*")
    }
    return sorted(
        {name for name, text in texts.items() if _read(directory / name) != text}
        | (there - texts.keys())
    )


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
