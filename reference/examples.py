"""A least document of each kind, as the page shows it. A test checks each with `inferloom check`."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["APP", "EXAMPLES", "FILES"]

APP = """\
import numpy as np
from inferloom.sdk import model, service

iris = model("iris")


@service
class Classify:
    async def predict(self, sizes: list[float]) -> int:
        out = await iris(X=np.array([sizes], np.float32))
        return int(out.label.item())
"""

FILES: Mapping[str, str] = {
    "mesh": "mesh.yaml",
    "model": "iris.yaml",
    "service": "classify.yaml",
    "app": "shop.yaml",
    "pipeline": "labelled.yaml",
    "split": "split.yaml",
    "policy": "policy.yaml",
}
EXAMPLES: Mapping[str, str] = {
    "mesh": """\
- kind: mesh
  name: shop
  spec: {replicas: 2, gateway: envoy}
- kind: model
  name: iris
  spec: {source: iris.onnx}
""",
    "model": """\
kind: model
name: iris
spec:
  versions:
    1: iris.onnx
    2: {source: iris.onnx, inputs: ["X:FP32[-1,4]"]}
  replicas: 2
""",
    "service": """\
kind: service
name: Classify
spec: {source: app.py, replicas: 2, env: {LANG: C.UTF-8}}
""",
    "app": """\
kind: app
name: shop
spec: {source: app.py}
""",
    "pipeline": """\
kind: pipeline
name: labelled
spec:
  inputs: {sizes: "FP32 [-1,4]"}
  nodes:
    classify: {model: iris, inputs: {X: input.sizes}, timeout: 500ms}
  outputs: {label: classify.label}
""",
    "split": """\
kind: split
name: iris
spec:
  arms:
    - {name: "1", share: 90}
    - {name: "2", share: 10}
  by: user
""",
    "policy": """\
kind: policy
name: iris
spec:
  timeout: 2s
  retry: {attempts: 2}
  objective: {availability: 99.9, latency: 100ms}
""",
}
