from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ReplicaState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REPLICA_STATE_UNSPECIFIED: _ClassVar[ReplicaState]
    REPLICA_STATE_STARTING: _ClassVar[ReplicaState]
    REPLICA_STATE_SERVING: _ClassVar[ReplicaState]
    REPLICA_STATE_DRAINING: _ClassVar[ReplicaState]
REPLICA_STATE_UNSPECIFIED: ReplicaState
REPLICA_STATE_STARTING: ReplicaState
REPLICA_STATE_SERVING: ReplicaState
REPLICA_STATE_DRAINING: ReplicaState

class Replica(_message.Message):
    __slots__ = ("model", "id", "host", "port", "state", "versions", "http_port", "weight", "locality", "generation", "healthy", "check", "problem", "kind", "repeat", "pings", "app_port", "load")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    HTTP_PORT_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    LOCALITY_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    HEALTHY_FIELD_NUMBER: _ClassVar[int]
    CHECK_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    REPEAT_FIELD_NUMBER: _ClassVar[int]
    PINGS_FIELD_NUMBER: _ClassVar[int]
    APP_PORT_FIELD_NUMBER: _ClassVar[int]
    LOAD_FIELD_NUMBER: _ClassVar[int]
    model: str
    id: str
    host: str
    port: int
    state: ReplicaState
    versions: _containers.RepeatedScalarFieldContainer[str]
    http_port: int
    weight: float
    locality: str
    generation: int
    healthy: bool
    check: str
    problem: str
    kind: str
    repeat: str
    pings: bool
    app_port: int
    load: ReplicaLoad
    def __init__(self, model: _Optional[str] = ..., id: _Optional[str] = ..., host: _Optional[str] = ..., port: _Optional[int] = ..., state: _Optional[_Union[ReplicaState, str]] = ..., versions: _Optional[_Iterable[str]] = ..., http_port: _Optional[int] = ..., weight: _Optional[float] = ..., locality: _Optional[str] = ..., generation: _Optional[int] = ..., healthy: _Optional[bool] = ..., check: _Optional[str] = ..., problem: _Optional[str] = ..., kind: _Optional[str] = ..., repeat: _Optional[str] = ..., pings: _Optional[bool] = ..., app_port: _Optional[int] = ..., load: _Optional[_Union[ReplicaLoad, _Mapping]] = ...) -> None: ...

class ReplicaLoad(_message.Message):
    __slots__ = ("breaker", "why", "in_flight", "latency_ms", "requests_per_second", "requests", "failures")
    BREAKER_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    breaker: str
    why: str
    in_flight: int
    latency_ms: float
    requests_per_second: float
    requests: int
    failures: int
    def __init__(self, breaker: _Optional[str] = ..., why: _Optional[str] = ..., in_flight: _Optional[int] = ..., latency_ms: _Optional[float] = ..., requests_per_second: _Optional[float] = ..., requests: _Optional[int] = ..., failures: _Optional[int] = ...) -> None: ...

class Model(_message.Message):
    __slots__ = ("name", "replicas")
    NAME_FIELD_NUMBER: _ClassVar[int]
    REPLICAS_FIELD_NUMBER: _ClassVar[int]
    name: str
    replicas: _containers.RepeatedCompositeFieldContainer[Replica]
    def __init__(self, name: _Optional[str] = ..., replicas: _Optional[_Iterable[_Union[Replica, _Mapping]]] = ...) -> None: ...

class ListModelsRequest(_message.Message):
    __slots__ = ("with_load",)
    WITH_LOAD_FIELD_NUMBER: _ClassVar[int]
    with_load: bool
    def __init__(self, with_load: _Optional[bool] = ...) -> None: ...

class ListModelsResponse(_message.Message):
    __slots__ = ("models", "index", "age_seconds")
    MODELS_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    AGE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[Model]
    index: int
    age_seconds: float
    def __init__(self, models: _Optional[_Iterable[_Union[Model, _Mapping]]] = ..., index: _Optional[int] = ..., age_seconds: _Optional[float] = ...) -> None: ...

class WatchModelsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CatalogChange(_message.Message):
    __slots__ = ("index", "complete", "models", "removed", "fresh")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    FRESH_FIELD_NUMBER: _ClassVar[int]
    index: int
    complete: bool
    models: _containers.RepeatedCompositeFieldContainer[Model]
    removed: _containers.RepeatedScalarFieldContainer[str]
    fresh: bool
    def __init__(self, index: _Optional[int] = ..., complete: _Optional[bool] = ..., models: _Optional[_Iterable[_Union[Model, _Mapping]]] = ..., removed: _Optional[_Iterable[str]] = ..., fresh: _Optional[bool] = ...) -> None: ...

