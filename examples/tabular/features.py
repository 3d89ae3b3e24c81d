"""From a patient's number and today's measurements to the features of the models. Plain functions of numpy and SQLite.

The pipeline (app.py) and the training (train.py) call the same functions: what was learnt is what is served.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

HERE = Path(__file__).resolve().parent
DATABASE = HERE / "patients.sqlite"
RECORD = ("age", "sex", "s1", "s2", "s3", "s4", "s5", "s6")  # what the database holds of a patient
TODAY = ("bmi", "bp")  # what a request brings
FEATURES = 14  # width of `engineered`
LANDMARKS = 24  # width of `kernel_features`
SMOOTHING_ROUNDS = 40


def open_database(path: Path = DATABASE) -> sqlite3.Connection:
    """Read-only; usable from any thread, for its own lock lets one in at a time."""
    return sqlite3.connect(f"file:{path}?mode=ro", uri=True, check_same_thread=False)


def look_up(database: sqlite3.Connection, patients: Sequence[int]) -> Array:
    """FP32 [n, 8], in the order asked for. LookupError names the patients that are not there."""
    marks = ",".join("?" * len(patients))
    # Only question marks are put into the text; the values travel beside it.
    rows = database.execute(f"SELECT id, {', '.join(RECORD)} FROM patient WHERE id IN ({marks})", list(patients))
    found = {row[0]: row[1:] for row in rows}
    if absent := sorted(set(patients) - found.keys()):
        raise LookupError(f"no patient {', '.join(map(str, absent))} in {DATABASE.name}")
    return np.array([found[patient] for patient in patients], np.float32)


def engineered(record: Array, today: Array) -> Array:
    """FP32 [n, 14] from [n, 8] and [n, 2]: the ten measurements, two ratios and two products."""
    bmi, bp = today[:, 0], today[:, 1]
    sex, total, hdl, triglycerides = record[:, 1], record[:, 2], record[:, 4], record[:, 6]
    more = np.stack([total / hdl, triglycerides / bmi, bmi * bp / 100, bmi * sex], axis=1)
    return np.concatenate([record, today, more], axis=1).astype(np.float32)


def kernel_features(features: Array, landmarks: Array, centre: Array, scale: Array) -> Array:
    """FP32 [n, 24]: how near each patient is to each landmark, smoothed along the landmarks' own graph.

    The heavy step that all tree models share: its cost is paid once per request and not once per tree.
    """
    points = (features - centre) / scale
    near = np.exp(-np.square(points[:, None, :] - landmarks[None, :, :]).sum(axis=2) / landmarks.shape[1])
    graph = np.exp(-np.square(landmarks[:, None, :] - landmarks[None, :, :]).sum(axis=2) / landmarks.shape[1])
    graph /= graph.sum(axis=1, keepdims=True)
    smoothed = near
    for _ in range(SMOOTHING_ROUNDS):
        smoothed = 0.9 * near + 0.1 * smoothed @ graph
    return smoothed.astype(np.float32)
