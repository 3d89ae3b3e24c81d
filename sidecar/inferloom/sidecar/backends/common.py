"""What all of inferloom's Triton backends share: completing and checking the configuration, and running a batch.

Runs in Triton's environment (numpy, the model's own library, nothing of inferloom). A backend is a subclass of `Backend`
named `TritonPythonModel` with two methods:

    open(folder, config, device)  loads the file; sets `file`, `inputs`, `outputs` (lists of Tensor), `batched`
    run(arrays, wanted)           {input: array} -> {output: array}, arrays as the file knows them
"""

import json
import os
import re
import traceback
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb

# Rows that Triton may join into one run, and the most one request may bring.
MAX_BATCH = 1024


class InvalidModel(Exception):
    """The file, or what the configuration says about it, is wrong. Triton reports the text when the load fails."""


class InvalidRequest(Exception):
    """This request is wrong; the others of its batch are not."""


class Tensor:
    """Name, Triton type without TYPE_, and shape with the batch dimension first where the model has one; -1: any."""

    def __init__(self, name, datatype, shape):
        self.name, self.datatype, self.shape = name, datatype, list(shape)

    def __str__(self):
        return f"'{self.name}' {self.datatype} [{','.join(map(str, self.shape))}]"

    @staticmethod
    def parse(name, text):
        """Tensor of a text such as "FP32[-1,4]"."""
        match = re.fullmatch(r"\s*(BOOL|U?INT(?:8|16|32|64)|FP16|FP32|FP64|BYTES)\s*\[([-\d,\s]*)\]\s*", str(text))
        if not match:
            raise InvalidModel(f"'{name}': {text!r} is no type; write it as FP32[-1,4]")
        return Tensor(name, match[1], [int(n) for n in match[2].split(",") if n.strip()])


def configured(config, what):
    """Tensors ("input" or "output") as the configuration describes them, in its order and as the file sees them."""
    lead = [-1] if config["max_batch_size"] > 0 else []
    return [
        Tensor(
            one["name"],
            one["data_type"].removeprefix("TYPE_").replace("STRING", "BYTES"),
            lead + [int(size) for size in one.get("reshape", {}).get("shape", one["dims"])],
        )
        for one in config[what]
    ]


def cpu_threads(parameters, key="intra_op_thread_count"):
    """Threads for one model: the parameter where it is set (and not 0), else the cores up to four.

    Several models share a machine, so taking every core for each only makes them wait for one another.
    """
    wanted = int(parameters.get(key, {}).get("string_value") or 0)
    return wanted if wanted > 0 else max(1, min(4, len(os.sched_getaffinity(0))))


class Device:
    """Where an instance runs: `gpu` is the CUDA device's number, None for the CPU."""

    def __init__(self, args):
        self.gpu = int(args["model_instance_device_id"]) if args.get("model_instance_kind") == "GPU" else None

    def require_cuda(self, available, cure):
        if self.gpu is not None and not available:
            raise InvalidModel(f"a GPU was asked for (instance_group KIND_GPU), and {cure}")


class Backend:
    file = ""
    inputs = ()
    outputs = ()
    batched = False
    decodes = True  # BYTES tensors reach `run` as str, not as bytes

    @classmethod
    def auto_complete_config(cls, config):
        """Fill in names, types, shapes and batching from the file; refuse a configuration that contradicts it."""
        known = config.as_dict()
        model = cls()
        model.open(_version_folder(), known, Device({}))
        batched = _batches(model, known)
        _check(model, known, batched, complete=False)
        if batched:
            config.set_max_batch_size(known["max_batch_size"] or MAX_BATCH)
            if "sequence_batching" not in known:
                config.set_dynamic_batching()
        for tensor in model.inputs:
            if tensor.name not in {one["name"] for one in known["input"]}:
                config.add_input(_described(tensor, batched))
        # A configuration may leave outputs out on purpose, so they are completed only where there are none.
        for tensor in () if known["output"] else model.outputs:
            config.add_output(_described(tensor, batched))
        return config

    def initialize(self, args):
        config = json.loads(args["model_config"])
        self.name = args["model_name"]
        self.open(Path(args["model_repository"]) / args["model_version"], config, Device(args))
        self.joins = config["max_batch_size"] > 0
        _check(self, config, self.joins, complete=True)
        self._declared = {one["name"]: one for one in config["output"]}

    def execute(self, requests):
        responses = [None] * len(requests)
        groups = {}
        for index, request in enumerate(requests):
            if request.is_cancelled():
                responses[index] = _failure("cancelled by the caller before it ran", pb.TritonError.CANCELLED)
                continue
            try:
                arrays = self._read(request)
            except InvalidRequest as error:
                responses[index] = _failure(str(error), pb.TritonError.INVALID_ARG)
                continue
            # Only requests whose rows have one shape fit into one array.
            key = tuple(a.shape[1:] for a in arrays.values()) if self.joins else index
            groups.setdefault(key, []).append((index, request, arrays))
        for group in groups.values():
            for index, response in self._answer(group):
                responses[index] = response
        return responses

    def _read(self, request):
        arrays = {}
        for tensor in self.inputs:
            given = pb.get_input_tensor_by_name(request, tensor.name)
            if given is None:
                raise InvalidRequest(f"model '{self.name}': input '{tensor.name}' is missing")
            array = given.as_numpy()
            if tensor.datatype == "BYTES" and self.decodes:
                array = _text(tensor.name, array)
            # A vector of one value per row travels as [rows, 1]: Triton has no dims shorter than one.
            if self.joins and len(tensor.shape) == 1:
                array = array.reshape(len(array))
            arrays[tensor.name] = array
        return arrays

    def _answer(self, group):
        """(index, response) of each request of a group; one that fails in company is tried again alone."""
        wanted = set().union(*(request.requested_output_names() for _, request, _ in group))
        try:
            if len(group) == 1:
                results = [self._run(group[0][2], wanted)]
            else:
                results = self._run_joined([arrays for _, _, arrays in group], wanted)
        except Exception as error:
            if len(group) > 1:
                return [answer for one in group for answer in self._answer([one])]
            return [(group[0][0], self._failed(error))]
        return [(index, self._response(result)) for (index, _, _), result in zip(group, results, strict=True)]

    def _run(self, arrays, wanted):
        return self.run(arrays, [t.name for t in self.outputs if t.name in wanted])

    def _run_joined(self, parts, wanted):
        rows = [len(next(iter(part.values()))) for part in parts]
        joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        results = self._run(joined, wanted)
        if any(np.ndim(value) == 0 or len(value) != sum(rows) for value in results.values()):
            raise InvalidModel("outputs do not have one row per input row")
        ends = np.cumsum(rows)
        starts = ends - rows
        return [{n: v[a:b] for n, v in results.items()} for a, b in zip(starts, ends, strict=True)]

    def _response(self, result):
        tensors = []
        for name, value in result.items():
            declared = self._declared.get(name)
            if declared is None:
                continue
            # With a `reshape` in the configuration Triton itself turns [rows] into what the client sees.
            if self.joins and value.ndim == 1 and "reshape" not in declared:
                value = value.reshape(-1, 1)
            tensors.append(pb.Tensor(name, np.ascontiguousarray(value)))
        return pb.InferenceResponse(tensors)

    def _failed(self, error):
        if isinstance(error, (InvalidRequest, ValueError, TypeError)) or type(error).__name__ == "InvalidArgument":
            return _failure(f"model '{self.name}': {error}", pb.TritonError.INVALID_ARG)
        pb.Logger.log_error("".join(traceback.format_exception(error)))
        return _failure(f"model '{self.name}': {type(error).__name__}: {error}", pb.TritonError.INTERNAL)


