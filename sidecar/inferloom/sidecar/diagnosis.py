"""Why a Triton did not come up, in one line, from what it wrote."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from inferloom.mesh.process import explain

__all__ = ["why_ended"]

OPTION = re.compile(r"tritonserver: ((?:unrecognized )?option .*)")
BAD = "Bad option: "
NOISE = ("CudaDriverHelper",)  # an error of every machine without a GPU


def why_ended(code: int | None, head: Sequence[str], tail: Sequence[str]) -> str:
    """One line.

    Args:
        code: exit code; None while it runs.
        head: its first lines of output: there it says which option it does not know, before it prints all of them.
        tail: its last lines: there it says which value is wrong, which port is taken.
    """
    for line in head:
        if known := OPTION.search(line):
            return f"Triton: {known[1]}"
    for line, following in pairwise([*tail, ""]):
        if line.startswith(BAD):
            return f"Triton: {line[len(BAD) :].strip('.')}: {following.strip()}"
    errors = [line for line in tail if line.startswith("E") and not any(noise in line for noise in NOISE)]
    text = explain("Triton", code, tail)
    if code is None or code < 0 or "apt install" in text or not errors:
        return text
    message = errors[-1].partition("] ")[2] or errors[-1]
    return "Triton: " + message.strip().strip('"').strip()[:300]
