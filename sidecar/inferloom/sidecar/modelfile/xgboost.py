"""XGBoost: features, classes and objective of a saved model, JSON or UBJSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from inferloom.mesh.errors import InvalidInput
from inferloom.sidecar.modelfile import ubjson
from inferloom.sidecar.modelfile.model import Kind, ModelFile
from inferloom.sidecar.modelfile.tensor import TensorType, listed

__all__ = ["describe", "looks_like"]


def looks_like(head: bytes) -> bool:
    """Whether a file that begins so may be a model saved by XGBoost, in either format or the one it gave up."""
    return b'"learner"' in head[:4096] or head.startswith((b"{L\0\0\0\0\0\0\0\x07learner", b"binf"))


def describe(path: Path) -> ModelFile:
    """The model in a file that XGBoost saved.

    Names, types and parameters are those of Triton's FIL backend, which has no others: `input__0` FP32 [-1,features] and
    `output__0` FP32, the probabilities of a classifier or the predictions of a regressor.
    Raises InvalidInput where the file is something else, or has an objective or booster that FIL does not serve.
    """
    with path.open("rb") as file:
        binary = file.read(4) == b"binf"
    if binary:
        raise InvalidInput(
            f"'{path}' is in XGBoost's old binary format; load it with the XGBoost that wrote it and save it as "
            "model.ubj or model.json"
        )
    data = path.read_bytes()
    text = not data.startswith(b"{L")
    try:
        learner = (json.loads(data) if text else ubjson.loads(data))["learner"]
        parameters, objective = learner["learner_model_param"], str(learner["objective"]["name"])
        features, classes = int(parameters["num_feature"]), int(parameters["num_class"])
        targets = int(parameters.get("num_target", 1))
        booster = str(learner["gradient_booster"]["name"])
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidInput(
            f"'{path}' is no model saved by XGBoost, or is cut short ({_reason(error)}); save it again with "
            "booster.save_model('model.ubj')"
        ) from None
    if booster == "gblinear" or objective.startswith(("rank:", "survival:")):
        what = "a linear booster" if booster == "gblinear" else f"objective {objective}"
        raise InvalidInput(f"'{path}' has {what}, which Triton's FIL backend does not serve; use a Python class")
    classifier = objective.startswith(("binary:", "multi:"))
    width = max(2, classes) if classifier else targets
    takes = (TensorType("input__0", "FP32", (-1, features)),)
    gives = (TensorType("output__0", "FP32", (-1, width)),)
    return ModelFile(
        Kind.XGBOOST,
        path,
        f"XGBoost {'classifier' if classifier else 'regressor'} ({objective}): {listed(takes)} -> {listed(gives)}",
        "fil",
        (("xgboost.json" if text else "xgboost.ubj", path),),
        inputs=takes,
        outputs=gives,
        batched=True,
        parameters=_parameters("xgboost_json" if text else "xgboost_ubj", classifier),
        needs=("xgboost",),
    )


def _parameters(model_type: str, classifier: bool) -> tuple[tuple[str, str], ...]:
    """What FIL wants in config.pbtxt. It called `is_classifier` `output_class` before 25.09; each ignores the other."""
    flag = "true" if classifier else "false"
    common = (("model_type", model_type), ("output_class", flag), ("is_classifier", flag))
    return (*common, ("predict_proba", "true"), ("threshold", "0.5")) if classifier else common


def _reason(error: Any) -> str:
    return f"no {error}" if isinstance(error, KeyError) else str(error)
