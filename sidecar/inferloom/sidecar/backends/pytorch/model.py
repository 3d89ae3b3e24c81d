"""PyTorch: TorchScript (model.pt) as a backend, and exported programs (model.pt2) also as a wrapper.

An exported program knows names, types and shapes. TorchScript knows the arguments of `forward` only, so the rest comes
from the configuration: an input is named as forward's argument or INPUT__<index>, an output NAME__<index>, as the key of
a dict that forward returns, or else they are taken in order. Outputs without a name of their own are OUTPUT__<index>.
"""

import numpy as np
import torch
from inferloom_backend import Backend, InvalidModel, Tensor, configured, cpu_threads
from torch.utils import _pytree as pytree

TYPES = {
    torch.bool: "BOOL",
    torch.float16: "FP16",
    torch.float32: "FP32",
    torch.float64: "FP64",
    torch.uint8: "UINT8",
    **{getattr(torch, f"int{bits}"): f"INT{bits}" for bits in (8, 16, 32, 64)},
}


class TritonPythonModel(Backend):
    def open(self, folder, config, device):
        device.require_cuda(torch.cuda.is_available(), f"torch {torch.__version__} sees no CUDA device here")
        self.device = "cpu" if device.gpu is None else f"cuda:{device.gpu}"
        torch.set_num_threads(cpu_threads(config["parameters"]))
        where = f"model '{config['name']}': "
        # As a wrapper it is the configured file itself, and the program lies beside it.
        program = (folder / "model.pt2").exists()
        self.file = "model.pt2" if program else config.get("default_model_filename") or "model.pt"
        load = torch.export.load if program else lambda path: torch.jit.load(str(path), map_location=self.device)
        try:
            loaded = load(folder / self.file)
        except Exception as error:
            raise InvalidModel(f"{where}torch {torch.__version__} cannot load {self.file}: {error}") from None
        if program:
            self._open_program(loaded, where)
        else:
            self._open_script(loaded.eval(), config, where)

    def _open_program(self, program, where):
        if self.device != "cpu":
            from torch.export.passes import move_to_device_pass

            program = move_to_device_pass(program, self.device)
        values = {node.name: node.meta.get("val") for node in program.graph.nodes}
        names = program.graph_signature.user_inputs
        returned = [values[name] for name in program.graph_signature.user_outputs]
        self.inputs = [self._tensor(where, name, values[name]) for name in names]
        keys = _keys(program.call_spec.out_spec, len(returned))
        self.outputs = [self._tensor(where, key, value) for key, value in zip(keys, returned, strict=True)]
        sizes = {str(v.shape[0]) if v.dim() else "" for v in (*(values[name] for name in names), *returned)}
        self.batched = len(sizes) == 1 and all(t.shape[:1] == [-1] for t in (*self.inputs, *self.outputs))
        module, spec = program.module(), program.call_spec.in_spec

        def call(arguments):
            args, kwargs = pytree.tree_unflatten(arguments, spec)
            return dict(zip(keys, pytree.tree_leaves(module(*args, **kwargs)), strict=True))

        self.call = call

    def _tensor(self, where, name, value):
        if not isinstance(value, torch.Tensor) or value.dtype not in TYPES:
            kind = value.dtype if isinstance(value, torch.Tensor) else type(value).__name__
            raise InvalidModel(f"{where}'{name}' of {self.file} is {kind}, which Triton's Python backend cannot carry")
        return Tensor(name, TYPES[value.dtype], [d if isinstance(d, int) else -1 for d in value.shape])

    def _open_script(self, module, config, where):
        forward = module.forward.schema.arguments[1:]
        names = [a.name for a in forward]
        if not config["input"] or not config["output"]:
            listed = " ".join(f"--input {name}:FP32[-1,4]" for name in names)
            raise InvalidModel(
                f"{where}TorchScript carries no shapes: save with torch.export.save(torch.export.export(...)), "
                f"or give them: {listed} --output y:FP32[-1,2]"
            )
        self.inputs, self.outputs = configured(config, "input"), configured(config, "output")
        self.batched = config["max_batch_size"] > 0
        order = {}
        for tensor in self.inputs:
            index = names.index(tensor.name) if tensor.name in names else _index(tensor.name)
            if index is None or index >= len(names):
                listed = ", ".join(f"'{name}'" for name in names)
                raise InvalidModel(f"{where}input '{tensor.name}' is not in {self.file}; its forward takes {listed}")
            order[index] = tensor.name
        missing = [a.name for i, a in enumerate(forward) if i not in order and not a.has_default_value()]
        if missing:
            raise InvalidModel(f"{where}input '{missing[0]}' of {self.file} is not in config.pbtxt")
        keywords = [names[self._place(tensor.name, names)] for tensor in self.inputs]
        where_from = {t.name: _index(t.name, i) for i, t in enumerate(self.outputs)}

        def call(arguments):
            result = module(**dict(zip(keywords, arguments, strict=True)))
            if isinstance(result, dict):
                return {tensor.name: result[tensor.name] for tensor in self.outputs}
            leaves = pytree.tree_leaves(result)
            if max(where_from.values()) >= len(leaves):
                raise InvalidModel(f"forward of {self.file} returns {len(leaves)} tensors, not {len(self.outputs)}")
            return {name: leaves[index] for name, index in where_from.items()}

        self.call = call

    @staticmethod
    def _place(name, names):
        return names.index(name) if name in names else _index(name)

    def run(self, arrays, wanted):
        # Triton's arrays are read-only views of shared memory, which torch has no notion of.
        arguments = [torch.from_numpy(np.array(arrays[t.name])).to(self.device) for t in self.inputs]
        with torch.inference_mode():
            results = self.call(arguments)
        return {name: results[name].cpu().numpy() for name in wanted}


def _index(name, default=None):
    """The <index> of a name of the form NAME__<index>."""
    _, mark, index = name.rpartition("__")
    return int(index) if mark and index.isdigit() else default


def _keys(spec, count):
    """Names of the outputs: the keys of a dict, else OUTPUT__<index>."""
    plain = spec is not None and spec.type is dict and spec.num_children == spec.num_leaves
    return list(spec.context) if plain else [f"OUTPUT__{i}" for i in range(count)]
