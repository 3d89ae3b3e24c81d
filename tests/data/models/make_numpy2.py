"""Makes numpy2.joblib: an estimator with arrays of objects and a random generator, pickled under numpy 2.

Needs numpy 2 and scikit-learn:

    python tests/data/models/make_numpy2.py
"""

from __future__ import annotations

from pathlib import Path

import joblib  # type: ignore[import-not-found]
import numpy as np
from sklearn.datasets import load_iris
from sklearn.ensemble import GradientBoostingClassifier

assert np.__version__ >= "2"
features, target = load_iris(return_X_y=True)
model = GradientBoostingClassifier(n_estimators=1, max_depth=1, random_state=0).fit(features, target)
joblib.dump(model, Path(__file__).parent / "numpy2.joblib", compress=3)
