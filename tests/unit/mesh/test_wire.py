"""The walk over a request's bytes, held against protobuf's own parser."""

from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError
from hypothesis import example, given, settings
from hypothesis import strategies as st

from inferloom.mesh.errors import InvalidInput
from inferloom.mesh.oip import MODEL_INFER, pb
from inferloom.mesh.wire import MOST_FIELDS, Target, find_target, string_field, with_string

NAME, VERSION, PARAMETERS = MODEL_INFER.name_field, MODEL_INFER.version_field, 4
SEQUENCE = "sequence_id"

texts = st.text(max_size=20)
names = st.one_of(texts, st.just("m" * 200))


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))


def tagged(number: int, wire: int, rest: bytes = b"") -> bytes:
    return varint(number << 3 | wire) + rest


def text_field(number: int, text: str) -> bytes:
    raw = text.encode()
    return tagged(number, 2, varint(len(raw)) + raw)


@st.composite
def parameters(draw: st.DrawFn) -> pb.InferParameter:
    value = draw(st.one_of(texts, st.integers(0, 2**63 - 1), st.booleans()))
    if isinstance(value, bool):
        return pb.InferParameter(bool_param=value)
    if isinstance(value, int):
        return pb.InferParameter(int64_param=value)
    return pb.InferParameter(string_param=value)


@st.composite
def tensors(draw: st.DrawFn) -> pb.ModelInferRequest.InferInputTensor:
    tensor = pb.ModelInferRequest.InferInputTensor(
        name=draw(texts), datatype="FP32", shape=draw(st.lists(st.integers(-1, 9), max_size=3))
    )
    tensor.contents.fp32_contents.extend(draw(st.lists(st.floats(width=32, allow_nan=False), max_size=4)))
    return tensor


unknown = st.one_of(
    st.builds(lambda n, v: tagged(n, 0, varint(v)), st.integers(100, 5000), st.integers(0, 2**64 - 1)),
    st.builds(lambda n, v: tagged(n, 1, v), st.integers(100, 5000), st.binary(min_size=8, max_size=8)),
    st.builds(lambda n, v: tagged(n, 5, v), st.integers(100, 5000), st.binary(min_size=4, max_size=4)),
    st.builds(lambda n, v: tagged(n, 2, varint(len(v)) + v), st.integers(100, 5000), st.binary(max_size=200)),
    st.builds(lambda n, v: tagged(n, 0, varint(v)), st.sampled_from([1, 2]), st.integers(0, 300)),  # of a wrong type
)
pieces = st.one_of(
    st.builds(lambda v: pb.ModelInferRequest(model_name=v).SerializeToString(), names),
    st.builds(lambda v: pb.ModelInferRequest(model_version=v).SerializeToString(), texts),
    st.builds(lambda v: pb.ModelInferRequest(id=v).SerializeToString(), texts),
    st.builds(lambda v: pb.ModelInferRequest(inputs=[v]).SerializeToString(), tensors()),
    st.builds(lambda v: pb.ModelInferRequest(raw_input_contents=[v]).SerializeToString(), st.binary(max_size=300)),
    st.builds(
        lambda k, v: pb.ModelInferRequest(parameters={k: v}).SerializeToString(),
        st.one_of(st.just(SEQUENCE), texts),
        parameters(),
    ),
    st.sampled_from([text_field(1, ""), text_field(2, "")]),  # set to nothing again
    unknown,
)
messages = st.lists(pieces, max_size=8).map(b"".join)


@given(messages)
@settings(max_examples=400, deadline=None)
def test_the_target_is_what_protobuf_reads_however_often_and_in_whatever_order_fields_come(data: bytes) -> None:
    parsed = pb.ModelInferRequest.FromString(data)
    found = find_target(data, NAME, VERSION, infer=True)
    assert (found.model, found.version) == (parsed.model_name, parsed.model_version)
    belongs = SEQUENCE in parsed.parameters and parsed.parameters[SEQUENCE].WhichOneof("parameter_choice") is not None
    if belongs and parsed.parameters[SEQUENCE] not in (
        pb.InferParameter(int64_param=0),
        pb.InferParameter(string_param=""),
        pb.InferParameter(bool_param=False),
    ):
        assert found.sequence is not None
    if SEQUENCE not in parsed.parameters:
        assert found.sequence is None


@given(messages, st.sampled_from([1, 2, 3]), texts)
@settings(max_examples=200, deadline=None)
def test_with_string_changes_that_field_and_no_other(data: bytes, field: int, value: str) -> None:
    expected = pb.ModelInferRequest.FromString(data)
    setattr(expected, {1: "model_name", 2: "model_version", 3: "id"}[field], value)
    changed = with_string(data, field, value)
    assert pb.ModelInferRequest.FromString(changed) == expected
    assert string_field(changed, (field,)) == value.encode()


@given(messages, st.data())
@settings(max_examples=200, deadline=None)
def test_truncated_bytes_are_refused_or_read_as_protobuf_reads_them(data: bytes, choice: st.DataObject) -> None:
    cut = data[: choice.draw(st.integers(0, max(len(data) - 1, 0)))]
    check_against_protobuf(cut)


