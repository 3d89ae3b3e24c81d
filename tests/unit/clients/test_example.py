"""Example calls made from metadata."""

from __future__ import annotations

import pytest

from inferloom.clients.example import example_call, example_python, example_text
from inferloom.clients.fit import fit
from inferloom.clients.metadata import ModelMetadata, TensorSpec


def model(*inputs: TensorSpec, name: str = "iris", decoupled: bool = False) -> ModelMetadata:
    return ModelMetadata(name, ("1",), "", inputs, (TensorSpec("label", "INT64", (-1,)),), 8, decoupled)


IRIS = model(TensorSpec("X", "FP32", (-1, 4)))


@pytest.mark.parametrize(
    ("metadata", "line"),
    [
        (IRIS, "inferloom infer iris --input 'X=[[0.0,0.0,0.0,0.0]]'"),
        (model(TensorSpec("n", "INT8", (1,))), "inferloom infer iris --input 'n=[0]'"),
        (model(TensorSpec("text", "BYTES", (-1, 1))), "inferloom infer iris --input text=hello"),
        (model(TensorSpec("t", "BYTES", (-1, 2))), """inferloom infer iris --input 't=[["hello","hello"]]'"""),
        (model(TensorSpec("on", "BOOL", (-1,))), "inferloom infer iris --input 'on=[false]'"),
        (model(TensorSpec("image", "FP32", (-1, 3, 224, 224))), "inferloom infer iris --input image=@zeros"),
        (model(TensorSpec("pixels", "FP32", (-1, 64))), "inferloom infer iris --input pixels=@zeros"),
        (model(TensorSpec("rows", "BYTES", (1,), json=True)), "inferloom infer iris --input 'rows=[]'"),
        (
            model(TensorSpec("a", "FP32", (-1,)), TensorSpec("b", "FP32", (-1,), True)),
            "inferloom infer iris --input 'a=[0.0]'",
        ),
        (model(TensorSpec("b", "FP32", (-1,), True)), "inferloom infer iris --input 'b=[0.0]'"),
        (model(TensorSpec("it's", "INT32", (1,))), """inferloom infer iris --input 'it'"'"'s=[0]'"""),
    ],
)
def test_a_line_for_the_shell(metadata: ModelMetadata, line: str) -> None:
    assert example_call(metadata) == line


def test_the_command_may_carry_options() -> None:
    assert example_call(IRIS, "inferloom infer --grpc h:1").startswith("inferloom infer --grpc h:1 iris --input")


def test_a_python_program() -> None:
    assert example_python(IRIS) == (
        "from inferloom.sdk import SyncMeshClient\n\n"
        "with SyncMeshClient() as mesh:\n"
        '    print(dict(mesh.infer("iris", {"X": [[0.0, 0.0, 0.0, 0.0]]})))\n'
    )
    large = example_python(model(TensorSpec("x", "UINT8", (-1, 100)), decoupled=True), "h:1")
    assert large == (
        "import numpy as np\n\nfrom inferloom.sdk import SyncMeshClient\n\n"
        'with SyncMeshClient("h:1") as mesh:\n'
        '    for out in mesh.stream("iris", {"x": np.zeros((1, 100), \'uint8\')}):\n'
        "        print(dict(out))\n"
    )


@pytest.mark.parametrize("datatype", ["BOOL", "UINT16", "INT64", "FP16", "FP32", "FP64", "BF16", "BYTES"])
def test_the_arrays_of_a_large_example_are_what_the_model_takes(datatype: str) -> None:
    metadata = model(TensorSpec("x", datatype, (-1, 100)))
    expression = example_python(metadata).split('"x": ')[1].split("})")[0]
    import numpy as np

    (found,) = fit({"x": eval(expression, {"np": np})}, metadata)
    assert found.array.shape == (1, 100)
    assert not found.note


def test_the_same_in_words() -> None:
    assert example_text(IRIS) == (
        "gRPC 127.0.0.1:8081, inference.GRPCInferenceService/ModelInfer, model_name 'iris'\n"
        "  in   X FP32 [-1,4]\n"
        "  out  label INT64 [-1]"
    )
