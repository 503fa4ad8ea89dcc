"""List the JSON Schemas of all messages, print one, or write them to files."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from nats_insights.errors import InsightsError
from nats_insights.tell import schemas


def options(parser: ArgumentParser) -> None:
    """Flags of `schemas`."""
    parser.add_argument(
        "type",
        nargs="?",
        choices=schemas.schemas(),
        metavar="TYPE",
        help="print the schema of this type, such as insights.advisory.v1.finding",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="write one file per type to DIR")


async def run(args: Namespace) -> int:
    """Print the types or one schema, or write the files."""
    wanted = {
        name: schema for name, schema in schemas.schemas().items() if args.type in (None, name)
    }
    for name, schema in wanted.items():
        if args.out is not None:
            print(_written(args.out / schemas.file_name(name), schemas.text(schema)))
        elif args.type is not None:
            print(schemas.text(schema), end="")
        else:
            print(name)
    return 0


def _written(path: Path, text: str) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InsightsError(f"cannot write {path}: {error.strerror or error}") from None
    return path
