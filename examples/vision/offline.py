"""The offline pipeline: what `sight` says of the pictures that ship with scikit-image, written to offline.json.

pip install "inferloom[examples]"
python examples/vision/offline.py
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import skimage.data
from sight import caption, decoded, faces, fitted, plain, points_in

HERE = Path(__file__).resolve().parent
SHIPPED = Path(skimage.data.__file__).parent
PHOTOS: Mapping[str, bool] = {  # file in skimage.data -> whether a face is in it, looking at the camera
    "astronaut.png": True,
    "camera.png": False,  # a photographer from the side
    "chelsea.png": False,  # a cat
    "clock_motion.png": False,
    "coffee.png": False,
    "coins.png": False,
    "moon.png": False,
    "rocket.jpg": False,
    "text.png": False,
}


def photo(name: str) -> bytes:
    return (SHIPPED / name).read_bytes()


def offline(data: bytes) -> dict[str, Any]:
    """What the pipeline must answer for the photograph."""
    picture = fitted(decoded(data))
    boxes = faces(picture)
    if not boxes:
        return {"found": "none", "box": [0, 0, 0, 0], "points": 0, "caption": plain(picture)}
    points = points_in(picture, boxes[0])
    sentence = caption(picture, boxes[0], points)
    return {"found": "face", "box": list(map(int, boxes[0])), "points": len(points), "caption": sentence}


def main() -> None:
    answers = {name: offline(photo(name)) for name in PHOTOS}
    right = sum((answers[name]["found"] == "face") is face for name, face in PHOTOS.items())
    figures = {"accuracy": round(right / len(PHOTOS), 6), "answers": answers}
    (HERE / "offline.json").write_text(json.dumps(figures, indent=1) + "\n")
    for name, answer in answers.items():
        print(f"{name:18} {answer['caption']}")
    print(f"{right} of {len(PHOTOS)} right")


if __name__ == "__main__":
    main()
