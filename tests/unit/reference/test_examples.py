"""Each example of docs/reference/documents.md passes `inferloom check`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from inferloom.cli.documents.apply import check
from inferloom.cli.documents.written import written
from inferloom.cli.up.documents import KINDS
from reference.examples import APP, EXAMPLES, FILES

ROOT = Path(__file__).parents[3]
MODEL = ROOT / "examples" / "digits" / "svm.onnx"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The page's files, and no mesh."""
    monkeypatch.setenv("INFERLOOM_STATE", str(tmp_path / "state"))
    monkeypatch.delenv("INFERLOOM_MESH", raising=False)
    monkeypatch.delenv("INFERLOOM_TOKEN", raising=False)
    shutil.copy(MODEL, tmp_path / "iris.onnx")
    (tmp_path / "app.py").write_text(APP)
    for kind, text in EXAMPLES.items():
        (tmp_path / FILES[kind]).write_text(text)
    return tmp_path


def test_there_is_an_example_of_every_kind() -> None:
    assert EXAMPLES.keys() == FILES.keys() == {"mesh", *KINDS}


@pytest.mark.parametrize("kind", EXAMPLES)
async def test_the_example_of_a_kind_passes_the_check(
    kind: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await check(folder / FILES[kind], mesh=None, token=None)
    last = capsys.readouterr().err.splitlines()[-1]  # a policy's has remarks about Envoy before it
    assert "not checked against models: no mesh runs here" in last


async def test_an_example_with_a_field_that_there_is_not_does_not_pass(folder: Path) -> None:
    file = folder / FILES["policy"]
    file.write_text(file.read_text().replace("timeout:", "time_out:"))
    with pytest.raises(Exception, match="unknown field 'time_out'; did you mean 'timeout'"):
        await written(file)
