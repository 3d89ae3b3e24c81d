"""A photograph in, one sentence out: decode and resize -> face detection -> key points -> caption.

    pip install "inferloom[examples]"
    inferloom up examples/vision/app.py

Where there is no face the pipeline ends after the detection: key points and caption are not run.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import sight

from inferloom.sdk import InvalidInput, Outputs, pipeline, route, shape, step

Picture = Annotated[npt.NDArray[np.uint8], shape(-1, -1, 3)]
Corners = Annotated[npt.NDArray[np.float32], shape(-1, 2)]  # shares of the face's height and width
Where = Annotated[npt.NDArray[np.int64], shape(4)]  # top, left, height, width in pixels; zeros where there is no face


class Decoded(NamedTuple):
    picture: Picture


class Found(NamedTuple):
    kind: str  # face, none
    box: Where


class Points(NamedTuple):
    corners: Corners
    count: int


class Sentence(NamedTuple):
    caption: str


class Seen(NamedTuple):
    found: str
    box: Where
    points: int
    caption: str


@step
def decode(photo: bytes) -> Decoded:
    """PNG or JPEG to at most 512 pixels a side."""
    try:
        return Decoded(sight.fitted(sight.decoded(photo)))
    except ValueError as error:
        raise InvalidInput(str(error)) from None


@step(cpus=1)
def detect(picture: Picture) -> Found:
    """The largest face that looks at the camera. It keeps a CPU busy, so it has a process of its own."""
    faces = sight.faces(picture)
    return Found("face", np.array(faces[0], np.int64)) if faces else Found("none", np.zeros(4, np.int64))


@step(cpus=1)
def key_points(picture: Picture, box: Where) -> Points:
    """Corners in the face."""
    corners = sight.points_in(picture, sight.Box(*map(int, box)))
    return Points(corners, len(corners))


@step
def describe(picture: Picture, box: Where, corners: Corners) -> Sentence:
    """The caption, by rule, of nothing but what was found."""
    return Sentence(sight.caption(picture, sight.Box(*map(int, box)), corners))


@step
def without_face(picture: Picture) -> Sentence:
    return Sentence(sight.plain(picture))


@pipeline("vision", timeout="20s")
def vision(photo: bytes) -> Seen:
    """What is in the photograph?"""
    picture = decode(photo).picture
    found = detect(picture)
    points = key_points(picture, found.box)
    told: Any = route(
        on=found.kind,
        arms={
            "face": Outputs(points=points.count, caption=describe(picture, found.box, points.corners).caption),
            "none": Outputs(points=0, caption=without_face(picture).caption),
        },
        default="none",
    )
    return Seen(found.kind, found.box, told.points, told.caption)
