"""The page docs/data-planes.md, made from the table of planes.py."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["page"]

HEAD = """\
# Two data planes, one policy

```yaml title="policy.yaml"
kind: policy
name: iris
spec:
  timeout: 2s
  concurrency: 64
  retry: {backoff: 10ms}
```

```sh
inferloom check policy.yaml
```

```text
inferloom: policy.yaml:6: policy 'iris': with gateway: envoy, retry.backoff is the upper bound of a random wait, ...
inferloom: policy.yaml:5: policy 'iris': with gateway: envoy, concurrency holds for each Envoy process, ...
policy.yaml: 1 policy; not checked against models: ...
```

The [policy](policies.md) of a model is executed by the Python router, and with `gateway: envoy` compiled for Envoy. `check`
and `apply` say, for each field that a document sets, what Envoy does not keep to exactly; not of a mesh that `up` runs here
without Envoy. What each does with a field:

| field | the router | Envoy | Envoy keeps to it |
|---|---|---|---|
"""

REST = """
"approximately" is warned of where a document sets the field, and nowhere else: the defaults are good on both.

## What is retried

| | the router | Envoy |
|---|---|---|
| a refused connection, a stream refused before it began | yes, idempotent or not | yes, idempotent or not |
| a connection that broke, UNAVAILABLE, a try past `attempt_timeout` | if idempotent | if idempotent |
| shed load (RESOURCE_EXHAUSTED, `x-inferloom-reason: shed`) | after the pushback it names | if idempotent, after a wait |
| CANCELLED by the replica itself, as of a server that is stopped | no | if idempotent |
| a service with `effects=True` | never, unless its policy says `idempotent: true` | the same |
| requests with a sequence id | only if no replica saw them | they are the router's |
| after the answer has begun | never | never |
| a request of more than 68 MiB | there is none: a message has 64 MiB at most | no: that is `request_body_buffer_limit` |

Envoy holds a request's body for as long as it may be sent again. The bound leaves room for one message of 64 MiB and its
frame; what is above it fails with the replica's own code.

## What else differs

| | the router | Envoy |
|---|---|---|
| Triton's queue is full (UNAVAILABLE) | RESOURCE_EXHAUSTED, no failure of the replica's | passed on, a failure |
| how many replicas failures take out | at most half | all but one |
| INTERNAL, UNKNOWN, DATA_LOSS of a replica | failures of the replica's | answers |
| a try on a replica that hangs | given up with the replica | by pings, within nine seconds; an attached Triton: never |
| a deadline that has passed, a message that is too large | in the router's words | the same codes, in Envoy's |
| a REST body that Triton cannot read | 400, in our words | 500, in Triton's |
| `..` and `//` in a REST path | no such path | made plain first |
| a stream that ends without a message | OK, no answer | INVALID_ARGUMENT |
| later messages of a stream that name another model | each to its own | all to the first one's replica |
| a sequence in streams | to one replica, whichever stream | each stream to any: keep it in one |
| metadata that a replica gets | the caller's | x-forwarded-*, x-envoy-* and x-inferloom-* beside it |

## What goes to the Python router

With `gateway: envoy` these are answered by the router process, which Envoy reaches on loopback:

| | why |
|---|---|
| unknown models, and those without a usable replica | the caller gets NOT_FOUND with near matches, or why each is out |
| requests with `x-inferloom-explain` | the answer can tell what the router did; \
what Envoy sent itself is told by `inferloom explain` alone, and less of it |
| compressed requests | the name in them cannot be read without unpacking |
| requests of sequences | they belong to one replica, which the router's rendezvous finds |
| splits with mirrors, all requests of the model | answers are compared |
| requests above 4 MiB into which a version must be written | the message would have to be copied in Lua |
| streams that name no version, of a model with several versions or a split | messages of a stream are not rewritten |
| ServerMetadata, RepositoryIndex, ListModels, health, reflection | the mesh answers, no replica |
| typed calls, JSON under `/v1`, `/docs`, HTTP applications | they need the model's types |
"""


def page(rows: Iterable[tuple[str, str, str, str]]) -> str:
    """Markdown.

    Args:
        rows: field, what the router does, what Envoy does, how far Envoy keeps to it.
    """
    lines = "".join(f"| `{field}` | {router} | {envoy} | {kept} |\n" for field, router, envoy, kept in rows)
    return HEAD + lines + REST
