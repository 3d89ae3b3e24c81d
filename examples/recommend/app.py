"""Ten items for a user at a moment: embedding look-up, feature interaction, nearest neighbours, ranking.

inferloom up examples/recommend/app.py
curl localhost:8080/v1/recommend -d '{"user": 7, "context": [1, 0, 0]}'
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple

import candidates as ours
import numpy as np
import numpy.typing as npt

from inferloom.sdk import InvalidInput, model, pipeline, resource, shape, step

Floats = npt.NDArray[np.float32]
Items = Annotated[npt.NDArray[np.int64], shape(-1)]
Context = Annotated[Floats, shape(3)]  # morning, evening, weekend; each 0 or 1
Vector = Annotated[Floats, shape(12)]
Query = Annotated[Floats, shape(-1, 12)]
Interaction = Annotated[Floats, shape(-1, 51)]
Pairs = Annotated[Floats, shape(-1, 4)]
Scores = Annotated[Floats, shape(-1, 1)]

tower, ranker = model("tower", source="tower.onnx"), model("ranker", source="ranker.onnx")


class Taken(NamedTuple):
    vector: Vector
    interaction: Interaction


class Candidates(NamedTuple):
    items: Items
    pairs: Pairs


class Recommendation(NamedTuple):
    items: Items  # best first


@resource
def shelf() -> Iterator[ours.Shelf]:
    yield ours.Shelf()


@step
def look_up(user: int, context: Context) -> Taken:
    """The user's embedding, and its products with the moment."""
    try:
        vector = shelf.value.user(user)
    except LookupError as error:
        raise InvalidInput(f"user: {error}") from None
    return Taken(vector, ours.interacted(vector, context))


@step
def neighbours(vector: Vector, query: Query, context: Context) -> Candidates:
    """The 60 items nearest to the query, each with what the ranker looks at."""
    nearest = shelf.value.nearest(query[0])
    return Candidates(nearest, shelf.value.pairs(vector, query[0], context, nearest))


@step(inline=True)
def best(items: Items, score: Scores) -> Recommendation:
    """The ten with the best scores."""
    return Recommendation(ours.ranked(items, score))


@pipeline("recommend", timeout="2s")
def recommend(user: int, context: Context) -> Recommendation:
    """What this user may like at this moment."""
    taken = look_up(user, context)
    wanted: Any = tower(interaction=taken.interaction)
    near = neighbours(taken.vector, wanted.query, context)
    scored: Any = ranker(pairs=near.pairs)
    return Recommendation(best(near.items, scored.score).items)
