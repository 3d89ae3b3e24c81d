"""A model's requests and answers as protobuf messages, whose classes are made from descriptors at run time.

Large ones are read and written as whole columns of bytes (wire_read, wire_write) where they are regular enough, which
costs nothing per number; small ones, odd ones and wrong ones by protobuf itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from inferloom.mesh.errors import InvalidInput
from inferloom.services.proto.face import ROWS, Face, Form
from inferloom.services.typed.model_bound import Bound, place
from inferloom.services.typed.model_elements import Array, Element
from inferloom.services.typed.model_gather import Faults, Gathered
from inferloom.services.typed.model_rows import ModelRows, check_outputs, check_rows, unreadable
from inferloom.services.typed.wire_plan import Plan, plan
from inferloom.services.typed.wire_read import Table, read_alike, read_each
from inferloom.services.typed.wire_varints import varint
from inferloom.services.typed.wire_write import Parts, assembled, width, write_alike

__all__ = ["LARGE", "ModelMessages"]

LARGE = 4096  # bytes from which reading columns is worth it
_ROW = 1024  # bytes of one from which rows that differ are read and written one by one


class ModelMessages:
    """Reads requests and writes answers of one face.

    Args:
        request, response: the classes of its messages.
        large: bytes from which messages are read and written as columns.
    """

    def __init__(self, face: Face, request: Any, response: Any, *, large: int = LARGE) -> None:
        self.face = face
        self._request, self._response = request, response
        self._large = large
        self._model = ModelRows(face)
        self._at = place(face)
        self._takes = plan(face, face.predict.request)
        self._gives = plan(face, face.predict.response)

    def read(self, payload: bytes) -> dict[str, Array]:
        """The inputs by the model's names, in the dtypes of their datatypes; optional ones may be absent.

        Raises:
            InvalidInput: the bytes are no such message, or what it holds does not fit; with up to five violations.
        """
        if len(payload) >= self._large:
            found = self._columns(payload)
            if found is not None:
                return found
        try:
            message = self._request.FromString(payload)
        except DecodeError:
            name = f"{self.face.package}.{self.face.predict.request}"
            raise InvalidInput(f"the request is no {name}: its bytes do not parse") from None
        faults = Faults()
        if self.face.rows:
            rows = getattr(message, ROWS)
            check_rows(self.face, len(rows), faults)
            if faults:
                raise faults.error()
        else:
            rows = [message]
        return self._model.read([self._row(row) for row in rows], faults, _as_they_are)

    def write(self, outputs: Mapping[str, Array]) -> bytes:
        """A serialised answer.

        Raises:
            ReplicaError: an output is missing or of another shape than the model told (INTERNAL).
        """
        if sum(array.nbytes for array in outputs.values()) >= self._large:
            written = self._written(outputs)
            if written is not None:
                return written
        rows = self._model.rows(outputs, Element.back)
        message = self._response(rows=rows) if self.face.rows else self._response(**(rows[0] if rows else {}))
        return bytes(message.SerializeToString())

    def _row(self, message: Any) -> dict[str, Any]:
        row: dict[str, Any] = {}
        for one in self._model.inputs:
            binding = one.binding
            match binding.form:
                case Form.VALUE | Form.COLUMNS:
                    row |= {name: getattr(message, name) for name in binding.fields if message.HasField(name)}
                case Form.NESTED:
                    lists = [{"values": list(each.values)} for each in getattr(message, binding.fields[0])]
                    row[binding.fields[0]] = lists
                case Form.TABLE:
                    row[binding.fields[0]] = [
                        {name: getattr(each, name) for name in binding.columns if each.HasField(name)}
                        for each in getattr(message, binding.fields[0])
                    ]
                case Form.TENSOR:
                    if message.HasField(binding.fields[0]):
                        tensor = getattr(message, binding.fields[0])
                        row[binding.fields[0]] = {"shape": list(tensor.shape), "values": list(tensor.values)}
                case _:
                    row[binding.fields[0]] = list(getattr(message, binding.fields[0]))
        return row

    def _columns(self, payload: bytes) -> dict[str, Array] | None:
        """The inputs of a regular message without faults; None otherwise."""
        table = read_alike(np.frombuffer(payload, np.uint8).reshape(1, -1), self._takes)
        if self.face.rows:
            field = self._takes.names[ROWS]
            assert field.inner is not None
            table = table.tables.get(ROWS) if table is not None else read_each(payload, field.number, field.inner, _ROW)
            if table is None or (self.face.most_rows and table.count > self.face.most_rows):
                return None
        if table is None:
            return None
        found: dict[str, Array] = {}
        for one in self._model.inputs:
            columns = _elements(one, table)
            if columns is None:
                if any(name in table.leaves or name in table.tables for name in one.binding.fields):
                    return None
                if not one.binding.tensor.optional:
                    return None
                continue
            flat, shape = columns
            array = _checked(one, flat.reshape(-1))
            if array is None:
                return None
            found[one.name] = array.reshape((table.count, *shape) if self.face.rows else shape)
        return found

    def _written(self, outputs: Mapping[str, Array]) -> bytes | None:
        count = check_outputs(self.face, self._model.outputs, outputs)
        bounds = self._model.outputs
        arrays = [outputs[one.name] for one in bounds]
        if not self.face.rows:
            made = self._alike(bounds, [array[np.newaxis] for array in arrays], 1, self._gives)
            return None if made is None else assembled(made, 1)
        field = self._gives.names[ROWS]
        assert field.inner is not None
        made = self._alike(bounds, arrays, count, field.inner)
        if made is not None:
            return assembled([varint(field.tag()) + varint(width(made)), *made], count)
        if sum(array.nbytes for array in arrays) < count * _ROW:
            return None
        parts: Parts = []
        for row in range(count):
            made = self._alike(bounds, [array[row : row + 1] for array in arrays], 1, field.inner)
            if made is None:
                return None
            parts += [varint(field.tag()) + varint(width(made)), *made]
        return assembled(parts, 1)

    def _alike(self, bounds: tuple[Bound, ...], arrays: list[Array], count: int, gives: Plan) -> Parts | None:
        try:
            return write_alike(bounds, arrays, gives, count)
        except ValueError as error:  # text that is none
            texts = [one for one in bounds if one.element.kind == "text"]
            raise unreadable(self.face, texts[0], error) from None


def _as_they_are(one: Bound, gathered: Gathered, faults: Faults) -> list[Any] | None:
    return gathered.values


def _checked(one: Bound, flat: Array) -> Array | None:
    """The tensor's elements; None where there is a fault."""
    if flat.dtype.kind != "O" and not one.element.coded:
        return one.element.bounded(flat, one.columns)
    natives = flat.tolist()
    if one.element.kind == "text":
        try:
            natives = [data.decode() for data in natives]
        except UnicodeDecodeError:
            return None
    return one.element.array(natives, one.columns)


