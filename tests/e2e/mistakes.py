"""What beginners get wrong, what they see then, and docs/mistakes.md, which is made of that.

python -m tests.e2e.mistakes > docs/mistakes.md
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from inferloom.sidecar.modelfile.recognise import SUPPORTED

__all__ = ["MISTAKES", "Mistake", "Scene", "page"]


class Scene(StrEnum):
    """What is there before."""

    ALONE = "alone"  # a folder with iris.onnx, and no mesh
    MESH = "mesh"  # a mesh that serves iris and wide
    PORT_TAKEN = "port taken"  # 8081 is
    GRPC_SERVER = "grpc server"  # by a gRPC server that shares its port with whoever asks
    ANOTHER_MESH = "another mesh"  # by one


@dataclass(frozen=True, slots=True)
class Mistake:
    """One, and the last line on stderr.

    Attributes:
        files: beside iris.onnx; a text, bytes, or "=NAME", a copy of a file of tests/data/models.
        environ: what else is set.
    """

    what: str
    command: str
    says: str
    status: int = 2
    scene: Scene = Scene.ALONE
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.what


def _mesh(what: str, text: str, says: str) -> Mistake:
    return Mistake(what, "inferloom up shop", says, files={"shop/mesh.yaml": text, "shop/iris.onnx": "=iris.onnx"})


def _safetensors() -> bytes:
    head = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    return struct.pack("<Q", len(head)) + head + bytes(4)


_EXPORT = "save the program with torch.export.save(torch.export.export(model, (example,)), 'model.pt2')"
_CONFIG = """
max_batch_size: 8
input [{ name: "pixels" data_type: TYPE_FP32 dims: [4] }]
output [{ name: "label" data_type: TYPE_INT64 dims: [1] }]
"""
_BROKEN = """
class Broken:
    inputs = {"x": "FP32[-1,4]"}
    outputs = {"y": "FP32[-1,4]"}

    def __init__(self):
        self.weights = open("weights.bin")

    def predict(self, x):
        return x
