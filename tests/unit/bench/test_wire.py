import struct

from tritonclient.grpc import service_pb2

from bench.wire import doubled, framed, request


def test_the_request_names_the_model_and_carries_four_numbers() -> None:
    message = service_pb2.ModelInferRequest.FromString(request())
    assert message.model_name == "tiny"
    assert struct.unpack("<4f", message.raw_input_contents[0]) == (1.0, 2.0, 3.0, 4.0)


def test_a_frame_is_a_flag_a_length_and_the_message() -> None:
    assert framed(b"abc") == b"\0\0\0\0\3abc"


def test_only_the_doubled_input_is_a_right_answer() -> None:
    right = service_pb2.ModelInferResponse(raw_output_contents=[struct.pack("<4f", 2, 4, 6, 8)])
    wrong = service_pb2.ModelInferResponse(raw_output_contents=[struct.pack("<4f", 0, 0, 0, 0)])
    assert doubled(right.SerializeToString())
    assert not doubled(wrong.SerializeToString())
    assert not doubled(b"")
