"""What a file declares, with the modules beside it that it uses."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from inferloom.mesh.errors import ConfigError
from inferloom.services.declare.app import App, collect

HEAD = "from inferloom.sdk import model, pipeline, resource, service, step\n"


class Folder:
    """Python files that can import each other; forgotten at the end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.names: list[str] = []

    def load(self, name: str, source: str) -> ModuleType:
        file = self.path / f"{name}.py"
        file.write_text(HEAD + source)
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        self.names.append(name)
        spec.loader.exec_module(module)
        return module

    def collect(self, source: str) -> App:
        return collect(self.load("declared_app", source))


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    found = Folder(tmp_path)
    yield found
    for name in found.names:
        sys.modules.pop(name, None)


WHOLE = """
digits = model("digits", source="models/digits.onnx")

@resource
def db():
    yield {}

@step
def double(x: int) -> int:
    return 2 * x

@service(replicas=2)
class ReadDigit:
    async def predict(self, png: bytes) -> int:
        return 3

@pipeline("twice")
def twice(x: int) -> int:
    return double(x)

async def app(scope, receive, send): ...
api = service(asgi=app)
"""


def test_everything_is_found_by_its_name(folder: Folder) -> None:
    app = folder.collect(WHOLE)
    assert (app.module, app.file) == ("declared_app", folder.path / "declared_app.py")
    assert sorted(app.services) == ["ReadDigit", "api"]
    assert app.models["digits"].path == folder.path / "models/digits.onnx"
    assert list(app.steps) == ["declared_app:double"]
    assert list(app.pipelines) == ["twice"]
    assert list(app.resources) == ["db"]


def test_an_application_is_called_as_its_variable(folder: Folder) -> None:
    api = folder.collect(WHOLE).services["api"]
    assert (api.name, api.target) == ("api", None)
    with pytest.raises(ConfigError, match=r"declared_app.py:3: '_ärger' is no name of a service"):
        folder.collect("async def app(scope, receive, send): ...\n_ärger = service(asgi=app)\n")


def test_modules_beside_the_file_that_it_uses_belong_to_it(folder: Folder) -> None:
    folder.load("declared_steps", "@step\ndef double(x: int) -> int:\n    return 2 * x\n")
    folder.load(
        "declared_pipelines",
        "import declared_steps\n@pipeline\ndef twice(x: int) -> int:\n    return declared_steps.double(x)\n",
    )
    folder.load("declared_unused", "@step\ndef other(x: int) -> int:\n    return x\n")
    app = folder.collect("from declared_pipelines import twice\n")
    assert (list(app.pipelines), list(app.steps)) == (["twice"], ["declared_steps:double"])


def test_a_step_with_replicas_is_a_service_too(folder: Folder) -> None:
    app = folder.collect("@step(replicas=3, rows=True, cpus=1)\ndef embed(x: list[int]) -> list[int]:\n    return x\n")
    hosted = app.services["embed"]
    assert (hosted.replicas, hosted.rows, hosted.cpus, hosted.default) == (3, True, 1, "embed")
    assert [str(spec) for spec in hosted.types("embed").signature.inputs] == ["x INT64 [-1]"]


async def test_a_plain_step_that_is_hosted_runs_in_a_thread(folder: Folder) -> None:
    app = folder.collect(
        "import threading\n@step(replicas=1)\ndef where(x: int) -> str:\n    return threading.current_thread().name\n"
    )
    hosted = app.services["where"]
    assert await hosted.bound(None, "where")(x=1) != "MainThread"


def test_several_handles_to_a_model_are_one_model(folder: Folder) -> None:
    app = folder.collect('a = model("m")\nb = model("m", source="m.onnx")\nc = model("m")\n')
    assert app.models["m"].source == "m.onnx"


CLASS = "class S:\n    async def predict(self, x: int) -> int:\n        return x\n"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (f"@service\n{CLASS}T = S\n@service\n{CLASS}", "two services are named 'S'; the other is at"),
        (f'@service\n{CLASS}@pipeline("S")\ndef s(x: int) -> int:\n    return x\n', "'S' is also a service, at"),
        (f'@service\n{CLASS}s = model("S", source="s.onnx")\n', "'S' is served from s.onnx and is declared at"),
        (
            'a = model("m", source="a.onnx")\nb = model("m", source="b.onnx")\n',
            "model 'm' comes from b.onnx, and from a",
        ),
    ],
)
def test_two_things_of_one_name_are_refused_with_both_places(folder: Folder, source: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        folder.collect(source)
    assert message in str(caught.value)
    assert str(caught.value).count("declared_app.py:") == 2
