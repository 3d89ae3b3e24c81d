"""Large answers written without an object for each number: see wire_read.

Messages that look alike are a matrix of bytes, put together from columns: tags and lengths, which are the same in all, and
the numbers' own bytes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from inferloom.services.proto.face import Form
from inferloom.services.typed.model_bound import Bound
from inferloom.services.typed.wire_plan import VARINT, Plan, PlanField
from inferloom.services.typed.wire_varints import pack, varint

__all__ = ["write_alike"]

Array = np.ndarray[Any, Any]


def write_alike(bounds: tuple[Bound, ...], arrays: list[Array], plan: Plan, count: int) -> Array | None:
    """Messages of one kind, uint8 [count, bytes]; None where they cannot all be laid out alike.

    Args:
        arrays: a tensor for each binding, [count, *shape of one].
    """
    parts: list[Array] = []
    for one, array in zip(bounds, arrays, strict=True):
        made = _tensor(one, array, plan, count)
        if made is None:
            return None
        parts += made
    return np.concatenate(parts, axis=1) if parts else np.empty((count, 0), np.uint8)


def _tensor(one: Bound, array: Array, plan: Plan, count: int) -> list[Array] | None:
    binding, shape = one.binding, array.shape[1:]
    fields = [plan.names[name] for name in binding.fields]
    match binding.form:
        case Form.VALUE:
            return _together([_field(one, array.reshape(count, 1), fields[0])])
        case Form.COLUMNS:
            return _together([_field(one, array[:, at : at + 1], field) for at, field in enumerate(fields)])
        case Form.NESTED:
            inner = fields[0].inner
            assert inner is not None
            made = _field(one, array.reshape(count * shape[0], shape[1]), inner.names["values"])
            return None if made is None else _messages(fields[0], made, count, shape[0])
        case Form.TABLE:
            inner = fields[0].inner
            assert inner is not None
            flat = array.reshape(count * shape[0], shape[1])
            columns = [_field(one, flat[:, at : at + 1], inner.names[name]) for at, name in enumerate(binding.columns)]
            together = _together(columns)
            made = None if together is None else np.concatenate(together, axis=1)
            return None if made is None else _messages(fields[0], made, count, shape[0])
        case Form.TENSOR:
            inner = fields[0].inner
            assert inner is not None
            sizes = _packed(inner.names["shape"], pack(np.array(shape, np.int64)))
            values = _field(one, array.reshape(count, -1), inner.names["values"])
            if values is None:
                return None
            made = np.concatenate([np.broadcast_to(sizes, (count, sizes.shape[1])), values], axis=1)
            return _messages(fields[0], made, count, 1)
        case _:
            return _together([_field(one, array.reshape(count, -1), fields[0])])


def _together(parts: list[Array | None]) -> list[Array] | None:
    made = [part for part in parts if part is not None]
    return made if len(made) == len(parts) else None


def _field(one: Bound, values: Array, field: PlanField) -> Array | None:
    """One field, [count, bytes], of values [count, elements]."""
    count, number = values.shape
    if not number:
        return np.empty((count, 0), np.uint8)
    if field.dtype is not None:
        wide = np.ascontiguousarray(values, field.dtype)
        raw = wide.view(np.uint8).reshape(count, -1)
        return _headed(_head(field, raw.shape[1]), raw)
    if one.element.coded or values.dtype.kind == "O":
        return _text(one, values, field) if count == 1 else None
    if field.wire != VARINT:
        return None
    if values.dtype.kind != "b" and (int(values.max()) > 0x7F or int(values.min()) < 0):
        return _packed_row(field, values) if count == 1 else None
    raw = values.astype(np.uint8)
    return _headed(_head(field, number), raw)


def _packed_row(field: PlanField, values: Array) -> Array:
    raw = pack(values.reshape(-1)).reshape(1, -1)
    return _headed(_head(field, raw.shape[1]), raw)


def _packed(field: PlanField, raw: Array) -> Array:
    return _headed(_head(field, len(raw)), raw.reshape(1, -1))


def _text(one: Bound, values: Array, field: PlanField) -> Array | None:
    """Text, bytes and enums of one message."""
    natives = one.element.back(values.reshape(-1))
    if field.wire == VARINT:
        raw = pack(np.array(natives, np.int64)).tobytes()
        made = varint(field.tag()) + (varint(len(raw)) if field.packed else b"") + raw
    else:
        datas = [native.encode() if isinstance(native, str) else native for native in natives]
        made = b"".join(varint(field.tag()) + varint(len(data)) + data for data in datas)
    return np.frombuffer(made, np.uint8).reshape(1, -1)


def _messages(field: PlanField, inner: Array, count: int, each: int) -> list[Array]:
    """`each` messages within every one of `count`."""
    headed = _headed(varint(field.tag()) + varint(inner.shape[1]), inner)
    return [headed.reshape(count, each * headed.shape[1])]


def _head(field: PlanField, size: int) -> bytes:
    return varint(field.tag()) + (varint(size) if field.packed else b"")


def _headed(head: bytes, body: Array) -> Array:
    made = np.empty((len(body), len(head) + body.shape[1]), np.uint8)
    made[:, : len(head)] = np.frombuffer(head, np.uint8)
    made[:, len(head) :] = body
    return made
