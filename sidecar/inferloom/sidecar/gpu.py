"""What the GPUs of a Triton do: as its own metrics say, or nvidia-smi where they do not."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Iterable, Sequence
from typing import NamedTuple

__all__ = ["Gpu", "from_smi", "from_triton", "read_gpus"]

MIB = 1024 * 1024
QUERY = "uuid,utilization.gpu,memory.used,memory.total,power.draw"
LINE = re.compile(r'^(nv_gpu_\w+)\{[^}]*?gpu_uuid="([^"]*)"[^}]*\}\s+(\S+)', re.MULTILINE)
TIMEOUT = 5.0  # seconds that nvidia-smi may take


class Gpu(NamedTuple):
    """One GPU now. What is not known is 0."""

    id: str  # "GPU-5f0c..."
    busy: float = 0.0  # part of the time that a kernel ran, 0 to 1
    memory_used: float = 0.0  # bytes
    memory_total: float = 0.0
    power: float = 0.0  # watts


def from_triton(text: str) -> list[Gpu]:
    """Of Triton's metrics; empty where it watches no GPU."""
    found: dict[str, dict[str, float]] = {}
    for name, uuid, value in LINE.findall(text):
        found.setdefault(uuid, {})[name] = float(value)
    return [
        Gpu(
            uuid,
            values.get("nv_gpu_utilization", 0.0),
            values.get("nv_gpu_memory_used_bytes", 0.0),
            values.get("nv_gpu_memory_total_bytes", 0.0),
            values.get("nv_gpu_power_usage", 0.0),
        )
        for uuid, values in found.items()
    ]


def from_smi(text: str) -> list[Gpu]:
    """Of nvidia-smi's CSV without units: percent, MiB and watts. What a GPU does not tell ("[N/A]") is 0."""
    found = []
    for line in text.splitlines():
        uuid, *values = [part.strip() for part in line.split(",")]
        if uuid and len(values) == 4:
            busy, used, total, power = (_number(value) for value in values)
            found.append(Gpu(uuid, busy / 100, used * MIB, total * MIB, power))
    return found


async def read_gpus(text: str, ids: Sequence[str] = ()) -> list[Gpu]:
    """The GPUs of a Triton.

    Args:
        text: its metrics.
        ids: indices or UUIDs of its GPUs, for nvidia-smi; empty: all.
    """
    if found := from_triton(text):
        return found
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    return from_smi(await _asked([program, f"--query-gpu={QUERY}", "--format=csv,noheader,nounits", *_chosen(ids)]))


async def _asked(argv: Sequence[str]) -> str:
    process = await asyncio.create_subprocess_exec(
        *argv, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(TIMEOUT):
            output, _ = await process.communicate()
    except (TimeoutError, asyncio.CancelledError) as error:
        process.kill()
        await process.wait()
        if isinstance(error, asyncio.CancelledError):
            raise
        return ""
    return output.decode(errors="replace") if process.returncode == 0 else ""


def _chosen(ids: Iterable[str]) -> list[str]:
    chosen = ",".join(ids)
    return [f"--id={chosen}"] if chosen else []


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
