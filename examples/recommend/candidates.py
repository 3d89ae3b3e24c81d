"""The numpy parts: embedding look-up, nearest neighbours, and the pairs that are ranked.

The pipeline (app.py) and the training (train.py) call the same functions: what was learnt is what is served.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

HERE = Path(__file__).resolve().parent
FACTORS = 12  # width of an embedding
CONTEXT = 3  # of a request: morning, evening, weekend; each 0 or 1
NEIGHBOURS = 60  # candidates per request
SHOWN = 10  # items in an answer
INTERACTED = FACTORS + CONTEXT + FACTORS * CONTEXT
PAIR = 4  # width of a pair's features


class Shelf:
    """Embeddings of users and items, and what is known of an item: how often it is taken, and when.

    Raises:
        LookupError: `user` asks for a user who is not there.
    """

    def __init__(self, file: Path = HERE / "embeddings.npz") -> None:
        with np.load(file) as loaded:
            self.users: Array = loaded["users"]  # FP32 [users, 12]
            self.items: Array = loaded["items"]  # FP32 [items, 12]
            self.popularity: Array = loaded["popularity"]  # FP32 [items]
            self.moments: Array = loaded["moments"]  # FP32 [items, 3]: how often it is taken in each context

    def user(self, number: int) -> Array:
        """FP32 [12]."""
        if not 0 <= number < len(self.users):
            raise LookupError(f"no user {number}: there are 0 to {len(self.users) - 1}")
        vector: Array = self.users[number]
        return vector

    def nearest(self, query: Array) -> Array:
        """INT64 [60]: the items nearest to `query` FP32 [12] by dot product, best first; equal ones by number."""
        scores = self.items @ query
        best = np.argpartition(-scores, NEIGHBOURS)[:NEIGHBOURS]
        return best[np.lexsort((best, -scores[best]))].astype(np.int64)

    def pairs(self, vector: Array, query: Array, context: Array, candidates: Array) -> Array:
        """FP32 [60, 4]: nearness to the user, nearness to user and moment, popularity, fit to the moment."""
        items = self.items[candidates]
        columns = [items @ vector, items @ query, self.popularity[candidates], self.moments[candidates] @ context]
        return np.stack(columns, axis=1).astype(np.float32)


def interacted(vector: Array, context: Array) -> Array:
    """FP32 [1, 51] from [12] and [3]: user, moment, and each product of the two."""
    return np.concatenate([vector, context, np.outer(vector, context).ravel()])[None].astype(np.float32)


def ranked(candidates: Array, scores: Array) -> Array:
    """INT64 [10]: the candidates by score, best first; equal scores in the order they came."""
    best: Array = candidates[np.argsort(-scores.reshape(-1), kind="stable")[:SHOWN]]
    return best
