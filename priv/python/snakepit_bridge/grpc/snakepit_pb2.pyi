from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Codec(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CODEC_JSON: _ClassVar[Codec]
    CODEC_MSGPACK: _ClassVar[Codec]

class StreamShape(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STREAM_SHAPE_ANY: _ClassVar[StreamShape]
    STREAM_SHAPE_SERVER: _ClassVar[StreamShape]
    STREAM_SHAPE_CLIENT: _ClassVar[StreamShape]
    STREAM_SHAPE_BIDI: _ClassVar[StreamShape]
CODEC_JSON: Codec
CODEC_MSGPACK: Codec
STREAM_SHAPE_ANY: StreamShape
STREAM_SHAPE_SERVER: StreamShape
STREAM_SHAPE_CLIENT: StreamShape
STREAM_SHAPE_BIDI: StreamShape

class ExecuteRequest(_message.Message):
    __slots__ = ("command", "args", "timeout_ms", "request_id", "codec", "metadata")
    class ArgsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: bytes
        def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    ARGS_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    CODEC_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    command: str
    args: _containers.ScalarMap[str, bytes]
    timeout_ms: int
    request_id: str
    codec: Codec
    metadata: _containers.ScalarMap[str, str]
    def __init__(self, command: _Optional[str] = ..., args: _Optional[_Mapping[str, bytes]] = ..., timeout_ms: _Optional[int] = ..., request_id: _Optional[str] = ..., codec: _Optional[_Union[Codec, str]] = ..., metadata: _Optional[_Mapping[str, str]] = ...) -> None: ...

class SessionRequest(_message.Message):
    __slots__ = ("session_id", "command", "args", "timeout_ms", "request_id", "codec", "metadata")
    class ArgsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: bytes
        def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    ARGS_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    CODEC_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    command: str
    args: _containers.ScalarMap[str, bytes]
    timeout_ms: int
    request_id: str
    codec: Codec
    metadata: _containers.ScalarMap[str, str]
    def __init__(self, session_id: _Optional[str] = ..., command: _Optional[str] = ..., args: _Optional[_Mapping[str, bytes]] = ..., timeout_ms: _Optional[int] = ..., request_id: _Optional[str] = ..., codec: _Optional[_Union[Codec, str]] = ..., metadata: _Optional[_Mapping[str, str]] = ...) -> None: ...

class ExecuteResponse(_message.Message):
    __slots__ = ("success", "result", "error", "timestamp", "codec", "detail")
    class ResultEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: bytes
        def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    CODEC_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    success: bool
    result: _containers.ScalarMap[str, bytes]
    error: str
    timestamp: int
    codec: Codec
    detail: ErrorDetail
    def __init__(self, success: bool = ..., result: _Optional[_Mapping[str, bytes]] = ..., error: _Optional[str] = ..., timestamp: _Optional[int] = ..., codec: _Optional[_Union[Codec, str]] = ..., detail: _Optional[_Union[ErrorDetail, _Mapping]] = ...) -> None: ...

class StreamResponse(_message.Message):
    __slots__ = ("is_final", "chunk", "error", "timestamp", "codec", "detail", "ack")
    class ChunkEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: bytes
        def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
    IS_FINAL_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    CODEC_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    ACK_FIELD_NUMBER: _ClassVar[int]
    is_final: bool
    chunk: _containers.ScalarMap[str, bytes]
    error: str
    timestamp: int
    codec: Codec
    detail: ErrorDetail
    ack: int
    def __init__(self, is_final: bool = ..., chunk: _Optional[_Mapping[str, bytes]] = ..., error: _Optional[str] = ..., timestamp: _Optional[int] = ..., codec: _Optional[_Union[Codec, str]] = ..., detail: _Optional[_Union[ErrorDetail, _Mapping]] = ..., ack: _Optional[int] = ...) -> None: ...

class ErrorDetail(_message.Message):
    __slots__ = ("type", "message", "traceback", "retryable", "kind")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    TRACEBACK_FIELD_NUMBER: _ClassVar[int]
    RETRYABLE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    type: str
    message: str
    traceback: str
    retryable: bool
    kind: str
    def __init__(self, type: _Optional[str] = ..., message: _Optional[str] = ..., traceback: _Optional[str] = ..., retryable: bool = ..., kind: _Optional[str] = ...) -> None: ...

class StreamRequest(_message.Message):
    __slots__ = ("start", "chunk", "abort", "half_close", "ack")
    START_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    ABORT_FIELD_NUMBER: _ClassVar[int]
    HALF_CLOSE_FIELD_NUMBER: _ClassVar[int]
    ACK_FIELD_NUMBER: _ClassVar[int]
    start: StreamStart
    chunk: StreamChunk
    abort: str
    half_close: HalfClose
    ack: int
    def __init__(self, start: _Optional[_Union[StreamStart, _Mapping]] = ..., chunk: _Optional[_Union[StreamChunk, _Mapping]] = ..., abort: _Optional[str] = ..., half_close: _Optional[_Union[HalfClose, _Mapping]] = ..., ack: _Optional[int] = ...) -> None: ...

class HalfClose(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StreamStart(_message.Message):
    __slots__ = ("command", "session_id", "args", "timeout_ms", "request_id", "codec", "metadata", "window", "max_buffer", "shape")
    class ArgsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: bytes
        def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    ARGS_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    CODEC_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    MAX_BUFFER_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    command: str
    session_id: str
    args: _containers.ScalarMap[str, bytes]
    timeout_ms: int
    request_id: str
    codec: Codec
    metadata: _containers.ScalarMap[str, str]
    window: int
    max_buffer: int
    shape: StreamShape
    def __init__(self, command: _Optional[str] = ..., session_id: _Optional[str] = ..., args: _Optional[_Mapping[str, bytes]] = ..., timeout_ms: _Optional[int] = ..., request_id: _Optional[str] = ..., codec: _Optional[_Union[Codec, str]] = ..., metadata: _Optional[_Mapping[str, str]] = ..., window: _Optional[int] = ..., max_buffer: _Optional[int] = ..., shape: _Optional[_Union[StreamShape, str]] = ...) -> None: ...

class StreamChunk(_message.Message):
    __slots__ = ("chunk",)
    class ChunkEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: bytes
        def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    chunk: _containers.ScalarMap[str, bytes]
    def __init__(self, chunk: _Optional[_Mapping[str, bytes]] = ...) -> None: ...

class LaneRequest(_message.Message):
    __slots__ = ("id", "execute", "session", "cancel")
    ID_FIELD_NUMBER: _ClassVar[int]
    EXECUTE_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    CANCEL_FIELD_NUMBER: _ClassVar[int]
    id: int
    execute: ExecuteRequest
    session: SessionRequest
    cancel: LaneCancel
    def __init__(self, id: _Optional[int] = ..., execute: _Optional[_Union[ExecuteRequest, _Mapping]] = ..., session: _Optional[_Union[SessionRequest, _Mapping]] = ..., cancel: _Optional[_Union[LaneCancel, _Mapping]] = ...) -> None: ...

class LaneCancel(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class LaneReply(_message.Message):
    __slots__ = ("id", "response", "part")
    ID_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    id: int
    response: ExecuteResponse
    part: LanePart
    def __init__(self, id: _Optional[int] = ..., response: _Optional[_Union[ExecuteResponse, _Mapping]] = ..., part: _Optional[_Union[LanePart, _Mapping]] = ...) -> None: ...

class LanePart(_message.Message):
    __slots__ = ("data", "last", "size")
    DATA_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    last: bool
    size: int
    def __init__(self, data: _Optional[bytes] = ..., last: bool = ..., size: _Optional[int] = ...) -> None: ...

class HealthRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class HealthResponse(_message.Message):
    __slots__ = ("healthy", "worker_id", "uptime_ms", "active_requests", "total_requests", "python_version", "bridge_version", "transport", "codecs", "rss_bytes", "commands", "lane", "credit")
    HEALTHY_FIELD_NUMBER: _ClassVar[int]
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    UPTIME_MS_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    PYTHON_VERSION_FIELD_NUMBER: _ClassVar[int]
    BRIDGE_VERSION_FIELD_NUMBER: _ClassVar[int]
    TRANSPORT_FIELD_NUMBER: _ClassVar[int]
    CODECS_FIELD_NUMBER: _ClassVar[int]
    RSS_BYTES_FIELD_NUMBER: _ClassVar[int]
    COMMANDS_FIELD_NUMBER: _ClassVar[int]
    LANE_FIELD_NUMBER: _ClassVar[int]
    CREDIT_FIELD_NUMBER: _ClassVar[int]
    healthy: bool
    worker_id: str
    uptime_ms: int
    active_requests: int
    total_requests: int
    python_version: str
    bridge_version: str
    transport: str
    codecs: _containers.RepeatedScalarFieldContainer[Codec]
    rss_bytes: int
    commands: _containers.RepeatedScalarFieldContainer[str]
    lane: bool
    credit: bool
    def __init__(self, healthy: bool = ..., worker_id: _Optional[str] = ..., uptime_ms: _Optional[int] = ..., active_requests: _Optional[int] = ..., total_requests: _Optional[int] = ..., python_version: _Optional[str] = ..., bridge_version: _Optional[str] = ..., transport: _Optional[str] = ..., codecs: _Optional[_Iterable[_Union[Codec, str]]] = ..., rss_bytes: _Optional[int] = ..., commands: _Optional[_Iterable[str]] = ..., lane: bool = ..., credit: bool = ...) -> None: ...
