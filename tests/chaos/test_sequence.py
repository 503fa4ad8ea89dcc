"""A random sequence of disturbances: what the agent tells meanwhile is true, and nothing is missed.

`python -m tests.chaos` runs longer ones, and tells what happens as it goes.
"""

from __future__ import annotations

import pytest
from tests.chaos.network import Unavailable
from tests.chaos.process import FORGETFUL
from tests.chaos.sequence import run

pytestmark = [pytest.mark.live, pytest.mark.chaos]

SEED = 1
DISTURBANCES = 30


@pytest.mark.timeout(400)
def test_nothing_but_the_truth_is_told_of_a_disturbed_cluster(binary):
    try:
        verdict = run(SEED, DISTURBANCES, binary, FORGETFUL, print)
    except Unavailable as why:
        pytest.skip(str(why))
    assert verdict.violations == []
    assert verdict.disturbances == DISTURBANCES
    assert verdict.told["opened"]
    assert verdict.told["resolved"]
