"""docs/json.md says what is so."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from inferloom.mesh.errors import InvalidInput
from inferloom.services.typed import types_of

PAGE = Path(__file__).parents[4] / "docs" / "json.md"


def run(mark: str, **scope: Any) -> dict[str, Any]:
    """What the page's one example that contains `mark` leaves behind."""
    blocks = re.findall(r"^```python[^\n]*\n(.*?)^```", PAGE.read_text("utf-8"), re.S | re.M)
    (example,) = [block for block in blocks if mark in block]
    scope["__name__"] = "example"
    exec(
        compile(example.replace("from inferloom.sdk import service\n", ""), str(PAGE), "exec", dont_inherit=True), scope
    )
    return scope


def test_the_example_of_both_faces_runs() -> None:
    assert run("types_of")["add"]([1, 2]) == 3


def test_the_service_on_the_page_answers_as_the_page_says() -> None:
    page = PAGE.read_text("utf-8")
    split = run("class Split", service=lambda target=None, **options: target or (lambda it: it))["Split"]
    types = types_of(split.predict, where="Split")
    with pytest.raises(InvalidInput) as error:
        types.arguments_json(b'{"txt": "a", "most": "many"}')
    assert f'"message": "{error.value}"' in page
    arguments = types.arguments_json(b'{"text": "to be or not to be"}')
    assert types.result_json(asyncio.run(split.predict(split(), **arguments))).decode() in page
