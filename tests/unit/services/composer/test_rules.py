from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from inferloom.mesh.errors import ConfigError, InvalidInput
from inferloom.services.composer.check import check
from inferloom.services.composer.graph import graph_from
from inferloom.services.composer.rules import Rules, plain, text_of
from inferloom.services.tensor import Tensor
from tests.unit.services.composer.composer_fakes import FakeMesh, FakeModel, doubled

CALL = {"model": "m", "inputs": {"x": "input.x"}}
GRAPH = {
    "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}],
    "outputs": [{"name": "y", "source": "r.y"}],
}


def tensor(values: Any, kind: Any = None) -> Tensor:
    return Tensor.of(np.array(values, kind))


def test_the_first_condition_that_holds_names_the_arm() -> None:
    rules = Rules([("gold", "metadata['tier'] == 'gold'"), ("sure", "share > 0.9"), ("any", "share > 0.1")])
    share = {"share": tensor([0.95])}
    assert rules.choose((("tier", "gold"),), share) == "gold"
    assert rules.choose((("tier", "tin"),), share) == "sure"
    assert rules.choose((), {"share": tensor([0.5])}) == "any"
    assert rules.choose((), {"share": tensor([0.05])}) is None


def test_a_condition_that_cannot_be_evaluated_does_not_hold() -> None:
    rules = Rules([("a", "metadata['tier'] == 'gold'"), ("b", "missing > 1"), ("c", "x[7] > 1.0"), ("d", "x > 'a'")])
    assert rules.choose((), {"x": tensor([1.0, 2.0])}) is None


def test_a_condition_must_give_true_and_not_something_that_looks_like_it() -> None:
    assert Rules([("a", "1")]).choose((), {}) is None


def test_tensors_are_values_and_lists() -> None:
    assert plain(tensor([[3]]), "x") == 3
    assert plain(tensor([1.0, 2.0]), "x") == [1.0, 2.0]
    assert plain(tensor([[1, 2], [3, 4]]), "x") == [[1, 2], [3, 4]]
    assert plain(tensor([b"caf\xc3\xa9"], object), "x") == "café"
    assert plain(tensor([b"\xff"], object), "x") == b"\xff"


def test_a_large_tensor_is_refused() -> None:
    with pytest.raises(InvalidInput, match="'x' has shape \\[4097\\]; a rule may look at 4096 elements"):
        Rules([("a", "true")]).choose((), {"x": tensor(np.zeros(4097))})


def test_what_is_no_cel_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no CEL expression"):
        Rules([("a", "metadata[")])


@pytest.mark.parametrize(
    ("value", "name"), [([b"face"], "face"), ([True], "true"), ([[False]], "false"), ([3], "3"), ([[7]], "7")]
)
def test_a_value_names_an_arm(value: Any, name: str) -> None:
    assert text_of(tensor(value, object if isinstance(value[0], bytes) else None)) == name


def test_several_values_name_no_arm() -> None:
    with pytest.raises(InvalidInput, match="one element"):
        text_of(tensor([1, 2]))


def test_without_the_package_that_reads_cel_it_is_said_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cel", None)
    with pytest.raises(ConfigError, match=r"^routes by rules need CEL: pip install 'inferloom\[rules\]'$"):
        Rules([("a", "true")])
    arms = [{"name": "a", "when": "true", "step": CALL}, {"name": "b", "step": CALL}]
    spec = {**GRAPH, "nodes": [{"name": "r", "route": {"rules": {}, "default": "b", "arms": arms}}]}
    [finding] = check(graph_from(spec, "p"), FakeMesh({"m": FakeModel(doubled)}).known()).findings
    assert str(finding) == "node r, arms.a.when: routes by rules need CEL: pip install 'inferloom[rules]'"
