"""A scikit-learn estimator in a file (model.joblib or model.pkl) as a Triton model.

Input `X`: FP64 [-1,features] (scikit-learn computes in float64, so answers are its own to the last bit), or BYTES [-1]
where the first step is a text vectorizer. Outputs: `label` of classifiers, clusterers and outlier detectors (INT64, or
BYTES where the classes are strings) and `probabilities` FP64 [-1,classes] where the classifier has them; `y` FP64 of
regressors.
"""

import os
import sys
import warnings

from inferloom_backend import Backend, InvalidModel, Tensor, cpu_threads

# Read by BLAS and OpenMP when scikit-learn is imported, so before that.
os.environ.setdefault("OMP_NUM_THREADS", str(cpu_threads({})))
os.environ.setdefault("OPENBLAS_NUM_THREADS", str(cpu_threads({})))

import joblib
import numpy as np
import numpy.random._pickle
import sklearn


class TritonPythonModel(Backend):
    batched = True

    def open(self, folder, config, device):
        where = f"model '{config['name']}': "
        device.require_cuda(False, "scikit-learn computes on the CPU; leave the GPU out")
        self.file = next((n for n in ("model.joblib", "model.pkl") if (folder / n).exists()), "model.joblib")
        read_pickles_of_numpy_2()
        try:
            self.estimator = joblib.load(folder / self.file)
        except Exception as error:
            raise InvalidModel(
                f"{where}{self.file} cannot be loaded with scikit-learn {sklearn.__version__} and numpy {np.__version__} "
                f"({type(error).__name__}: {error}); install what is missing, or save it with these versions"
            ) from None
        if not callable(getattr(self.estimator, "predict", None)):
            raise InvalidModel(f"{where}{self.file} holds a {type(self.estimator).__name__}, which has no predict")
        self.text = _takes_text(self.estimator)
        features = getattr(self.estimator, "n_features_in_", None)
        if features is None and not self.text:
            raise InvalidModel(f"{where}{self.file} holds a {type(self.estimator).__name__} that has not been fitted")
        self.inputs = [Tensor("X", "BYTES", [-1]) if self.text else Tensor("X", "FP64", [-1, features])]
        self.outputs = list(self._describe(features))

    def _describe(self, features):
        classes = getattr(self.estimator, "classes_", None)
        if classes is None:
            found = self._try(features)
            integer = found is not None and found.dtype.kind in "iub"
            width = [found.shape[1]] if found is not None and found.ndim > 1 else []
            yield Tensor("label" if integer else "y", "INT64" if integer else "FP64", [-1, *width])
        elif isinstance(classes, list):
            yield Tensor("label", _datatype(np.concatenate(classes)), [-1, len(classes)])
        else:
            wide = getattr(self.estimator, "multilabel_", False)
            yield Tensor("label", _datatype(classes), [-1, len(classes)] if wide else [-1])
            if hasattr(self.estimator, "predict_proba"):
                yield Tensor("probabilities", "FP64", [-1, len(classes)])

    def _try(self, features):
        """What the estimator answers for a row of zeros: the only way to learn a regressor's shape.

        None where it refuses such a row, as an encoder does that has never seen a zero; then a vector is assumed.
        """
        row = [""] if self.text else np.zeros((1, features))
        try:
            return np.asarray(self._call("predict", row))
        except ValueError:
            return None

    def _call(self, method, rows):
        with warnings.catch_warnings():
            # Fitted on a DataFrame: the order of the columns is the order of the names, and there are none here.
            warnings.filterwarnings("ignore", message="X does not have valid feature names")
            return getattr(self.estimator, method)(rows)

    def run(self, arrays, wanted):
        rows = list(arrays["X"]) if self.text else arrays["X"]
        results = {}
        for tensor in self.outputs:
            if tensor.name in wanted:
                found = self._call("predict_proba" if tensor.name == "probabilities" else "predict", rows)
                kind = {"INT64": np.int64, "FP64": np.float64, "BYTES": object}[tensor.datatype]
                results[tensor.name] = np.asarray(found).astype(kind)
        return results


def read_pickles_of_numpy_2():
    """Let numpy 1.26, which Triton's wheel needs, read what numpy 2 pickled.

    numpy 2 renamed `numpy.core`, of whose modules 1.26 knows only some by the new name. It names a bit generator by its
    class rather than by a string, and puts a seed sequence beside its state (MLP and gradient boosting carry theirs).
    """
    if int(np.__version__.partition(".")[0]) > 1:
        return
    for name in [name for name in sys.modules if name.startswith("numpy.core.")]:
        sys.modules.setdefault(name.replace(".core.", "._core."), sys.modules[name])
    pickled = np.random._pickle

    def bits(kind="MT19937"):
        if isinstance(kind, np.random.BitGenerator):
            return kind
        name = kind.__name__ if isinstance(kind, type) else kind
        base = pickled.BitGenerators[name]
        # The state is checked against the name of the class.
        return type(name, (base,), {"__setstate__": lambda self, state: base.__setstate__(self, _state(state))})()

    setattr(pickled, "__bit_generator_ctor", bits)
    setattr(pickled, "__randomstate_ctor", lambda kind="MT19937", _=None: np.random.RandomState(bits(kind)))
    setattr(pickled, "__generator_ctor", lambda kind="MT19937", _=None: np.random.Generator(bits(kind)))


def _state(state):
    return state[0] if isinstance(state, tuple) else state


def _datatype(classes):
    kind = np.asarray(classes).dtype.kind
    return {"f": "FP64", "i": "INT64", "u": "INT64", "b": "INT64"}.get(kind, "BYTES")


def _takes_text(estimator):
    while hasattr(estimator, "steps"):
        estimator = estimator.steps[0][1]
    return callable(getattr(estimator, "build_analyzer", None))