"""

MODEL_FILES = [
    Mistake(
        "The file's name has a typing error",
        "inferloom up irsi.onnx",
        "there is no file 'irsi.onnx'; did you mean 'iris.onnx'?",
    ),
    Mistake(
        "A folder without models",
        "inferloom up docs",
        "folder 'docs' has no mesh.yaml and no model file; it has readme.txt; `inferloom up model.onnx` serves a file",
        files={"docs/readme.txt": "hello"},
    ),
    Mistake(
        "Two files of a folder would have the same name",
        "inferloom up models",
        "'models/iris.onnx' and 'models/iris.pkl' would both be called 'iris'; rename one, or name them in models/mesh.yaml",
        files={"models/iris.onnx": "=iris.onnx", "models/iris.pkl": "=tree.pkl"},
    ),
    Mistake(
        "A text file",
        "inferloom up notes.txt",
        f"'notes.txt' looks like a text file; {SUPPORTED}",
        files={"notes.txt": "hello"},
    ),
    Mistake(
        "An empty file",
        "inferloom up empty.onnx",
        "'empty.onnx' is empty; the copy or download failed, fetch it again",
        files={"empty.onnx": ""},
    ),
    Mistake(
        "A download that was cut short",
        "inferloom up short.onnx",
        "'short.onnx' is not an ONNX model, or is cut short (a field is longer than the message); export it again, or copy "
        "it again",
        files={"short.onnx": "=iris.onnx:300"},
    ),
    Mistake(
        "A git-lfs pointer in place of the file",
        "inferloom up lfs.onnx",
        f"'lfs.onnx' is a git-lfs pointer, not the file itself: run `git lfs pull`; {SUPPORTED}",
        files={"lfs.onnx": "version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 4\n"},
    ),
    Mistake(
        "A Keras model",
        "inferloom up model.h5",
        "'model.h5' is an HDF5 file, as Keras saves it: export the model to ONNX with tf2onnx or model.export; "
        f"{SUPPORTED}",
        files={"model.h5": b"\x89HDF\r\n\x1a\n" + bytes(100)},
    ),
    Mistake(
        "Weights without the program",
        "inferloom up model.safetensors",
        f"'model.safetensors' is a safetensors file: weights without the program that uses them: {_EXPORT}; {SUPPORTED}",
        files={"model.safetensors": _safetensors()},
    ),
    Mistake(
        "A state_dict of PyTorch",
        "inferloom up weights.pt",
        f"'weights.pt' holds PyTorch weights without the program that uses them; {_EXPORT}",
        files={"weights.pt": "=weights.pt"},
    ),
    Mistake(
        "A config.pbtxt that contradicts the file",
        "inferloom up flower",
        "flower: version 1: InvalidModel: model 'flower': input 'pixels' is not in model.onnx; the file has 'X' FP32 [-1,4]",
        files={"flower/config.pbtxt": _CONFIG, "flower/1/model.onnx": "=iris.onnx"},
    ),
    Mistake(
        "A Python class that fails when it is loaded",
        "inferloom up broken.py",
        "broken: version 1: FileNotFoundError: [Errno 2] No such file or directory: 'weights.bin'",
        files={"broken.py": _BROKEN},
    ),
    Mistake(
        "A name with a blank",
        "inferloom up iris.onnx --as 'my iris'",
        "'my iris' is no model name: 1 to 128 letters, digits, '.', '_' or '-', and not dots alone",
    ),
    Mistake(
        "A version that is no number",
        "inferloom up iris.onnx --as iris:v2",
        "'iris:v2': a version is a whole number from 1, as in iris:2",
    ),
]

_IRIS = "- kind: model\n  name: iris\n  spec:\n    source: iris.onnx\n"
MESH_FILES = [
    _mesh(
        "An unknown key",
        f"{_IRIS}    replica: 2\n",
        "shop/mesh.yaml:5: model 'iris': unknown key 'replica'; did you mean 'replicas'?",
    ),
    _mesh(
        "An unknown kind",
        _IRIS.replace("model", "modle"),
        "shop/mesh.yaml:1: unknown kind 'modle'; known are mesh, model, service, app, pipeline, split, policy",
    ),
    _mesh(
        "A model file that is not there",
        _IRIS.replace("iris.onnx", "irsi.onnx"),
        "shop/mesh.yaml:4: model 'iris': there is no file 'HERE/shop/irsi.onnx'; did you mean 'HERE/shop/iris.onnx'?",
    ),
    _mesh(
        "A bracket that is not closed",
        "- kind: model\n  name: iris\n  spec: {source: iris.onnx\n",
        "shop/mesh.yaml:4: no YAML: expected ',' or '}', but got '<stream end>'",
    ),
    _mesh(
        "A tab",
        "- kind: model\n\tname: iris\n",
        "shop/mesh.yaml:2: no YAML: found character '\\t' that cannot start any token",
    ),
    _mesh("A model twice", _IRIS * 2, "shop/mesh.yaml:5: model 'iris' is declared twice"),
    _mesh(
        "A word where a number belongs",
        f"{_IRIS}    replicas: two\n",
        "shop/mesh.yaml:5: replicas must be a whole number from 1 to 64, not 'two'",
    ),
    _mesh(
        "A name that no model may have",
        _IRIS.replace("name: iris", "name: my iris"),
        "shop/mesh.yaml:2: 'my iris' is no name: 1 to 128 letters, digits, '.', '_' or '-'",
    ),
    _mesh(
        "A list of files",
        "- iris.onnx\n",
        "shop/mesh.yaml:1: a document must be a mapping with the keys kind, name, spec",
    ),
    _mesh(
        "Versions that take other inputs",
        "- kind: model\n  name: iris\n  spec:\n    versions: {1: iris.onnx, 2: ../vector.onnx}\n",
        "version 1 of 'iris' takes X FP32[-1,4], and version 2 (HERE/vector.onnx) takes x FP32[-1]: give it a name of its "
        "own",
    ),
]

STARTING = [
    Mistake(
        "Something listens on the port",
        "inferloom up iris.onnx",
        "--grpc: port 8081 on 127.0.0.1 is in use; choose another",
        scene=Scene.PORT_TAKEN,
    ),
    Mistake(
        "A gRPC server listens there, which would share the port",
        "inferloom up iris.onnx",
        "--grpc: port 8081 on 127.0.0.1 is in use; choose another",
        scene=Scene.GRPC_SERVER,
    ),
    Mistake(
        "Another mesh runs there",
        "inferloom up iris.onnx",
        "--grpc: port 8081 on 127.0.0.1 is in use; choose another",
        scene=Scene.ANOTHER_MESH,
    ),
    Mistake(
        "An address without a port",
        "inferloom up iris.onnx --grpc localhost",
        "--grpc: 'localhost' is no HOST:PORT (for instance 127.0.0.1:8081)",
    ),
    Mistake(
        "An address of another machine",
        "inferloom up iris.onnx --grpc 192.0.2.1:8081",
        "--grpc: cannot listen on 192.0.2.1:8081: Cannot assign requested address",
    ),
    Mistake(
        "A registry that inferloom does not know",
        "inferloom up iris.onnx --registry etcd",
        "--registry: 'etcd' is none of memory, consul, consul://HOST:PORT",
    ),
    Mistake(
        "No Consul answers",
        "inferloom up iris.onnx --registry consul://127.0.0.1:8500",
        "no Consul at 127.0.0.1:8500 (connection refused): start one with `consul agent -dev`, or set CONSUL_HTTP_ADDR",
        status=3,
    ),
    Mistake(
        "CONSUL_BIN names no program",
        "inferloom up iris.onnx --registry consul",
        "CONSUL_BIN=/opt/consul: no such program",
        environ={"CONSUL_BIN": "/opt/consul"},
    ),
    Mistake(
        "A GPU where there is none",
        "inferloom up iris.onnx --gpus 1",
        "'iris' asks for 1 GPU, and this machine has none (nvidia-smi, CUDA_VISIBLE_DEVICES); without --gpus it runs on "
        "the CPU",
        environ={"CUDA_VISIBLE_DEVICES": ""},
    ),
    Mistake(
        "Triton is not on PATH",
        "inferloom up iris.onnx --triton path",
        "no tritonserver on PATH: run inside NVIDIA's Triton container, or use --triton managed",
    ),
    Mistake(
        "The Triton runtime cannot be installed",
        "inferloom up iris.onnx",
        "the Triton runtime could not be installed: pip: ERROR: No matching distribution found for nvidia-pytriton==0.7.0; "
        "is there a network, and does pip reach its index?",
        environ={"INFERLOOM_CACHE": "cache", "PIP_NO_INDEX": "1"},
    ),
    Mistake(
        "A number that is none",
        "inferloom up iris.onnx --replicas two",
        "Invalid value for '--replicas': 'two' is not a valid int range: see inferloom up --help",
    ),
    Mistake(
        "An option that there is not",
        "inferloom up iris.onnx --replica 2",
        "No such option: --replica (Possible options: --grpc, --reload, --replicas): see inferloom up --help",
    ),
    Mistake(
        "A command that there is not",
        "inferloom serve iris.onnx",
        "No such command 'serve': see inferloom --help",
    ),
    Mistake(
        "Nothing to serve",
        "inferloom up",
        "Missing argument 'FILE|DIR': see inferloom up --help",
    ),
]

CHANGING = [
    Mistake(
        "No mesh runs",
        "inferloom add iris.onnx",
        "no mesh runs here: start one with `inferloom up MODEL`, or name one with --mesh HOST:PORT",
        status=3,
    ),
    Mistake(
        "The model is there already",
        "inferloom add iris.onnx",
        "'iris' is served already (version 1): add a version with --as iris:2",
        scene=Scene.MESH,
    ),
    Mistake(
        "The version is there already",
        "inferloom add iris.onnx --as iris:1",
        "'iris' has a version 1 already (it has 1): give another, or remove that one first",
        scene=Scene.MESH,
    ),
    Mistake(
        "A version that takes other inputs",
        "inferloom add vector.onnx --as iris:2",
        "version 1 of 'iris' takes X FP32[-1,4], and version 2 (HERE/vector.onnx) takes x FP32[-1]: give it a name of its "
        "own",
        scene=Scene.MESH,
    ),
    Mistake(
        "More GPUs than there are",
        "inferloom add iris.onnx --as rose --gpus 2",
        "'rose' asks for 2 GPUs, and this machine has none (nvidia-smi, CUDA_VISIBLE_DEVICES); without --gpus it runs on "
        "the CPU",
        scene=Scene.MESH,
    ),
    Mistake(
        "A model that is not there is removed",
        "inferloom remove irs",
        "there is no model 'irs'; did you mean iris?",
        scene=Scene.MESH,
    ),
    Mistake(
        "A version that is not there is removed",
        "inferloom remove iris:2",
        "model 'iris' has no version 2; it has 1",
        scene=Scene.MESH,
    ),
]

CALLING = [
    Mistake(
        "No mesh runs there",
        "inferloom infer iris --input X=[[1,2,3,4]] --mesh 127.0.0.1:8081",
        "nothing listens at 127.0.0.1:8081; `inferloom up MODEL` starts a mesh there, or give its address",
        status=3,
    ),
    Mistake(
        "The model's name has a typing error",
        "inferloom infer irs --input X=[[1,2,3,4]]",
        "model 'irs' not found; did you mean iris?",
        scene=Scene.MESH,
    ),
    Mistake(
        "A version that is not there",
        "inferloom infer iris --input X=[[1,2,3,4]] --version 2",
        "model 'iris:2' not found; did you mean iris with version 1?",
        scene=Scene.MESH,
    ),
    Mistake(
        "No input",
        "inferloom infer iris",
        "iris takes X FP32 [-1,4]. For example: inferloom infer iris --input 'X=[[0.0,0.0,0.0,0.0]]'",
        scene=Scene.MESH,
    ),
    Mistake(
        "An input's name in the wrong case",
        "inferloom infer iris --input x=[[1,2,3,4]]",
        "no input 'x'; iris takes X FP32 [-1,4] (did you mean 'X'?)",
        scene=Scene.MESH,
    ),
    Mistake(
        "One number too few",
        "inferloom infer iris --input X=[[1,2,3]]",
        "input 'X' of iris takes shape [-1,4] (-1: any size), got [1, 3]",
        scene=Scene.MESH,
    ),
    Mistake(
        "Texts where numbers belong",
        """inferloom infer iris --input 'X=[["a","b","c","d"]]'""",
        "input 'X' of iris takes FP32, got text",
        scene=Scene.MESH,
    ),
    Mistake(
        "No JSON",
        "inferloom infer iris --input X=hello",
        "input 'X' takes FP32: give JSON or @FILE, not 'hello'",
        scene=Scene.MESH,
    ),
    Mistake(
        "Rows of different length",
        "inferloom infer iris --input X=[[1,2,3,4],[1,2]]",
        "input 'X' of iris takes FP32, got a list, but its rows differ in length",
        scene=Scene.MESH,
    ),
    Mistake(
        "An input's file is not there",
        "inferloom infer iris --input X=@rows.npy",
        "input 'X': rows.npy cannot be read: No such file or directory",
        scene=Scene.MESH,
    ),
    Mistake(
        "A message over the bound",
        "inferloom infer wide --input x=@large.npy",
        "the request has 80000029 bytes, over this client's bound of 67108864 (max_message_bytes=): send it in parts",
        scene=Scene.MESH,
    ),
]


def _app(what: str, text: str, says: str, options: str = "") -> Mistake:
    return Mistake(what, f"inferloom up app.py{options}", says, files={"app.py": text, "iris.onnx": "=iris.onnx"})


_READ = """\
from inferloom.sdk import service


