"""/docs in a real browser: an example of a model is sent from the page and answered."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.browser import browsing
from tests.support.up import DATA, Home, Up

PICTURE = Path(__file__).parents[2] / "docs" / "docs-page.png"
HINTS = """
description: Which iris it is, by its measures.
inputs:
  X:
    columns:
      - {name: sepal_length, unit: cm, range: [0, 30]}
      - {name: sepal_width, unit: cm, range: [0, 30]}
      - {name: petal_length, unit: cm, range: [0, 30]}
      - {name: petal_width, unit: cm, range: [0, 30]}
outputs:
  label: {labels: [setosa, versicolor, virginica]}
example: {rows: [{sepal_length: 5.1, sepal_width: 3.5, petal_length: 1.4, petal_width: 0.2}]}
"""
# React notices a value only where it is set as an input sets it.
TYPE = """(text => {
  const area = document.querySelector(".body-param__text");
  Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, "value").set.call(area, text);
  area.dispatchEvent(new Event("input", { bubbles: true }));
})"""
ANSWERED = ".live-responses-table .response .response-col_status"


@pytest.fixture(scope="module")
def up(homes: Callable[[], Home]) -> Iterator[Up]:
    home = homes()
    shutil.copy(DATA / "iris.onnx", home.here / "iris.onnx")
    (home.here / "iris.service.yaml").write_text(HINTS)
    with home.up("iris.onnx", "--http", "127.0.0.1:0") as up:
        yield up


async def test_an_example_of_a_model_is_sent_from_the_page_by_keyboard_and_answered(up: Up, tmp_path: Path) -> None:
    async with browsing(tmp_path) as page:
        await page.open(f"http://{up.http}/docs")
        await page.until("!!document.querySelector('.opblock-summary-control')")
        assert await page.run("document.querySelector('.opblock-summary-path').dataset.path") == "/v1/iris"
        await page.run("document.querySelector('.opblock-summary-control').focus()")
        await page.press("Enter", 13, "\r")
        example = await page.until("(document.querySelector('.body-param__text') || {}).value")
        assert json.loads(example)["rows"][0]["sepal_length"] == 5.1
        await page.until("!!document.querySelector('button.execute')")
        await page.run("document.querySelector('button.execute').focus()")
        await page.press("Enter", 13, "\r")
        status = await page.until(f"(document.querySelector('{ANSWERED}') || {{}}).innerText")
        assert status.split()[0] == "200"
        told = await page.run("document.querySelector('.live-responses-table').innerText")
        assert '"rows"' in told
        assert "setosa" in told
        if os.environ.get("INFERLOOM_WRITE_PICTURES"):
            await page.run("document.querySelector('.opblock-section-request-body').scrollIntoView()")
            await page.screenshot(PICTURE)
        wrong = example.replace("5.1", '"x"')
        await page.run(f"{TYPE}({json.dumps(wrong)})")
        await page.run("document.querySelector('button.execute').click()")
        await page.until(f"document.querySelector('{ANSWERED}').innerText.startsWith('400')")
        refused = await page.run("document.querySelector('.live-responses-table').innerText")
        assert "rows[0].sepal_length" in refused
        assert page.hosts == {up.http}
        assert [problem for problem in page.problems if "status of 400" not in problem] == []


def test_the_picture_in_the_docs_is_small() -> None:
    assert PICTURE.read_bytes().startswith(b"\x89PNG")
    assert PICTURE.stat().st_size < 200_000
