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

__all__ = ["Parts", "assembled", "width", "write_alike"]

Array = np.ndarray[Any, Any]
Parts = list[bytes | Array]
"""What messages that look alike are made of, in its order: bytes that are the same in all, and uint8 [count, bytes]."""


def write_alike(bounds: tuple[Bound, ...], arrays: list[Array], plan: Plan, count: int) -> Parts | None:
    """`count` messages of one kind; None where they cannot all be laid out alike.

    Args:
        arrays: a tensor for each binding, [count, *shape of one].
    """
    parts: Parts = []
    for one, array in zip(bounds, arrays, strict=True):
        made = _tensor(one, array, plan, count)
        if made is None:
            return None
        parts += made
    return parts


def width(parts: Parts) -> int:
    """Bytes of each of these messages."""
    return sum(len(part) if isinstance(part, bytes) else part.shape[1] for part in parts)


def assembled(parts: Parts, count: int) -> bytes:
    """The messages, one after the other. Each number is copied once, or twice where there are several messages."""
    if count == 1:
        return b"".join(part if isinstance(part, bytes) else np.ascontiguousarray(part).data for part in parts)
    return _block(parts, count).tobytes()


def _block(parts: Parts, count: int) -> Array:
    made = np.empty((count, width(parts)), np.uint8)
    at = 0
    for part in parts:
        size = len(part) if isinstance(part, bytes) else part.shape[1]
        made[:, at : at + size] = np.frombuffer(part, np.uint8) if isinstance(part, bytes) else part
        at += size
    return made


def _tensor(one: Bound, array: Array, plan: Plan, count: int) -> Parts | None:
    binding, shape = one.binding, array.shape[1:]
    fields = [plan.names[name] for name in binding.fields]
    inner = fields[0].inner
    match binding.form:
        case Form.VALUE:
            return _field(one, array.reshape(count, 1), fields[0])
        case Form.COLUMNS:
            return _columns(one, array, fields)
        case Form.NESTED:
            assert inner is not None
            made = _field(one, array.reshape(count * shape[0], shape[1]), inner.names["values"])
            return _messages(fields[0], made, count, shape[0])
        case Form.TABLE:
            assert inner is not None
            table = [inner.names[name] for name in binding.columns]
            made = _columns(one, array.reshape(count * shape[0], shape[1]), table)
            return _messages(fields[0], made, count, shape[0])
        case Form.TENSOR:
            assert inner is not None
            raw = pack(np.array(shape, np.int64)).tobytes()
            values = _field(one, array.reshape(count, -1), inner.names["values"])
            made = None if values is None else [_head(inner.names["shape"], len(raw)) + raw, *values]
            return _messages(fields[0], made, count, 1)
        case _:
            return _field(one, array.reshape(count, -1), fields[0])


def _columns(one: Bound, table: Array, fields: list[PlanField]) -> Parts | None:
    parts: Parts = []
    for at, field in enumerate(fields):
        made = _field(one, table[:, at : at + 1], field)
        if made is None:
            return None
        parts += made
    return parts


def _field(one: Bound, values: Array, field: PlanField) -> Parts | None:
    """One field of values [messages, elements]."""
    count, number = values.shape
    if not number:
        return []
    if field.dtype is not None:
        raw = np.ascontiguousarray(values, field.dtype).view(np.uint8).reshape(count, -1)
        return [_head(field, raw.shape[1]), raw]
    if one.element.coded or values.dtype.kind == "O":
        return [_text(one, values, field)] if count == 1 else None
    if field.wire != VARINT:
        return None
    if values.dtype.kind == "b" or (int(values.max()) <= 0x7F and int(values.min()) >= 0):
        return [_head(field, number), values.astype(np.uint8)]
    if count > 1:
        return None
    raw = pack(values.reshape(-1)).reshape(1, -1)
    return [_head(field, raw.shape[1]), raw]


def _text(one: Bound, values: Array, field: PlanField) -> bytes:
    """Text, bytes and enums of one message. ValueError where it is no text."""
    natives = one.element.back(values.reshape(-1))
    if field.wire == VARINT:
        raw = pack(np.array(natives, np.int64)).tobytes()
        return _head(field, len(raw)) + raw
    datas = [native.encode() if isinstance(native, str) else native for native in natives]
    return b"".join(varint(field.tag()) + varint(len(data)) + data for data in datas)


def _messages(field: PlanField, inner: Parts | None, count: int, each: int) -> Parts | None:
    """`each` messages within every one of `count`."""
    if inner is None:
        return None
    headed: Parts = [varint(field.tag()) + varint(width(inner)), *inner]
    if each == 1:
        return headed
    block = _block(headed, count * each)
    return [block.reshape(count, each * block.shape[1])]


def _head(field: PlanField, size: int) -> bytes:
    return varint(field.tag()) + (varint(size) if field.packed else b"")
