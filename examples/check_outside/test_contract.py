"""What every check must be, for each check of this package: a new one is covered at once."""

from __future__ import annotations

from pathlib import Path

import acme_checks

from nats_insights.testing import contract

test_contract = contract.of(acme_checks, Path(__file__).parent)
