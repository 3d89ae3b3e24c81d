from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ExplainRequest(_message.Message):
    __slots__ = ("request_id", "alone")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ALONE_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    alone: bool
    def __init__(self, request_id: _Optional[str] = ..., alone: _Optional[bool] = ...) -> None: ...

class Explanation(_message.Message):
    __slots__ = ("request_id", "model", "version", "method", "code", "message", "kind", "time", "ms", "slow_over_ms", "process", "split", "arm", "replica", "attempts", "passed_over", "layers", "steps", "notes", "inside", "trace_id", "cut")
    class LayersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    class NotesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    MS_FIELD_NUMBER: _ClassVar[int]
    SLOW_OVER_MS_FIELD_NUMBER: _ClassVar[int]
    PROCESS_FIELD_NUMBER: _ClassVar[int]
    SPLIT_FIELD_NUMBER: _ClassVar[int]
    ARM_FIELD_NUMBER: _ClassVar[int]
    REPLICA_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    PASSED_OVER_FIELD_NUMBER: _ClassVar[int]
    LAYERS_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    INSIDE_FIELD_NUMBER: _ClassVar[int]
    TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    CUT_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    model: str
    version: str
    method: str
    code: str
    message: str
    kind: str
    time: float
    ms: float
    slow_over_ms: float
    process: str
    split: str
    arm: str
    replica: str
    attempts: _containers.RepeatedCompositeFieldContainer[AttemptTold]
    passed_over: _containers.RepeatedCompositeFieldContainer[PassedOver]
    layers: _containers.ScalarMap[str, float]
    steps: _containers.RepeatedCompositeFieldContainer[StepTold]
    notes: _containers.ScalarMap[str, str]
    inside: Explanation
    trace_id: str
    cut: bool
    def __init__(self, request_id: _Optional[str] = ..., model: _Optional[str] = ..., version: _Optional[str] = ..., method: _Optional[str] = ..., code: _Optional[str] = ..., message: _Optional[str] = ..., kind: _Optional[str] = ..., time: _Optional[float] = ..., ms: _Optional[float] = ..., slow_over_ms: _Optional[float] = ..., process: _Optional[str] = ..., split: _Optional[str] = ..., arm: _Optional[str] = ..., replica: _Optional[str] = ..., attempts: _Optional[_Iterable[_Union[AttemptTold, _Mapping]]] = ..., passed_over: _Optional[_Iterable[_Union[PassedOver, _Mapping]]] = ..., layers: _Optional[_Mapping[str, float]] = ..., steps: _Optional[_Iterable[_Union[StepTold, _Mapping]]] = ..., notes: _Optional[_Mapping[str, str]] = ..., inside: _Optional[_Union[Explanation, _Mapping]] = ..., trace_id: _Optional[str] = ..., cut: _Optional[bool] = ...) -> None: ...

class AttemptTold(_message.Message):
    __slots__ = ("model", "replica", "address", "code", "why", "after_ms", "ms", "method")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    REPLICA_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    MS_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    model: str
    replica: str
    address: str
    code: str
    why: str
    after_ms: float
    ms: float
    method: str
    def __init__(self, model: _Optional[str] = ..., replica: _Optional[str] = ..., address: _Optional[str] = ..., code: _Optional[str] = ..., why: _Optional[str] = ..., after_ms: _Optional[float] = ..., ms: _Optional[float] = ..., method: _Optional[str] = ...) -> None: ...

class PassedOver(_message.Message):
    __slots__ = ("replica", "why")
    REPLICA_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    replica: str
    why: str
    def __init__(self, replica: _Optional[str] = ..., why: _Optional[str] = ...) -> None: ...

class StepTold(_message.Message):
    __slots__ = ("step", "calls", "after_ms", "ms", "rows", "requests", "code", "why", "attempts", "inside")
    STEP_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    MS_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    INSIDE_FIELD_NUMBER: _ClassVar[int]
    step: str
    calls: str
    after_ms: float
    ms: float
    rows: int
    requests: int
    code: str
    why: str
    attempts: _containers.RepeatedCompositeFieldContainer[AttemptTold]
    inside: Explanation
    def __init__(self, step: _Optional[str] = ..., calls: _Optional[str] = ..., after_ms: _Optional[float] = ..., ms: _Optional[float] = ..., rows: _Optional[int] = ..., requests: _Optional[int] = ..., code: _Optional[str] = ..., why: _Optional[str] = ..., attempts: _Optional[_Iterable[_Union[AttemptTold, _Mapping]]] = ..., inside: _Optional[_Union[Explanation, _Mapping]] = ...) -> None: ...

class ListRecentRequest(_message.Message):
    __slots__ = ("limit", "alone")
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    ALONE_FIELD_NUMBER: _ClassVar[int]
    limit: int
    alone: bool
    def __init__(self, limit: _Optional[int] = ..., alone: _Optional[bool] = ...) -> None: ...

