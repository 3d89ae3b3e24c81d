"""Asks a model what it takes and gives: ModelMetadata and ModelConfig of the protocol."""

from __future__ import annotations

import asyncio
from typing import Any

from grpc import StatusCode

from inferloom.clients.metadata import ModelMetadata
from inferloom.mesh.call import Call
from inferloom.mesh.errors import InferloomError
from inferloom.mesh.oip import METHODS, SERVICE, pb
from inferloom.mesh.router.router import Router

__all__ = ["ask_metadata"]

PATIENCE = 5.0  # seconds for a replica to answer
METADATA = METHODS[f"/{SERVICE}/ModelMetadata"]
CONFIG = METHODS[f"/{SERVICE}/ModelConfig"]


async def ask_metadata(router: Router, name: str, version: str = "") -> ModelMetadata:
    """As one of its replicas tells it, of a version or of the one that answers where none is named.

    Raises:
        InferloomError: none tells within five seconds; ModelNotFound, NoReplica as for any call.
    """
    metadata, config = await asyncio.gather(
        _ask(router, METADATA.path, pb.ModelMetadataRequest(name=name, version=version), name, version),
        _config(router, name, version),
    )
    response = pb.ModelMetadataResponse.FromString(metadata)
    return ModelMetadata.of(response, config)


async def _config(router: Router, name: str, version: str) -> Any | None:
    """None where the server has no such method."""
    try:
        answer = await _ask(router, CONFIG.path, pb.ModelConfigRequest(name=name, version=version), name, version)
    except InferloomError as error:
        if error.code is StatusCode.UNIMPLEMENTED:
            return None
        raise
    return pb.ModelConfigResponse.FromString(answer).config


async def _ask(router: Router, path: str, request: Any, name: str, version: str) -> bytes:
    deadline = router.clock.now() + PATIENCE
    reply = await router(Call(name, version, path, request.SerializeToString(), (), deadline))
    return reply.payload
