"""Which files are models, and what the others are told."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from inferloom.mesh.errors import InvalidInput
from inferloom.sidecar.modelfile import Kind, name_from, recognise
from tests.support.models import DATA


@pytest.mark.parametrize(
    ("file", "kind", "description", "backend", "extras"),
    [
        (
            "iris.onnx",
            Kind.ONNX,
            "ONNX model: X FP32[-1,4] -> label INT64[-1], probabilities FP32[-1,3]",
            "onnxruntime",
            (),
        ),
        (
            "classes.json",
            Kind.XGBOOST,
            "XGBoost classifier (multi:softprob): input__0 FP32[-1,4] -> output__0 FP32[-1,3]",
            "fil",
            ("xgboost",),
        ),
        (
            "classes.bst",
            Kind.XGBOOST,
            "XGBoost classifier (multi:softprob): input__0 FP32[-1,4] -> output__0 FP32[-1,3]",
            "fil",
            ("xgboost",),
        ),
        (
            "binary.ubj",
            Kind.XGBOOST,
            "XGBoost classifier (binary:logistic): input__0 FP32[-1,4] -> output__0 FP32[-1,2]",
            "fil",
            ("xgboost",),
        ),
        (
            "regressor.json",
            Kind.XGBOOST,
            "XGBoost regressor (reg:squarederror): input__0 FP32[-1,4] -> output__0 FP32[-1,1]",
            "fil",
            ("xgboost",),
        ),
        ("logistic.joblib", Kind.SKLEARN, "scikit-learn Pipeline, saved with 1.9.1", "python", ("sklearn",)),
        ("compressed.joblib", Kind.SKLEARN, "scikit-learn Pipeline, saved with 1.9.1", "python", ("sklearn",)),
        ("tree.pkl", Kind.SKLEARN, "scikit-learn DecisionTreeClassifier, saved with 1.9.1", "python", ("sklearn",)),
        ("linear.pt", Kind.TORCHSCRIPT, "TorchScript: forward(x)", "pytorch", ("torch",)),
        ("linear.pt2", Kind.TORCH_EXPORT, "PyTorch exported program", "python", ("torch",)),
    ],
)
def test_a_model_file_is_recognised(
    file: str, kind: Kind, description: str, backend: str, extras: tuple[str, ...]
) -> None:
    model = recognise(DATA / file)
    assert (model.kind, model.description, model.backend, model.extras) == (kind, description, backend, extras)


@pytest.mark.parametrize(("file", "suffix"), [("linear.pt2", ".pt"), ("classes.ubj", ".json"), ("tree.pkl", ".joblib")])
def test_the_content_decides_rather_than_the_suffix(tmp_path: Path, file: str, suffix: str) -> None:
    renamed = tmp_path / f"model{suffix}"
    renamed.write_bytes((DATA / file).read_bytes())
    assert recognise(renamed).kind is recognise(DATA / file).kind


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("m.onnx", b"", "is empty; the copy or download failed"),
        ("m.onnx", b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "a git-lfs pointer.*`git lfs pull`"),
        ("m.onnx", b"<!DOCTYPE html><html>Not found</html>", "is a web page, not a model"),
        ("m.onnx", b"hello", "is not an ONNX model, or is cut short"),
        ("m.h5", b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras saves it: export the model to ONNX with tf2onnx"),
        ("m.keras", b"PK\x05\x06" + bytes(18), "a Keras model: export it to ONNX"),
        ("m.safetensors", b"\x10\0\0\0\0\0\0\0" + b'{"a":{}}', "weights without the program.*torch.export"),
        ("m.gguf", b"GGUF\x03\0\0\0", "a GGUF file"),
        ("m.tflite", b"\x1c\0\0\0TFL3", "a TensorFlow Lite model: convert it to ONNX"),
        ("m.txt", b"tree\nversion=v4\n", "a LightGBM model: convert it to ONNX"),
        ("m.txt", b"just words", "looks like a text file; supported are ONNX"),
        ("m.bin", b"\0\1\2", "looks like binary data; supported are ONNX"),
        ("m.csv", b"a,b\n1,2\n", "data, not a model"),
        ("m.json", b'{"a": 1}', 'looks like a text file and is no XGBoost model \\(it has no "learner"\\)'),
        ("m.json", b'{"learner": {}}', "is no model saved by XGBoost, or is cut short"),
        ("m.bst", b"binf\0\0", "XGBoost's old binary format"),
        ("m.pt", b"\x80\x02\x8a\nl\xfc\x9cF", "PyTorch weights or a pickled module, in the old format"),
        ("m.pt", b"nothing", "no file of PyTorch"),
        ("m.pkl", b"nothing", "no pickle"),
        ("m.pkl", b"\x80\x04}.", "a pickle without an estimator"),
        ("m.pkl", b"\x80\x04\x8c\x08__main__\x8c\x05Model\x93.", "needs __main__.Model of the script that saved it"),
        ("m.pkl", b"\x80\x04\x8c\x0fxgboost.sklearn\x8c\x0dXGBClassifier\x93.", r"save it with model\.save_model"),
        ("m.joblib", b"\x78\x9cnonsense", "is compressed and cannot be read"),
        ("m.plan", b"ftrt", "a TensorRT engine"),
    ],
)
def test_what_is_no_model_is_told_what_it_looks_like_and_the_cure(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=message) as caught:
        recognise(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_zip_file_is_called_one(tmp_path: Path) -> None:
    path = tmp_path / "m.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", "x")
    with pytest.raises(InvalidInput, match="looks like a zip file; supported are"):
        recognise(path)


def test_weights_without_a_program_are_told_how_to_save_both() -> None:
    with pytest.raises(InvalidInput, match=r"weights without the program that uses them; save.*torch\.export\.save"):
        recognise(DATA / "weights.pt")


def test_a_damaged_file_of_pytorch_is_told_so(tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    data = (DATA / "linear.pt").read_bytes()
    path.write_bytes(data.replace(b"c__torch__", b"c__porch__"))
    with pytest.raises(InvalidInput, match=r"a damaged zip file .*copy it again"):
        recognise(path)
    path.write_bytes(data[:-100])
    with pytest.raises(InvalidInput, match="a zip file that was cut short"):
        recognise(path)


def test_a_package_of_aotinductor_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.pt2"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/archive_format", "pt2")
        archive.writestr("m/data/aotinductor/model/a.so", "")
    with pytest.raises(InvalidInput, match="compiled by AOTInductor"):
        recognise(path)


def test_a_missing_file_names_the_nearest_one(tmp_path: Path) -> None:
    (tmp_path / "iris.onnx").touch()
    with pytest.raises(InvalidInput, match=r"there is no file '.*irs\.onnx'; did you mean '.*/iris\.onnx'\?"):
        recognise(tmp_path / "irs.onnx")


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"there is no folder '.*/nowhere'"):
        recognise(tmp_path / "nowhere" / "iris.onnx")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("iris-v2.onnx", "iris-v2"),
        ("my model (final).pkl", "my-model-final"),
        ("Größe.onnx", "Gr-e"),
        ("resnet50.v1.5.onnx", "resnet50.v1.5"),
        ("résumé", "r-sum"),
        ("...", "model"),
    ],
)
def test_a_model_is_named_after_its_file(path: str, name: str) -> None:
    assert name_from(Path("/models") / path) == name


def test_a_folder_with_a_dot_keeps_its_whole_name(tmp_path: Path) -> None:
    (tmp_path / "model.v2").mkdir()
    assert name_from(tmp_path / "model.v2") == "model.v2"


def test_recognising_imports_no_library_of_any_model() -> None:
    heavy = ("torch", "onnx", "onnxruntime", "sklearn", "joblib", "xgboost", "tritonclient")
    script = (
        "import sys; from pathlib import Path; from inferloom.sidecar.modelfile import recognise\n"
        "for name in sys.argv[1:]: recognise(Path(name))\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    files = [str(DATA / name) for name in ("iris.onnx", "tree.pkl", "classes.ubj", "linear.pt", "linear.pt2")]
    run = subprocess.run([sys.executable, "-c", script, *files], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
