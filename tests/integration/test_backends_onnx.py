"""ONNX files on a real Triton."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tritonclient.grpc import InferRequestedOutput
from tritonclient.utils import InferenceServerException

from inferloom.cli.codegen.file_source import metadata_of
from inferloom.cli.up.documents import ModelSpec, VersionSpec
from tests.support.models import DATA, EXPECTED, ModelServer, model_server, rows, tensors


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    with model_server(tmp_path_factory.mktemp("onnx")) as running:
        yield running


@pytest.fixture
def server(triton: ModelServer) -> Iterator[ModelServer]:
    yield triton
    triton.clear()


def by_file(name: str) -> tuple[list[str], list[str]]:
    """The signature as `inferloom codegen --from` has it, before anything is loaded."""
    told = metadata_of(ModelSpec(name, {"1": VersionSpec(DATA / f"{name}.onnx")}))
    inputs, outputs = ([str(each).replace(" [", "[") for each in side] for side in (told.inputs, told.outputs))
    return inputs, outputs


def test_a_bare_onnx_file_answers_as_its_own_library_does(server: ModelServer) -> None:
    server.serve(DATA / "iris.onnx", "iris")
    assert (
        server.signature("iris")
        == by_file("iris")
        == (["X FP32[-1,4]"], ["label INT64[-1,1]", "probabilities FP32[-1,3]"])
    )
    answer = server.ask("iris", X=rows())
    assert answer["label"].ravel().tolist() == EXPECTED["logistic"]["label"]
    np.testing.assert_allclose(answer["probabilities"], EXPECTED["logistic"]["probabilities"], atol=1e-5)


def test_a_folder_without_any_configuration_is_served_too(server: ModelServer) -> None:
    folder = server.repository / "bare" / "1"
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes((DATA / "iris.onnx").read_bytes())
    server.load("bare")
    assert server.ask("bare", X=rows())["label"].ravel().tolist() == EXPECTED["logistic"]["label"]


def test_only_the_outputs_that_were_asked_for_are_computed_and_sent(server: ModelServer) -> None:
    server.serve(DATA / "iris.onnx", "asked")
    result = server.client.infer("asked", tensors({"X": rows()}), outputs=[InferRequestedOutput("label")])
    assert [output.name for output in result.get_response().outputs] == ["label"]


def test_a_model_without_a_batch_dimension_keeps_its_whole_shape(server: ModelServer) -> None:
    server.serve(DATA / "fixed.onnx", "fixed")
    assert server.signature("fixed") == by_file("fixed") == (["x FP32[1,3]"], ["y FP32[1,3]"])
    assert server.ask("fixed", x=np.ones((1, 3), np.float32))["y"].tolist() == [[2, 2, 2]]


def test_a_free_first_dimension_that_is_not_shared_is_no_batch(server: ModelServer) -> None:
    server.serve(DATA / "detections.onnx", "detections")
    assert server.signature("detections") == by_file("detections") == (["x FP32[-1,2]"], ["y INT64[-1,-1]"])
    assert server.ask("detections", x=np.eye(2, dtype=np.float32))["y"].tolist() == [[0, 1], [0, 1]]


def test_one_value_per_row_travels_as_a_column(server: ModelServer) -> None:
    server.serve(DATA / "vector.onnx", "vector")
    assert server.signature("vector") == by_file("vector") == (["x FP32[-1,1]"], ["y FP32[-1,1]"])
    assert server.ask("vector", x=np.array([[1], [2]], np.float32))["y"].tolist() == [[2], [4]]


def test_strings_come_back_as_they_went(server: ModelServer) -> None:
    server.serve(DATA / "strings.onnx", "strings")
    words = np.array([["grüß"], [""]], object)
    assert [word.decode() for word in server.ask("strings", x=words)["y"].ravel()] == ["grüß", ""]


def test_bytes_that_are_no_text_are_refused_as_the_callers_mistake(server: ModelServer) -> None:
    server.serve(DATA / "strings.onnx", "strings")
    with pytest.raises(InferenceServerException, match="input 'x' is not UTF-8") as caught:
        server.ask("strings", x=np.array([[b"\xff"]], object))
    assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"


def test_weights_in_a_file_of_their_own_are_placed_with_the_model(server: ModelServer) -> None:
    server.serve(DATA / "external.onnx", "external")
    assert server.ask("external", x=np.ones((1, 3), np.float32))["y"].tolist() == [[1, 2, 3]]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            'input { name: "pixels" data_type: TYPE_FP32 dims: 4 }',
            r"input 'pixels' is not in model.onnx; the file has 'X' FP32 \[-1,4\]",
        ),
        (
            'output { name: "score" data_type: TYPE_FP32 dims: 3 }',
            r"output 'score' is not in model.onnx; the file has 'label' INT64 \[-1\], 'probabilities' FP32 \[-1,3\]",
        ),
        (
            'input { name: "X" data_type: TYPE_FP64 dims: 4 }',
            r"input 'X' FP64 \[-1,4\] in config.pbtxt is 'X' FP32 \[-1,4\] in model.onnx",
        ),
        (
            'input { name: "X" data_type: TYPE_FP32 dims: 5 }',
            r"input 'X' FP32 \[-1,5\] in config.pbtxt is 'X' FP32 \[-1,4\] in model.onnx",
        ),
    ],
)
def test_a_configuration_that_contradicts_the_file_is_refused_at_load_with_the_right_names(
    server: ModelServer, config: str, message: str
) -> None:
    folder = server.repository / "wrong" / "1"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes((DATA / "iris.onnx").read_bytes())
    (folder.parent / "config.pbtxt").write_text(f'backend: "onnxruntime"\nmax_batch_size: 8\n{config}\n')
    with pytest.raises(InferenceServerException, match=message):
        server.load("wrong")


def test_batching_a_file_that_has_no_batch_dimension_is_refused_at_load(server: ModelServer) -> None:
    folder = server.repository / "unbatched" / "1"
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes((DATA / "fixed.onnx").read_bytes())
    (folder.parent / "config.pbtxt").write_text('backend: "onnxruntime"\nmax_batch_size: 8\n')
    with pytest.raises(InferenceServerException, match=r"no batch dimension: 'x' FP32 \[1,3\].*set max_batch_size: 0"):
        server.load("unbatched")


def test_zipmap_outputs_of_a_file_that_is_already_there_are_refused_with_the_cure(server: ModelServer) -> None:
    folder = server.repository / "zipmap" / "1"
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes((DATA / "zipmap.onnx").read_bytes())
    with pytest.raises(InferenceServerException, match=r"options=\{'zipmap': False\}"):
        server.load("zipmap")


def test_a_configuration_may_leave_an_output_out(server: ModelServer, tmp_path: Path) -> None:
    folder = tmp_path / "few"
    (folder / "1").mkdir(parents=True)
    (folder / "1" / "model.onnx").write_bytes((DATA / "iris.onnx").read_bytes())
    (folder / "config.pbtxt").write_text(
        'backend: "onnxruntime"\nmax_batch_size: 8\noutput { name: "label" data_type: TYPE_INT64 dims: [1] }\n'
    )
    server.serve(folder, "few")
    assert server.signature("few") == (["X FP32[-1,4]"], ["label INT64[-1,1]"])
    assert list(server.ask("few", X=rows())) == ["label"]


def test_a_gpu_on_a_machine_without_one_is_refused_in_words(server: ModelServer) -> None:
    with pytest.raises(InferenceServerException, match="GPU"):
        server.serve(DATA / "iris.onnx", "gpu", gpus=1)
