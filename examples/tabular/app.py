"""How diabetes progresses in a year, from a patient's record in a database and what was measured today.

inferloom up examples/tabular/app.py
curl localhost:8080/v1/progression -d '{"patient": [1003, 1017], "today": [[25.3, 94.0], [30.1, 101.0]]}'
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple

import features as ours
import numpy as np
import numpy.typing as npt

from inferloom.sdk import InvalidInput, mean, model, pipeline, resource, shape, stack, step

Patients = Annotated[npt.NDArray[np.int64], shape(-1)]
Today = Annotated[npt.NDArray[np.float32], shape(-1, 2)]  # body mass index, blood pressure
Features = Annotated[npt.NDArray[np.float32], shape(-1, 14)]
Kernel = Annotated[npt.NDArray[np.float32], shape(-1, 24)]
Column = Annotated[npt.NDArray[np.float32], shape(-1, 1)]

ridge, boosted = model("ridge", source="ridge.onnx"), model("boosted", source="boosted.onnx")
stacked = model("stacked", source="stacked.onnx")
tree_1, tree_2, tree_3 = (model(f"tree-{number}", source=f"tree-{number}.onnx") for number in (1, 2, 3))


class Progression(NamedTuple):
    progression: Column  # of the disease after one year, 25 (little) to 346


class Engineered(NamedTuple):
    features: Features


class Near(NamedTuple):
    features: Kernel


@resource(check=lambda connection: connection.execute("SELECT 1 FROM patient LIMIT 1").fetchone() is not None)
def database() -> Iterator[sqlite3.Connection]:
    connection = ours.open_database()
    yield connection
    connection.close()


@resource
def kernel() -> Iterator[dict[str, ours.Array]]:
    """Landmarks and scale that the trees were trained with."""
    with np.load(ours.HERE / "kernel.npz") as loaded:
        yield {name: loaded[name] for name in loaded.files}


@step
def engineer(patient: Patients, today: Today) -> Engineered:
    """Looks the patients up and joins their record with today's measurements."""
    if len(patient) != len(today):
        raise InvalidInput(f"today: {len(today)} rows for {len(patient)} patients")
    try:
        record = ours.look_up(database.value, [int(number) for number in patient])
    except LookupError as error:
        raise InvalidInput(f"patient: {error}") from None
    return Engineered(ours.engineered(record, today))


@step(replicas=2)
async def near_landmarks(features: Features) -> Near:
    """The heavy step that the trees share, in two processes of its own; without `replicas=` it runs in the composer."""
    return Near(ours.kernel_features(features, **kernel.value))


@pipeline("progression", timeout="5s")
def progression(patient: Patients, today: Today) -> Progression:
    """Two regressors, averaged."""
    features = engineer(patient, today).features
    both: Any = mean(ridge(features=features), boosted(features=features))
    return Progression(both.progression)


@pipeline("progression-stacked", timeout="5s")
def progression_stacked(patient: Patients, today: Today) -> Progression:
    """The same two, joined by a third model that has learnt how far to trust each."""
    features = engineer(patient, today).features
    joined: Any = stack(ridge(features=features), boosted(features=features), into=stacked)
    return Progression(joined.progression)


@pipeline("progression-trees", timeout="5s")
def progression_trees(patient: Patients, today: Today) -> Progression:
    """One heavy preprocessing step, then three small trees that share what it made."""
    near = near_landmarks(engineer(patient, today).features).features
    wood: Any = mean(tree_1(features=near), tree_2(features=near), tree_3(features=near))
    return Progression(wood.progression)
