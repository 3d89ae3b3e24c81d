"""A plain Python class as a Triton model.

The file beside this one (user_model.py) has one public class with `predict(self, name, ...)`: numpy arrays in by name
(BYTES as arrays of bytes); out comes a dict, or one array, or a tuple in the order of the class's `outputs`. Types: class
attributes such as `inputs = {"x": "FP32[-1,4]"}` and `outputs = {...}`, or the configuration where they are missing.
"""

import inspect

import numpy as np
from inferloom_backend import Backend, InvalidModel, Tensor, configured

NUMPY = {"BOOL": np.bool_, "BYTES": np.object_, "FP16": np.float16, "FP32": np.float32, "FP64": np.float64}


class TritonPythonModel(Backend):
    file = "user_model.py"
    decodes = False

    def open(self, folder, config, device):
        import user_model

        found = [
            value
            for name, value in vars(user_model).items()
            if inspect.isclass(value)
            and value.__module__ == user_model.__name__
            and not name.startswith("_")
            and callable(getattr(value, "predict", None))
        ]
        if len(found) != 1:
            raise InvalidModel(
                f"model '{config['name']}': {self.file} has {len(found)} public classes with predict, not 1"
            )
        self.name = config["name"]
        self.inputs = _tensors(found[0], "inputs", config)
        self.outputs = _tensors(found[0], "outputs", config)
        takes = list(inspect.signature(found[0].predict).parameters)[1:]
        names = [tensor.name for tensor in self.inputs]
        if sorted(takes) != sorted(names):
            raise InvalidModel(
                f"model '{self.name}': predict takes {', '.join(takes)}; its inputs are {', '.join(names)}"
            )
        self.batched = all(tensor.shape[:1] == [-1] for tensor in (*self.inputs, *self.outputs))
        self.kind = found[0]
        self.instance = None

    def initialize(self, args):
        super().initialize(args)
        # Not in `open`, which also runs to complete the configuration: loading twice is slow and may not be harmless.
        self.instance = self.kind()

    def run(self, arrays, wanted):
        result = self.instance.predict(**arrays)
        if not isinstance(result, dict):
            values = result if isinstance(result, tuple) else (result,)
            if len(values) != len(self.outputs):
                raise InvalidModel(f"predict returned {len(values)} arrays for {len(self.outputs)} outputs")
            result = {tensor.name: value for tensor, value in zip(self.outputs, values, strict=True)}
        return {tensor.name: self._cast(tensor, result) for tensor in self.outputs if tensor.name in wanted}

    def _cast(self, tensor, result):
        if tensor.name not in result:
            raise InvalidModel(f"predict returned no '{tensor.name}'; it returned {', '.join(map(repr, result))}")
        value = np.asarray(result[tensor.name])
        kind = NUMPY.get(tensor.datatype) or getattr(np, tensor.datatype.lower())
        if kind is not np.object_ and not np.can_cast(value.dtype, kind, "same_kind"):
            raise InvalidModel(f"predict returned '{tensor.name}' as {value.dtype}, declared {tensor.datatype}")
        return value.astype(kind, copy=False)


def _tensors(kind, what, config):
    declared = getattr(kind, what, None)
    if declared:
        return [Tensor.parse(name, text) for name, text in declared.items()]
    tensors = configured(config, what[:-1])
    if not tensors:
        raise InvalidModel(
            f"model '{config['name']}': the {what} of class {kind.__name__} are not known: give it an attribute such as "
            f'{what} = {{"x": "FP32[-1,4]"}}'
        )
    return tensors
