"""pyproject.toml and README.md of a client package."""

from __future__ import annotations

from collections.abc import Sequence

from inferloom.services.proto.face import Face

__all__ = ["pyproject", "readme"]


def pyproject(distribution: str, revision: int, face: Face, needs: Sequence[str]) -> str:
    """The project, its version MAJOR.REVISION.0: the revision grows with each change of the lock."""
    extra = "" if face.typed else '\n[project.optional-dependencies]\nnumpy = ["numpy>=1.26"] # for arrays.py\n'
    listed = ", ".join(f'"{need}"' for need in needs)
    return f"""\
[build-system]
requires = ["hatchling>=1.27"]
build-backend = "hatchling.build"

[project]
name = "{distribution}"
version = "{face.major}.{revision}.0"
description = "Typed clients of {face.name} in an inferloom mesh."
readme = "README.md"
requires-python = ">=3.10"
dependencies = [{listed}]
{extra}
[tool.hatch.build.targets.wheel]
packages = ["src/inferloom"]
"""


def readme(distribution: str, face: Face, client: str) -> str:
    """How it is called."""
    call = "predict_stream" if face.predict.streams else "predict"
    given = "[...]" if face.rows else f"{face.predict.request}(...)"
    names = client if face.rows else f"{client}, {face.predict.request}"
    text = f"""\
# {distribution}

Typed clients of {face.name}, written by `inferloom codegen`.

```python
from {face.package} import {names}

with {client}("127.0.0.1:8081") as {face.package.split(".")[2]}:
    answer = {face.package.split(".")[2]}.{call}({given})
```

`Async{client}` is the same for asyncio.
"""
    if face.typed:
        return text
    return f"""{text}
With `pip install {distribution}[numpy]`, `{face.package}.arrays` has `request_of`, which makes a request of numpy arrays,
and `arrays_of`, which makes arrays of an answer.
"""
