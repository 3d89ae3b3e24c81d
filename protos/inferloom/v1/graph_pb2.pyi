from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Graph(_message.Message):
    __slots__ = ("name", "description", "inputs", "outputs", "nodes", "timeout", "types")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    TYPES_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    inputs: _containers.RepeatedCompositeFieldContainer[TensorType]
    outputs: _containers.RepeatedCompositeFieldContainer[Output]
    nodes: _containers.RepeatedCompositeFieldContainer[Node]
    timeout: str
    types: str
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., inputs: _Optional[_Iterable[_Union[TensorType, _Mapping]]] = ..., outputs: _Optional[_Iterable[_Union[Output, _Mapping]]] = ..., nodes: _Optional[_Iterable[_Union[Node, _Mapping]]] = ..., timeout: _Optional[str] = ..., types: _Optional[str] = ...) -> None: ...

class TensorType(_message.Message):
    __slots__ = ("name", "datatype", "shape", "optional", "default")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DATATYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    OPTIONAL_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_FIELD_NUMBER: _ClassVar[int]
    name: str
    datatype: str
    shape: _containers.RepeatedScalarFieldContainer[int]
    optional: bool
    default: _struct_pb2.Value
    def __init__(self, name: _Optional[str] = ..., datatype: _Optional[str] = ..., shape: _Optional[_Iterable[int]] = ..., optional: _Optional[bool] = ..., default: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ...) -> None: ...

class Output(_message.Message):
    __slots__ = ("name", "source", "datatype", "shape")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    DATATYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    name: str
    source: str
    datatype: str
    shape: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, name: _Optional[str] = ..., source: _Optional[str] = ..., datatype: _Optional[str] = ..., shape: _Optional[_Iterable[int]] = ...) -> None: ...

class Node(_message.Message):
    __slots__ = ("name", "step", "ensemble", "route")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    ENSEMBLE_FIELD_NUMBER: _ClassVar[int]
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    name: str
    step: Step
    ensemble: Ensemble
    route: Route
    def __init__(self, name: _Optional[str] = ..., step: _Optional[_Union[Step, _Mapping]] = ..., ensemble: _Optional[_Union[Ensemble, _Mapping]] = ..., route: _Optional[_Union[Route, _Mapping]] = ...) -> None: ...

class Step(_message.Message):
    __slots__ = ("model", "function", "version", "inputs", "constants", "parameters", "timeout", "attempts", "on_error")
    class InputsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class ConstantsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _struct_pb2.Value
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ...) -> None: ...
    class ParametersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _struct_pb2.Value
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ...) -> None: ...
    MODEL_FIELD_NUMBER: _ClassVar[int]
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    PASS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    CONSTANTS_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    ON_ERROR_FIELD_NUMBER: _ClassVar[int]
    model: str
    function: str
    version: str
    inputs: _containers.ScalarMap[str, str]
    constants: _containers.MessageMap[str, _struct_pb2.Value]
    parameters: _containers.MessageMap[str, _struct_pb2.Value]
    timeout: str
    attempts: int
    on_error: OnError
    def __init__(self, model: _Optional[str] = ..., function: _Optional[str] = ..., version: _Optional[str] = ..., inputs: _Optional[_Mapping[str, str]] = ..., constants: _Optional[_Mapping[str, _struct_pb2.Value]] = ..., parameters: _Optional[_Mapping[str, _struct_pb2.Value]] = ..., timeout: _Optional[str] = ..., attempts: _Optional[int] = ..., on_error: _Optional[_Union[OnError, _Mapping]] = ..., **kwargs) -> None: ...

class OnError(_message.Message):
    __slots__ = ("fail", "value", "model", "skip")
    FAIL_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    SKIP_FIELD_NUMBER: _ClassVar[int]
    fail: bool
    value: Values
    model: str
    skip: bool
    def __init__(self, fail: _Optional[bool] = ..., value: _Optional[_Union[Values, _Mapping]] = ..., model: _Optional[str] = ..., skip: _Optional[bool] = ...) -> None: ...

class Values(_message.Message):
    __slots__ = ("values",)
    class ValuesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _struct_pb2.Value
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ...) -> None: ...
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.MessageMap[str, _struct_pb2.Value]
    def __init__(self, values: _Optional[_Mapping[str, _struct_pb2.Value]] = ...) -> None: ...

class Ensemble(_message.Message):
    __slots__ = ("members", "combine", "output", "function", "model", "model_input", "quorum", "wait")
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    COMBINE_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MODEL_INPUT_FIELD_NUMBER: _ClassVar[int]
    QUORUM_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    members: _containers.RepeatedCompositeFieldContainer[Member]
    combine: str
    output: str
    function: str
    model: str
    model_input: str
    quorum: int
    wait: str
    def __init__(self, members: _Optional[_Iterable[_Union[Member, _Mapping]]] = ..., combine: _Optional[str] = ..., output: _Optional[str] = ..., function: _Optional[str] = ..., model: _Optional[str] = ..., model_input: _Optional[str] = ..., quorum: _Optional[int] = ..., wait: _Optional[str] = ...) -> None: ...

class Member(_message.Message):
    __slots__ = ("name", "step", "weight")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    name: str
    step: Step
    weight: float
    def __init__(self, name: _Optional[str] = ..., step: _Optional[_Union[Step, _Mapping]] = ..., weight: _Optional[float] = ...) -> None: ...

class Route(_message.Message):
    __slots__ = ("arms", "split", "rules", "output", "default")
    ARMS_FIELD_NUMBER: _ClassVar[int]
    SPLIT_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_FIELD_NUMBER: _ClassVar[int]
    arms: _containers.RepeatedCompositeFieldContainer[Arm]
    split: SplitBy
    rules: Rules
    output: str
    default: str
    def __init__(self, arms: _Optional[_Iterable[_Union[Arm, _Mapping]]] = ..., split: _Optional[_Union[SplitBy, _Mapping]] = ..., rules: _Optional[_Union[Rules, _Mapping]] = ..., output: _Optional[str] = ..., default: _Optional[str] = ...) -> None: ...

class Arm(_message.Message):
    __slots__ = ("name", "step", "share", "mirror", "when")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    MIRROR_FIELD_NUMBER: _ClassVar[int]
    WHEN_FIELD_NUMBER: _ClassVar[int]
    name: str
    step: Step
    share: float
    mirror: bool
    when: str
    def __init__(self, name: _Optional[str] = ..., step: _Optional[_Union[Step, _Mapping]] = ..., share: _Optional[float] = ..., mirror: _Optional[bool] = ..., when: _Optional[str] = ...) -> None: ...

class SplitBy(_message.Message):
    __slots__ = ("salt", "unit", "overrides")
    class OverridesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    SALT_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    OVERRIDES_FIELD_NUMBER: _ClassVar[int]
    salt: str
    unit: str
    overrides: _containers.ScalarMap[str, str]
    def __init__(self, salt: _Optional[str] = ..., unit: _Optional[str] = ..., overrides: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Rules(_message.Message):
    __slots__ = ("inputs",)
    class InputsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    inputs: _containers.ScalarMap[str, str]
    def __init__(self, inputs: _Optional[_Mapping[str, str]] = ...) -> None: ...
