from __future__ import annotations

import pytest

from inferloom.cli.entry import older_poller


@pytest.mark.parametrize("version", ["1.85.0", "1.85.1"])
def test_the_older_poller_is_chosen_where_all_tests_have_run_with_it(version: str) -> None:
    assert older_poller(version)


@pytest.mark.parametrize("version", ["1.81.1", "1.86.0", "2.0.0"])
def test_other_versions_of_grpc_keep_their_own(version: str) -> None:
    assert not older_poller(version)
