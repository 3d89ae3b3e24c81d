"""The models that pipelines are measured on: a repository written where the benchmark runs.

`stage-W-N` adds N (1 to 4) to `x` FP32 [-1, 16], with W ms of work per execution, batched up to 64 rows; `single-N` does the
same without work and without batching: one request per execution, one row or many.
"""

from __future__ import annotations

import shutil
from pathlib import Path

__all__ = ["MEMBERS", "WIDTH", "WORKS", "names", "write"]

WORKS = (0, 1, 5, 20)  # ms per execution
MEMBERS = (1, 2, 3, 4)  # what each adds
WIDTH = 16
MAX_BATCH = 64

_PROGRAM = Path(__file__).resolve().parent / "models" / "stage" / "model.py"
_CONFIG = """\
name: "{name}"
backend: "python"
max_batch_size: {batch}
input [{{ name: "x" data_type: TYPE_FP32 dims: [{dims}] }}]
output [{{ name: "y" data_type: TYPE_FP32 dims: [{dims}] }}]
parameters {{ key: "adds" value: {{ string_value: "{adds}" }} }}
parameters {{ key: "work_ms" value: {{ string_value: "{work}" }} }}
instance_group [{{ count: 1 kind: KIND_CPU }}]
{batching}
"""
_BATCHING = "dynamic_batching { max_queue_delay_microseconds: 0 }"


def names(work: str | int) -> tuple[str, ...]:
    """Of the four models with `work` ms, or "single"."""
    return tuple(f"single-{n}" if work == "single" else f"stage-{work}-{n}" for n in MEMBERS)


def write(folder: Path) -> list[str]:
    """Make the repository; the names of its models."""
    for work in WORKS:
        for name, adds in zip(names(work), MEMBERS, strict=True):
            _model(folder / name, batch=MAX_BATCH, dims=f"{WIDTH}", adds=adds, work=work, batching=_BATCHING)
    for name, adds in zip(names("single"), MEMBERS, strict=True):
        _model(folder / name, batch=0, dims=f"-1, {WIDTH}", adds=adds, work=0, batching="")
    return [name for work in (*WORKS, "single") for name in names(work)]


def _model(folder: Path, **fields: str | int) -> None:
    (folder / "1").mkdir(parents=True)
    shutil.copyfile(_PROGRAM, folder / "1" / "model.py")
    (folder / "config.pbtxt").write_text(_CONFIG.format(name=folder.name, **fields))
