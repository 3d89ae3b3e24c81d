from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class StatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StatusResponse(_message.Message):
    __slots__ = ("edges", "models", "fresh", "age_seconds", "problems", "version", "since")
    EDGES_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    FRESH_FIELD_NUMBER: _ClassVar[int]
    AGE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    edges: _containers.RepeatedCompositeFieldContainer[EdgeStatus]
    models: int
    fresh: bool
    age_seconds: float
    problems: _containers.RepeatedCompositeFieldContainer[DocumentProblem]
    version: str
    since: float
    def __init__(self, edges: _Optional[_Iterable[_Union[EdgeStatus, _Mapping]]] = ..., models: _Optional[int] = ..., fresh: _Optional[bool] = ..., age_seconds: _Optional[float] = ..., problems: _Optional[_Iterable[_Union[DocumentProblem, _Mapping]]] = ..., version: _Optional[str] = ..., since: _Optional[float] = ...) -> None: ...

class EdgeStatus(_message.Message):
    __slots__ = ("node", "zone", "since", "settled", "types", "refused", "problem")
    NODE_FIELD_NUMBER: _ClassVar[int]
    ZONE_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    SETTLED_FIELD_NUMBER: _ClassVar[int]
    TYPES_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    node: str
    zone: str
    since: float
    settled: bool
    types: _containers.RepeatedCompositeFieldContainer[TypeStatus]
    refused: _containers.RepeatedCompositeFieldContainer[Refused]
    problem: str
    def __init__(self, node: _Optional[str] = ..., zone: _Optional[str] = ..., since: _Optional[float] = ..., settled: _Optional[bool] = ..., types: _Optional[_Iterable[_Union[TypeStatus, _Mapping]]] = ..., refused: _Optional[_Iterable[_Union[Refused, _Mapping]]] = ..., problem: _Optional[str] = ...) -> None: ...

class TypeStatus(_message.Message):
    __slots__ = ("type", "acked_version", "sent_version", "waiting", "resources", "acks", "nacks", "last_nack")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    ACKED_VERSION_FIELD_NUMBER: _ClassVar[int]
    SENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    ACKS_FIELD_NUMBER: _ClassVar[int]
    NACKS_FIELD_NUMBER: _ClassVar[int]
    LAST_NACK_FIELD_NUMBER: _ClassVar[int]
    type: str
    acked_version: str
    sent_version: str
    waiting: bool
    resources: int
    acks: int
    nacks: int
    last_nack: str
    def __init__(self, type: _Optional[str] = ..., acked_version: _Optional[str] = ..., sent_version: _Optional[str] = ..., waiting: _Optional[bool] = ..., resources: _Optional[int] = ..., acks: _Optional[int] = ..., nacks: _Optional[int] = ..., last_nack: _Optional[str] = ...) -> None: ...

class Refused(_message.Message):
    __slots__ = ("type", "resource", "model", "why", "serves_last")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    SERVES_LAST_FIELD_NUMBER: _ClassVar[int]
    type: str
    resource: str
    model: str
    why: str
    serves_last: bool
    def __init__(self, type: _Optional[str] = ..., resource: _Optional[str] = ..., model: _Optional[str] = ..., why: _Optional[str] = ..., serves_last: _Optional[bool] = ...) -> None: ...

class DocumentProblem(_message.Message):
    __slots__ = ("kind", "name", "why")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    kind: str
    name: str
    why: str
    def __init__(self, kind: _Optional[str] = ..., name: _Optional[str] = ..., why: _Optional[str] = ...) -> None: ...
