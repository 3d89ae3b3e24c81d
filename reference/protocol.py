"""docs/reference/protocol.md: the calls and messages of protos/inferloom/v1, with their comments."""

from __future__ import annotations

from collections.abc import Iterable

from reference.markdown import code, described, table
from reference.protos import Call, Entry, File, Message, Service, files_of

__all__ = ["page"]

ELSEWHERE = {"graph.proto", "policy.proto"}  # the page of documents has them
FIRST = "mesh.proto"
CALLS = {  # without a comment in the file
    "GetDocument": "A document as it is now.",
    "ListHistory": "Its versions, as far as they are kept.",
    "Status": "What each edge was sent, has taken and refuses.",
    "Call": "A call in JSON.",
    "Describe": "The types of a service, pipeline or model, as JSON Schema.",
}
HEAD = """\
# Protocol

<!-- given: iris.onnx -->
```sh
inferloom up iris.onnx
```

```python
import grpc
from inferloom.v1 import mesh_pb2, mesh_pb2_grpc

with grpc.insecure_channel("127.0.0.1:8081") as channel:
    mesh = mesh_pb2_grpc.MeshServiceStub(channel)
    for model in mesh.ListModels(mesh_pb2.ListModelsRequest(), timeout=5).models:
        print(model.name, [mesh_pb2.ReplicaState.Name(replica.state) for replica in model.replicas])
```

```text
iris ['REPLICA_STATE_SERVING']
```

Models, services and pipelines are called by the Open Inference Protocol, package `inference` ([rest](../rest.md) has it over
HTTP). Beside it the mesh answers the calls of this page, package `inferloom.v1`, at the same port. The messages of a pipeline
and of a policy are on the page of [documents](documents.md#pipeline), where they are written as YAML.
"""


def page() -> str:
    """Raises Undescribed: a service has no description."""
    files = sorted(
        (file for name, file in files_of().items() if name not in ELSEWHERE),
        key=lambda file: (file.name != FIRST, file.name),
    )
    return HEAD + "".join(_file(file) for file in files)


def _file(file: File) -> str:
    names = {message.name for message in file.messages} | {enum.name for enum in file.enums}
    services = "".join(_service(service, names) for service in file.services)
    enums = "".join(
        f"\n### {enum.name}\n\n{_about(enum.text)}"
        + table(("value", "number"), [(code(name), str(number)) for name, number in enum.values.items()])
        for enum in file.enums
    )
    return services + "".join(_message(message, names) for message in file.messages) + enums


def _service(service: Service, names: Iterable[str]) -> str:
    rows = [_call(call, names) for call in service.calls]
    return f"\n## {service.name}\n\n{described(service.text, service.name)}\n\n" + table(
        ("call", "takes", "gives", "HTTP", "meaning"), rows
    )


def _call(call: Call, names: Iterable[str]) -> tuple[str, ...]:
    takes, gives = (
        f"{'stream of ' if streams else ''}{_link(name, names)}"
        for name, streams in zip((call.request, call.response), call.streams, strict=True)
    )
    return (
        code(call.name),
        takes,
        gives,
        code(f"GET {call.path}" if call.path else ""),
        described(call.text or CALLS.get(call.name), call.name),
    )


def _message(message: Message, names: Iterable[str]) -> str:
    rows = [(code(e.name), str(e.number), _type(e, names), e.text) for e in message.fields]
    body = table(("field", "number", "type", "meaning"), rows) if rows else "No fields.\n"
    return f"\n### {message.name}\n\n{_about(message.text)}{body}"


def _about(text: str) -> str:
    return f"{text}\n\n" if text else ""


def _type(entry: Entry, names: Iterable[str]) -> str:
    kind = _link(entry.type, names)
    if entry.map:
        return f"map of string to {kind}"
    words = f"repeated {kind}" if entry.repeated else kind
    return f"{words}, one of `{entry.oneof}`" if entry.oneof else words


def _link(name: str, names: Iterable[str]) -> str:
    return f"[{name}](#{name.lower()})" if name in names else name
