"""A model's JSON: its proto's, with the fields' names as the proto has them. Strict on the way in.

Unlike protobuf's own JSON, unknown fields are refused at every depth, text is no number (but for int64 and uint64, which
JavaScript cannot hold), null is no value, and all faults that are found are told with their paths.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json, to_json

from inferloom.mesh.errors import Violation
from inferloom.services.proto.face import ROWS, Face
from inferloom.services.typed.faults import told
from inferloom.services.typed.model_bound import Bound, place
from inferloom.services.typed.model_elements import Array, Element, short
from inferloom.services.typed.model_gather import Faults, Gathered, strangers
from inferloom.services.typed.model_rows import ModelRows, check_rows
from inferloom.services.typed.nested import Misfit

__all__ = ["ModelJson"]


class ModelJson:
    """Reads requests and writes answers of one face."""

    def __init__(self, face: Face) -> None:
        self.face = face
        self._model = ModelRows(face)
        self._known = [name for one in self._model.inputs for name in one.binding.fields]
        self._keys = frozenset(self._known)
        self._at = place(face)

    def read(self, body: bytes) -> dict[str, Array]:
        """The inputs by the model's names, in the dtypes of their datatypes; optional ones may be absent.

        Raises:
            InvalidInput: the body is no JSON, or does not fit; with up to five violations.
        """
        try:
            given = from_json(body, allow_inf_nan=False)
        except ValueError as error:
            raise told([Violation("", f"the body is no JSON: {error}")]) from None
        return self.read_value(given)

    def read_value(self, given: Any) -> dict[str, Array]:
        """As `read`, of JSON that has been parsed."""
        faults = Faults()
        rows = self._rows(given, faults)
        if rows is None:
            raise faults.error()
        for index, row in enumerate(rows):
            if not row.keys() <= self._keys:
                strangers(row, self._known, self._at(index), faults)
        return self._model.read(rows, faults, self._natives)

    def write(self, outputs: Mapping[str, Array]) -> bytes:
        """An answer.

        Raises:
            ReplicaError: an output is missing or of another shape than the model told (INTERNAL).
        """
        return to_json(self.written(outputs), inf_nan_mode="strings")

    def written(self, outputs: Mapping[str, Array]) -> dict[str, Any]:
        """As `write`, not yet serialised."""
        rows = self._model.rows(outputs, Element.json)
        return {ROWS: rows} if self.face.rows else (rows[0] if rows else {})

    def _rows(self, given: Any, faults: Faults) -> list[dict[str, Any]] | None:
        if not isinstance(given, dict):
            takes = ROWS if self.face.rows else ", ".join(self._known) or "no fields"
            faults.add("", f"the body: takes an object with {takes}, got {short(given)}")
            return None
        if not self.face.rows:
            return [given]
        strangers(given, (ROWS,), "", faults)
        rows = given.get(ROWS)
        if not isinstance(rows, list):
            faults.add(ROWS, "is missing" if ROWS not in given else f"takes a list of objects, got {short(rows)}")
            return None
        check_rows(self.face, len(rows), faults)
        for index, row in enumerate(rows):
            if type(row) is not dict:
                faults.add(f"{ROWS}[{index}]", f"takes an object, got {short(row)}")
                if faults.enough:
                    break
        return None if faults else rows

    def _natives(self, one: Bound, gathered: Gathered, faults: Faults) -> list[Any] | None:
        natives = one.element.natives(gathered.values)
        if natives is not None:
            return natives
        natives, before = [], len(faults)
        for index, value in enumerate(gathered.values):
            try:
                natives.append(one.element.normal(value))
            except Misfit as misfit:
                faults.add(gathered.path(one.binding, self._at, index), misfit.what)
                if faults.enough:
                    break
        return natives if len(faults) == before else None
