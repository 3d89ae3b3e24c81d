"""What the fields of documents mean, where the code that reads them has a key and no words.

By kind, or part of one, then by key. documents.py fails where a key of the code is not here, or one here is not of the code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["GRAPH", "MEANINGS", "POLICY", "Meaning"]

FILE = "path, relative to this file"
TENSORS = "list of `NAME:TYPE[SHAPE]`"


class Meaning(NamedTuple):
    """Of a key. `default` is said here only where no dataclass says it."""

    type: str
    text: str
    default: str = ""


_COLUMN = {
    "name": Meaning("text", "What callers call it; the model's own name where it is left out."),
    "description": Meaning("text", "For people: a comment of the proto and of the JSON schema."),
    "unit": Meaning("text", "For people, as cm or USD."),
    "range": Meaning("`[LEAST, MOST]`", "What a number may be, both included; null is an open end, as in `[0, null]`."),
    "finite": Meaning("true or false", "NaN and the infinities are refused.", "`false`"),
}

MEANINGS: Mapping[str, Mapping[str, Meaning]] = {
    "mesh": {
        "replicas": Meaning("whole number, 1 to 64", "Of each model that does not say itself.", "1"),
        "grpc": Meaning("`HOST:PORT`", "Where the mesh listens for gRPC; port 0 takes a free one.", "`127.0.0.1:8081`"),
        "registry": Meaning(
            "`memory`, `consul` or `consul://HOST:PORT`",
            "One process; a Consul of the mesh's own; a Consul that runs.",
            "`memory`",
        ),
        "gateway": Meaning(
            "`python` or `envoy`", "What clients reach: the router itself, or Envoy in front of it.", "`python`"
        ),
        "http": Meaning(
            "`HOST:PORT` or `off`", "Where the mesh listens for JSON, REST and `/docs`.", "`127.0.0.1:8080`"
        ),
    },
    "model": {
        "source": Meaning(FILE, "A model file, or a folder in Triton's layout: version 1. Either this or `versions`."),
        "versions": Meaning(
            "mapping of number to a path or a [version](#model-version)",
            "The versions side by side, from 1. Either this or `source`.",
        ),
        "replicas": Meaning(
            "whole number, 1 to 64", "Tritons that serve it.", "as `mesh` or `--replicas` says, else 1"
        ),
        "gpus": Meaning("whole number, 0 to 64", "GPUs of each replica."),
        "warmup": Meaning(FILE, "Of the version that `source` names: see below."),
        "inputs": Meaning(TENSORS, "Of the version that `source` names: see below."),
        "outputs": Meaning(TENSORS, "Of the version that `source` names: see below."),
    },
    "version": {
        "source": Meaning(FILE, "A model file, or a folder in Triton's layout.", "required"),
        "warmup": Meaning(FILE, "A first request with its known answer, see [warmup.json](#warmupjson)."),
        "inputs": Meaning(TENSORS, "For a file that does not say them, as `x:FP32[-1,4]`.", "as the file says"),
        "outputs": Meaning(TENSORS, "The same for outputs.", "as the file says"),
    },
    "service": {
        "source": Meaning(FILE, "The Python file that declares it.", "required"),
        "replicas": Meaning("whole number, 1 to 64", "Processes that run it.", "as `@service` says"),
        "cpus": Meaning(
            "whole number, 0 to 1024",
            "Threads that numerical libraries may use in each process; 0: as they like.",
            "as `@service` says",
        ),
        "gpus": Meaning("whole number, 0 to 64", "GPUs of each process.", "as `@service` says"),
        "env": Meaning("mapping of text", "Variables of the environment of its processes.", "as `@service` says"),
    },
    "app": {
        "source": Meaning(
            FILE, "A Python file: its services, pipelines and models, and the functions of pipelines.", "required"
        ),
    },
    "split": {
        "arms": Meaning("list of [arms](#split-arm)", "The alternatives.", "required"),
        "by": Meaning(
            "text", "Metadata key (REST: header) whose value is the unit that keeps its arm.", "each request for itself"
        ),
        "salt": Meaning("text", "Another one draws everybody anew.", "the document's name"),
        "overrides": Meaning("mapping of unit to arm", "For testers: these units get these arms."),
        "ranges": Meaning("mapping of arm to ranges", "Which points are whose. Written by the mesh; leave it out."),
    },
    "arm": {
        "name": Meaning("text", "Also the version, where `version` is left out.", "required"),
        "share": Meaning("number from 0", "Of the sum of all shares. 0 for a mirror."),
        "version": Meaning("text", "Of the model.", "the name; of another `model` its default one"),
        "model": Meaning("text", "Another model or service instead of the split's own.", "the split's own"),
        "mirror": Meaning("true or false", "It is sent copies; its answers are compared and thrown away."),
        "sample": Meaning("number, 0 to 1", "Of a mirror: the part of the requests that it is sent."),
    },
    "hints": {
        "description": Meaning("text", "Of the model."),
        "rows": Meaning(
            "true or false", "Whether the first dimension is a batch.", "as the model's configuration says"
        ),
        "inputs": Meaning("mapping of a tensor's name to a [tensor](#serviceyaml-tensor)", "By the model's own names."),
        "outputs": Meaning(
            "mapping of a tensor's name to a [tensor](#serviceyaml-tensor)", "By the model's own names."
        ),
        "example": Meaning("mapping", "A request, as the JSON of the face: shown in `/docs`."),
    },
    "tensor": {
        **_COLUMN,
        "columns": Meaning("list of names or of [columns](#serviceyaml-column)", "Of the last dimension, all of them."),
        "labels": Meaning(
            "list of text, or the path of a file with one on each line",
            "Texts of the integers 0, 1, 2, ...; of BYTES: the texts that there are.",
        ),
        "enum": Meaning("true or false", "The labels as an enum of the proto, instead of text.", "`false`"),
        "type": Meaning("`string` or `bytes`", "What BYTES are.", "`string`"),
    },
    "column": _COLUMN,
    "warmup": {
        "inputs": Meaning(
            "list of tensors", "Each with `name`, `datatype`, `shape` and `data`, flat or nested.", "required"
        ),
        "outputs": Meaning(
            "list of tensors", "Each with `name` and `data`: what must come. Left out, the request only has to succeed."
        ),
        "tolerance": Meaning("number", "How far a number may be off: relative beyond 1, absolute below."),
    },
}

# Fields of graph.proto that have no comment beside them, and those whose comment speaks to the readers of the message.
GRAPH: Mapping[str, str] = {
    "Graph.description": "For people.",
    "Graph.inputs": "The pipeline's own inputs.",
    "Graph.outputs": "What it answers with.",
    "Graph.nodes": "What it is made of.",
    "TensorType.name": "Of the input.",
    "TensorType.optional": "Requests may leave it out; then the inputs that refer to it are left out as well.",
    "TensorType.default": "What an optional input is where a request leaves it out.",
    "Output.name": "Of the output.",
    "Output.shape": "What the function's annotations say it is. Only checked.",
    "Node.name": "What references call it. No dots.",
    "Node.step": "One call.",
    "Node.ensemble": "Several calls at once, combined.",
    "Node.route": "One call of several, chosen for each request.",
    "Step.function": "`package.module:name` of a function declared with `@step`.",
    "Step.inputs": "The callee's input to a reference. The name `\"\"` stands for the callee's only input.",
    "Step.constants": "The callee's input to a value that is always the same. Where the callee takes rows, a constant is one "
    'row, repeated for each row of the other inputs; bytes that are no text are `{"base64": "..."}`.',
    "Step.parameters": "Of the request.",
    "Step.timeout": "As `50ms`; left out: what is left of the pipeline's.",
    "Step.version": "Of the model; left out: its default one.",
    "Step.on_error": "What happens where it fails.",
    "Values.values": "Output to value.",
    "Ensemble.members": "What is called.",
    "Ensemble.combine": "`mean`, `weighted_mean`, `median`, `max`, `vote`, `weighted_vote`, `concat`, `stack` or `function`.",
    "Member.weight": "Of a weighted mean or vote; left out: 1.",
    "Rules.inputs": "Name in the expressions to a reference; small tensors only.",
    "SplitBy.overrides": "Value of the unit to arm, for testers.",
    "Graph.timeout": "As `500ms`: of the whole where the caller sets no deadline, and its upper bound.",
    "Graph.types": "`package.module:function` whose annotations are the pipeline's types for JSON; left out: the tensors'.",
    "Member.name": "Of the member, in messages and traces.",
    "Member.step": "What it calls.",
    "Route.arms": "The alternatives.",
    "Arm.name": "Of the arm.",
    "Arm.step": "What it calls.",
}

# Fields of policy.proto whose comment goes on from another's, or says only what stands in other columns.
POLICY: Mapping[str, str] = {
    "balancing": "How a replica is chosen.",
    "locality": "`prefer`: replicas of the data plane's own zone while one of them may be used.",
    "slow_start": "Until a new replica has its full share, from a tenth; `0s`: at once.",
    "health.rate": "Share of failures within the window, above 0, up to 1, that takes a replica out ...",
    "health.window": "The window of `health.rate`.",
    "retry.budget.window": "So much of `floor` the bucket holds, full at start.",
    "health.forget": "After so long in health earlier ejections are forgotten.",
    "attempt_timeout": "Of one try; unset: all that is left.",
    "objective.latency": "Within this time ...",
}
