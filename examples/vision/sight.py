"""What is seen in a photograph: plain functions of numpy and scikit-image, which the pipeline (app.py) is made of."""

from __future__ import annotations

import functools
import io
from typing import Any, NamedTuple

import imageio.v3 as images
import numpy as np
from skimage.color import gray2rgb, rgb2gray
from skimage.data import lbp_frontal_face_cascade_filename
from skimage.feature import ORB, Cascade
from skimage.transform import resize

Array = np.ndarray[Any, Any]

LONGEST = 512  # pixels of the longer side after `fitted`
SMALLEST_FACE = 0.10  # of the shorter side
LARGEST_FACE = 0.60
POINTS = 60  # key points looked for in a face
SHARPEST = 0.02  # threshold of ORB's corners


class Box(NamedTuple):
    """Where a face is, in pixels of the fitted picture."""

    top: int
    left: int
    height: int
    width: int


def decoded(photo: bytes) -> Array:
    """UINT8 [height, width, 3] of a PNG or JPEG; ValueError says what came instead."""
    try:
        pixels = np.asarray(images.imread(io.BytesIO(photo)))
    except OSError as error:
        raise ValueError(f"photo: {len(photo)} bytes that are no picture: {str(error).splitlines()[0]}") from None
    if pixels.ndim == 2:
        pixels = gray2rgb(pixels)
    return pixels[:, :, :3]


def fitted(pixels: Array) -> Array:
    """The picture with a longer side of 512 pixels, or as it is where it is smaller."""
    height, width = pixels.shape[:2]
    share = LONGEST / max(height, width)
    if share >= 1:
        return np.ascontiguousarray(pixels)
    small = resize(pixels, (round(height * share), round(width * share)), anti_aliasing=True, preserve_range=True)
    return small.round().astype(np.uint8)


@functools.cache
def cascade() -> Cascade:
    """scikit-image's own frontal-face classifier (local binary patterns)."""
    return Cascade(lbp_frontal_face_cascade_filename())


def faces(picture: Array) -> list[Box]:
    """Frontal faces, the largest first."""
    side = min(picture.shape[:2])
    smallest, largest = round(side * SMALLEST_FACE), round(side * LARGEST_FACE)
    found = cascade().detect_multi_scale(
        img=picture, scale_factor=1.2, step_ratio=1, min_size=(smallest, smallest), max_size=(largest, largest)
    )
    boxes = [Box(one["r"], one["c"], one["height"], one["width"]) for one in found]
    return sorted(boxes, key=lambda box: (-box.height * box.width, box))


def points_in(picture: Array, box: Box) -> Array:
    """FP32 [n, 2]: corners in the face as shares of its height and width, sharpest first."""
    face = rgb2gray(picture[box.top : box.top + box.height, box.left : box.left + box.width])
    finder = ORB(n_keypoints=POINTS, fast_threshold=SHARPEST)
    try:
        finder.detect(face)
    except RuntimeError:  # ORB's word for "none found"
        return np.zeros((0, 2), np.float32)
    order = np.argsort(-finder.responses, kind="stable")
    return (finder.keypoints[order] / (box.height, box.width)).astype(np.float32)


def caption(picture: Array, box: Box, points: Array) -> str:
    """One sentence by rule, of nothing but what was found."""
    height, width = picture.shape[:2]
    middle = (box.left + box.width / 2) / width
    side = "left of the centre" if middle < 0.45 else "right of the centre" if middle > 0.55 else "in the centre"
    size = round(100 * box.height / height)
    if not len(points):
        return f"A face {side}, {size} % of the picture's height, without a sharp corner."
    upper, lower = (points[:, 0] < 0.5).sum(), (points[:, 0] >= 0.5).sum()
    where = "eyes and brow" if upper > lower else "nose and mouth"
    return f"A face {side}, {size} % of the picture's height; {len(points)} key points, most of them at {where}."


def plain(picture: Array) -> str:
    """The caption of a picture in which no face was found."""
    light = float(rgb2gray(picture).mean())
    word = "dark" if light < 0.33 else "bright" if light > 0.66 else "evenly lit"
    height, width = picture.shape[:2]
    return f"No face; {word}, {width} x {height} pixels."
