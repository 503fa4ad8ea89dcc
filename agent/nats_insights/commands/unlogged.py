"""What is not logged while a command runs: it says the same itself, or it does not matter."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def warnings() -> Iterator[None]:
    """Nothing below errors is logged."""
    logger = logging.getLogger("nats_insights")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextmanager
def lines(logger_name: str, beginning: str) -> Iterator[None]:
    """No line of this logger is logged that begins so."""
    logger = logging.getLogger(logger_name)

    def other(record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith(beginning)

    logger.addFilter(other)
    try:
        yield
    finally:
        logger.removeFilter(other)
