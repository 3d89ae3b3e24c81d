"""Before anything starts: the Triton runtime is there, with what the models need."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from inferloom.cli.up.documents import ModelSpec
from inferloom.mesh.errors import ConfigError
from inferloom.sidecar.install import install
from inferloom.sidecar.modelfile.recognise import recognise
from inferloom.sidecar.runtime import find

__all__ = ["ensure_runtime", "extras_for"]

# Packages a model may need -> the extra of the runtime that brings them.
EXTRA_OF = {"scikit-learn": "sklearn", "xgboost": "xgboost", "torch": "torch"}
ASKED_FIRST = frozenset({"torch"})  # gigabytes: not without being asked


def extras_for(sources: Iterable[Path]) -> list[str]:
    """The runtime's extras that these model files need.

    Raises:
        InvalidInput: one of them is no model.
    """
    needs = {need for source in sources for need in recognise(source).needs}
    return sorted({EXTRA_OF[need] for need in needs if need in EXTRA_OF})


async def ensure_runtime(triton: str, models: Sequence[ModelSpec], progress: Callable[[str], None]) -> None:
    """Check every model file, then install what is missing of the managed runtime, saying so.

    Raises:
        InvalidInput: a source is no model.
        ConfigError: the runtime is not there and cannot be installed, or needs something too large to install unasked.
    """
    extras = extras_for(version.source for model in models for version in model.versions.values())
    if triton != "managed":
        find(triton)
        return
    missing = _missing(extras)
    large = sorted(ASKED_FIRST.intersection(missing))
    if large:
        raise ConfigError(
            f"the Triton runtime has no {large[0]} (several GB with CUDA): inferloom triton install --with {large[0]}"
        )
    await install(lambda text: progress(f"installing the Triton runtime, once: {text}"), extras)


def _missing(extras: Sequence[str]) -> list[str]:
    from inferloom.sidecar.install import whole
    from inferloom.sidecar.managed import runtime_folder

    folder = runtime_folder(os.environ)
    return [extra for extra in extras if whole(folder, [extra]) is None]
