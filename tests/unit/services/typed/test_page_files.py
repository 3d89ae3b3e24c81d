"""The files of Swagger UI are those of its package."""

from __future__ import annotations

import hashlib
from importlib.resources import files

from inferloom.services.typed import page

SWAGGER = files(page.__name__).joinpath("swagger")


def test_the_files_are_as_they_were_taken() -> None:
    sums = SWAGGER.joinpath("SHA256SUMS").read_text("utf-8").splitlines()
    assert len(sums) == 5
    for line in sums:
        digest, name = line.split()
        assert hashlib.sha256(SWAGGER.joinpath(name).read_bytes()).hexdigest() == digest, name


def test_nothing_in_our_part_of_the_page_is_of_another_host() -> None:
    for name in ("docs.html", "docs.js", "docs.css"):
        text = files(page.__name__).joinpath(name).read_text("utf-8")
        assert "http:" not in text
        assert "https:" not in text