def _version_folder():
    """REPOSITORY/NAME/VERSION of the model being completed.

    The configuration does not tell, and each version is completed from its own file; Triton starts the process with
    the path of the version's file as its first argument.
    """
    return Path(os.fsdecode(Path("/proc/self/cmdline").read_bytes().split(b"\0")[1])).parent


def _failure(message, code):
    return pb.InferenceResponse(error=pb.TritonError(message, code))


def _text(name, array):
    try:
        return np.array([v.decode() if isinstance(v, bytes) else v for v in array.flat], object).reshape(array.shape)
    except UnicodeDecodeError:
        raise InvalidRequest(f"input '{name}' is not UTF-8") from None


def _described(tensor, batched):
    datatype = "STRING" if tensor.datatype == "BYTES" else tensor.datatype
    return {"name": tensor.name, "data_type": f"TYPE_{datatype}", "dims": _dims(tensor, batched)}


def _dims(tensor, batched):
    return (tensor.shape[1:] if batched else tensor.shape) or [1]


def _batches(model, config):
    """Whether Triton adds the batch dimension. A configuration whose dims have it already says no."""
    if config["max_batch_size"] > 0:
        return True
    shapes = {tensor.name: tensor.shape for tensor in model.inputs}
    whole = any(len(one["dims"]) == len(shapes.get(one["name"], ())) > 1 for one in config["input"])
    return model.batched and not whole


def _check(model, config, batched, complete):
    where = f"model '{config['name']}': "
    if batched and not model.batched:
        raise InvalidModel(
            f"{where}max_batch_size is {config['max_batch_size']}, and {model.file} has no batch dimension: "
            f"{_listed([*model.inputs, *model.outputs])}; set max_batch_size: 0"
        )
    for what, tensors, declared in (
        ("input", model.inputs, config["input"]),
        ("output", model.outputs, config["output"]),
    ):
        known = {tensor.name: tensor for tensor in tensors}
        for one in declared:
            tensor = known.get(one["name"])
            if tensor is None:
                raise InvalidModel(
                    f"{where}{what} '{one['name']}' is not in {model.file}; the file has {_listed(tensors)}"
                )
            datatype = one["data_type"].removeprefix("TYPE_").replace("STRING", "BYTES")
            dims = one.get("reshape", {}).get("shape", one["dims"])
            shape = (_dims(tensor, batched) if "reshape" not in one else tensor.shape[1:]) if batched else tensor.shape
            if (datatype != "INVALID" and datatype != tensor.datatype) or (one["dims"] and not _fits(dims, shape)):
                says = Tensor(one["name"], datatype, ([-1] if batched else []) + list(dims))
                raise InvalidModel(f"{where}{what} {says} in config.pbtxt is {tensor} in {model.file}")
        missing = [tensor for tensor in tensors if tensor.name not in {one["name"] for one in declared}]
        if complete and what == "input" and missing:
            raise InvalidModel(f"{where}config.pbtxt lacks the {what} {_listed(missing)} of {model.file}")


def _fits(dims, shape):
    pairs = zip(dims, shape, strict=False)
    return len(dims) == len(shape) and all(int(d) in (-1, s) or s == -1 for d, s in pairs)


def _listed(tensors):
    return ", ".join(map(str, tensors))
