from __future__ import annotations

import pytest

from inferloom.mesh.errors import InvalidInput
from inferloom.mesh.names import check_name, is_name


@pytest.mark.parametrize("name", ["iris", "Iris-v2_1.0", "a", "0", "_", "x" * 128, ".hidden", "a..b"])
def test_names_are_letters_digits_dot_underscore_and_hyphen(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", "a b", "a/b", "../a", "iris\n", "ünit", "x" * 129, "a:b", "²", "a\0"])
def test_anything_else_is_no_name(name: str) -> None:
    assert not is_name(name)
    with pytest.raises(InvalidInput, match="is no model name: 1 to 128 letters"):
        check_name(name)


@pytest.mark.parametrize("name", [".", "..", "..."])
def test_dots_alone_are_no_name_for_names_become_folders(name: str) -> None:
    with pytest.raises(InvalidInput, match="is no model name"):
        check_name(name)


def test_a_long_wrong_name_is_shown_shortened() -> None:
    with pytest.raises(InvalidInput) as raised:
        check_name("a " * 500)
    assert len(str(raised.value)) < 200
