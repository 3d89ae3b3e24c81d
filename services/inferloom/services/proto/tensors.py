"""One tensor as fields: which form it gets, and what is said about it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from math import prod

from inferloom.clients.datatypes import BYTES, numpy_type
from inferloom.clients.metadata import TensorSpec
from inferloom.mesh.errors import ConfigError
from inferloom.services.proto.face import Enumeration, Field, Form, Limits, Message, Shape, TensorBinding
from inferloom.services.proto.hints import ColumnHint, TensorHint
from inferloom.services.proto.names import Names, camel, upper

__all__ = ["Parts", "bind"]

_SCALARS = {
    "BOOL": "bool",
    "UINT64": "uint64",
    "INT64": "int64",
    "FP64": "double",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int32"),
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint32"),
    **dict.fromkeys(("FP16", "BF16", "FP32"), "float"),
}
_MOST_LISTED = 16  # labels in a comment


class Parts:
    """What the tensors of a face share: messages of rows and tensors, enums, and the names that are taken.

    Args:
        reserved: names of messages that the face has anyway.
    """

    def __init__(self, reserved: Iterable[str]) -> None:
        self.names = Names("message", str.lower, "")
        # An enum's values are in the scope of the package, and protoc compares them without case and underscores.
        self.values = Names("label", lambda text: text.replace("_", "").lower())
        self.messages: list[Message] = []
        self.enums: list[Enumeration] = []
        for name in reserved:
            self.names.keep(name)

    @property
    def warnings(self) -> list[str]:
        return [*self.names.warnings, *self.values.warnings]

    def shared(self, name: str, fields: tuple[Field, ...], comment: str, shape: Shape = Shape.OBJECT) -> str:
        """A message of these fields, called `name` or, where that is another one, name2; made once."""
        for known in self.messages:
            if known.fields == fields and known.name.rstrip("0123456789") == name.rstrip("0123456789"):
                return known.name
        self.messages.append(Message(self.names.keep(name), fields, (comment,), shape=shape))
        return self.messages[-1].name


def bind(
    spec: TensorSpec, hint: TensorHint, names: Names, parts: Parts, *, rows: bool, request: bool
) -> tuple[TensorBinding, tuple[Field, ...]]:
    """A tensor's binding and fields.

    Args:
        spec: with its whole shape.
        names: of the message that the fields will be in.
        rows: the first dimension is the batch, and becomes rows.
        request: whether what is missing must be noticed.

    Raises:
        ConfigError: the hint does not fit the tensor, or the protocol has no such datatype.
    """
    numpy_type(spec.datatype, spec.name)  # says which datatypes there are
    shape = spec.shape[1:] if rows else spec.shape
    form = _form(spec, shape, hint)
    kind = _type(spec, hint, parts)
    required = request and not spec.optional
    label = "output" if not request else "input"
    name = names.add(hint.name or spec.name, label) if form is not Form.COLUMNS else ""
    head = _comment(hint, _about(spec, shape, rows), spec.optional)
    message = ""
    columns: tuple[str, ...] = ()
    if form is Form.COLUMNS:
        fields = tuple(_columns(spec, hint, kind, names, request, required))
        columns = tuple(each.name for each in fields)
        return TensorBinding(spec, shape, form, kind, columns, "", columns, hint.labels, _limits(hint)), fields
    if form is Form.VALUE:
        field = Field(name, 0, kind, optional=request, required=required, comment=head)
    else:
        if form is Form.TABLE:
            inner = Names("column")
            table = tuple(_columns(spec, hint, kind, inner, request, required=request))
            names.warnings += inner.warnings
            columns = tuple(each.name for each in table)
            message = parts.shared(f"{camel(name)}Row", table, f"A row of {name}.")
        elif form is Form.NESTED:
            values = Field("values", 0, kind, repeated=True)
            message = parts.shared(f"{camel(kind)}Row", (values,), "A row of a matrix.", Shape.LIST)
        elif form is Form.TENSOR:
            sizes = Field("shape", 0, "int64", repeated=True, comment=("Sizes, outermost first.",))
            values = Field("values", 0, kind, repeated=True, comment=("All elements, the last dimension fastest.",))
            message = parts.shared(f"{camel(kind)}Tensor", (sizes, values), "A tensor of any size.")
        repeated = form is not Form.TENSOR
        field = Field(name, 0, message or kind, repeated=repeated, required=required, comment=head)
    binding = TensorBinding(spec, shape, form, kind, (name,), message, columns, hint.labels, _limits(hint))
    return binding, (field,)


def _form(spec: TensorSpec, shape: tuple[int, ...], hint: TensorHint) -> Form:
    if hint.columns:
        if len(shape) not in (1, 2):
            raise ConfigError(f"'{spec.name}': columns are for one or two dimensions, not {_sizes(shape)}")
        if len(hint.columns) != shape[-1] and shape[-1] >= 0:
            raise ConfigError(f"'{spec.name}' has {shape[-1]} columns, not the {len(hint.columns)} that are named")
        return Form.COLUMNS if len(shape) == 1 else Form.TABLE
    if prod(shape) == 1 and -1 not in shape:
        return Form.VALUE
    if len(shape) == 1:
        return Form.LIST
    if len(shape) == 2:
        return Form.NESTED
    return Form.TENSOR if -1 in shape else Form.FLAT


def _type(spec: TensorSpec, hint: TensorHint, parts: Parts) -> str:
    if hint.type and spec.datatype != BYTES:
        raise ConfigError(f"'{spec.name}': type is for BYTES, and this is {spec.datatype}")
    if not hint.labels:
        if hint.enum:
            raise ConfigError(f"'{spec.name}': an enum needs labels")
        return (hint.type or "string") if spec.datatype == BYTES else _SCALARS[spec.datatype]
    if spec.datatype != BYTES and "INT" not in spec.datatype:
        raise ConfigError(f"'{spec.name}': labels are for integers and BYTES, and this is {spec.datatype}")
    if len(set(hint.labels)) != len(hint.labels):
        raise ConfigError(f"'{spec.name}': two of its labels are the same")
    if hint.type == "bytes":
        raise ConfigError(f"'{spec.name}': labels are text, not bytes")
    if not hint.enum:
        return "string"
    name = parts.names.keep(camel(hint.name or spec.name))
    prefix = upper(name)
    zero = parts.values.keep(f"{prefix}_UNSPECIFIED")
    values = tuple((parts.values.keep(_valued(prefix, label)), 0, label) for label in hint.labels)
    parts.enums.append(Enumeration(name, values, zero, (f"What {spec.name} may be.",)))
    return name


def _valued(prefix: str, label: str) -> str:
    word = upper(label)
    return f"{prefix}_{word}" if word else f"{prefix}_LABEL"


def _columns(
    spec: TensorSpec, hint: TensorHint, kind: str, names: Names, request: bool, required: bool
) -> Iterator[Field]:
    for number, column in enumerate(_inherited(each, hint) for each in hint.columns):
        name = names.add(column.name or f"{hint.name or spec.name}_{number}", "column")
        comment = _comment(column, f"{spec.datatype}, column {number} of {spec.name}", spec.optional)
        yield Field(name, 0, kind, optional=request, required=required, comment=comment)


def _limits(hint: TensorHint) -> tuple[Limits, ...]:
    said = [_inherited(column, hint) for column in hint.columns] or [hint]
    found = tuple(Limits(each.least, each.most, each.finite) for each in said)
    return found if any(limits != Limits() for limits in found) else ()


def _inherited(column: ColumnHint, hint: TensorHint) -> ColumnHint:
    """A column with what is said of the whole tensor, where nothing is said of it."""
    least, most = (
        (hint.least, hint.most) if (column.least, column.most) == (None, None) else (column.least, column.most)
    )
    return replace(column, unit=column.unit or hint.unit, least=least, most=most, finite=column.finite or hint.finite)


def _comment(hint: ColumnHint, about: str, optional: bool) -> tuple[str, ...]:
    """What the owner says, then what the metadata says."""
    said = [f"{hint.description.strip().rstrip('.')}."] if hint.description else []
    more = [about]
    if hint.unit:
        more.append(f"in {hint.unit}")
    if hint.least is not None or hint.most is not None:
        least = "" if hint.least is None else f"from {hint.least:g} "
        more.append(f"{least}to {hint.most:g}" if hint.most is not None else f"{least}up")
    if hint.finite:
        more.append("neither NaN nor infinite")
    if optional:
        more.append("may be absent")
    said.append(f"{', '.join(more)}.")
    if isinstance(hint, TensorHint) and hint.labels and not hint.enum:
        listed = ", ".join(hint.labels[:_MOST_LISTED])
        rest = f", ... ({len(hint.labels)} in all)" if len(hint.labels) > _MOST_LISTED else ""
        said.append(f"One of: {listed}{rest}.")
    return tuple(said)


def _about(spec: TensorSpec, shape: tuple[int, ...], rows: bool) -> str:
    """As "FP32 [4], the tensor X"; of each row where there are rows."""
    sizes = f" {_sizes(shape)}" if shape else "" if rows else " []"
    return f"{spec.datatype}{sizes}, the tensor {spec.name}"


def _sizes(shape: tuple[int, ...]) -> str:
    return f"[{','.join(map(str, shape))}]"
