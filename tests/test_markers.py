from __future__ import annotations

import pytest

from nats_insights.lab.servers import local


def test_a_test_that_starts_no_server_is_pure(request: pytest.FixtureRequest) -> None:
    assert request.node.get_closest_marker("pure")


@pytest.mark.live
def test_a_test_that_says_so_is_live_and_may_start_a_server(
    request: pytest.FixtureRequest,
) -> None:
    assert not request.node.get_closest_marker("pure")
    with local.server() as system:
        assert system["n1"].running


def test_whoever_takes_the_binary_of_a_server_is_live(request: pytest.FixtureRequest) -> None:
    live = {
        item.name
        for item in request.session.items
        if "binary" in getattr(item, "fixturenames", ()) and item.get_closest_marker("pure")
    }
    assert live == set()


def test_a_pure_test_cannot_start_a_server() -> None:
    with pytest.raises(RuntimeError, match="mark it as live"), local.server():
        pass
