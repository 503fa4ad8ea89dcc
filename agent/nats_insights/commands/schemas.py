"""Write the JSON Schemas of all published messages and replies."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from nats_insights.errors import InsightsError
from nats_insights.tell import schemas


def options(parser: ArgumentParser) -> None:
    """Flags of `schemas`."""
    parser.add_argument("--out", type=Path, metavar="DIR", help="write one file per type to DIR")


async def run(args: Namespace) -> int:
    """Print the types, or write the files."""
    for message_type, schema in schemas.schemas().items():
        if args.out is None:
            print(message_type)
            continue
        path = args.out / schemas.file_name(message_type)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(schemas.text(schema), encoding="utf-8")
        except OSError as error:
            raise InsightsError(f"cannot write {path}: {error.strerror or error}") from None
        print(path)
    return 0
