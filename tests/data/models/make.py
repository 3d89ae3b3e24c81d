"""Makes the model files of this folder, and expected.json: what their own libraries answer.

Needs numpy<2, scikit-learn, skl2onnx, onnx, xgboost and torch:

    python tests/data/models/make.py
"""

from __future__ import annotations

import json
import pickle
import warnings
import zipfile
from pathlib import Path

import joblib  # type: ignore[import-not-found]
import numpy as np
import onnx  # type: ignore[import-not-found]
import torch  # type: ignore[import-not-found]
import xgboost  # type: ignore[import-not-found]
from onnx import TensorProto, helper
from skl2onnx import to_onnx
from sklearn.datasets import load_iris
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

HERE = Path(__file__).parent
ROWS = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3], [5.9, 3.0, 4.2, 1.5]]


def main() -> None:
    warnings.simplefilter("ignore")
    features, target = load_iris(return_X_y=True)
    expected = {
        "rows": ROWS,
        **sklearn_and_onnx(features, target),
        **xgboost_models(features, target),
        **torch_models(),
    }
    small_onnx()
    (HERE / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


def sklearn_and_onnx(features: np.ndarray, target: np.ndarray) -> dict[str, object]:
    logistic = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(features, target)
    joblib.dump(logistic, HERE / "logistic.joblib")
    joblib.dump(logistic, HERE / "compressed.joblib", compress=3)
    for name, options in (("iris", {"zipmap": False}), ("zipmap", {})):
        model = to_onnx(logistic, features[:1].astype(np.float32), options=options)
        (HERE / f"{name}.onnx").write_bytes(model.SerializeToString())
    names = np.array(["setosa", "versicolor", "virginica"])[target]
    tree = DecisionTreeClassifier(max_depth=2).fit(features, names)
    (HERE / "tree.pkl").write_bytes(pickle.dumps(tree))
    regression = LinearRegression().fit(features, features[:, 0] * 2 - features[:, 1])
    joblib.dump(regression, HERE / "regression.joblib")
    words = ["good day", "bad day", "good", "bad"]
    text = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(words, ["plus", "minus", "plus", "minus"])
    joblib.dump(text, HERE / "text.joblib")
    return {
        "logistic": {"label": logistic.predict(ROWS).tolist(), "probabilities": logistic.predict_proba(ROWS).tolist()},
        "tree": {"label": tree.predict(ROWS).tolist(), "probabilities": tree.predict_proba(ROWS).tolist()},
        "regression": {"y": regression.predict(ROWS).tolist()},
        "text": {"label": text.predict(["good", "so bad"]).tolist()},
    }


def xgboost_models(features: np.ndarray, target: np.ndarray) -> dict[str, object]:
    options = {"n_estimators": 2, "max_depth": 2}
    rows = np.array(ROWS, np.float32)
    many = xgboost.XGBClassifier(**options).fit(features, target)
    for suffix in ("json", "ubj"):
        many.save_model(HERE / f"classes.{suffix}")
    (HERE / "classes.ubj").rename(HERE / "classes.bst")
    many.save_model(HERE / "classes.ubj")
    two = xgboost.XGBClassifier(**options).fit(features, target == 2)
    two.save_model(HERE / "binary.ubj")
    regressor = xgboost.XGBRegressor(**options).fit(features, features[:, 0])
    regressor.save_model(HERE / "regressor.json")
    return {
        "classes": many.predict_proba(rows).tolist(),
        "binary": two.predict_proba(rows).tolist(),
        "regressor": regressor.predict(rows).reshape(-1, 1).tolist(),
    }


class Linear(torch.nn.Module):  # type: ignore[misc]
    """x [n,4] -> [n,2] and the sum of each row [n]."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.layer(x), x.sum(1)


def torch_models() -> dict[str, object]:
    torch.manual_seed(0)
    model = Linear()
    torch.jit.script(model).save(str(HERE / "linear.pt"))
    without_debug_information(HERE / "linear.pt")
    torch.save(model.state_dict(), HERE / "weights.pt")
    batch = {0: torch.export.Dim("batch")}
    program = torch.export.export(model, (torch.zeros(2, 4),), dynamic_shapes=(batch,))
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # has the paths of the machine that runs this
    torch.export.save(program, HERE / "linear.pt2")
    y, total = model(torch.tensor(ROWS))
    return {"linear": {"y": y.tolist(), "total": total.tolist()}}


def without_debug_information(path: Path) -> None:
    """TorchScript's debug_pkl entries have the paths of the machine that runs this."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist() if not name.endswith(".debug_pkl")}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(zipfile.ZipInfo(name), content)


def small_onnx() -> None:
    """Models for one property each."""
    fp32, text = TensorProto.FLOAT, TensorProto.STRING
    add = helper.make_node("Add", ["x", "x"], ["y"])
    same = helper.make_node("Identity", ["x"], ["y"])
    save("fixed", add, tensor("x", fp32, [1, 3]), tensor("y", fp32, [1, 3]))
    save("strings", same, tensor("x", text, ["n", 1]), tensor("y", text, ["n", 1]))
    save("vector", add, tensor("x", fp32, ["n"]), tensor("y", fp32, ["n"]))
    save(
        "detections",
        helper.make_node("NonZero", ["x"], ["y"]),
        tensor("x", fp32, ["rows", 2]),
        tensor("y", TensorProto.INT64, ["found", "count"]),
    )
    weights = helper.make_tensor("w", fp32, [3], np.array([1, 2, 3], np.float32).tobytes(), raw=True)
    scaled = helper.make_node("Mul", ["x", "w"], ["y"])
    graph = helper.make_graph([scaled], "g", [tensor("x", fp32, ["n", 3])], [tensor("y", fp32, ["n", 3])], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (HERE / "external.data").unlink(missing_ok=True)
    onnx.save(model, HERE / "external.onnx", save_as_external_data=True, location="external.data", size_threshold=0)


def tensor(name: str, kind: int, shape: list[int | str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def save(name: str, node: onnx.NodeProto, takes: onnx.ValueInfoProto, gives: onnx.ValueInfoProto) -> None:
    graph = helper.make_graph([node], name, [takes], [gives])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (HERE / f"{name}.onnx").write_bytes(model.SerializeToString())


if __name__ == "__main__":
    main()
