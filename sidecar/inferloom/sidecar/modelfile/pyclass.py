"""A plain Python class, or a TritonPythonModel, in a .py file: read from its syntax tree, never imported."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

from inferloom.mesh.errors import InvalidInput
from inferloom.sidecar.modelfile.model import Kind, ModelFile
from inferloom.sidecar.modelfile.tensor import TensorType, listed

__all__ = ["describe", "predictors"]

_PACKAGES = {"PIL": "pillow", "cv2": "opencv-python-headless", "sklearn": "scikit-learn", "yaml": "pyyaml"}


def describe(path: Path) -> ModelFile:
    """The model in a Python file.

    Either it has `TritonPythonModel`, then it is used as it is; or exactly one public class with a method `predict`, whose
    arguments are the inputs. `inputs` and `outputs` of that class, dicts of literals such as `{"x": "FP32[-1,4]"}`, give
    the types; both are empty in the answer where they are missing. Raises InvalidInput.
    """
    tree = _parse(path)
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    needs = _needs(tree)
    if any(node.name == "TritonPythonModel" for node in classes):
        return ModelFile(Kind.TRITON_PYTHON, path, "TritonPythonModel", "python", (("model.py", path),), needs=needs)
    found = predictors(tree)
    if len(found) != 1:
        names = ", ".join(node.name for node in found) or "none"
        raise InvalidInput(
            f"'{path}' is no model: one public class with a method predict is needed, and it has {names}"
        )
    kind = found[0]
    takes = _arguments(path, kind)
    inputs, outputs = _tensors(path, kind, "inputs"), _tensors(path, kind, "outputs")
    if inputs and {tensor.name for tensor in inputs} != set(takes):
        raise InvalidInput(
            f"'{path}': predict takes {', '.join(takes)}, and {kind.name}.inputs has {listed(inputs)}; use the same names"
        )
    arrow = f": {listed(inputs)} -> {listed(outputs)}" if inputs and outputs else f".predict({', '.join(takes)})"
    return ModelFile(
        Kind.PYTHON,
        path,
        f"Python class {kind.name}{arrow}",
        "python",
        (("user_model.py", path),),
        "plain",
        inputs,
        outputs,
        batched=all(tensor.batched for tensor in (*inputs, *outputs)) if inputs and outputs else None,
        needs=needs,
    )


def predictors(tree: ast.Module) -> list[ast.ClassDef]:
    """Public classes with a method `predict`."""
    return [
        node
        for node in tree.body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and _predict(node) is not None
    ]


def _predict(kind: ast.ClassDef) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    methods = (n for n in kind.body if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef)))
    return next((method for method in methods if method.name == "predict"), None)


def _parse(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_bytes(), str(path))
    except (SyntaxError, ValueError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        raise InvalidInput(f"'{path}'{line}: this is no Python ({error.args[0]})") from None


def _arguments(path: Path, kind: ast.ClassDef) -> list[str]:
    method = _predict(kind)
    assert method is not None
    where = f"'{path}', line {method.lineno}: predict of {kind.name}"
    if isinstance(method, ast.AsyncFunctionDef):
        raise InvalidInput(f"{where} is async; a model's predict is a plain method, only a service's is async")
    if method.args.vararg or method.args.kwarg:
        raise InvalidInput(f"{where} has * or ** arguments; name each input")
    names = [a.arg for a in (*method.args.posonlyargs, *method.args.args, *method.args.kwonlyargs)]
    if len(names) < 2:
        raise InvalidInput(f"{where} takes no inputs; write predict(self, x)")
    return names[1:]


def _tensors(path: Path, kind: ast.ClassDef, what: str) -> tuple[TensorType, ...]:
    for node in kind.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        value = node.value if isinstance(node, (ast.Assign, ast.AnnAssign)) else None
        if value is None or not any(isinstance(t, ast.Name) and t.id == what for t in targets):
            continue
        where = f"'{path}', line {node.lineno}: {what} of {kind.name}"
        try:
            declared = ast.literal_eval(value)
        except ValueError:
            raise InvalidInput(f'{where} is no literal; write {what} = {{"x": "FP32[-1,4]"}}') from None
        if not isinstance(declared, dict) or not declared:
            raise InvalidInput(f'{where} is no dict; write {what} = {{"x": "FP32[-1,4]"}}')
        try:
            return tuple(TensorType.of(str(name), str(text)) for name, text in declared.items())
        except InvalidInput as error:
            raise InvalidInput(f"{where}: {error}") from None
    return ()


def _needs(tree: ast.Module) -> tuple[str, ...]:
    """Packages that the file imports and Python does not bring; numpy is always there."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    outside = names - sys.stdlib_module_names - {"numpy", "triton_python_backend_utils"}
    return tuple(sorted(_PACKAGES.get(name, name) for name in outside))
