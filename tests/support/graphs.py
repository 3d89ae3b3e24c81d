"""A catalog and steps for checks of graphs."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import yaml

from inferloom.clients.metadata import TensorSpec
from inferloom.mesh.catalog import Repeat
from inferloom.sdk import shape, step
from inferloom.services.composer.check import Known, check
from inferloom.services.composer.checked import Checked
from inferloom.services.composer.graph import graph_from
from inferloom.services.signature import Signature
from inferloom.v1 import graph_pb2


@step
def decode(png: bytes, scale: float = 1.0) -> Annotated[npt.NDArray[np.float32], shape(1, 64)]:
    raise NotImplementedError


@step
def flat(png: bytes) -> Annotated[npt.NDArray[np.float32], shape(64)]:
    raise NotImplementedError


@step
def double(png: bytes) -> Annotated[npt.NDArray[np.float64], shape(1, 64)]:
    raise NotImplementedError


@step(rows=True)
def scaled(x: Annotated[npt.NDArray[np.float32], shape(-1, 64)]) -> Annotated[npt.NDArray[np.float32], shape(-1, 64)]:
    raise NotImplementedError


@step
def oldest(labels: Annotated[npt.NDArray[np.int64], shape(-1, -1)]) -> int:
    raise NotImplementedError


@step
def kind(png: bytes) -> str:
    raise NotImplementedError


@step
def sure(share: float) -> bool:
    raise NotImplementedError


STEPS = {
    f"app:{each.declaration.name}": each.declaration for each in (decode, flat, double, scaled, oldest, kind, sure)
}

PIXELS = TensorSpec("pixels", "FP32", (-1, 64))
LABEL = TensorSpec("label", "INT64", (-1,))
SCORES = TensorSpec("probabilities", "FP32", (-1, 10))
TEXT = TensorSpec("text", "BYTES", (1,))
CLASSIFIER = Signature((PIXELS,), (LABEL, SCORES), rows=True)

MODELS = {
    "digits-svm": CLASSIFIER,
    "digits-mlp": CLASSIFIER,
    "digits-forest": CLASSIFIER,
    "regress": Signature((PIXELS,), (TensorSpec("y", "FP32", (-1,)),), rows=True),
    "wide": Signature((PIXELS,), (TensorSpec("probabilities", "FP32", (-1, 12)),), rows=True),
    "words": Signature((PIXELS,), (TensorSpec("word", "BYTES", (-1,)),), rows=True),
    "over": Signature((TensorSpec("x", "FP32", (-1, 20)),), (LABEL,), rows=True),
    "two": Signature((PIXELS, TensorSpec("mask", "BOOL", (-1, 64))), (LABEL,), rows=True),
    "threshold": Signature((PIXELS, TensorSpec("at", "FP32", (-1, 1), optional=True)), (LABEL,), rows=True),
    "speak": Signature((TEXT,), (TensorSpec("sound", "BYTES", (1,)),), streams=True),
    "pay": Signature((PIXELS,), (LABEL,)),
}


def known(**graphs: str) -> Known:
    """The models above; `pay` has effects, only version 1 of each is there, further pipelines are given as YAML."""
    return Known(
        signature=lambda name, version: MODELS.get(name) if version in ("", "1") else None,
        repeat=lambda name: Repeat.NEVER if name == "pay" else Repeat.ANY,
        names=lambda: MODELS,
        steps=STEPS,
        graphs={name: graph(text, name) for name, text in graphs.items()},
    )


def graph(text: str, name: str = "p") -> graph_pb2.Graph:
    spec: dict[str, Any] = {"inputs": {"png": "BYTES [1]", "x": "FP32 [-1,64]"}, **yaml.safe_load(text)}
    return graph_from(spec, name)


def checked(text: str, **graphs: str) -> Checked:
    return check(graph(text), known(**graphs))


def findings(text: str, **graphs: str) -> list[str]:
    return [str(finding) for finding in checked(text, **graphs).findings]
