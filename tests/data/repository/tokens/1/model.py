"""Answers 0 .. count-1, `seconds` apart, several requests at once; a negative count is an error."""

import threading
import time

import numpy as np
import triton_python_backend_utils as pb_utils

FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL


class TritonPythonModel:
    def initialize(self, args):
        self.threads = []
        self.log = open(args["model_repository"] + "/log", "a", buffering=1)  # noqa: SIM115

    def execute(self, requests):
        self.threads = [thread for thread in self.threads if thread.is_alive()]
        for request in requests:
            count = int(pb_utils.get_input_tensor_by_name(request, "count").as_numpy()[0])
            seconds = float(pb_utils.get_input_tensor_by_name(request, "seconds").as_numpy()[0])
            sender = request.get_response_sender()
            if seconds == 0:
                self.say(sender, count, seconds)
                continue
            thread = threading.Thread(target=self.say, args=(sender, count, seconds))
            thread.start()
            self.threads.append(thread)

    def say(self, sender, count, seconds):
        if count < 0:
            error = pb_utils.InferenceResponse(error=pb_utils.TritonError("count is negative"))
            sender.send(error, flags=FINAL)
            return
        for token in range(count):
            if sender.is_cancelled():
                self.log.write(f"cancelled {token} {time.monotonic()}\n")
                break
            sender.send(pb_utils.InferenceResponse([pb_utils.Tensor("token", np.array([token], np.int32))]))
            time.sleep(seconds)
        sender.send(flags=FINAL)

    def finalize(self):
        for thread in self.threads:
            thread.join()
        self.log.close()