@service
class Read:
    async def predict(self, text: str) -> str:
        return text
"""
SERVICES = [
    _app(
        "A module that is not installed",
        "from inferloom.sdk import service\nimport pandsa\n",
        "app.py:2: ModuleNotFoundError: No module named 'pandsa'",
    ),
    _app(
        "A handle whose file is not there",
        "from inferloom.sdk import model, service\n\niris = model('iris', source='irsi.onnx')\n"
        + _READ.partition("\n\n\n")[2],
        "HERE/app.py: model('iris', source='irsi.onnx'): there is no file 'HERE/irsi.onnx'; did you mean 'HERE/iris.onnx'?",
    ),
    _app(
        "A file that declares nothing",
        "from inferloom.sdk import service\n\nprint('hello')\n",
        "'app.py' declares no @service and no @pipeline, and is no model either: 'app.py' is no model: one public class with "
        "a method predict is needed, and it has none",
    ),
    _app(
        "An option of model files",
        _READ,
        "--as is for a model file; app.py declares its services itself",
        " --as read",
    ),
    Mistake(
        "A service that its file does not declare",
        "inferloom up shop",
        "shop/mesh.yaml:3: service 'Raed': HERE/shop/app.py declares no such service; did you mean 'Read'?",
        files={
            "shop/mesh.yaml": "- kind: service\n  name: Raed\n  spec: {source: app.py}\n",
            "shop/app.py": _READ,
        },
    ),
    Mistake(
        "A field that a pipeline's graph does not have",
        "inferloom up shop",
        "shop/mesh.yaml:3: pipeline 'kinds': outpust: unknown; did you mean 'outputs'?",
        files={
            "shop/mesh.yaml": "- kind: pipeline\n  name: kinds\n  spec: {inputs: [], nodes: [], outpust: []}\n",
        },
    ),
]


SECTIONS = {
    "Model files": MODEL_FILES,
    "Services and pipelines": SERVICES,
    "mesh.yaml": MESH_FILES,
    "Starting": STARTING,
    "Changing a running mesh": CHANGING,
    "Calling a model": CALLING,
}
MISTAKES = [mistake for section in SECTIONS.values() for mistake in section]

HEAD = """\
# Mistakes, and what they look like

