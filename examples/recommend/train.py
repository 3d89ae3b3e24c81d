"""Make the data with a seed, train both models and write everything this folder ships.

    pip install "inferloom[examples]"
    python examples/recommend/train.py

400 users take items of 900 in three moments (morning, evening, weekend); what they take follows hidden tastes that
change with the moment. The embeddings come from a truncated SVD of what was taken; `tower.onnx` learns to turn
`interaction` FP32 [-1, 51] (user, moment and their products) into `query` FP32 [-1, 12], near the items that are taken
then; `ranker.onnx` gives `score` FP32 [-1, 1] for `pairs` FP32 [-1, 4].
"""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import onnxruntime
from candidates import CONTEXT, FACTORS, HERE, INTERACTED, PAIR, SHOWN, Shelf, interacted, ranked
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from sklearn.decomposition import TruncatedSVD
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.linear_model import Ridge

SEED = 7
USERS, ITEMS, TASTES = 400, 900, 8
TAKEN = 12  # items each user takes in each moment; a third of them are held out
HELD_OUT = TAKEN // 3
ASKED = 200  # held-out requests the figure is counted over
TARGET_OPSET = {"": 17, "ai.onnx.ml": 3}
TOLERANCE = 1e-3


def taken_items(random: np.random.Generator) -> np.ndarray:
    """INT64 [users, moments, 12]: what each user takes in each moment, in random order."""
    users = random.normal(size=(USERS, TASTES))
    items = random.normal(size=(ITEMS, TASTES))
    shift = random.normal(scale=0.8, size=(CONTEXT, TASTES))
    liking = np.einsum("umt,it->umi", users[:, None] + shift[None], items) + random.gumbel(size=(USERS, CONTEXT, ITEMS))
    best = np.argsort(-liking, axis=2)[:, :, :TAKEN]
    return random.permuted(best, axis=2)


def save(name: str, model: Any, entry: str, width: int, exit_: str, rows: np.ndarray) -> onnxruntime.InferenceSession:
    """Write NAME.onnx, which must answer as scikit-learn does."""
    wide = 1 if model.predict(rows[:1]).ndim == 1 else model.predict(rows[:1]).shape[1]
    onnx = convert_sklearn(
        model,
        initial_types=[(entry, FloatTensorType([None, width]))],
        final_types=[(exit_, FloatTensorType([None, wide]))],
        target_opset=TARGET_OPSET,
    ).SerializeToString()
    (HERE / f"{name}.onnx").write_bytes(onnx)
    session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    apart = float(np.abs(session.run(None, {entry: rows})[0] - model.predict(rows).reshape(len(rows), -1)).max())
    if apart > TOLERANCE:
        raise SystemExit(f"{name}.onnx does not answer as scikit-learn does: {apart:.1e} apart")
    print(f"{name:7} {len(onnx) / 1000:6.1f} kB, within {apart:.0e} of scikit-learn's")
    return session


def main() -> None:
    warnings.filterwarnings("ignore", category=FutureWarning, module="sklearn")
    random = np.random.default_rng(SEED)
    taken = taken_items(random)
    known, hidden = taken[:, :, HELD_OUT:], taken[:, :, :HELD_OUT]

    matrix = np.zeros((USERS, ITEMS), np.float32)
    moments = np.zeros((ITEMS, CONTEXT), np.float32)
    for moment in range(CONTEXT):
        for user in range(USERS):
            matrix[user, known[user, moment]] += 1
            moments[known[user, moment], moment] += 1
    svd = TruncatedSVD(FACTORS, random_state=SEED)
    users = svd.fit_transform(matrix).astype(np.float32)
    np.savez_compressed(
        HERE / "embeddings.npz",
        users=users,
        items=svd.components_.T.astype(np.float32),
        popularity=np.log1p(matrix.sum(axis=0)).astype(np.float32),
        moments=moments / np.maximum(moments.sum(axis=0), 1) * ITEMS,
    )
    shelf = Shelf()
    contexts = np.eye(CONTEXT, dtype=np.float32)

    interactions = np.concatenate([interacted(users[u], contexts[m]) for u in range(USERS) for m in range(CONTEXT)])
    wanted = np.stack([shelf.items[known[u, m]].mean(axis=0) for u in range(USERS) for m in range(CONTEXT)])
    wanted /= np.abs(wanted).max()
    tower = Ridge(1.0).fit(interactions, wanted)
    tower_session = save("tower", tower, "interaction", INTERACTED, "query", interactions)

    def query_of(user: int, context: np.ndarray) -> np.ndarray:
        answer: np.ndarray = tower_session.run(None, {"interaction": interacted(shelf.user(user), context)})[0][0]
        return answer

    # The ranker learns from half of the users whether a candidate was taken in that moment.
    rows, labels = [], []
    for user in range(0, USERS, 2):
        for moment in range(CONTEXT):
            query = query_of(user, contexts[moment])
            near = shelf.nearest(query)
            rows.append(shelf.pairs(shelf.user(user), query, contexts[moment], near))
            labels.append(np.isin(near, known[user, moment]))
    ranker = GradientBoostingRegressor(n_estimators=80, max_depth=3, random_state=SEED)
    ranker.fit(np.concatenate(rows), np.concatenate(labels).astype(np.float32))
    ranker_session = save("ranker", ranker, "pairs", PAIR, "score", np.concatenate(rows[:20]))

    asked = random.choice(USERS * CONTEXT, ASKED, replace=False)
    shown, hits = [], 0
    for user, moment in zip(asked // CONTEXT, asked % CONTEXT, strict=True):
        query = query_of(int(user), contexts[moment])
        near = shelf.nearest(query)
        pairs = shelf.pairs(shelf.user(int(user)), query, contexts[moment], near)
        shown.append(ranked(near, ranker_session.run(None, {"pairs": pairs})[0]))
        hits += bool(np.isin(hidden[user, moment], shown[-1]).any())
    np.savez_compressed(
        HERE / "heldout.npz",
        user=(asked // CONTEXT).astype(np.int64),
        context=contexts[asked % CONTEXT],
        hidden=hidden[asked // CONTEXT, asked % CONTEXT],
        items=np.stack(shown),
    )
    by_chance = 1 - (1 - SHOWN / ITEMS) ** HELD_OUT
    figures = {"hit_rate": round(hits / ASKED, 6), "hit_rate_by_chance": round(by_chance, 6)}
    (HERE / "offline.json").write_text(json.dumps(figures, indent=1) + "\n")
    print(figures)


if __name__ == "__main__":
    main()
