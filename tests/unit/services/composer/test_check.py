"""What a check makes out of a graph that is right."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import numpy.typing as npt

from inferloom.clients.metadata import TensorSpec
from inferloom.sdk import Outputs, model, pipeline, shape, vote
from inferloom.services.composer.check import check
from inferloom.services.composer.references import Reference
from inferloom.services.composer.trace import traced
from tests.support.graphs import checked, known

Pixels = Annotated[npt.NDArray[np.float32], shape(1, 64)]


def test_short_forms_are_spelled_out() -> None:
    found = checked("""
timeout: 2s
outputs: {label: votes.label}
nodes:
  votes: {ensemble: {combine: vote, quorum: 1, members: {
    svm: {model: digits-svm, inputs: {"": pixels}, timeout: 50ms,
          on_error: {value: {label: 7, probabilities: [0,0,0,0,0,0,0,1,0,0]}}},
    mlp: {model: digits-mlp, inputs: {pixels: pixels.result}}}}}
  pixels: {function: "app:decode", inputs: {png: input.png}, constants: {scale: 2}}
""")
    assert found.findings == ()
    assert list(found.nodes) == ["pixels", "votes"]
    assert found.timeout == 2
    pixels, votes = found.nodes["pixels"], found.nodes["votes"]
    assert pixels.step is not None
    assert pixels.step.inputs == {"png": Reference("input", "png")}
    assert pixels.step.constants["scale"].array.tolist() == [2.0]
    svm = votes.members["svm"]
    assert svm.inputs == {"pixels": Reference("pixels", "result")} == votes.members["mlp"].inputs
    assert svm.timeout == 0.05
    assert svm.fallback is not None
    assert svm.fallback["label"].shape == (1,)
    assert svm.fallback["probabilities"].shape == (1, 10)
    assert votes.combined == "label"
    assert votes.needs == {"pixels"}
    assert found.outputs == {"label": Reference("votes", "label")}


def test_of_one_row_the_outputs_are_one_row() -> None:
    found = checked("""
outputs: {label: svm.label}
nodes:
  pixels: {function: "app:decode", inputs: {png: input.png}}
  svm: {model: digits-svm, inputs: {pixels: pixels}}
""")
    assert found.signature.outputs == (TensorSpec("label", "INT64", (1,)),)
    assert not found.signature.rows


def test_a_pipeline_of_row_wise_nodes_on_rows_is_row_wise() -> None:
    found = checked("""
inputs: {x: "FP32 [-1,64]"}
outputs: {m: m.probabilities}
nodes:
  scaled: {function: "app:scaled", inputs: {x: input.x}}
  m: {ensemble: {combine: mean, output: probabilities, members: {
    svm: {model: digits-svm, inputs: {"": scaled}}, mlp: {model: digits-mlp, inputs: {"": scaled}}}}}
""")
    assert found.findings == ()
    assert found.signature.rows
    assert found.signature.outputs == (TensorSpec("m", "FP32", (-1, 10)),)


def test_what_an_ensemble_gives_follows_from_how_it_combines() -> None:
    found = checked("""
outputs: {a: a.label, b: b.probabilities, c: c.label, d: d.result, e: e.probabilities, f: f.label, g: g.label}
nodes:
  a: {ensemble: {combine: vote, output: probabilities, members: &two {
    svm: {model: digits-svm, inputs: {"": input.x}}, mlp: {model: digits-mlp, inputs: {"": input.x}}}}}
  b: {ensemble: {combine: concat, output: probabilities, members: {
    svm: {model: digits-svm, inputs: {"": input.x}}, wide: {model: wide, inputs: {"": input.x}}}}}
  c: {ensemble: {combine: stack, output: probabilities, model: over, members: *two}}
  d: {ensemble: {combine: function, output: label, function: "app:oldest", members: *two}}
  e: {ensemble: {combine: concat, output: probabilities, quorum: 1, members: *two}}
  f: {ensemble: {combine: median, output: label, members: *two}}
  g: {ensemble: {combine: max, output: label, members: *two}}
