"""ONNX models on onnxruntime. Parameter `intra_op_thread_count`, as in the native backend: threads, 0 for the default."""

import onnxruntime as ort
from inferloom_backend import Backend, InvalidModel, Tensor, cpu_threads

ort.disable_telemetry_events()  # a model server tells nobody what it does

TYPES = {
    "tensor(bool)": "BOOL",
    "tensor(double)": "FP64",
    "tensor(float)": "FP32",
    "tensor(float16)": "FP16",
    "tensor(string)": "BYTES",
    **{f"tensor({sign}int{bits})": f"{sign}int{bits}".upper() for sign in ("", "u") for bits in (8, 16, 32, 64)},
}


class TritonPythonModel(Backend):
    def open(self, folder, config, device):
        self.file = config.get("default_model_filename") or "model.onnx"
        cuda = "CUDAExecutionProvider" in ort.get_available_providers()
        device.require_cuda(cuda, "this onnxruntime has no CUDA; install onnxruntime-gpu instead of onnxruntime")
        options = ort.SessionOptions()
        options.intra_op_num_threads = cpu_threads(config["parameters"])
        # Idle threads that spin take the cores from the other models of this machine.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        providers = ["CPUExecutionProvider"]
        if device.gpu is not None:
            providers.insert(0, ("CUDAExecutionProvider", {"device_id": device.gpu}))
        try:
            self.session = ort.InferenceSession(folder / self.file, options, providers=providers)
        except Exception as error:
            raise InvalidModel(f"model '{config['name']}': onnxruntime cannot load {self.file}: {error}") from None
        # onnxruntime falls back to the CPU without an error when CUDA's libraries do not load.
        used = "CUDAExecutionProvider" in self.session.get_providers()
        device.require_cuda(used, "onnxruntime could not use CUDA here (its log says which library is missing)")
        self.inputs = [self._tensor(config, one) for one in self.session.get_inputs()]
        self.outputs = [self._tensor(config, one) for one in self.session.get_outputs()]
        self.batched = bool(self.inputs) and _has_batch(
            [one.shape for one in (*self.session.get_inputs(), *self.session.get_outputs())]
        )

    def _tensor(self, config, one):
        if one.type not in TYPES:
            cure = "convert with options={'zipmap': False}" if one.type.startswith(("seq(", "map(")) else "change it"
            raise InvalidModel(
                f"model '{config['name']}': '{one.name}' of {self.file} is {one.type}, which Triton cannot carry: {cure}"
            )
        return Tensor(one.name, TYPES[one.type], [d if isinstance(d, int) else -1 for d in one.shape])

    def run(self, arrays, wanted):
        return dict(zip(wanted, self.session.run(wanted, arrays), strict=True))


def _has_batch(shapes):
    """Whether the first dimension of every tensor is one and the same free dimension.

    Exporters name free dimensions: two different names are two different sizes (rows in, detections out). Names that an
    exporter made up on its own say nothing.
    """
    if not all(shape and not isinstance(shape[0], int) for shape in shapes):
        return False
    names = {shape[0] for shape in shapes if shape[0]}
    return len({name for name in names if not name.startswith("unk_") and "_dynamic_axes_" not in name}) <= 1
