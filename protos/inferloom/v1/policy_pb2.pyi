from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TrafficPolicy(_message.Message):
    __slots__ = ("timeout", "longest", "attempt_timeout", "stream_idle", "idempotent", "retry", "health", "balancing", "affinity", "locality", "concurrency", "slow_start", "objective")
    class Retry(_message.Message):
        __slots__ = ("attempts", "budget", "backoff", "jitter")
        ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
        BUDGET_FIELD_NUMBER: _ClassVar[int]
        BACKOFF_FIELD_NUMBER: _ClassVar[int]
        JITTER_FIELD_NUMBER: _ClassVar[int]
        attempts: int
        budget: TrafficPolicy.Budget
        backoff: str
        jitter: float
        def __init__(self, attempts: _Optional[int] = ..., budget: _Optional[_Union[TrafficPolicy.Budget, _Mapping]] = ..., backoff: _Optional[str] = ..., jitter: _Optional[float] = ...) -> None: ...
    class Budget(_message.Message):
        __slots__ = ("ratio", "floor", "window")
        RATIO_FIELD_NUMBER: _ClassVar[int]
        FLOOR_FIELD_NUMBER: _ClassVar[int]
        WINDOW_FIELD_NUMBER: _ClassVar[int]
        ratio: float
        floor: float
        window: str
        def __init__(self, ratio: _Optional[float] = ..., floor: _Optional[float] = ..., window: _Optional[str] = ...) -> None: ...
    class Health(_message.Message):
        __slots__ = ("consecutive", "rate", "rate_requests", "window", "base", "longest", "jitter", "forget")
        CONSECUTIVE_FIELD_NUMBER: _ClassVar[int]
        RATE_FIELD_NUMBER: _ClassVar[int]
        RATE_REQUESTS_FIELD_NUMBER: _ClassVar[int]
        WINDOW_FIELD_NUMBER: _ClassVar[int]
        BASE_FIELD_NUMBER: _ClassVar[int]
        LONGEST_FIELD_NUMBER: _ClassVar[int]
        JITTER_FIELD_NUMBER: _ClassVar[int]
        FORGET_FIELD_NUMBER: _ClassVar[int]
        consecutive: int
        rate: float
        rate_requests: int
        window: str
        base: str
        longest: str
        jitter: float
        forget: str
        def __init__(self, consecutive: _Optional[int] = ..., rate: _Optional[float] = ..., rate_requests: _Optional[int] = ..., window: _Optional[str] = ..., base: _Optional[str] = ..., longest: _Optional[str] = ..., jitter: _Optional[float] = ..., forget: _Optional[str] = ...) -> None: ...
    class Objective(_message.Message):
        __slots__ = ("availability", "latency", "within")
        AVAILABILITY_FIELD_NUMBER: _ClassVar[int]
        LATENCY_FIELD_NUMBER: _ClassVar[int]
        WITHIN_FIELD_NUMBER: _ClassVar[int]
        availability: float
        latency: str
        within: float
        def __init__(self, availability: _Optional[float] = ..., latency: _Optional[str] = ..., within: _Optional[float] = ...) -> None: ...
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    LONGEST_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    STREAM_IDLE_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENT_FIELD_NUMBER: _ClassVar[int]
    RETRY_FIELD_NUMBER: _ClassVar[int]
    HEALTH_FIELD_NUMBER: _ClassVar[int]
    BALANCING_FIELD_NUMBER: _ClassVar[int]
    AFFINITY_FIELD_NUMBER: _ClassVar[int]
    LOCALITY_FIELD_NUMBER: _ClassVar[int]
    CONCURRENCY_FIELD_NUMBER: _ClassVar[int]
    SLOW_START_FIELD_NUMBER: _ClassVar[int]
    OBJECTIVE_FIELD_NUMBER: _ClassVar[int]
    timeout: str
    longest: str
    attempt_timeout: str
    stream_idle: str
    idempotent: bool
    retry: TrafficPolicy.Retry
    health: TrafficPolicy.Health
    balancing: str
    affinity: str
    locality: str
    concurrency: int
    slow_start: str
    objective: TrafficPolicy.Objective
    def __init__(self, timeout: _Optional[str] = ..., longest: _Optional[str] = ..., attempt_timeout: _Optional[str] = ..., stream_idle: _Optional[str] = ..., idempotent: _Optional[bool] = ..., retry: _Optional[_Union[TrafficPolicy.Retry, _Mapping]] = ..., health: _Optional[_Union[TrafficPolicy.Health, _Mapping]] = ..., balancing: _Optional[str] = ..., affinity: _Optional[str] = ..., locality: _Optional[str] = ..., concurrency: _Optional[int] = ..., slow_start: _Optional[str] = ..., objective: _Optional[_Union[TrafficPolicy.Objective, _Mapping]] = ...) -> None: ...
