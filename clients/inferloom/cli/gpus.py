"""The GPUs of this machine, as nvidia-smi tells them."""

from __future__ import annotations

import asyncio
import os
import shutil

__all__ = ["gpu_ids"]


async def gpu_ids() -> tuple[str, ...]:
    """Ids for CUDA_VISIBLE_DEVICES: what that variable already allows, else all of them; empty without a GPU."""
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if allowed is not None:
        return tuple(part.strip() for part in allowed.split(",") if part.strip() not in ("", "-1"))
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    process = await asyncio.create_subprocess_exec(
        program,
        "--query-gpu=index",
        "--format=csv,noheader",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    out, _ = await process.communicate()
    return tuple(out.decode().split()) if process.returncode == 0 else ()
