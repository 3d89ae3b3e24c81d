"""XGBoost models on a real Triton, under the names of NVIDIA's FIL backend."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from tests.support.models import DATA, EXPECTED, ModelServer, model_server, rows


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    with model_server(tmp_path_factory.mktemp("xgboost")) as running:
        yield running


@pytest.fixture
def server(triton: ModelServer) -> Iterator[ModelServer]:
    yield triton
    triton.clear()


@pytest.mark.parametrize(
    ("file", "width"),
    [("classes.json", 3), ("classes.bst", 3), ("binary.ubj", 2), ("regressor.json", 1)],
)
def test_a_saved_booster_answers_as_its_own_library_does(server: ModelServer, file: str, width: int) -> None:
    name = file.replace(".", "-")
    server.serve(DATA / file, name)
    assert server.signature(name) == (["input__0 FP32[-1,4]"], [f"output__0 FP32[-1,{width}]"])
    answer = server.ask(name, input__0=rows())
    np.testing.assert_allclose(answer["output__0"], EXPECTED[Path(file).stem], rtol=1e-6)


def test_without_predict_proba_the_class_is_answered(server: ModelServer, tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "xgboost.json").write_bytes((DATA / "classes.json").read_bytes())
    (tmp_path / "config.pbtxt").write_text(
        'backend: "fil"\nmax_batch_size: 64\n'
        'input { name: "input__0" data_type: TYPE_FP32 dims: [4] }\n'
        'output { name: "output__0" data_type: TYPE_FP32 dims: [1] }\n'
        'parameters { key: "output_class" value { string_value: "true" } }\n'
    )
    server.serve(tmp_path, "labels")
    chosen = np.argmax(EXPECTED["classes"], axis=1)
    assert server.ask("labels", input__0=rows())["output__0"].ravel().tolist() == chosen.tolist()


def test_a_regressor_configured_as_a_classifier_is_refused_at_load(server: ModelServer, tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "xgboost.json").write_bytes((DATA / "regressor.json").read_bytes())
    (tmp_path / "config.pbtxt").write_text(
        'backend: "fil"\nparameters { key: "output_class" value { string_value: "true" } }\n'
    )
    with pytest.raises(InferenceServerException, match=r"output_class is true, and xgboost\.json was trained for reg:"):
        server.serve(tmp_path, "mistaken")


def test_a_version_of_another_kind_is_refused_at_load_and_the_first_one_goes_on(server: ModelServer) -> None:
    server.serve(DATA / "classes.json", "grown")
    with pytest.raises(InferenceServerException, match=r"output_class is true, and xgboost\.json was trained for reg:"):
        server.serve(DATA / "regressor.json", "grown", "2")
    assert server.ask("grown", "1", input__0=rows())["output__0"].shape == (3, 3)