""")
    assert [str(finding) for finding in found.findings] == []
    assert [str(spec) for spec in found.signature.outputs] == [
        "a INT64 [-1]",
        "b FP32 [-1,22]",
        "c INT64 [-1]",
        "d INT64 [1]",
        "e FP32 [-1,-1]",
        "f FP64 [-1]",
        "g INT64 [-1]",
    ]
    assert str(found.nodes["a"].outputs["share"]) == "share FP64 [-1]"
    stack = found.nodes["c"]
    assert stack.into is not None
    assert (stack.into.step.model, stack.model_input, stack.combined) == ("over", "x", "probabilities")
    assert found.nodes["d"].model_input == "labels"


def test_a_route_needs_what_decides_first_and_its_arms_later() -> None:
    found = checked("""
outputs: {label: r.label}
nodes:
  kind: {function: "app:kind", inputs: {png: input.png}}
  pixels: {function: "app:decode", inputs: {png: input.png}}
  r: {route: {output: kind, default: none, arms: {
    face: {pass: {label: svm.label}}, none: {pass: true, constants: {label: 0}}}}}
  svm: {model: digits-svm, inputs: {"": pixels}}
""")
    assert found.findings == ()
    route = found.nodes["r"]
    assert route.decides == Reference("kind", "result")
    assert route.needs == {"kind"}
    assert route.may_need == {"kind", "svm"}
    assert route.arms["none"].constants["label"].datatype == "INT64"
    assert list(found.nodes).index("svm") < list(found.nodes).index("r")


def test_constants_of_an_arm_become_what_the_other_arms_give() -> None:
    found = checked("""
outputs: {y: r.probabilities}
nodes:
  kind: {function: "app:kind", inputs: {png: input.png}}
  r: {route: {output: kind, default: b, arms: {
    a: {pass: true, constants: {probabilities: [[1,0,0,0,0,0,0,0,0,0]]}},
    b: {pass: {probabilities: svm.probabilities}}}}}
  svm: {model: digits-svm, inputs: {"": input.x}}
""")
    assert found.findings == ()
    tensor = found.nodes["r"].arms["a"].constants["probabilities"]
    assert (tensor.datatype, tensor.shape, tensor.array.dtype) == ("FP32", (1, 10), np.float32)


def test_all_outputs_of_a_node_may_be_the_pipelines() -> None:
    found = checked("{outputs: [{source: svm}], nodes: {svm: {model: digits-svm, inputs: {pixels: input.x}}}}")
    assert found.findings == ()
    assert found.outputs == {"label": Reference("svm", "label"), "probabilities": Reference("svm", "probabilities")}


def test_a_model_that_streams_may_be_last() -> None:
    found = checked("""
outputs: {sound: speak.sound}
nodes:
  kind: {function: "app:kind", inputs: {png: input.png}}
  speak: {model: speak, inputs: {text: kind}}
""")
    assert found.findings == ()
    assert found.signature.streams


def test_an_input_with_a_default_may_be_left_out() -> None:
    found = checked("""
inputs: {png: "BYTES [1]", scale: {datatype: FP64, shape: [1], default: 2}}
outputs: {x: d.result}
nodes: {d: {function: "app:decode", inputs: {png: input.png, scale: input.scale}}}
""")
    assert found.findings == ()
    assert found.defaults["scale"].array.tolist() == [2.0]
    assert [str(spec) for spec in found.signature.inputs] == ["png BYTES [1]", "scale FP64 [1] (optional)"]


def test_a_finding_of_a_member_names_the_line_of_that_member() -> None:
    svm, mlp = model("digits-svm"), model("digits-mpl")

    def wrong(x: Pixels) -> Outputs:
        votes = vote(
            svm(x),
            mlp(x),
            quorum=2,
        )
        return Outputs(label=votes.label)

    found = traced(pipeline("p")(wrong).declaration)
    line = wrong.__code__.co_firstlineno + 3
    [finding] = check(found.graph, known(), found.places).findings
    assert str(finding) == (
        "node votes, members.digits-mpl.model: no model 'digits-mpl' in the catalog; did you mean 'digits-mlp'? "
        f"(tests/unit/services/composer/test_check.py:{line})"
    )


def test_a_finding_of_a_python_pipeline_names_its_line() -> None:
    svm = model("digits-smv")

    def wrong(png: bytes) -> Outputs:
        return Outputs(label=svm(png).label)

    found = traced(pipeline("p")(wrong).declaration)
    line = wrong.__code__.co_firstlineno + 1
    [finding] = check(found.graph, known(), found.places).findings
    assert str(finding) == (
        "node digits-smv, model: no model 'digits-smv' in the catalog; did you mean 'digits-svm'? "
        f"(tests/unit/services/composer/test_check.py:{line})"
    )
