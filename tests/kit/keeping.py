"""An account with JetStream of its own, in which an agent publishes, and what is kept there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Settings of a local system: its user `keeper` may do everything in the account KEEP.
KEEP: Mapping[str, Any] = {
    "jetstream": True,
    "accounts": {"KEEP": ["keeper"]},
    "account_options": {"KEEP": "jetstream: enabled"},
}
