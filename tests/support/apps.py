"""Python files with services and pipelines around the iris model, and ways to call them."""

from __future__ import annotations

import json
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from inferloom.sdk import SyncMeshClient
from tests.support.up import DATA, Up, wait_for

__all__ = ["CLASSIFY", "SIZES", "app", "ask_until", "call", "hosts", "iris", "kind_of", "post", "served"]

SIZES = [5.1, 3.5, 1.4, 0.2]

CLASSIFY = '''
import numpy as np
from inferloom.sdk import model, service

iris = model("iris", source="iris.onnx")
KINDS = ["setosa", "versicolor", "virginica"]

@service
class Classify:
    """The kind of a flower, from its four sizes in cm."""

    async def predict(self, sizes: list[float]) -> str:
        out = await iris(X=np.array([sizes], np.float32))
        return KINDS[int(out.label.flat[0])]
'''


def app(folder: Path, text: str = CLASSIFY, name: str = "app.py") -> Path:
    """Write the file, beside the model that it names."""
    folder.mkdir(exist_ok=True)
    if not (folder / "iris.onnx").exists():
        shutil.copyfile(DATA / "iris.onnx", folder / "iris.onnx")
    path = folder / name
    path.write_text(text)
    return path


def call(up: Up, service: str, inputs: dict[str, Any]) -> dict[str, Any]:
    """By gRPC; each output as a list."""
    with SyncMeshClient(up.address) as mesh:
        return {name: value.tolist() for name, value in mesh.infer(service, inputs).items()}


def post(up: Up, path: str, body: Any) -> tuple[int, Any]:
    """By JSON: the status and the answer."""
    request = urllib.request.Request(
        f"http://{up.http}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def iris(up: Up) -> str:
    """What `Classify` says of a setosa."""
    return kind_of(call(up, "Classify", {"sizes": SIZES}))


def kind_of(answer: dict[str, Any]) -> str:
    (text,) = answer["result"]
    return str(text.decode())


def ask_until(ask: Callable[[], object], wanted: object, seconds: float) -> float:
    """Ask again and again until this is the answer; the seconds it took. An answer that fails is a failure."""
    began = time.monotonic()
    while (found := ask()) != wanted:
        assert time.monotonic() - began < seconds, f"{found!r} after {seconds:g} s, not {wanted!r}"
        time.sleep(0.02)
    return time.monotonic() - began


def hosts(up: Up, *words: str) -> list[psutil.Process]:
    """Its host processes whose command lines have these words."""
    return [p for p in up.home.named("inferloom.cli", " host ", *words) if "setpriv" not in p.name()]


def served(up: Up, name: str, seconds: float = 20.0) -> float:
    """Wait until something answers to this name."""

    def there() -> bool:
        return any(replica["state"] == "REPLICA_STATE_SERVING" for replica in up.replicas(name))

    return wait_for(there, seconds)
