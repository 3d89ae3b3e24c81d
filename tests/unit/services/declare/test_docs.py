"""What begins docs/services.md, and handles as dependencies of FastAPI."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI

from inferloom.sdk import model, resource
from inferloom.services.declare.app import collect
from tests.docs.page import read_page

PAGE = Path(__file__).parents[4] / "docs" / "services.md"
[APP, *_] = [block.text for block in read_page(PAGE).blocks if block.title == "app.py"]

digits = model("digits")


@pytest.fixture
def app(tmp_path: Path) -> Iterator[ModuleType]:
    file = tmp_path / "docs_services_app.py"
    file.write_text(APP)
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[file.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules[file.stem]


def test_the_first_example_is_a_service_of_ten_lines_around_a_model(app: ModuleType) -> None:
    found = collect(app)
    assert (list(found.services), list(found.models)) == (["Classify"], ["iris"])
    lines = [line for line in APP.splitlines() if line.strip()]
    assert len(lines) <= 10


@resource
def db() -> Iterator[dict[str, int]]:
    yield {}


async def post(app: Any, path: str, body: Any) -> Any:
    """The JSON answer of an ASGI application, asked without a network."""
    sent: list[Any] = []
    headers = [(b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": headers}

    async def receive() -> Any:
        return {"type": "http.request", "body": json.dumps(body).encode()}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    assert sent[0]["status"] == 200, sent
    return json.loads(b"".join(message.get("body", b"") for message in sent[1:]))


async def test_handles_and_resources_are_dependencies_of_fastapi() -> None:
    api = FastAPI()

    @api.post("/read")
    async def read(
        pixels: list[float],
        digits: Annotated[Any, Depends(digits.dependency)],
        known: Annotated[Any, Depends(db.dependency)],
    ) -> int:
        return int((await digits(pixels=[pixels])).label[0]) + int(known["offset"])

    with db.replaced({"offset": 10}), digits.replaced(lambda pixels: {"label": [3]}):
        assert await post(api, "/read", [1.0]) == 13
    api.dependency_overrides[digits.dependency] = lambda: digits.options(fallback={"label": [4]})
    with db.replaced({"offset": 0}), digits.replaced(lambda image: {"label": [3]}):
        assert await post(api, "/read", [1.0]) == 4
