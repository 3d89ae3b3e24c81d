"""XGBoost models, with the names and parameters of NVIDIA's FIL backend, so that it takes the same folder.

`input__0` FP32 [-1,features]; `output__0` FP32: probabilities [-1,classes] of a classifier (parameters `output_class` or
`is_classifier`, and `predict_proba`), its class [-1,1] without `predict_proba`, predictions [-1,targets] of a regressor.
"""

import json

import numpy as np
import xgboost
from inferloom_backend import Backend, InvalidModel, Tensor, cpu_threads

FILES = {"xgboost_json": "xgboost.json", "xgboost_ubj": "xgboost.ubj"}


class TritonPythonModel(Backend):
    batched = True

    def open(self, folder, config, device):
        parameters = {key: value["string_value"] for key, value in config["parameters"].items()}
        kind = parameters.get("model_type", "xgboost_json")
        if kind not in FILES:
            raise InvalidModel(f"model '{config['name']}': model_type '{kind}'; supported here: {', '.join(FILES)}")
        self.file = config.get("default_model_filename") or FILES[kind]
        device.require_cuda(
            xgboost.build_info().get("USE_CUDA"), "this xgboost has no CUDA; install xgboost instead of xgboost-cpu"
        )
        self.booster = xgboost.Booster()
        self.booster.load_model(folder / self.file)
        self.booster.set_param({"nthread": cpu_threads(config["parameters"], "cpu_nthread")})
        if device.gpu is not None:
            self.booster.set_param({"device": f"cuda:{device.gpu}"})
        learner = json.loads(self.booster.save_config())["learner"]
        self.objective = learner["objective"]["name"]
        self.classes = int(learner["learner_model_param"]["num_class"])
        classifier = self.objective.startswith(("binary:", "multi:"))
        told = parameters.get("is_classifier") or parameters.get("output_class")
        if told is not None and (told == "true") != classifier:
            raise InvalidModel(
                f"model '{config['name']}': output_class is {told}, and {self.file} was trained for {self.objective}"
            )
        self.labels = classifier and parameters.get("predict_proba", "false") != "true"
        self.threshold = float(parameters.get("threshold", 0.5))
        targets = int(learner["learner_model_param"].get("num_target", 1))
        width = (1 if self.labels else max(2, self.classes)) if classifier else targets
        self.inputs = [Tensor("input__0", "FP32", [-1, self.booster.num_features()])]
        self.outputs = [Tensor("output__0", "FP32", [-1, width])]

    def run(self, arrays, wanted):
        rows = arrays["input__0"]
        # A softmax objective predicts classes; its margins carry the probabilities.
        margin = self.objective == "multi:softmax"
        found = self.booster.inplace_predict(
            rows, predict_type="margin" if margin else "value", validate_features=False
        )
        found = np.asarray(found, np.float32).reshape(len(rows), -1)
        if margin:
            powers = np.exp(found - found.max(axis=1, keepdims=True))
            found = powers / powers.sum(axis=1, keepdims=True)
        if self.objective.startswith("binary:"):
            found = np.hstack([1 - found, found])
        if self.labels:
            chosen = found[:, 1] > self.threshold if self.classes < 2 else found.argmax(axis=1)
            found = np.asarray(chosen, np.float32).reshape(-1, 1)
        return {"output__0": found}
