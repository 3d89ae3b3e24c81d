from __future__ import annotations

from dataclasses import replace

import pytest

from inferloom.clients.datatypes import NUMPY
from inferloom.clients.metadata import ModelMetadata, TensorSpec
from inferloom.mesh.errors import ConfigError, InvalidInput
from inferloom.services.proto.face import Face, Field, Form
from inferloom.services.proto.hints import ColumnHint, Hints, TensorHint
from inferloom.services.proto.model import batches, model_face, service_name


def model(*inputs: TensorSpec, outputs: tuple[TensorSpec, ...] = (), most: int | None = 0) -> ModelMetadata:
    return ModelMetadata("m", ("1",), "", inputs, outputs, most)


def field_of(face: Face, name: str = "x") -> Field:
    return face.message("InputRow" if face.rows else face.predict.request)[name]


@pytest.mark.parametrize(
    ("shape", "form", "type_", "repeated"),
    [
        ((), Form.VALUE, "float", False),
        ((1,), Form.VALUE, "float", False),
        ((1, 1), Form.VALUE, "float", False),
        ((3,), Form.LIST, "float", True),
        ((-1,), Form.LIST, "float", True),
        ((2, 3), Form.NESTED, "FloatRow", True),
        ((-1, -1), Form.NESTED, "FloatRow", True),
        ((2, 3, 4), Form.FLAT, "float", True),
        ((2, -1, 4), Form.TENSOR, "FloatTensor", False),
        ((1, 1, 1, -1), Form.TENSOR, "FloatTensor", False),
    ],
)
@pytest.mark.parametrize("rows", [False, True])
def test_the_shape_decides_the_form(shape: tuple[int, ...], form: Form, type_: str, repeated: bool, rows: bool) -> None:
    whole = (-1, *shape) if rows else shape
    face = model_face(model(TensorSpec("x", "FP32", whole), most=8 if rows else 0))
    assert face.rows is rows
    binding = face.inputs[0]
    assert (binding.form, binding.shape, binding.tensor.shape) == (form, shape, whole)
    field = field_of(face)
    assert (field.type, field.repeated) == (type_, repeated)
    assert field.optional is (form is Form.VALUE)
    assert field.required


def test_every_datatype_has_a_scalar() -> None:
    expected = {
        **dict.fromkeys(("INT8", "INT16", "INT32"), "int32"),
        **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint32"),
        **dict.fromkeys(("FP16", "BF16", "FP32"), "float"),
        "BOOL": "bool",
        "INT64": "int64",
        "UINT64": "uint64",
        "FP64": "double",
        "BYTES": "string",
    }
    for datatype in NUMPY:
        assert field_of(model_face(model(TensorSpec("x", datatype, (1,))))).type == expected[datatype]


def test_an_unknown_datatype_is_named() -> None:
    with pytest.raises(InvalidInput, match=r"tensor 'x' has datatype 'FP8'"):
        model_face(model(TensorSpec("x", "FP8", (1,))))


def test_bytes_are_text_unless_the_hints_say_otherwise() -> None:
    spec = TensorSpec("x", "BYTES", (1,))
    assert field_of(model_face(model(spec), Hints(inputs={"x": TensorHint(type="bytes")}))).type == "bytes"
    with pytest.raises(ConfigError, match=r"'x': type is for BYTES, and this is FP32"):
        model_face(model(replace(spec, datatype="FP32")), Hints(inputs={"x": TensorHint(type="bytes")}))


def test_an_optional_input_may_be_absent() -> None:
    face = model_face(model(TensorSpec("x", "FP32", (1,), True), TensorSpec("y", "FP32", (-1,), True)))
    assert not field_of(face).required
    assert not field_of(face, "y").required
    assert "may be absent" in field_of(face).comment[0]


def test_columns_become_fields_of_a_row() -> None:
    columns = (ColumnHint("a", least=1, most=2), ColumnHint("b", finite=True))
    hints = Hints(inputs={"X": TensorHint(unit="cm", least=0, columns=columns)})
    face = model_face(model(TensorSpec("X", "FP32", (-1, 2)), most=8), hints)
    binding = face.inputs[0]
    assert (binding.form, binding.fields, binding.columns) == (Form.COLUMNS, ("a", "b"), ("a", "b"))
    assert [(each.least, each.most, each.finite) for each in binding.limits] == [(1, 2, False), (0, None, True)]
    assert field_of(face, "b").comment == ("FP32, column 1 of X, in cm, from 0 up, neither NaN nor infinite.",)
    assert binding.limit(1).finite


