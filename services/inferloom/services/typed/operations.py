"""What there is to call, for the OpenAPI document: asked of everything in the catalog at once."""

from __future__ import annotations

import asyncio

from inferloom.mesh.catalog import Kind
from inferloom.mesh.errors import InferloomError
from inferloom.services.answerer import Description
from inferloom.services.typed.faces import Faces
from inferloom.services.typed.model_schema import example_of, request_schema, response_schema
from inferloom.services.typed.openapi import Operation
from inferloom.services.typed.schema_example import example_of as example

__all__ = ["operations"]


async def operations(faces: Faces) -> tuple[dict[str, Operation], dict[str, str]]:
    """Of those that told what they take, and why the others did not; both by the name in the catalog."""
    models = faces.router.pool.catalog.models
    described, unanswered = await faces.descriptions.all()
    found = {name: Operation(each, models[name].kind, example(each.request)) for name, each in described.items()}
    unanswered = dict(unanswered)
    names = [name for name, model in models.items() if model.kind is Kind.MODEL]
    for name, told in zip(names, await asyncio.gather(*(_model(faces, name) for name in names)), strict=True):
        if isinstance(told, Operation):
            found[name] = told
        else:
            unanswered[name] = told
    return found, unanswered


async def _model(faces: Faces, name: str) -> Operation | str:
    try:
        served = await faces.of(name)
    except InferloomError as error:
        return str(error)
    face = served.face
    text = " ".join(face.comment) or f"The model {name}."
    told = Description(text, request_schema(face), response_schema(face), face.predict.streams)
    return Operation(told, Kind.MODEL, example_of(served))
