"""The public module."""

from __future__ import annotations

import subprocess
import sys

import pytest

import inferloom.sdk


def test_importing_it_loads_neither_numpy_nor_grpc() -> None:
    code = "import sys, inferloom.sdk; print([m for m in ('numpy', 'grpc', 'tritonclient') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_name_it_promises_is_there() -> None:
    for name in inferloom.sdk.__all__:
        assert getattr(inferloom.sdk, name).__name__ == name
    assert dir(inferloom.sdk) == sorted(inferloom.sdk.__all__)


def test_a_name_it_has_not_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Mesh'"):
        _ = inferloom.sdk.Mesh
