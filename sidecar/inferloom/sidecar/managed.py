"""The managed Triton runtime: a virtual environment of its own in the user's cache.

    <cache>/triton-<hash of the pins>/            the environment, whole once `inferloom.json` is in it
    <cache>/backends/<inferloom>-<hash>/          the backend directory of this inferloom in that environment

Triton embeds Python and finds its packages through the environment's `bin` on PATH (PYTHONPATH is not honoured).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

from inferloom.mesh.errors import ConfigError
from inferloom.mesh.version import __version__
from inferloom.sidecar import backends
from inferloom.sidecar.cache import cache_folder
from inferloom.sidecar.flags import flags
from inferloom.sidecar.machine import Check, gpus, machine_checks

__all__ = ["CURE", "EXTRAS", "ManagedRuntime", "Marker", "find", "pins", "runtime_folder"]

CURE = "inferloom triton install"
EXTRAS = ("sklearn", "xgboost", "torch", "gpu")
MARKER = "inferloom.json"
PINS = Path(__file__).parent / "pins"
SHIPPED = Path(backends.__file__).parent  # python-based backends


def pins(name: str) -> Path:
    """The file with the pins of "core" or of an extra."""
    return PINS / f"{name}.txt"


def runtime_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where this inferloom's runtime belongs: other pins, another folder."""
    wanted = sorted(
        line.strip() for line in pins("core").read_text().splitlines() if line.strip() and not line.startswith("#")
    )
    return cache_folder(environ) / f"triton-{hashlib.sha256(chr(10).join(wanted).encode()).hexdigest()[:12]}"


@dataclass(frozen=True, slots=True)
class Marker:
    """Written last into a runtime that has given the known answer; an environment without it is half-made."""

    triton: str  # its version
    python: str  # "3.11"
    libdir: str  # of libpython
    extras: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()  # extras whose installation was begun and not finished

    @staticmethod
    def read(folder: Path) -> Marker | None:
        try:
            values = json.loads((folder / MARKER).read_text())
            return Marker(
                triton=values["triton"],
                python=values["python"],
                libdir=values["libdir"],
                extras=tuple(values["extras"]),
                pending=tuple(values["pending"]),
            )
        except (OSError, ValueError, TypeError, KeyError):
            return None  # absent, or cut short: not whole

    def write(self, folder: Path) -> None:
        with tempfile.NamedTemporaryFile("w", dir=folder, prefix=".marker-", delete=False) as file:
            json.dump(asdict(self), file, indent=1)
        os.replace(file.name, folder / MARKER)


@dataclass(frozen=True)
class ManagedRuntime:
    """Triton 2.51 from the nvidia-pytriton wheel, with numpy 1.26 and ONNX Runtime."""

    folder: Path
    marker: Marker
    origin: str = "managed"

    @property
    def version(self) -> str:
        return self.marker.triton

    @property
    def extras(self) -> tuple[str, ...]:
        return self.marker.extras

    @property
    def python(self) -> Path:
        """The environment's interpreter."""
        return self.folder / "bin" / "python"

    @property
    def libpython(self) -> Path:
        """The library that Triton's Python processes load."""
        return Path(self.marker.libdir) / f"libpython{self.marker.python}.so.1.0"

    @property
    def packages(self) -> Path:
        return self.folder / "lib" / f"python{self.marker.python}" / "site-packages"

    @property
    def numpy(self) -> str:
        """The version that is in it now."""
        found = sorted(path.name for path in self.packages.glob("numpy-*.dist-info"))
        return found[-1].removeprefix("numpy-").removesuffix(".dist-info") if found else "none"

    @cached_property
    def backends(self) -> Path:
        """The backend directory: Triton's Python backend, and the python-based ones that come with inferloom."""
        return assemble(self)

    def command(
        self,
        *,
        repository: Path,
        http_port: int,
        grpc_port: int,
        metrics_port: int,
        host: str = "127.0.0.1",
        backend_directory: Path | None = None,
        secret: str = "",
        extra: Sequence[str] = (),
    ) -> list[str]:
        options = flags(
            repository=str(repository.absolute()),
            backend_directory=str(backend_directory or self.backends),
            http_port=http_port,
            grpc_port=grpc_port,
            metrics_port=metrics_port,
            host=host,
            secret=secret,
            extra=extra,
        )
        return [str(self.packages / "pytriton/tritonserver/bin/tritonserver"), *options]

    def environment(self, **extra: str) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
        libraries = [self.packages / "nvidia_pytriton.libs", *sorted(self.packages.glob("nvidia/*/lib"))]
        return {
            **kept,
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "LD_LIBRARY_PATH": os.pathsep.join([*map(str, libraries), self.marker.libdir]),
            # A __pycache__ in a version's folder makes Triton load that version again when another is added.
            "PYTHONDONTWRITEBYTECODE": "1",
            **extra,
        }

    def cleanup(self, grpc_port: int) -> list[str]:
        return []

    async def checks(self) -> list[Check]:
        numpy_ok = self.numpy.startswith("1.")
        seen = await gpus()
        return [
            *machine_checks(self.folder),
            ("libpython", True, str(self.libpython)),
            ("Triton", True, f"{self.version} in {self.folder}, extras: {', '.join(self.extras) or 'none'}"),
            ("numpy inside", numpy_ok, self.numpy + ("" if numpy_ok else f": must be below 2: {CURE}")),
            ("GPU", True, ", ".join(seen) or "none seen by nvidia-smi; models run on the CPU"),
        ]


def assemble(runtime: ManagedRuntime) -> Path:
    """The backend directory of this runtime, made if it is not there.

    Everything is copied: Triton refuses a library that a link leads out of its backend directory.
    """
    source = runtime.packages / "pytriton" / "tritonserver"
    python = [
        source / "backends" / "python" / "libtriton_python.so",
        source / "backends" / "python" / "triton_python_backend_utils.py",
        source / "python_backend_stubs" / runtime.marker.python / "triton_python_backend_stub",
    ]
    shipped = sorted(SHIPPED.rglob("*.py"))
    digest = hashlib.sha256(f"{runtime.folder}\0{runtime.marker.python}".encode())
    for path in shipped:
        digest.update(f"\0{path.relative_to(SHIPPED)}\0".encode() + path.read_bytes())
    target = runtime.folder.parent / "backends" / f"{__version__}-{digest.hexdigest()[:12]}"
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=target.parent, prefix=".new-"))
    made.chmod(0o755)
    (made / "python").mkdir()
    for path in python:
        shutil.copy2(path, made / "python" / path.name)
    backends.install(made)
    try:
        made.rename(target)
    except OSError:  # another process was first
        shutil.rmtree(made)
    return target


def find(*, environ: Mapping[str, str] = os.environ) -> ManagedRuntime:
    """The installed runtime.

    Raises:
        ConfigError: it is not installed, or its Python has.
    """
    folder = runtime_folder(environ)
    marker = Marker.read(folder)
    if marker is None:
        raise ConfigError(f"the Triton runtime is not installed: {CURE}")
    runtime = ManagedRuntime(folder, marker)
    if not runtime.python.exists():
        raise ConfigError(f"the Triton runtime in {folder} has lost its Python {marker.python}: {CURE}")
    if not runtime.libpython.exists():  # Triton would not fail but wait, for as long as a load may take
        raise ConfigError(f"{runtime.libpython} has gone: apt install libpython{marker.python}, or {CURE}")
    return runtime
