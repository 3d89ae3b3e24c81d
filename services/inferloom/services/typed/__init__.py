"""Users' types: what a function takes and gives, as tensors and as JSON.

    annotation                                      tensor              JSON
    bytes                                           BYTES [1]           base64
    str                                             BYTES [1]           text
    int, float, bool                                INT64, FP64, BOOL [1]
    list[T] of these                                ... [-1]            a list
    Annotated[NDArray[np.float32], shape(-1, 64)]   FP32 [-1,64]        nested lists
    NDArray[np.float32]                             FP32, any shape     nested lists
    anything else that pydantic reads and writes    BYTES [1] of JSON   as pydantic has it

A dataclass, pydantic model or NamedTuple as the result is one output per field; any other result is one named `result`.
"""

from inferloom.services.typed.python_types import types_of
from inferloom.services.typed.shape import Shape, shape
from inferloom.services.typed.tensor_types import tensor_types
from inferloom.services.typed.types import Types

__all__ = ["Shape", "Types", "shape", "tensor_types", "types_of"]
