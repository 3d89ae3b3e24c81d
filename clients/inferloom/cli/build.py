"""`inferloom build DIR`: a folder from which `docker build` makes the image of a mesh's own code and models.

Dockerfile          on top of the mesh's image; the dependencies, the code, the models
app/                the folder, less its model files and what no image needs; /srv/app in the image
models/             a Triton model repository; /srv/models
requirements.lock   the dependencies of the code, each with its version; empty where there are none
REVISION            twelve hexadecimal digits of the SHA-256 of all of the above
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from inferloom.cli.up.declared import Declared, declared
from inferloom.cli.up.documents import ModelSpec, VersionSpec
from inferloom.cli.up.expand import models_of
from inferloom.mesh.errors import ConfigError
from inferloom.mesh.version import __version__
from inferloom.sidecar import repository
from inferloom.sidecar.modelfile.tensor import TensorType

__all__ = ["APP", "BASE", "MODELS", "Built", "build", "by_model", "digests", "inside"]

APP, MODELS, LOCK, REVISION = "app", "models", "requirements.lock", "REVISION"
BASE = f"inferloom:{__version__}"  # the mesh's image
PYTHON = "python:3.11-slim-bookworm"  # the same Python and C library as the mesh's image has, and pip
LOCKS = (LOCK, "requirements.txt")  # the first that is there
UNLOCKED = ("pyproject.toml", "uv.lock", "poetry.lock", "Pipfile.lock")
NOISE = ("__pycache__", "node_modules", "venv", "build", "dist")
_PINNED = re.compile(r"^[A-Za-z0-9._-]+(\[[A-Za-z0-9._,-]+\])?\s*(==\s*[^\s;*]+(?=[\s;]|$)|@\s*\S+)")

# The base has no pip, so the lock is installed by a stage of its own, into a folder that comes before the mesh's packages.
DOCKERFILE = """\
# Made by `inferloom build`; make it anew rather than edit it.
ARG BASE={base}
ARG PYTHON={python}

# hadolint ignore=DL3006
FROM ${{PYTHON}} AS locked
WORKDIR /srv/packages
COPY requirements.lock /srv/
RUN python -m pip install --no-cache-dir --disable-pip-version-check --target /srv/packages -r /srv/requirements.lock

