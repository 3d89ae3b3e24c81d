"""Python code that runs inside Triton, and how it gets there.

    onnxruntime, fil, pytorch   python-based backends: for the wheel's Triton, which has only the Python backend; the
                                container has native backends of the same names and takes the same repository
    sklearn, plain, pytorch     wrappers: placed as VERSION/model.py beside the user's file, so that any Triton's
                                Python backend serves it

Nothing here is imported by inferloom's own process. Each gets `common.py` beside it, named `inferloom_backend.py`.
Triton resolves symbolic links and refuses what leads out of the backend directory, so files are copied.
"""

from __future__ import annotations

import shutil
from pathlib import Path

__all__ = ["BACKENDS", "COMMON", "install", "wrapper_files"]

BACKENDS = ("fil", "onnxruntime", "pytorch")
COMMON = "inferloom_backend.py"

_HERE = Path(__file__).parent


def install(backend_directory: Path) -> None:
    """Put the python-based backends into a Triton backend directory, replacing older copies of them.

    Triton's own `python` backend must be in that directory too: these run on it.
    """
    for name in BACKENDS:
        folder = backend_directory / name
        folder.mkdir(parents=True, exist_ok=True)
        for target, source in wrapper_files(name).items():
            shutil.copy(source, folder / target)


def wrapper_files(name: str) -> dict[str, Path]:
    """Files that make up a backend or wrapper: name beside `model.py` -> where it is now."""
    return {"model.py": _HERE / name / "model.py", COMMON: _HERE / "common.py"}
