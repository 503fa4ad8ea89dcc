"""Random disturbances: what agents tell meanwhile is true, whole, and told by one at a time.

`python -m tests.chaos` runs longer sequences, and tells what happens as it goes.
"""

from __future__ import annotations

import pytest
from tests.chaos.network import Unavailable
from tests.chaos.process import ALONE, PAIR, TRIO
from tests.chaos.sequence import run

from kit import servers

pytestmark = [pytest.mark.live, pytest.mark.chaos]

SEED = 1
# Two hundred together, which last for minutes; each on one of the selected versions.
OLDEST, NEWEST = servers.selected_versions()[0], servers.selected_versions()[-1]


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("house", "disturbances", "version"),
    [(TRIO, 40, NEWEST), (PAIR, 20, NEWEST), (ALONE, 140, OLDEST)],
    ids=["three", "two", "one"],
)
def test_nothing_but_the_truth_is_told_of_a_disturbed_cluster(house, disturbances, version):
    try:
        verdict = run(SEED, disturbances, servers.binary(version), house, print)
    except Unavailable as why:
        pytest.skip(str(why))
    print(verdict)
    assert verdict.violations == []
    assert verdict.disturbances == disturbances
    assert verdict.told["opened"]
    assert verdict.told["resolved"]
    # What a server of 2.10 refuses for a while, a later message may replace.
    assert not house.jetstream or verdict.stored > verdict.lacking
