"""The digits through the mesh: right answers, and not one failed request while a Triton is killed and another frozen.

    python examples/digits/demo.py                    # clients reach the router
    python examples/digits/demo.py --gateway envoy    # clients reach Envoy, which reaches the models itself

Exit status 0 only if every label is the one scikit-learn gives and no request failed.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import png
from demo_load import Load
from demo_mesh import DemoMesh
from demo_pipelines import pipelines
from demo_trace import show_trace, traced

if TYPE_CHECKING:
    from inferloom.mesh.telemetry.receiver import Received

HERE = Path(__file__).parent
ENVOY = "envoy"
CLASSIFIERS = ("forest", "svm", "mlp")
BATCH = 64  # images per request when accuracy is measured


class Pace(NamedTuple):
    """How long the demo takes, and how much it asks."""

    calm: float  # seconds of load before, between and after the incidents
    pause: float  # seconds between two requests of one caller


async def main(gateway: str, pace: Pace) -> int:
    with traced() as received:
        return await demo(gateway, pace, received)


async def demo(gateway: str, pace: Pace, received: Received | None) -> int:
    front = ", and Envoy in front of them" if gateway == ENVOY else ""
    say(f"Starting two Tritons with four models each{front} (see examples/digits/mesh.yaml) ...")
    async with DemoMesh(HERE, gateway) as mesh:
        say(f"The mesh answers at {mesh.address}.\n")
        await mesh.show()
        same = await accuracy(mesh)
        voted = await pipelines(mesh, np.load(HERE / "heldout.npz"), say)
        whole = await incidents(mesh, pace)
        await mesh.show()
        await tell(mesh)
        await show_trace(mesh, png.encode(np.load(HERE / "heldout.npz")["pixels"][0]), received, say)
    if not (same and voted and whole):
        say("\nFAILED: see above.")
        return 1
    say("\nAll labels identical, no request failed.")
    return 0


async def accuracy(mesh: DemoMesh) -> bool:
    """Every held-out digit through each model, beside what scikit-learn itself said of it."""
    heldout = np.load(HERE / "heldout.npz")
    pixels, truth = heldout["pixels"], heldout["labels"]
    say(f"\n{len(truth)} held-out digits through the mesh, beside scikit-learn's own answers:")
    identical = True
    for kind in CLASSIFIERS:
        answers = [
            (await mesh.client.infer(f"digits-{kind}", {"pixels": pixels[at : at + BATCH]}))["label"].reshape(-1)
            for at in range(0, len(pixels), BATCH)
        ]
        labels = np.concatenate(answers)
        theirs = heldout[f"{kind}_labels"]
        right, same = float((labels == truth).mean()), int((labels == theirs).sum())
        identical &= same == len(truth)
        say(
            f"  digits-{kind:<7} accuracy {right:.4f}   scikit-learn {float(heldout[f'{kind}_accuracy']):.4f}   "
            f"{same} of {len(truth)} labels identical"
        )
    return identical


async def incidents(mesh: DemoMesh, pace: Pace) -> bool:
    """One Triton killed, later one frozen, under constant load that includes the model that takes a second."""
    heldout = np.load(HERE / "heldout.npz")
    replicas = sorted(await mesh.replicas("digits-slow"))
    say("\nConstant load on all four models and on the vote; then one Triton is killed, and later one is frozen.")
    load = Load(mesh.client, heldout["pixels"], pace.pause)
    async with load:
        await asyncio.sleep(pace.calm)
        await incident(mesh, load, replicas[0], signal.SIGKILL, "killed")
        await asyncio.sleep(pace.calm)
        await incident(mesh, load, replicas[-1], signal.SIGSTOP, "frozen")
        await asyncio.sleep(pace.calm)
    say(f"\n  requests sent {load.sent}, failed {len(load.failures)}, retried {await mesh.retried()}")
    say(f"  slowest request {load.slowest:.1f} s, 99th percentile {load.percentile(0.99) * 1e3:.0f} ms")
    say(f"  votes {load.votes}, of which {load.incomplete} went without a late or failed member")
    for failure in load.failures[:5]:
        say(f"  failed: {failure}")
    return load.sent > 0 and not load.failures


async def incident(mesh: DemoMesh, load: Load, replica: str, number: signal.Signals, what: str) -> None:
    before = load.sent
    began = asyncio.get_running_loop().time()
    pid = await mesh.strike(replica, number)
    say(f"  {replica} (process {pid}) {what} ...")
    out = await mesh.wait_until(replica, serving=False) - began
    back = await mesh.wait_until(replica, serving=True) - began
    say(
        f"    out of routing after {out:.1f} s, serving again after {back:.1f} s; {load.sent - before} requests meanwhile"
    )


async def tell(mesh: DemoMesh) -> None:
    say("\nTry it yourself: run `inferloom up examples/digits` in one terminal, and in another")
    for line in lines_to_paste():
        say(f"  {line}")


def lines_to_paste() -> Sequence[str]:
    return (
        "inferloom infer digits-svm --input pixels=@zeros     # call it",
        "inferloom add your-model.onnx                        # add your model",
        "inferloom models                                     # the live table",
    )


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--gateway", choices=("python", ENVOY), default="python")
    parser.add_argument(
        "--calm", type=float, default=3.0, help="seconds of load before, between and after the incidents"
    )
    parser.add_argument("--pause", type=float, default=0.02, help="seconds between two requests of one caller")
    options = parser.parse_args()
    sys.exit(asyncio.run(main(options.gateway, Pace(options.calm, options.pause))))