```text
$ inferloom up irsi.onnx
inferloom: there is no file 'irsi.onnx'; did you mean 'iris.onnx'?
```

What is refused is refused before anything runs, in one line on stderr that says where and what to do. Exit status 2: what was
given is wrong (a file, an option, a document, a name). 3: no mesh or no Consul answers. 1: it was tried and failed. Every
message on this page is compared with the command's own in the tests (`tests/e2e/test_mistakes.py`), which also make the page:

```text
python -m tests.e2e.mistakes > docs/mistakes.md
```
"""


def page() -> str:
    """docs/mistakes.md."""
    parts = [HEAD]
    for title, mistakes in SECTIONS.items():
        parts.append(f"## {title}\n")
        parts += [_entry(mistake) for mistake in mistakes]
    return "\n".join(parts)


def _entry(mistake: Mistake) -> str:
    before = "".join(f"{key}={value} " for key, value in mistake.environ.items())
    lines = [f"**{mistake.what}**" + (f" (exit status {mistake.status})" if mistake.status != 2 else ""), "", "```text"]
    for name, text in mistake.files.items():
        if name.endswith(("mesh.yaml", "app.py")) and isinstance(text, str):
            lines += [f"# {name}", text.rstrip("\n").replace("\t", "<TAB>")]
    lines += [f"$ {before}{mistake.command}", f"inferloom: {shown(mistake.says)}", "```", ""]
    return "\n".join(lines)


def shown(text: str) -> str:
    """As a user sees it: HERE is the folder that they are in."""
    return text.replace("HERE", "/home/you")


if __name__ == "__main__":
    print(page(), end="")
