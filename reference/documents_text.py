"""The words of docs/reference/documents.md; `<<name>>` is where a table or an example stands."""

from __future__ import annotations

__all__ = ["TEXT"]

TEXT = """\
# Documents

What a mesh is made of is written in documents: a `kind`, a `name` and a `spec`.

<!-- given: iris.onnx -->
<<iris.yaml>>
```sh
inferloom check iris.yaml
```

| command | does |
|---|---|
| `inferloom up DIR` | serves the documents of `DIR/mesh.yaml` |
| `inferloom check FILE` | says what is wrong with them, each with its line |
| `inferloom apply FILE` | writes them into a running mesh: all of them, or none |
| `inferloom diff FILE` | says what `apply` would change |
| `inferloom get KIND NAME -o yaml` | shows one as the mesh has it |

A duration is a number and `ms`, `s`, `m` or `h`: `500ms`, `2s`.

A file holds one document, several with `---` between them, or a list. A field that there is not, or a value that cannot be,
is refused with the line and the nearest right one. Names have 1 to 128 letters, digits, `.`, `_` or `-`; a model, a service
and a pipeline cannot share one. A file of splits and policies alone is taken as it is; any other declares at least one model,
service, pipeline or app.

## mesh

What holds for the whole mesh; in a `mesh.yaml` once or not at all. What the command line says wins.

<<mesh.yaml>>
<<mesh>>
## model

<<model>>
See [models](../models.md) for what may be a source.

### model: version

<<version>>
## service

A service that a Python file declares, and how it is run. What is left out is as its `@service(...)` says.

<<app.py>>
<<classify.yaml>>
<<service>>
See [services](../services.md).

## app

Everything that a Python file declares.

<<shop.yaml>>
<<app>>
## pipeline

Either `source`, the Python file that declares it, or the graph itself:

<<labelled.yaml>>
Where a mesh runs, what it calls is looked at as well:

```sh
inferloom up iris.onnx
```

```sh
inferloom check labelled.yaml
```

A reference is `input.NAME` (the pipeline's own input), `NODE.OUTPUT`, or `NODE`: that node's only output. The first dot
divides. Of the fields with the same word under "one of" a document has one at most.

What may be written in another way:

<<short forms>>
<<graph>>
See [pipelines](../pipelines.md).

## split

Named like the model or service whose requests it shares out.

<<split.yaml>>
<<split>>
### split: arm

<<arm>>
See [splits](../splits.md).

## policy

Named like the model, service or pipeline whose traffic it is about.

<<policy.yaml>>
<<policy>>
See [policies](../policies.md), and [data planes](../data-planes.md) for what Envoy keeps to.

## service.yaml

No document, but a file in a model's folder, or beside its file (`iris.service.yaml` beside `iris.onnx`): what its owner says
about its typed face. See [codegen](../codegen.md).

<<hints>>
### service.yaml: tensor

<<tensor>>
### service.yaml: column

<<column>>
## warmup.json

No document, but the file that a version's `warmup` names, or `warmup.json` in a version's folder: a first request, and the
answer it must give before the version serves.

```json
{"inputs": [{"name": "X", "datatype": "FP32", "shape": [1, 4], "data": [5.1, 3.5, 1.4, 0.2]}],
 "outputs": [{"name": "label", "data": [0]}],
 "tolerance": 1e-3}
```

<<warmup>>
"""
