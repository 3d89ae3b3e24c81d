"""The typed face of a model, service or pipeline: what its proto says, and how each field is bound to a tensor or JSON key.

The text of the proto, its descriptor, the served messages and the documentation are all made from this one value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from inferloom.clients.metadata import TensorSpec

__all__ = [
    "INPUT_ROW",
    "NOTICED",
    "OUTPUT_ROW",
    "ROWS",
    "SCALARS",
    "VALUE",
    "Coding",
    "Enumeration",
    "Face",
    "Field",
    "Form",
    "Limits",
    "Message",
    "Method",
    "Reserved",
    "Shape",
    "TensorBinding",
]

SCALARS = ("bool", "int32", "uint32", "int64", "uint64", "float", "double", "string", "bytes")
VALUE = "google.protobuf.Value"  # type of a field that may be any JSON
ROWS = "rows"  # the field of PredictRequest and PredictResponse where there is a batch dimension
# Why single values of a request are `optional`: without it protobuf reads one that was forgotten as 0.
NOTICED = "A value that is missing is known as such and refused, unless its comment says that it may be absent."
INPUT_ROW = "InputRow"
OUTPUT_ROW = "OutputRow"


class Form(StrEnum):
    """How one tensor is written as fields. Shapes are those of one row where the face has rows."""

    VALUE = "value"  # one element: [], [1], [1,1]; one field
    LIST = "list"  # [n], [-1]; one repeated field
    COLUMNS = "columns"  # [n] with a name for each column; n fields of one value
    NESTED = "nested"  # [n,m], either may be -1; repeated messages of role LIST
    TABLE = "table"  # [n,m] with a name for each column; repeated messages with m fields of one value
    FLAT = "flat"  # three dimensions or more, all fixed; one repeated field in row-major (C) order
    TENSOR = "tensor"  # three dimensions or more, some free; one message with `shape` and `values` (row-major)


class Shape(StrEnum):
    """What the JSON of a message is: for services and pipelines, whose JSON is their own."""

    OBJECT = "object"  # an object, with a key for each field
    LIST = "list"  # the bare array that its one field `values` holds
    BARE = "bare"  # the bare value of its one field `value`: an answer that is no object


class Coding(StrEnum):
    """How the JSON of a service or pipeline has what is `bytes` in the proto."""

    BASE64 = "base64"  # a string
    TAGGED = "tagged"  # a string where it is text, else {"base64": "..."}


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a message."""

    name: str  # as in the proto, and in the JSON of models
    number: int
    type: str  # one of SCALARS, the name of a Message or Enumeration of this face, or google.protobuf.Value
    repeated: bool = False
    optional: bool = False  # proto3's word: whether it was set is known. Every single value of a request has it
    required: bool = False  # of a request: where it is absent (a list: empty) the request is refused
    mapped: bool = False  # map<string, type>
    comment: tuple[str, ...] = ()
    key: str = ""  # of services and pipelines: its key in their JSON
    coding: Coding | None = None  # of services and pipelines: how their JSON has these bytes


@dataclass(frozen=True, slots=True)
class Reserved:
    """Numbers and names of fields that are gone and must not come back as something else."""

    numbers: tuple[int, ...] = ()
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Message:
    name: str
    fields: tuple[Field, ...]
    comment: tuple[str, ...] = ()
    reserved: Reserved = Reserved()
    shape: Shape = Shape.OBJECT

    def __getitem__(self, name: str) -> Field:
        """The field of this name. KeyError where there is none."""
        for each in self.fields:
            if each.name == name:
                return each
        raise KeyError(name)


@dataclass(frozen=True, slots=True)
class Enumeration:
    """An enum. Number 0 is PREFIX_UNSPECIFIED, which stands for no label."""

    name: str
    values: tuple[tuple[str, int, str], ...]  # (name in the proto, number, the label it stands for); without number 0
    zero: str  # name of number 0
    comment: tuple[str, ...] = ()
    reserved: Reserved = Reserved()


@dataclass(frozen=True, slots=True)
class Method:
    name: str  # Predict, PredictStream or Describe
    request: str  # names of messages
    response: str
    verb: str  # of HTTP: post or get
    path: str  # /v1/iris
    streams: bool = False  # answers one by one
    comment: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """What a number must be within, both ends included."""

    least: float | None = None
    most: float | None = None
    finite: bool = False  # NaN and the infinities are refused; so they are by `least` and `most`


@dataclass(frozen=True, slots=True)
class TensorBinding:
    """One tensor of a model and the fields it is written in."""

    tensor: TensorSpec  # as the model calls it; its whole shape, the batch dimension included
    shape: tuple[int, ...]  # of one row where the face has rows; else the tensor's own
    form: Form
    type: str  # of one element: one of SCALARS, or an Enumeration's name
    fields: tuple[
        str, ...
    ]  # in InputRow/OutputRow where there are rows, else in the request/response; COLUMNS: n, else 1
    message: str = ""  # NESTED, TABLE, TENSOR: the message of the field
    columns: tuple[str, ...] = ()  # COLUMNS, TABLE: the fields of one value, in the order of the tensor's columns
    labels: tuple[str, ...] = ()  # type is string or an enum, elements are integers: the text of 0, 1, 2, ...
    limits: tuple[Limits, ...] = ()  # one for all elements, or one for each column; none: anything the datatype holds

    def limit(self, column: int = 0) -> Limits:
        if not self.limits:
            return Limits()
        return self.limits[column] if len(self.limits) > 1 else self.limits[0]


@dataclass(frozen=True, slots=True)
class Face:
    """What `inferloom codegen` writes and the mesh serves for one name."""

    name: str  # in the catalog
    major: int  # version of the package
    package: str  # inferloom.models.iris.v1
    service: str  # IrisService; its full name is `package.service`
    methods: tuple[Method, ...]
    messages: tuple[Message, ...]  # in the order of the proto
    enums: tuple[Enumeration, ...] = ()
    rows: bool = False  # a batch dimension: `rows` of InputRow and OutputRow, as many out as in
    most_rows: int = 0  # in one request; 0: as many as fit
    inputs: tuple[TensorBinding, ...] = ()  # of a model; services and pipelines have none, but keys in their fields
    outputs: tuple[TensorBinding, ...] = ()
    typed: bool = False  # a service or pipeline: calls become inferloom.v1.TypedService's
    comment: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()  # which names were escaped, and how
    example: Mapping[str, Any] = field(default_factory=dict)  # of a request, as JSON

    @property
    def full_service(self) -> str:
        return f"{self.package}.{self.service}"

    @property
    def file(self) -> str:
        """The proto's path: inferloom/models/iris/v1/iris.proto."""
        return f"{self.package.replace('.', '/')}/{self.package.split('.')[2]}.proto"

    @property
    def predict(self) -> Method:
        """Predict, or PredictStream of one that streams: it has the one or the other."""
        return self.methods[0]

    def message(self, name: str) -> Message:
        """The message of this name. KeyError where there is none."""
        for each in self.messages:
            if each.name == name:
                return each
        raise KeyError(name)

    def enum(self, name: str) -> Enumeration | None:
        return next((each for each in self.enums if each.name == name), None)
