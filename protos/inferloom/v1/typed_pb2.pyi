from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class TypedRequest(_message.Message):
    __slots__ = ("model_name", "model_version", "json")
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    JSON_FIELD_NUMBER: _ClassVar[int]
    model_name: str
    model_version: str
    json: bytes
    def __init__(self, model_name: _Optional[str] = ..., model_version: _Optional[str] = ..., json: _Optional[bytes] = ...) -> None: ...

class TypedResponse(_message.Message):
    __slots__ = ("json",)
    JSON_FIELD_NUMBER: _ClassVar[int]
    json: bytes
    def __init__(self, json: _Optional[bytes] = ...) -> None: ...

class DescribeRequest(_message.Message):
    __slots__ = ("model_name", "model_version")
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    model_name: str
    model_version: str
    def __init__(self, model_name: _Optional[str] = ..., model_version: _Optional[str] = ...) -> None: ...

class DescribeResponse(_message.Message):
    __slots__ = ("description", "request_schema", "response_schema", "streams", "method")
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    description: str
    request_schema: str
    response_schema: str
    streams: bool
    method: str
    def __init__(self, description: _Optional[str] = ..., request_schema: _Optional[str] = ..., response_schema: _Optional[str] = ..., streams: _Optional[bool] = ..., method: _Optional[str] = ...) -> None: ...
