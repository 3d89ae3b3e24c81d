"""Stubs of other people's generators, made from what `inferloom codegen` writes, call examples through the edge."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data

from inferloom.sdk import SyncMeshClient
from tests.support.up import Home, Up

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
TYPESCRIPT = ROOT / "tests" / "data" / "typescript"
# The commands of docs/codegen.md; package.json says which versions.
INSTALL = (
    "npm install @bufbuild/buf @bufbuild/protobuf @bufbuild/protoc-gen-es @connectrpc/connect @connectrpc/connect-node"
)
GENERATE = "npx buf generate protos --include-imports"
NAMES = ("digits-mlp", "ridge", "vision")
PHOTO = Path(skimage.data.__file__).parent / "astronaut.png"
MESH = f"""
- {{kind: mesh, name: stubs, spec: {{gateway: envoy}}}}
- {{kind: model, name: digits-mlp, spec: {{source: {EXAMPLES / "digits" / "mlp.onnx"}}}}}
- {{kind: model, name: ridge, spec: {{source: {EXAMPLES / "tabular" / "ridge.onnx"}}}}}
- {{kind: app, name: vision, spec: {{source: {EXAMPLES / "vision" / "app.py"}}}}}
"""
CALL = """
import base64
import json
import sys

import grpc

from inferloom.models.digits_mlp.v1 import digits_mlp_pb2, digits_mlp_pb2_grpc
from inferloom.models.ridge.v1 import ridge_pb2, ridge_pb2_grpc
from inferloom.models.vision.v1 import vision_pb2, vision_pb2_grpc

cases = json.load(open(sys.argv[2]))
with grpc.insecure_channel(sys.argv[1]) as channel:
    digits = digits_mlp_pb2_grpc.DigitsMlpServiceStub(channel)
    rows = [digits_mlp_pb2.InputRow(pixels=pixels) for pixels in cases["pixels"]]
    labels = digits.Predict(digits_mlp_pb2.PredictRequest(rows=rows), timeout=30)
    ridge = ridge_pb2_grpc.RidgeServiceStub(channel)
    rows = [ridge_pb2.InputRow(features=features) for features in cases["features"]]
    progression = ridge.Predict(ridge_pb2.PredictRequest(rows=rows), timeout=30)
    vision = vision_pb2_grpc.VisionServiceStub(channel)
    seen = vision.Predict(vision_pb2.PredictRequest(photo=base64.b64decode(cases["photo"])), timeout=30)
    try:
        digits.Predict(digits_mlp_pb2.PredictRequest(rows=[{"pixels": [1, 2, 3]}]), timeout=30)
    except grpc.RpcError as error:
        refused = f"{error.code().name}: {error.details()}"
print(json.dumps({
    "labels": [row.label for row in labels.rows],
    "progression": [row.progression for row in progression.rows],
    "caption": seen.caption,
    "refused": refused,
}))
"""


@dataclass(frozen=True, slots=True)
class Stubs:
    """A running mesh, the protos of it, calls to make and what they must answer."""

    up: Up
    protos: Path
    cases: Path
    expected: dict[str, Any]


@pytest.fixture(scope="module")
def stubs(homes: Callable[[], Home], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stubs]:
    home = homes()
    (home.here / "mesh.yaml").write_text(MESH)
    with home.up(".") as up:
        protos = home.here / "protos"
        done = up.run("codegen", *NAMES, "--out", protos)
        assert done.status == 0, done
        folder = tmp_path_factory.mktemp("stubs")
        pixels = np.load(EXAMPLES / "digits" / "heldout.npz")["pixels"][:3]
        features = np.linspace(-1, 1, 28, dtype=np.float32).reshape(2, 14)
        photo = PHOTO.read_bytes()
        cases = {"pixels": pixels.tolist(), "features": features.tolist(), "photo": base64.b64encode(photo).decode()}
        (folder / "cases.json").write_text(json.dumps(cases))
        with SyncMeshClient(up.address) as mesh:
            expected = {
                "labels": mesh.infer("digits-mlp", {"pixels": pixels})["label"].reshape(-1).tolist(),
                "progression": mesh.infer("ridge", {"features": features})["progression"].reshape(-1).tolist(),
                "caption": mesh.infer("vision", {"photo": np.array([photo], dtype=object)})["caption"].item().decode(),
            }
        yield Stubs(up, protos, folder / "cases.json", expected)


def check(stubs: Stubs, out: str) -> None:
    answers = json.loads(out)
    refused = answers.pop("refused").lower().replace("_", "")
    assert answers.pop("progression") == pytest.approx(stubs.expected["progression"], rel=1e-6)
    assert answers == {key: value for key, value in stubs.expected.items() if key != "progression"}
    assert refused.startswith("invalidargument: rows[0].pixels")


def run(folder: Path, *argv: str | Path, **environ: str) -> str:
    done = subprocess.run(
        [*map(str, argv)],
        cwd=folder,
        env={"PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin", "HOME": str(folder), **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )
    assert done.returncode == 0, f"{argv}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_protoc_makes_stubs_for_python_in_a_fresh_environment(stubs: Stubs, tmp_path: Path) -> None:
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True)
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "--quiet",
        "-c",
        str(ROOT / "constraints.txt"),
    ]
    subprocess.run([*pip, "grpcio", "protobuf", "grpcio-tools"], check=True)
    (tmp_path / "call.py").write_text(CALL)
    (tmp_path / "gen").mkdir()
    found = [path for part in ("inferloom", "google") for path in sorted((stubs.protos / part).rglob("*.proto"))]
    options = [f"-I{stubs.protos}", "--python_out=gen", "--grpc_python_out=gen"]
    run(tmp_path, python, "-m", "grpc_tools.protoc", *options, *found)
    check(stubs, run(tmp_path, python, "call.py", stubs.up.address, stubs.cases, PYTHONPATH="gen"))


def test_buf_lints_the_protos_and_its_generator_makes_stubs_for_typescript(stubs: Stubs, tmp_path: Path) -> None:
    npm = shutil.which("npm")
    assert npm is not None, "this test needs Node.js and npm: apt-get install nodejs npm"
    for path in TYPESCRIPT.iterdir():
        shutil.copy(path, tmp_path)
    pinned = json.loads((tmp_path / "package.json").read_text())["dependencies"]
    assert pinned.keys() >= {*INSTALL.split()[2:]}
    subprocess.run([npm, "install", "--no-audit", "--no-fund", "--silent"], cwd=tmp_path, check=True)
    run(stubs.protos, tmp_path / "node_modules/.bin/buf", "lint")
    (tmp_path / "protos").symlink_to(stubs.protos)
    run(tmp_path, *GENERATE.split())
    run(tmp_path, "node_modules/.bin/tsc", "-p", ".")
    check(stubs, run(tmp_path, "node", "call.js", stubs.up.address, stubs.cases))