# hadolint ignore=DL3006
FROM ${{BASE}}
COPY requirements.lock /srv/
COPY --from=locked /srv/packages/ /srv/packages/
COPY app/ /srv/app/
COPY models/ /srv/models/
ENV PYTHONPATH=/srv/packages
WORKDIR /srv/app
# A lock with packages that the mesh cannot use fails here.
RUN ["python", "-c", "import inferloom.cli.host"]
ARG REVISION=unknown
ENV INFERLOOM_REVISION=${{REVISION}}
LABEL org.opencontainers.image.revision=${{REVISION}}
"""


@dataclass(frozen=True, slots=True)
class Built:
    """What was written."""

    folder: Path
    revision: str
    wanted: Declared
    source: Path  # the folder that it was made of

    @property
    def image(self) -> str:
        """NAME:REVISION, where nothing else was said."""
        return f"{self.source.name.lower()}:{self.revision}"


async def build(source: Path, out: Path) -> Built:
    """Write the context of an image.

    Args:
        source: a folder with a mesh.yaml, or with models and Python files; as `inferloom up` takes it.
        out: made anew; one that holds something else is refused.

    Raises:
        ConfigError: a file lies outside the folder, a dependency has no version, or `out` is something else.
        InvalidInput: there is nothing to build.
    """
    if not source.is_dir():
        raise ConfigError(
            f"{source}: no folder; an image is made of one, with a mesh.yaml or with models and Python files"
        )
    wanted = await declared(source)
    folder = source.resolve()
    lock = _lock(folder)
    models = models_of(wanted.documents(""))
    _clear(out, folder)
    _copy_app(folder, out / APP, out.resolve(), _model_files(models.values(), folder, wanted))
    (out / MODELS).mkdir()
    for spec in models.values():
        for number, version in spec.versions.items():
            _place(out / MODELS, spec, number, version)
    (out / LOCK).write_text(lock)
    (out / "Dockerfile").write_text(DOCKERFILE.format(base=BASE, python=PYTHON))
    revision = _revision(out)
    (out / REVISION).write_text(f"{revision}\n")
    return Built(out, revision, wanted, folder)


def inside(path: Path, folder: Path, what: str) -> Path:
    """The path below the folder. Raises ConfigError where it is elsewhere, and an image would lack it."""
    if not path.resolve().is_relative_to(folder):
        raise ConfigError(f"{what}: {path} lies outside {folder}, and the image holds what is in it: move it there")
    return path.resolve().relative_to(folder)


def digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file below a folder, by its path there."""
    found = {}
    for path in sorted(_files(folder)):
        with path.open("rb") as file:
            found[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def _place(folder: Path, spec: ModelSpec, number: str, version: VersionSpec) -> None:
    whole = version.source.is_dir() and len(spec.versions) == 1  # a folder in Triton's layout brings its own versions
    repository.place(
        version.source,
        folder,
        spec.name,
        "" if whole else number,
        gpus=spec.gpus,
        inputs=[TensorType.parse(text) for text in version.inputs],
        outputs=[TensorType.parse(text) for text in version.outputs],
        warmup=version.warmup,
    )


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def _revision(folder: Path) -> str:
    lines = "".join(f"{digest}  {path}\n" for path, digest in digests(folder).items())
    return hashlib.sha256(lines.encode()).hexdigest()[:12]


def _clear(out: Path, folder: Path) -> None:
    """Only what an earlier build has written may be replaced."""
    if out.resolve() == folder or folder.is_relative_to(out.resolve()):
        raise ConfigError(f"--out: {out} is what the image is made of; name another folder")
    if out.exists() and any(out.iterdir()) and not (out / REVISION).is_file():
        raise ConfigError(f"--out: {out} holds something that `inferloom build` has not written; name another folder")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)


def _model_files(models: Iterable[ModelSpec], folder: Path, wanted: Declared) -> frozenset[Path]:
    """What goes into models/ and so not into app/. Raises ConfigError where a file is elsewhere."""
    found = set()
    for spec in models:
        for version in spec.versions.values():
            for path in filter(None, (version.source, version.warmup)):
                inside(path, folder, f"model '{spec.name}'")
            found.add(version.source.resolve())
    for path in sorted(wanted.file.sources):
        inside(path, folder, f"'{path.name}'")
    return frozenset(found)


def _copy_app(folder: Path, target: Path, out: Path, models: frozenset[Path]) -> None:
    def ignored(where: str, names: list[str]) -> set[str]:
        here = Path(where)
        return {
            name
            for name in names
            if name.startswith(".")
            or name.endswith(".pyc")
            or name in NOISE
            or (here / name).resolve() in models | {out}
            or (here / name / "pyvenv.cfg").exists()
        }

    shutil.copytree(folder, target, ignore=ignored)


def _lock(folder: Path) -> str:
    """The text of the lock; "" where the folder asks for nothing. Raises ConfigError: a line names no version."""
    path = next((folder / name for name in LOCKS if (folder / name).is_file()), None)
    if path is None:
        other = next((name for name in UNLOCKED if (folder / name).is_file()), None)
        if other is not None:
            raise ConfigError(
                f"{folder / other}: write what is installed to {LOCK} beside it: uv export, or pip freeze"
            )
        return ""
    text = path.read_text()
    for number, line in enumerate(text.replace("\\\n", " \n").splitlines(), 1):
        entry = line.split(" #")[0].strip()
        if entry and not entry.startswith(("#", "-")) and not _PINNED.match(entry):
            raise ConfigError(f"{path}:{number}: '{entry}' names no version; a lock does, as name==1.2.3")
    return text


def by_model(found: Mapping[str, str], name: str) -> dict[str, str]:
    """Those of `digests` that belong to a model."""
    return {path: digest for path, digest in found.items() if path.startswith(f"{name}/")}
