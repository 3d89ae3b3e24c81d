"""`model("digits")`: a handle to anything in the catalog."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from inferloom.clients.result import InferResult
from inferloom.mesh.errors import ConfigError
from inferloom.services.declare.handle import Handle, HandleOptions
from inferloom.services.declare.options import check_name, check_version
from inferloom.services.declare.place import caller_file, caller_place

__all__ = ["Model", "ModelDeclaration", "model"]


@dataclass(frozen=True, slots=True)
class ModelDeclaration:
    """A model that a file names, and the file that `inferloom up` serves it from, where it says one."""

    name: str
    version: str  # "": the one that the mesh chooses; with a source it is that version, 1 where nothing is said
    source: str  # as written; "": it is served by somebody else
    folder: Path  # of the file that says so
    place: str  # file:line

    @property
    def path(self) -> Path | None:
        """The source, relative to the file that names it."""
        return self.folder / self.source if self.source else None


class Model(Handle[InferResult]):
    """A handle to a model, service or pipeline known by its name alone: inputs and outputs are arrays."""

    def __init__(self, declaration: ModelDeclaration, settings: HandleOptions) -> None:
        super().__init__(declaration.name, settings)
        self.declaration = declaration

    def _with(self, settings: HandleOptions) -> Model:
        return Model(self.declaration, settings)


def model(name: str, *, version: str | int = "", source: str | Path = "") -> Model:
    """A handle to anything in the catalog: a model, a service, a pipeline.

        digits = model("digits-svm", source="digits-svm.onnx")
        out = await digits(pixels=x)        # an InferResult: out.label is an array

    Args:
        version: the one that is asked; "" leaves it to the mesh (a split, else the oldest).
        source: a model file, relative to the file this stands in: `inferloom up` serves it.

    Raises:
        ConfigError: the name or version is none.
    """
    place = caller_place()
    check_name(name, place, "model")
    number = check_version(version, place) if version else ""
    if not isinstance(source, str | Path):
        raise ConfigError(f"{place}: source= is the path of a model file, not a {type(source).__name__}")
    declaration = ModelDeclaration(name, number, str(source), caller_file().parent, place)
    return Model(declaration, HandleOptions(version=number, place=place))
