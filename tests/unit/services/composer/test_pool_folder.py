"""Where multiprocessing puts the socket of its fork server."""

from __future__ import annotations

import multiprocessing.util
import tempfile

import pytest

from inferloom.services.composer import pool


@pytest.mark.parametrize(("length", "below"), [(40, False), (90, True)])
def test_a_long_temporary_folder_is_not_used_for_sockets(
    length: int, below: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(tempfile, "tempdir", "/" + "x" * length)
    monkeypatch.setattr(multiprocessing.util, "get_temp_dir", lambda: asked.append(tempfile.gettempdir()))
    pool._make_room_for_a_socket()
    assert asked == (["/tmp"] if below else [])
    assert tempfile.tempdir == "/" + "x" * length