@given(st.binary(max_size=64))
@example(b"\x0a")
@example(b"\x0a\xff")
@example(b"\x80" * 64)
@example(b"\x0a" + b"\xff" * 9 + b"\x01")
@example(b"\x09\x00")
@example(b"\x0d\x00\x00")
@settings(max_examples=500, deadline=None)
def test_any_bytes_are_refused_or_read_as_protobuf_reads_them(data: bytes) -> None:
    check_against_protobuf(data)


def check_against_protobuf(data: bytes) -> None:
    try:
        found = find_target(data, NAME, VERSION, infer=True)
    except InvalidInput:
        return
    try:
        parsed = pb.ModelInferRequest.FromString(data)
    except DecodeError:
        return  # what is inside a tensor is the replica's to refuse
    assert (found.model, found.version) == (parsed.model_name, parsed.model_version)


@pytest.mark.parametrize(
    "data",
    [
        tagged(9, 3) + tagged(9, 4),
        tagged(9, 4),
        tagged(9, 6),
        tagged(9, 7),
        text_field(1, "iris") + tagged(100, 3),
        tagged(1, 2, varint(5) + b"iris"),
        tagged(100, 1, b"1234567"),
        tagged(100, 5, b"123"),
        tagged(100, 0, b"\x80"),
        tagged(1, 2, varint(2) + b"\xff\xfe"),
    ],
    ids=[
        "a group",
        "the end of a group",
        "wire type 6",
        "wire type 7",
        "a group after the name",
        "a length beyond the end",
        "half a fixed64",
        "half a fixed32",
        "half a varint",
        "a name that is no UTF-8",
    ],
)
def test_what_is_no_message_is_invalid_input(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        find_target(data, NAME, VERSION, infer=True)


def test_a_tag_above_32_bits_is_refused_for_parsers_that_cut_it_would_read_another_name() -> None:
    # Triton's parser (C++) keeps the low 32 bits of a tag: these five bytes are field 1 to it.
    cut = bytes([0x0A | 0x80, 0x80, 0x80, 0x80, 0x10])
    raw = b"other"
    with pytest.raises(InvalidInput):
        find_target(text_field(1, "iris") + cut + varint(len(raw)) + raw, NAME, VERSION)
    with pytest.raises(DecodeError):
        pb.ModelInferRequest.FromString(cut + varint(len(raw)) + raw)


def test_names_after_64_kib_of_tensor_are_found_and_the_last_one_wins() -> None:
    data = pb.ModelInferRequest(model_name="first", raw_input_contents=[bytes(70_000)]).SerializeToString()
    data += pb.ModelInferRequest(model_name="last", model_version="3").SerializeToString()
    assert find_target(data, NAME, VERSION) == Target("last", "3")


def test_a_request_of_very_many_fields_is_refused_before_it_holds_everybody_up() -> None:
    name = text_field(1, "iris")
    assert find_target(name + text_field(3, "") * (MOST_FIELDS - 1), NAME, VERSION).model == "iris"
    with pytest.raises(InvalidInput, match="more than 65536 fields"):
        find_target(name + text_field(3, "") * MOST_FIELDS, NAME, VERSION)
    with pytest.raises(InvalidInput):
        string_field(name + text_field(3, "") * MOST_FIELDS, (3,))


def test_bytes_inside_a_tensor_never_pass_for_a_name() -> None:
    inside = text_field(1, "evil") * 3
    data = pb.ModelInferRequest(model_name="iris", raw_input_contents=[inside]).SerializeToString()
    assert find_target(data, NAME, VERSION).model == "iris"


@pytest.mark.parametrize("value", [pb.InferParameter(int64_param=42), pb.InferParameter(string_param="user-7")])
def test_requests_of_one_sequence_have_the_same_affinity(value: pb.InferParameter) -> None:
    def request(**others: pb.InferParameter) -> bytes:
        message = pb.ModelInferRequest(model_name="iris", parameters={SEQUENCE: value, **others})
        return bytes(message.SerializeToString())

    first = find_target(request(sequence_start=pb.InferParameter(bool_param=True)), NAME, VERSION, infer=True)
    later = find_target(request(), NAME, VERSION, infer=True)
    assert first.sequence is not None
    assert first.sequence == later.sequence
    assert find_target(request(), NAME, VERSION).sequence is None  # only ModelInferRequest has parameters


@pytest.mark.parametrize("value", [pb.InferParameter(int64_param=0), pb.InferParameter(string_param="")])
def test_a_sequence_id_of_nothing_is_no_sequence(value: pb.InferParameter) -> None:
    # Triton's own rule; some clients send it with every request, and all of them would stick to one replica.
    data = pb.ModelInferRequest(model_name="iris", parameters={SEQUENCE: value}).SerializeToString()
    assert find_target(data, NAME, VERSION, infer=True).sequence is None


def test_a_nested_string_is_the_last_one_on_its_path() -> None:
    answer = pb.ModelStreamInferResponse(infer_response=pb.ModelInferResponse(id="7", model_name="iris"))
    data = answer.SerializeToString()
    assert string_field(data, (2, 3)) == b"7"
    assert string_field(data, (9,)) == b""
    with pytest.raises(InvalidInput):
        string_field(data[:-1], (2, 3))
