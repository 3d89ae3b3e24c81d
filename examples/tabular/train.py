"""Train the regressors on scikit-learn's diabetes data and write everything this folder ships.

    pip install "inferloom[examples]"
    python examples/tabular/train.py

Seeded. `ridge.onnx` and `boosted.onnx` take `features` FP32 [-1, 14], `stacked.onnx` takes `members` FP32 [-1, 2] and
`tree-1.onnx` to `tree-3.onnx` take `features` FP32 [-1, 24]; each gives `progression` FP32 [-1, 1].
"""

from __future__ import annotations

import json
import sqlite3
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from features import DATABASE, FEATURES, HERE, LANDMARKS, RECORD, TODAY, engineered, kernel_features
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from sklearn.cluster import KMeans
from sklearn.datasets import load_diabetes
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.linear_model import LinearRegression, RidgeCV
from sklearn.metrics import r2_score
from sklearn.model_selection import cross_val_predict, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor

SEED = 7
HELD_OUT = 110
TREES = 3
TARGET_OPSET = {"": 17, "ai.onnx.ml": 3}
TOLERANCE = 0.05  # of a progression between 25 and 346


def write_database(ids: np.ndarray, record: np.ndarray, path: Path = DATABASE) -> None:
    path.unlink(missing_ok=True)
    connection = sqlite3.connect(path)
    columns = ", ".join(f"{name} REAL NOT NULL" for name in RECORD)
    connection.execute(f"CREATE TABLE patient (id INTEGER PRIMARY KEY, {columns})")
    marks = ",".join("?" * (1 + len(RECORD)))
    rows = [(int(i), *map(float, row)) for i, row in zip(ids, record, strict=True)]
    connection.executemany(f"INSERT INTO patient VALUES ({marks})", rows)
    connection.commit()
    connection.execute("VACUUM")
    connection.close()


def save(name: str, model: Any, width: int, entry: str, rows: np.ndarray) -> np.ndarray:
    """Write NAME.onnx; what it answers for `rows`, which must be what scikit-learn answers."""
    onnx = convert_sklearn(
        model,
        initial_types=[(entry, FloatTensorType([None, width]))],
        final_types=[("progression", FloatTensorType([None, 1]))],
        target_opset=TARGET_OPSET,
    ).SerializeToString()
    (HERE / f"{name}.onnx").write_bytes(onnx)
    session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    answers: np.ndarray = session.run(["progression"], {entry: rows})[0]
    apart = float(np.abs(answers.reshape(-1) - model.predict(rows)).max())
    if apart > TOLERANCE:
        raise SystemExit(f"{name}.onnx does not answer as scikit-learn does: {apart:.1e} apart")
    print(f"{name:8} {len(onnx) / 1000:6.1f} kB, within {apart:.0e} of scikit-learn's")
    return answers.reshape(-1)


def main() -> None:
    warnings.filterwarnings("ignore", category=FutureWarning, module="sklearn")
    diabetes = load_diabetes(scaled=False)
    column = {name: diabetes.data[:, number] for number, name in enumerate(diabetes.feature_names)}
    record = np.stack([column[name] for name in RECORD], axis=1).astype(np.float32)
    today = np.stack([column[name] for name in TODAY], axis=1).astype(np.float32)
    target = diabetes.target.astype(np.float32)
    ids = np.arange(1000, 1000 + len(target), dtype=np.int64)
    write_database(ids, record)
    features = engineered(record, today)
    assert features.shape[1] == FEATURES
    train, test = train_test_split(np.arange(len(ids)), test_size=HELD_OUT, random_state=SEED)

    members = {
        "ridge": make_pipeline(StandardScaler(), RidgeCV(np.logspace(-1, 3, 20))),
        "boosted": GradientBoostingRegressor(n_estimators=120, max_depth=2, learning_rate=0.05, random_state=SEED),
    }
    # The stacked model learns from what the members say of patients they were not fitted on.
    said = np.stack([cross_val_predict(m, features[train], target[train], cv=5) for m in members.values()], axis=1)
    stacked = LinearRegression(positive=True).fit(said.astype(np.float32), target[train])
    answers = {
        name: save(name, model.fit(features[train], target[train]), FEATURES, "features", features[test])
        for name, model in members.items()
    }
    averaged = np.mean(list(answers.values()), axis=0)
    side_by_side = np.stack(list(answers.values()), axis=1)
    stacked_answers = save("stacked", stacked, len(members), "members", side_by_side)

    centre, scale = features[train].mean(axis=0), features[train].std(axis=0)
    landmarks = KMeans(LANDMARKS, n_init=10, random_state=SEED).fit((features[train] - centre) / scale)
    kernel = {"landmarks": landmarks.cluster_centers_.astype(np.float32), "centre": centre, "scale": scale}
    near = kernel_features(features, **kernel)
    random = np.random.default_rng(SEED)
    trees = []
    for number in range(1, TREES + 1):
        sample = random.choice(train, len(train))
        tree = DecisionTreeRegressor(max_depth=4, min_samples_leaf=8, random_state=number)
        tree.fit(near[sample], target[sample])
        trees.append(save(f"tree-{number}", tree, LANDMARKS, "features", near[test]))
    wood = np.mean(trees, axis=0)

    np.savez_compressed(HERE / "kernel.npz", **kernel)
    offline = {"averaged": averaged, "stacked": stacked_answers, "trees": wood}
    np.savez_compressed(HERE / "heldout.npz", patient=ids[test], today=today[test], truth=target[test], **offline)
    figures = {f"{name}_r2": round(float(r2_score(target[test], values)), 6) for name, values in offline.items()}
    (HERE / "offline.json").write_text(json.dumps(figures, indent=1) + "\n")
    print(figures)


if __name__ == "__main__":
    main()
