"""Plain Python classes on a real Triton: batching, cancellation, errors."""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from inferloom.sidecar.modelfile import TensorType
from tests.support.models import ModelServer, model_server, tensors

SCALE = """
import numpy as np

class Scale:
    inputs = {"x": "FP32[-1,2]", "by": "FP32[-1]"}
    outputs = {"y": "FP32[-1,2]", "rows": "INT64[-1]"}

    def predict(self, x, by):
        if (by < 0).any():
            raise ValueError("by is negative")
        return x * by[:, None], np.full(len(x), len(x))
"""

# Notes each row it runs, and takes as long as the row says.
NOTES = """
import time
from pathlib import Path

class Notes:
    inputs = {"id": "INT64[-1]", "seconds": "FP32[-1]"}
    outputs = {"rows": "INT64[-1]"}

    def __init__(self):
        self.book = Path(__file__).parent / ".book"

    def predict(self, id, seconds):
        with self.book.open("a") as book:
            book.writelines(f"{one}\\n" for one in id)
        if (id == 13).any():
            raise ValueError("thirteen")
        time.sleep(float(seconds.max()))
        return {"rows": id * 0 + len(id)}
"""


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    with model_server(tmp_path_factory.mktemp("python")) as running:
        yield running


@pytest.fixture
def server(triton: ModelServer) -> Iterator[ModelServer]:
    yield triton
    triton.clear()


def source(folder: Path, text: str) -> Path:
    path = folder / "model-file.py"
    path.write_text(text)
    return path


def ask_later(server: ModelServer, name: str, answers: queue.Queue[Any], **inputs: Any) -> Any:
    return server.client.async_infer(name, tensors(inputs), lambda result, error: answers.put((result, error)))


def test_a_class_with_predict_is_a_model(server: ModelServer, tmp_path: Path) -> None:
    server.serve(source(tmp_path, SCALE), "scale")
    assert server.signature("scale") == (["x FP32[-1,2]", "by FP32[-1,1]"], ["y FP32[-1,2]", "rows INT64[-1,1]"])
    answer = server.ask("scale", x=np.array([[1, 2], [3, 4]], np.float32), by=np.array([[2], [3]], np.float32))
    assert answer["y"].tolist() == [[2, 4], [9, 12]]


def test_a_value_error_in_predict_is_the_callers_mistake(server: ModelServer, tmp_path: Path) -> None:
    server.serve(source(tmp_path, SCALE), "scale")
    with pytest.raises(InferenceServerException, match="by is negative") as caught:
        server.ask("scale", x=np.ones((1, 2), np.float32), by=-np.ones((1, 1), np.float32))
    assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"


def test_resources_beside_the_class_are_in_its_own_folder(server: ModelServer, tmp_path: Path) -> None:
    (tmp_path / "factors").mkdir()
    (tmp_path / "factors" / "three.txt").write_text("3")
    (tmp_path / "helper.py").write_text("def double(x):\n    return x * 2\n")
    source(
        tmp_path,
        "from pathlib import Path\nimport helper\n\nclass Times:\n"
        '    inputs = {"x": "INT64[-1]"}\n    outputs = {"y": "INT64[-1]"}\n\n'
        "    def __init__(self):\n"
        '        self.factor = int((Path(__file__).parent / "factors" / "three.txt").read_text())\n\n'
        "    def predict(self, x):\n        return helper.double(x) * self.factor\n",
    )
    server.serve(tmp_path, "times")
    assert server.ask("times", x=np.array([[7]]))["y"].tolist() == [[42]]


def test_types_given_by_hand_stand_in_for_the_attributes(server: ModelServer, tmp_path: Path) -> None:
    path = source(tmp_path, "class Negate:\n    def predict(self, x):\n        return -x\n")
    server.serve(path, "negate", inputs=[TensorType.parse("x:FP32[3]")], outputs=[TensorType.parse("y:FP32[3]")])
    assert server.signature("negate") == (["x FP32[3]"], ["y FP32[3]"])
    assert server.ask("negate", x=np.ones(3, np.float32))["y"].tolist() == [-1, -1, -1]