class ListRecentResponse(_message.Message):
    __slots__ = ("requests", "unanswered")
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    UNANSWERED_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[Explanation]
    unanswered: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, requests: _Optional[_Iterable[_Union[Explanation, _Mapping]]] = ..., unanswered: _Optional[_Iterable[str]] = ...) -> None: ...

class FiguresRequest(_message.Message):
    __slots__ = ("alone",)
    ALONE_FIELD_NUMBER: _ClassVar[int]
    alone: bool
    def __init__(self, alone: _Optional[bool] = ...) -> None: ...

class FiguresResponse(_message.Message):
    __slots__ = ("process", "seconds", "models", "pipelines", "splits", "unanswered")
    PROCESS_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    PIPELINES_FIELD_NUMBER: _ClassVar[int]
    SPLITS_FIELD_NUMBER: _ClassVar[int]
    UNANSWERED_FIELD_NUMBER: _ClassVar[int]
    process: str
    seconds: float
    models: _containers.RepeatedCompositeFieldContainer[ModelFigures]
    pipelines: _containers.RepeatedCompositeFieldContainer[PipelineFigures]
    splits: _containers.RepeatedScalarFieldContainer[str]
    unanswered: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, process: _Optional[str] = ..., seconds: _Optional[float] = ..., models: _Optional[_Iterable[_Union[ModelFigures, _Mapping]]] = ..., pipelines: _Optional[_Iterable[_Union[PipelineFigures, _Mapping]]] = ..., splits: _Optional[_Iterable[str]] = ..., unanswered: _Optional[_Iterable[str]] = ...) -> None: ...

class ModelFigures(_message.Message):
    __slots__ = ("name", "requests", "failed", "p50_ms", "p99_ms", "in_flight", "per_second", "replicas")
    NAME_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    P50_MS_FIELD_NUMBER: _ClassVar[int]
    P99_MS_FIELD_NUMBER: _ClassVar[int]
    IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    REPLICAS_FIELD_NUMBER: _ClassVar[int]
    name: str
    requests: int
    failed: int
    p50_ms: float
    p99_ms: float
    in_flight: int
    per_second: float
    replicas: _containers.RepeatedCompositeFieldContainer[ReplicaFigures]
    def __init__(self, name: _Optional[str] = ..., requests: _Optional[int] = ..., failed: _Optional[int] = ..., p50_ms: _Optional[float] = ..., p99_ms: _Optional[float] = ..., in_flight: _Optional[int] = ..., per_second: _Optional[float] = ..., replicas: _Optional[_Iterable[_Union[ReplicaFigures, _Mapping]]] = ...) -> None: ...

class ReplicaFigures(_message.Message):
    __slots__ = ("replica", "in_flight", "failed", "per_second", "passed_over")
    REPLICA_FIELD_NUMBER: _ClassVar[int]
    IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    PASSED_OVER_FIELD_NUMBER: _ClassVar[int]
    replica: str
    in_flight: int
    failed: int
    per_second: float
    passed_over: bool
    def __init__(self, replica: _Optional[str] = ..., in_flight: _Optional[int] = ..., failed: _Optional[int] = ..., per_second: _Optional[float] = ..., passed_over: _Optional[bool] = ...) -> None: ...

class PipelineFigures(_message.Message):
    __slots__ = ("name", "requests", "failed", "nodes", "edges")
    NAME_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    EDGES_FIELD_NUMBER: _ClassVar[int]
    name: str
    requests: int
    failed: int
    nodes: _containers.RepeatedCompositeFieldContainer[NodeFigures]
    edges: _containers.RepeatedCompositeFieldContainer[EdgeFigures]
    def __init__(self, name: _Optional[str] = ..., requests: _Optional[int] = ..., failed: _Optional[int] = ..., nodes: _Optional[_Iterable[_Union[NodeFigures, _Mapping]]] = ..., edges: _Optional[_Iterable[_Union[EdgeFigures, _Mapping]]] = ...) -> None: ...

class NodeFigures(_message.Message):
    __slots__ = ("name", "requests", "failed", "seconds", "batches", "late")
    NAME_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    BATCHES_FIELD_NUMBER: _ClassVar[int]
    LATE_FIELD_NUMBER: _ClassVar[int]
    name: str
    requests: int
    failed: int
    seconds: float
    batches: float
    late: int
    def __init__(self, name: _Optional[str] = ..., requests: _Optional[int] = ..., failed: _Optional[int] = ..., seconds: _Optional[float] = ..., batches: _Optional[float] = ..., late: _Optional[int] = ...) -> None: ...

class EdgeFigures(_message.Message):
    __slots__ = ("source", "target", "requests")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    source: str
    target: str
    requests: int
    def __init__(self, source: _Optional[str] = ..., target: _Optional[str] = ..., requests: _Optional[int] = ...) -> None: ...