def test_columns_of_a_matrix_become_a_table() -> None:
    hints = Hints(inputs={"X": TensorHint(columns=(ColumnHint("a"), ColumnHint("b")))})
    face = model_face(model(TensorSpec("X", "FP32", (-1, 2))), hints)
    binding = face.inputs[0]
    assert (binding.form, binding.fields, binding.message) == (Form.TABLE, ("x",), "XRow")
    assert [each.name for each in face.message("XRow").fields] == ["a", "b"]


def test_tables_that_are_called_alike_and_hold_other_fields_are_two_messages() -> None:
    columns = {"X": TensorHint(columns=(ColumnHint("a"), ColumnHint("b")))}
    spec = TensorSpec("X", "FP32", (-1, 2))
    face = model_face(model(spec, outputs=(spec,)), Hints(inputs=columns, outputs=columns))
    assert (face.inputs[0].message, face.outputs[0].message) == ("XRow", "XRow2")


@pytest.mark.parametrize(
    ("hint", "text"),
    [
        (TensorHint(columns=(ColumnHint("a"),)), r"'x' has 2 columns, not the 1"),
        (TensorHint(labels=("a", "b")), r"'x': labels are for integers and BYTES, and this is FP32"),
        (TensorHint(enum=True), r"'x': an enum needs labels"),
    ],
)
def test_a_hint_that_does_not_fit_is_refused(hint: TensorHint, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        model_face(model(TensorSpec("x", "FP32", (2,))), Hints(inputs={"x": hint}))


def test_a_hint_about_no_tensor_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"hints of 'm': there is no output 'y'; there are none"):
        model_face(model(TensorSpec("x", "FP32", (2,))), Hints(outputs={"y": TensorHint()}))


def test_labels_are_text_or_an_enum() -> None:
    spec = TensorSpec("kind", "INT64", (1,))
    text = model_face(model(outputs=(spec,)), Hints(outputs={"kind": TensorHint(labels=("no", "maybe so"))}))
    assert (text.outputs[0].type, text.outputs[0].labels) == ("string", ("no", "maybe so"))
    face = model_face(model(outputs=(spec,)), Hints(outputs={"kind": TensorHint(labels=("no", "no!"), enum=True)}))
    found = face.enum("Kind")
    assert found is not None
    assert found.zero == "KIND_UNSPECIFIED"
    assert [(name, label) for name, _, label in found.values] == [("KIND_NO", "no"), ("KIND_NO_2", "no!")]


def test_rows_are_as_the_configuration_says() -> None:
    free = model(TensorSpec("x", "FP32", (-1, 4)), outputs=(TensorSpec("y", "FP32", (-1,)),))
    assert not batches(free, Hints())
    assert batches(free, Hints(rows=True))
    assert batches(replace(free, max_batch_size=4), Hints())
    assert batches(replace(free, max_batch_size=None), Hints())
    fixed = model(TensorSpec("x", "FP32", (2, 4)))
    with pytest.raises(ConfigError, match=r"rows: true needs a first dimension of -1 everywhere: x FP32 \[2,4\]"):
        batches(fixed, Hints(rows=True))
    with pytest.raises(ConfigError, match=r"'m' batches \(max_batch_size 4\)"):
        batches(replace(free, max_batch_size=4), Hints(rows=False))


def test_a_decoupled_model_streams() -> None:
    face = model_face(replace(model(TensorSpec("x", "FP32", (1,))), decoupled=True))
    assert [(method.name, method.streams) for method in face.methods] == [("PredictStream", True), ("Describe", False)]
    assert face.predict.request == "PredictStreamRequest"


@pytest.mark.parametrize(
    ("name", "service"), [("iris", "IrisService"), ("Service", "ServiceService"), ("EchoService", "EchoService")]
)
def test_the_service_is_called(name: str, service: str) -> None:
    assert service_name(name) == service
