"""The pipelines' part of the demo: each held-out image through the vote, the cascade, the A/B test and the mirror."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import png
from demo_mesh import DemoMesh

from inferloom.sdk import InferResult, MeshClient

AT_ONCE = 32  # requests in flight
MIRROR = "digits-mirror.classifier"

Array = np.ndarray[Any, Any]


async def pipelines(mesh: DemoMesh, heldout: Any, say: Callable[[str], None]) -> bool:
    """Whether vote and cascade answer each image as the same rule does offline."""
    images = [png.encode(pixels) for pixels in heldout["pixels"]]
    truth = heldout["labels"]
    say(f"\nThe same {len(images)} digits as PNG files through the pipelines, beside the offline rule:")
    identical = True
    for name, key in (("digits", "vote_labels"), ("digits-cascade", "cascade_labels")):
        labels = labels_of(await ask(mesh.client, name, images))
        same = int((labels == heldout[key]).sum())
        identical &= same == len(truth)
        offline = float((heldout[key] == truth).mean())
        say(
            f"  {name:<15} accuracy {float((labels == truth).mean()):.4f}   offline {offline:.4f}   "
            f"{same} of {len(truth)} labels identical"
        )
    say(f"  {'':<15} the cascade asked the other two for {1 - heldout['cascade_sure'].mean():.0%} of the images")
    arms = Counter(str(answer.parameters["classifier.arm"]) for answer in await ask(mesh.client, "digits-ab", images))
    shares = ", ".join(f"{arm} {count / len(images):.0%}" for arm, count in sorted(arms.items(), reverse=True))
    say(f"  digits-ab       {len(images)} users: {shares} (80 and 20 are declared; each keeps theirs)")
    await ask(mesh.client, "digits-mirror", images)
    agreed, compared = await mesh.agreement(MIRROR, len(images))
    say(
        f"  digits-mirror   the forest, asked beside the SVM, agreed on {agreed} of {compared} images; nobody waited for it"
    )
    return identical and compared > 0


async def ask(client: MeshClient, pipeline: str, images: Sequence[bytes]) -> list[InferResult]:
    """The answers in the order of the images, each as a user of its own."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(number: int, image: bytes) -> InferResult:
        async with gate:
            inputs = {"png": np.array([image], object)}
            return await client.infer(pipeline, inputs, metadata={"user": f"user-{number}"})

    return await asyncio.gather(*(one(number, image) for number, image in enumerate(images)))


def labels_of(answers: Sequence[InferResult]) -> Array:
    return np.array([int(answer["label"].reshape(-1)[0]) for answer in answers])
