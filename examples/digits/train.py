"""Train the three digits classifiers and write everything this folder ships.

    pip install "inferloom[examples]"
    python examples/digits/train.py

Seeded: the same versions of scikit-learn and skl2onnx write the same models. Each ONNX file takes `pixels` FP32
[-1, 64] (8 x 8 images row by row, values 0 to 16) and gives `label` INT64 [-1] and `probabilities` FP32 [-1, 10].
"""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.svm import SVC

FOLDER = Path(__file__).resolve().parent
SEED = 7
HELD_OUT = 397
# Old enough for the ONNX Runtime of every Triton container that is still maintained.
TARGET_OPSET = {"": 17, "ai.onnx.ml": 3}
TOLERANCE = 1e-3
SURE = 0.95  # as in app.py


def classifiers() -> dict[str, Any]:
    """Untrained scikit-learn classifiers by the name of their file."""
    return {
        "forest": RandomForestClassifier(40, random_state=SEED),
        "svm": make_pipeline(
            MinMaxScaler(), CalibratedClassifierCV(SVC(C=10, gamma=0.05, random_state=SEED), ensemble=False)
        ),
        "mlp": make_pipeline(MinMaxScaler(), MLPClassifier((64,), max_iter=400, random_state=SEED)),
    }


def convert(classifier: Any) -> Any:
    """The ONNX model of a trained classifier, its output names as the module says."""
    model = to_onnx(
        classifier,
        initial_types=[("pixels", FloatTensorType([None, 64]))],
        options={id(classifier): {"zipmap": False}},
        target_opset=TARGET_OPSET,
    )
    for node in model.graph.node:
        if node.op_type == "TreeEnsembleClassifier":
            drop_zero_weights(node)
    return model


def drop_zero_weights(node: Any) -> None:
    """Leave out the classes to which a leaf gives nothing: a forest of pure leaves shrinks to less than half.

    skl2onnx writes ten weights per leaf; a leaf adds up the same without those that are 0.
    """
    attributes = {attribute.name: attribute for attribute in node.attribute}
    weights = attributes["class_weights"].floats
    kept = [position for position, weight in enumerate(weights) if weight]
    for name in ("class_ids", "class_nodeids", "class_treeids"):
        values = attributes[name].ints
        values[:] = [values[position] for position in kept]
    weights[:] = [weights[position] for position in kept]


def pipelines(said: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What the pipelines of app.py must answer, from each classifier's probabilities FP32 [n, 10]."""

    def vote(*members: str) -> np.ndarray:
        """Most votes; of equal counts the vote of the member named first."""
        votes = np.stack([said[member].argmax(axis=1) for member in members])
        counts = (votes[:, None] == votes[None]).sum(axis=1)
        return votes[counts.argmax(axis=0), np.arange(votes.shape[1])]

    sure = said["mlp"].max(axis=1) >= SURE
    return {
        "vote_labels": vote("forest", "svm", "mlp"),
        "cascade_labels": np.where(sure, said["mlp"].argmax(axis=1), vote("mlp", "svm", "forest")),
        "cascade_sure": sure,
    }


def known_answer(pixels: np.ndarray, labels: np.ndarray, probabilities: np.ndarray) -> dict[str, Any]:
    """A first request with the answer it must get: what the sidecar sends before a model counts as serving."""
    return {
        "inputs": [
            {"name": "pixels", "datatype": "FP32", "shape": list(pixels.shape), "data": pixels.ravel().tolist()}
        ],
        "outputs": [
            {"name": "label", "data": labels.tolist()},
            {"name": "probabilities", "data": probabilities.ravel().round(6).tolist()},
        ],
        "tolerance": TOLERANCE,
    }


def main() -> None:
    # skl2onnx still reads names that scikit-learn 1.9 has deprecated; what comes out is compared below.
    warnings.filterwarnings("ignore", category=FutureWarning, module="sklearn")
    images, digits = load_digits(return_X_y=True)
    images = images.astype(np.float32)
    train_x, test_x, train_y, test_y = train_test_split(
        images, digits, test_size=HELD_OUT, random_state=SEED, stratify=digits
    )
    held_out: dict[str, Any] = {"pixels": test_x, "labels": test_y.astype(np.int64)}
    said: dict[str, np.ndarray] = {}
    for name, classifier in classifiers().items():
        classifier.fit(train_x, train_y)
        model = convert(classifier).SerializeToString()
        session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        labels, probabilities = session.run(["label", "probabilities"], {"pixels": test_x})
        expected = classifier.predict(test_x).astype(np.int64)
        apart = float(np.abs(probabilities - classifier.predict_proba(test_x)).max())
        if not np.array_equal(labels, expected) or apart > TOLERANCE:
            raise SystemExit(f"{name}.onnx does not answer as scikit-learn does (probabilities {apart:.1e} apart)")
        said[name] = probabilities
        accuracy = float((expected == test_y).mean())
        held_out[f"{name}_labels"] = expected
        held_out[f"{name}_accuracy"] = np.float64(accuracy)
        (FOLDER / f"{name}.onnx").write_bytes(model)
        answer = known_answer(test_x[:2], expected[:2], classifier.predict_proba(test_x[:2]))
        (FOLDER / f"{name}.warmup.json").write_text(json.dumps(answer) + "\n")
        print(f"{name:7} accuracy {accuracy:.4f}  {len(model) / 1000:6.1f} kB  probabilities within {apart:.0e}")
    held_out.update(pipelines(said))
    np.savez_compressed(FOLDER / "heldout.npz", **held_out)
    shutil.copyfile(FOLDER / "mlp.onnx", FOLDER / "digits-slow" / "1" / "model.onnx")


if __name__ == "__main__":
    main()
