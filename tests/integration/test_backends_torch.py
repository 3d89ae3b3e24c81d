"""PyTorch programs on a real Triton."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from inferloom.sidecar.modelfile import TensorType
from tests.support.models import DATA, EXPECTED, ModelServer, model_server, rows


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    with model_server(tmp_path_factory.mktemp("torch")) as running:
        yield running


@pytest.fixture
def server(triton: ModelServer) -> Iterator[ModelServer]:
    yield triton
    triton.clear()


def types(*texts: str) -> list[TensorType]:
    return [TensorType.parse(text) for text in texts]


def test_an_exported_program_needs_no_types(server: ModelServer) -> None:
    server.serve(DATA / "linear.pt2", "program")
    assert server.signature("program") == (["x FP32[-1,4]"], ["OUTPUT__0 FP32[-1,2]", "OUTPUT__1 FP32[-1,1]"])
    answer = server.ask("program", x=rows())
    np.testing.assert_allclose(answer["OUTPUT__0"], EXPECTED["linear"]["y"], rtol=1e-5)
    np.testing.assert_allclose(answer["OUTPUT__1"].ravel(), EXPECTED["linear"]["total"], rtol=1e-5)


def test_an_exported_program_answers_one_row_and_refuses_rows_of_the_wrong_width(server: ModelServer) -> None:
    server.serve(DATA / "linear.pt2", "program")
    assert server.ask("program", x=rows()[:1])["OUTPUT__0"].shape == (1, 2)
    with pytest.raises(InferenceServerException, match="x") as caught:
        server.ask("program", x=np.ones((1, 5), np.float32))
    assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"


def test_torchscript_takes_its_types_from_the_command_line(server: ModelServer) -> None:
    outputs = types("y:FP32[-1,2]", "total:FP32[-1]")
    server.serve(DATA / "linear.pt", "script", inputs=types("x:FP32[-1,4]"), outputs=outputs)
    assert server.signature("script") == (["x FP32[-1,4]"], ["y FP32[-1,2]", "total FP32[-1,1]"])
    answer = server.ask("script", x=rows())
    np.testing.assert_allclose(answer["y"], EXPECTED["linear"]["y"], rtol=1e-5)
    np.testing.assert_allclose(answer["total"].ravel(), EXPECTED["linear"]["total"], rtol=1e-5)


def test_torchscript_takes_names_by_index_as_the_native_backend_does(server: ModelServer) -> None:
    outputs = types("OUTPUT__1:FP32[-1]")
    server.serve(DATA / "linear.pt", "indexed", inputs=types("INPUT__0:FP32[-1,4]"), outputs=outputs)
    answer = server.ask("indexed", INPUT__0=rows())
    np.testing.assert_allclose(answer["OUTPUT__1"].ravel(), EXPECTED["linear"]["total"], rtol=1e-5)


def test_an_input_that_forward_does_not_take_is_refused_at_load(server: ModelServer) -> None:
    with pytest.raises(InferenceServerException, match=r"input 'pixels' is not in model\.pt; its forward takes 'x'"):
        server.serve(DATA / "linear.pt", "pixels", inputs=types("pixels:FP32[-1,4]"), outputs=types("y:FP32[-1,2]"))


def test_torchscript_in_a_folder_without_types_is_refused_with_both_ways_out(server: ModelServer) -> None:
    folder = server.repository / "untyped" / "1"
    folder.mkdir(parents=True)
    (folder / "model.pt").write_bytes((DATA / "linear.pt").read_bytes())
    with pytest.raises(InferenceServerException, match=r"torch.export.*--input x:FP32\[-1,4\] --output"):
        server.load("untyped")