class RegisterRequest(_message.Message):
    __slots__ = ("replica", "deregister")
    REPLICA_FIELD_NUMBER: _ClassVar[int]
    DEREGISTER_FIELD_NUMBER: _ClassVar[int]
    replica: Replica
    deregister: bool
    def __init__(self, replica: _Optional[_Union[Replica, _Mapping]] = ..., deregister: _Optional[bool] = ...) -> None: ...

class RegisterResponse(_message.Message):
    __slots__ = ("model", "id")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    model: str
    id: str
    def __init__(self, model: _Optional[str] = ..., id: _Optional[str] = ...) -> None: ...

class Document(_message.Message):
    __slots__ = ("kind", "name", "spec_json", "version", "author", "time")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SPEC_JSON_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    kind: str
    name: str
    spec_json: str
    version: int
    author: str
    time: float
    def __init__(self, kind: _Optional[str] = ..., name: _Optional[str] = ..., spec_json: _Optional[str] = ..., version: _Optional[int] = ..., author: _Optional[str] = ..., time: _Optional[float] = ...) -> None: ...

class GetDocumentRequest(_message.Message):
    __slots__ = ("kind", "name")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    kind: str
    name: str
    def __init__(self, kind: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class GetDocumentResponse(_message.Message):
    __slots__ = ("document",)
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    document: Document
    def __init__(self, document: _Optional[_Union[Document, _Mapping]] = ...) -> None: ...

class PutDocumentRequest(_message.Message):
    __slots__ = ("kind", "name", "spec_json", "expected_version", "author")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SPEC_JSON_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_VERSION_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    kind: str
    name: str
    spec_json: str
    expected_version: int
    author: str
    def __init__(self, kind: _Optional[str] = ..., name: _Optional[str] = ..., spec_json: _Optional[str] = ..., expected_version: _Optional[int] = ..., author: _Optional[str] = ...) -> None: ...

class ListHistoryRequest(_message.Message):
    __slots__ = ("kind", "name")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    kind: str
    name: str
    def __init__(self, kind: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class ListHistoryResponse(_message.Message):
    __slots__ = ("documents",)
    DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    documents: _containers.RepeatedCompositeFieldContainer[Document]
    def __init__(self, documents: _Optional[_Iterable[_Union[Document, _Mapping]]] = ...) -> None: ...

class WatchDocumentsRequest(_message.Message):
    __slots__ = ("kind",)
    KIND_FIELD_NUMBER: _ClassVar[int]
    kind: str
    def __init__(self, kind: _Optional[str] = ...) -> None: ...

class DocumentsChange(_message.Message):
    __slots__ = ("complete", "documents")
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    complete: bool
    documents: _containers.RepeatedCompositeFieldContainer[Document]
    def __init__(self, complete: _Optional[bool] = ..., documents: _Optional[_Iterable[_Union[Document, _Mapping]]] = ...) -> None: ...

class SplitFiguresRequest(_message.Message):
    __slots__ = ("name", "alone")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ALONE_FIELD_NUMBER: _ClassVar[int]
    name: str
    alone: bool
    def __init__(self, name: _Optional[str] = ..., alone: _Optional[bool] = ...) -> None: ...

class SplitFiguresResponse(_message.Message):
    __slots__ = ("name", "version", "problem", "arms", "since", "unanswered", "by")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    ARMS_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    UNANSWERED_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: int
    problem: str
    arms: _containers.RepeatedCompositeFieldContainer[ArmFigures]
    since: float
    unanswered: _containers.RepeatedScalarFieldContainer[str]
    by: str
    def __init__(self, name: _Optional[str] = ..., version: _Optional[int] = ..., problem: _Optional[str] = ..., arms: _Optional[_Iterable[_Union[ArmFigures, _Mapping]]] = ..., since: _Optional[float] = ..., unanswered: _Optional[_Iterable[str]] = ..., by: _Optional[str] = ...) -> None: ...

class ArmFigures(_message.Message):
    __slots__ = ("arm", "model", "version", "mirror", "part", "codes", "latency", "overridden", "stood_in", "compared", "served")
    class CodesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    ARM_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    MIRROR_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    CODES_FIELD_NUMBER: _ClassVar[int]
    LATENCY_FIELD_NUMBER: _ClassVar[int]
    OVERRIDDEN_FIELD_NUMBER: _ClassVar[int]
    STOOD_IN_FIELD_NUMBER: _ClassVar[int]
    COMPARED_FIELD_NUMBER: _ClassVar[int]
    SERVED_FIELD_NUMBER: _ClassVar[int]
    arm: str
    model: str
    version: str
    mirror: bool
    part: float
    codes: _containers.ScalarMap[str, int]
    latency: Distribution
    overridden: int
    stood_in: int
    compared: MirrorFigures
    served: bool
    def __init__(self, arm: _Optional[str] = ..., model: _Optional[str] = ..., version: _Optional[str] = ..., mirror: _Optional[bool] = ..., part: _Optional[float] = ..., codes: _Optional[_Mapping[str, int]] = ..., latency: _Optional[_Union[Distribution, _Mapping]] = ..., overridden: _Optional[int] = ..., stood_in: _Optional[int] = ..., compared: _Optional[_Union[MirrorFigures, _Mapping]] = ..., served: _Optional[bool] = ...) -> None: ...

class MirrorFigures(_message.Message):
    __slots__ = ("agreed", "differed", "failed", "skipped", "difference", "primary", "examples")
    class SkippedEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    AGREED_FIELD_NUMBER: _ClassVar[int]
    DIFFERED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_FIELD_NUMBER: _ClassVar[int]
    DIFFERENCE_FIELD_NUMBER: _ClassVar[int]
    PRIMARY_FIELD_NUMBER: _ClassVar[int]
    EXAMPLES_FIELD_NUMBER: _ClassVar[int]
    agreed: int
    differed: int
    failed: int
    skipped: _containers.ScalarMap[str, int]
    difference: Distribution
    primary: Distribution
    examples: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, agreed: _Optional[int] = ..., differed: _Optional[int] = ..., failed: _Optional[int] = ..., skipped: _Optional[_Mapping[str, int]] = ..., difference: _Optional[_Union[Distribution, _Mapping]] = ..., primary: _Optional[_Union[Distribution, _Mapping]] = ..., examples: _Optional[_Iterable[str]] = ...) -> None: ...

class Distribution(_message.Message):
    __slots__ = ("count", "sum", "max", "p50", "p99", "buckets")
    COUNT_FIELD_NUMBER: _ClassVar[int]
    SUM_FIELD_NUMBER: _ClassVar[int]
    MAX_FIELD_NUMBER: _ClassVar[int]
    P50_FIELD_NUMBER: _ClassVar[int]
    P99_FIELD_NUMBER: _ClassVar[int]
    BUCKETS_FIELD_NUMBER: _ClassVar[int]
    count: int
    sum: float
    max: float
    p50: float
    p99: float
    buckets: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, count: _Optional[int] = ..., sum: _Optional[float] = ..., max: _Optional[float] = ..., p50: _Optional[float] = ..., p99: _Optional[float] = ..., buckets: _Optional[_Iterable[int]] = ...) -> None: ...

class WatchExposuresRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class Exposure(_message.Message):
    __slots__ = ("split", "unit", "arm", "served", "propensity", "override", "time", "request_id", "mirrored", "code", "seconds", "dropped")
    SPLIT_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    ARM_FIELD_NUMBER: _ClassVar[int]
    SERVED_FIELD_NUMBER: _ClassVar[int]
    PROPENSITY_FIELD_NUMBER: _ClassVar[int]
    OVERRIDE_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    MIRRORED_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    split: str
    unit: str
    arm: str
    served: str
    propensity: float
    override: bool
    time: float
    request_id: str
    mirrored: _containers.RepeatedScalarFieldContainer[str]
    code: str
    seconds: float
    dropped: int
    def __init__(self, split: _Optional[str] = ..., unit: _Optional[str] = ..., arm: _Optional[str] = ..., served: _Optional[str] = ..., propensity: _Optional[float] = ..., override: _Optional[bool] = ..., time: _Optional[float] = ..., request_id: _Optional[str] = ..., mirrored: _Optional[_Iterable[str]] = ..., code: _Optional[str] = ..., seconds: _Optional[float] = ..., dropped: _Optional[int] = ...) -> None: ...
