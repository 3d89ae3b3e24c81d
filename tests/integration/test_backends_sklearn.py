"""scikit-learn estimators on a real Triton."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from tests.support.models import DATA, EXPECTED, ModelServer, model_server, rows


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    with model_server(tmp_path_factory.mktemp("sklearn")) as running:
        yield running


@pytest.fixture
def server(triton: ModelServer) -> Iterator[ModelServer]:
    yield triton
    triton.clear()


@pytest.mark.parametrize("file", ["logistic.joblib", "compressed.joblib"])
def test_a_classifier_answers_to_the_last_bit_as_in_python(server: ModelServer, file: str) -> None:
    server.serve(DATA / file, Path(file).stem)
    assert server.signature(Path(file).stem) == (["X FP64[-1,4]"], ["label INT64[-1,1]", "probabilities FP64[-1,3]"])
    answer = server.ask(Path(file).stem, X=rows(np.float64))
    assert answer["label"].ravel().tolist() == EXPECTED["logistic"]["label"]
    np.testing.assert_allclose(answer["probabilities"], EXPECTED["logistic"]["probabilities"], rtol=1e-12)


def test_classes_that_are_words_come_back_as_words(server: ModelServer) -> None:
    server.serve(DATA / "tree.pkl", "tree")
    answer = server.ask("tree", X=rows(np.float64))
    assert [word.decode() for word in answer["label"].ravel()] == EXPECTED["tree"]["label"]
    assert answer["probabilities"].tolist() == EXPECTED["tree"]["probabilities"]


def test_a_regressor_answers_y(server: ModelServer) -> None:
    server.serve(DATA / "regression.joblib", "regression")
    assert server.signature("regression") == (["X FP64[-1,4]"], ["y FP64[-1,1]"])
    answer = server.ask("regression", X=rows(np.float64))
    np.testing.assert_allclose(answer["y"].ravel(), EXPECTED["regression"]["y"], rtol=1e-9)


def test_a_pipeline_that_begins_with_a_vectorizer_takes_text(server: ModelServer) -> None:
    server.serve(DATA / "text.joblib", "text")
    assert server.signature("text")[0] == ["X BYTES[-1,1]"]
    answer = server.ask("text", X=np.array([["good"], ["so bad"]], object))
    assert [word.decode() for word in answer["label"].ravel()] == EXPECTED["text"]["label"]


def test_a_file_that_does_not_load_is_refused_with_the_versions(server: ModelServer, tmp_path: Path) -> None:
    cut = tmp_path / "cut.joblib"
    cut.write_bytes((DATA / "logistic.joblib").read_bytes()[:-20])
    with pytest.raises(
        InferenceServerException, match=r"model.joblib cannot be loaded with scikit-learn \d.* and numpy 1"
    ):
        server.serve(cut, "cut")


def test_a_gpu_is_refused_because_scikit_learn_has_no_use_for_it(server: ModelServer) -> None:
    with pytest.raises(InferenceServerException, match="GPU"):
        server.serve(DATA / "tree.pkl", "gpu", gpus=1)


def test_a_file_that_numpy_2_pickled_is_read_under_numpy_1(server: ModelServer) -> None:
    server.serve(DATA / "numpy2.joblib", "numpy2")
    assert server.ask("numpy2", X=rows(np.float64))["label"].ravel().tolist() == [0, 2, 1]
