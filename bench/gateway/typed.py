"""A model's typed call beside the same call by tensors; descriptors come by reflection, so nothing is generated."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from bench.gateway.paired import OPTIONS, Ask, wide
from bench.paths import HOST
from bench.wire import METHOD, MODEL, VALUES, request

__all__ = ["typed"]


@contextlib.contextmanager
def typed(port: int, model: str, size: int) -> Iterator[tuple[Ask, Ask]]:
    """(by tensors, by the typed service) on one connection each; `size` bytes of numbers where the model is not the tiny one.

    Raises:
        RuntimeError: they do not answer alike.
    """
    with contextlib.ExitStack() as stack:
        plain: Any = stack.enter_context(grpc.insecure_channel(f"{HOST}:{port}", options=OPTIONS))
        other: Any = stack.enter_context(grpc.insecure_channel(f"{HOST}:{port}", options=OPTIONS))
        database = ProtoReflectionDescriptorDatabase(other)
        name = f"inferloom.models.{model}.v1.{model.capitalize()}Service"
        method = DescriptorPool(database).FindServiceByName(name).methods_by_name["Predict"]
        message = GetMessageClass(method.input_type)()
        if model == MODEL:
            message.rows.add().x.extend(VALUES)
        else:
            message.x.extend([1.5] * (size // 4))
        encoded = message.SerializeToString()
        tensors = request() if model == MODEL else wide(model, size)
        by_tensors, by_type = plain.unary_unary(METHOD), other.unary_unary(f"/{name}/Predict")
        answer = GetMessageClass(method.output_type).FromString(by_type(encoded, timeout=20.0))
        found = list(answer.rows[0].y) if model == MODEL else [answer.y]
        wanted = [2 * value for value in VALUES] if model == MODEL else [1.5]
        if found != wanted:
            raise RuntimeError(f"{name}: answered {found}, not {wanted}")
        yield lambda: by_tensors(tensors, timeout=20.0), lambda: by_type(encoded, timeout=20.0)
