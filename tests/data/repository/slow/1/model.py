"""Works for the longest `seconds` of its batch; writes down what it ran, what it dropped, what was cancelled meanwhile."""

import time
from pathlib import Path

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        self.log = (Path(args["model_repository"]) / "log").open("a", buffering=1)

    def execute(self, requests):
        # One look at each request: what is cancelled a moment later has had its turn.
        wanted = [not request.is_cancelled() for request in requests]
        live = [request for request, yes in zip(requests, wanted, strict=True) if yes]
        for request, yes in zip(requests, wanted, strict=True):
            self.log.write(f"{'ran' if yes else 'dropped'} {key(request)} {time.monotonic()}\n")
        end = time.monotonic() + max((scalar(request, "seconds") for request in live), default=0)
        while time.monotonic() < end and not all(request.is_cancelled() for request in live):
            time.sleep(0.005)
        for request in live:
            if request.is_cancelled():
                self.log.write(f"cancelled {key(request)} {time.monotonic()}\n")
        return [done(request) if yes else cancelled() for request, yes in zip(requests, wanted, strict=True)]

    def finalize(self):
        self.log.close()


def scalar(request, name):
    return pb_utils.get_input_tensor_by_name(request, name).as_numpy().ravel()[0]


def key(request):
    return int(scalar(request, "key"))


def done(request):
    found = pb_utils.get_input_tensor_by_name(request, "key").as_numpy()
    return pb_utils.InferenceResponse([pb_utils.Tensor("key", found)])


def cancelled():
    return pb_utils.InferenceResponse(error=pb_utils.TritonError("cancelled", pb_utils.TritonError.CANCELLED))