def _elements(one: Bound, table: Table) -> tuple[Array, tuple[int, ...]] | None:
    """A tensor's numbers [messages, elements] and the shape of one row; None where they are not all there."""
    binding, name = one.binding, one.binding.fields[0]
    match binding.form:
        case Form.VALUE:
            leaf = table.leaves.get(name)
            return None if leaf is None else (leaf, binding.shape)
        case Form.COLUMNS:
            return _side_by_side(table, binding.fields)
        case Form.NESTED | Form.TABLE:
            inner = table.tables.get(name)
            if inner is None or inner.count % table.count:
                return None
            each = inner.count // table.count
            found = _side_by_side(inner, binding.columns or ("values",))
            if found is None or not _fits((each, found[0].shape[1]), binding.shape):
                return None
            return found[0], (each, found[0].shape[1])
        case Form.TENSOR:
            inner = table.tables.get(name)
            return None if inner is None else _told(inner, binding.shape)
        case _:
            leaf = table.leaves.get(name)
            if leaf is None:
                return None
            size = int(np.prod(binding.shape)) if -1 not in binding.shape else leaf.shape[1]
            shape = binding.shape if -1 not in binding.shape else (size,)
            return (leaf, shape) if leaf.shape[1] == size else None


def _side_by_side(table: Table, names: tuple[str, ...]) -> tuple[Array, tuple[int, ...]] | None:
    leaves = [table.leaves.get(name) for name in names]
    found = [leaf for leaf in leaves if leaf is not None]
    if len(found) < len(leaves):
        return None
    flat = found[0] if len(found) == 1 else np.concatenate(found, axis=1)
    return flat, (flat.shape[1],)


def _told(inner: Table, wanted: tuple[int, ...]) -> tuple[Array, tuple[int, ...]] | None:
    sizes, values = inner.leaves.get("shape"), inner.leaves.get("values")
    if sizes is None or values is None or not bool((sizes == sizes[0]).all()):
        return None
    shape = tuple(sizes[0].tolist())
    fits = _fits(shape, wanted) and min(shape) >= 0 and int(np.prod(shape)) == values.shape[1]
    return (values, shape) if fits else None


def _fits(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return len(shape) == len(wanted) and all(w in (-1, s) for w, s in zip(wanted, shape, strict=True))
