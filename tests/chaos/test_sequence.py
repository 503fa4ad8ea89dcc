"""Random disturbances: what agents tell meanwhile is true, whole, and told by one at a time.

`python -m tests.chaos` runs longer sequences, and tells what happens as it goes.
"""

from __future__ import annotations

import pytest
from tests.chaos.network import Unavailable
from tests.chaos.process import ALONE, PAIR
from tests.chaos.sequence import run

pytestmark = [pytest.mark.live, pytest.mark.chaos]

SEED = 1


@pytest.mark.timeout(400)
@pytest.mark.parametrize(("house", "disturbances"), [(ALONE, 30), (PAIR, 24)], ids=["one", "two"])
def test_nothing_but_the_truth_is_told_of_a_disturbed_cluster(house, disturbances, binary):
    try:
        verdict = run(SEED, disturbances, binary, house, print)
    except Unavailable as why:
        pytest.skip(str(why))
    assert verdict.violations == []
    assert verdict.disturbances == disturbances
    assert verdict.told["opened"]
    assert verdict.told["resolved"]
