"""The pages of group 2 do what they say."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.pages import of_group, run


@pytest.mark.timeout(600)
@of_group(2)
def test_every_command_of_the_page_does_what_it_says(name: str, tmp_path: Path) -> None:
    run(name, tmp_path)