def test_bytes_reach_the_class_as_bytes(server: ModelServer, tmp_path: Path) -> None:
    path = source(
        tmp_path,
        "import numpy as np\n\nclass Length:\n"
        '    inputs = {"png": "BYTES[-1]"}\n    outputs = {"size": "INT64[-1]"}\n\n'
        "    def predict(self, png):\n        return np.array([len(one) for one in png])\n",
    )
    server.serve(path, "length")
    assert server.ask("length", png=np.array([[b"\xff\xfe\xfd"]], object))["size"].tolist() == [[3]]


def test_a_wrong_type_from_predict_is_named(server: ModelServer, tmp_path: Path) -> None:
    path = source(
        tmp_path,
        'class Wrong:\n    inputs = {"x": "FP32[-1]"}\n    outputs = {"n": "INT64[-1]"}\n\n'
        "    def predict(self, x):\n        return x\n",
    )
    server.serve(path, "wrong")
    with pytest.raises(InferenceServerException, match="predict returned 'n' as float32, declared INT64") as caught:
        server.ask("wrong", x=np.ones((1, 1), np.float32))
    assert caught.value.status() == "StatusCode.INTERNAL"


def test_requests_that_wait_are_joined_and_only_the_bad_one_fails(server: ModelServer, tmp_path: Path) -> None:
    server.serve(source(tmp_path, NOTES), "joined")
    answers: queue.Queue[Any] = queue.Queue()
    for number, seconds in ((1, 0.5), (2, 0), (13, 0), (4, 0), (5, 0)):
        ask_later(server, "joined", answers, **one(number, seconds))
        time.sleep(0.1 if number == 1 else 0)
    found = [answers.get(timeout=10) for _ in range(5)]
    failed = [error for _, error in found if error is not None]
    assert [str(error) for error in failed] == ["[StatusCode.INVALID_ARGUMENT] model 'joined': thirteen"]
    book = (server.repository / "joined" / "1" / ".book").read_text().split()
    # Once together, and after the failure once more alone: so they had been joined.
    assert book.count("2") == 2


def test_joined_answers_go_back_to_their_own_callers(server: ModelServer, tmp_path: Path) -> None:
    server.serve(source(tmp_path, NOTES), "shared")
    answers: queue.Queue[Any] = queue.Queue()
    for number, seconds in ((1, 0.5), (2, 0), (3, 0), (4, 0)):
        ask_later(server, "shared", answers, **one(number, seconds))
        time.sleep(0.1 if number == 1 else 0)
    rows = [int(result.as_numpy("rows")[0, 0]) for result, _ in (answers.get(timeout=10) for _ in range(4))]
    assert sorted(rows) == [1, 3, 3, 3]


def test_a_request_cancelled_before_its_turn_is_never_run(server: ModelServer, tmp_path: Path) -> None:
    server.serve(source(tmp_path, NOTES), "cancelled")
    answers: queue.Queue[Any] = queue.Queue()
    calls = []
    for number in range(8):
        calls.append(ask_later(server, "cancelled", answers, **one(number, 0.6)))
        time.sleep(0.15 if number < 2 else 0)
    time.sleep(0.1)
    for call in calls[2:]:
        call.cancel()
    for _ in range(8):
        answers.get(timeout=10)
    server.ask("cancelled", **one(99, 0))
    book = (server.repository / "cancelled" / "1" / ".book").read_text().split()
    assert book == ["0", "1", "99"]


def test_a_triton_python_model_is_used_as_it_is(server: ModelServer, tmp_path: Path) -> None:
    path = source(
        tmp_path,
        "import triton_python_backend_utils as pb\n\nclass TritonPythonModel:\n"
        "    def execute(self, requests):\n"
        '        found = [pb.get_input_tensor_by_name(r, "x").as_numpy() for r in requests]\n'
        '        return [pb.InferenceResponse([pb.Tensor("y", x * 2)]) for x in found]\n',
    )
    server.serve(path, "own", inputs=[TensorType.parse("x:FP32[-1,1]")], outputs=[TensorType.parse("y:FP32[-1,1]")])
    assert server.ask("own", x=np.ones((2, 1), np.float32))["y"].tolist() == [[2], [2]]


def one(number: int, seconds: float) -> dict[str, Any]:
    return {"id": np.array([[number]]), "seconds": np.array([[seconds]], np.float32)}
