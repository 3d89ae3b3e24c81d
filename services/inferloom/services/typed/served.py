"""One name of the catalog with its typed face, ready to be called by JSON and by messages."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from inferloom.clients.metadata import ModelMetadata
from inferloom.services.answerer import Description
from inferloom.services.proto.face import Face
from inferloom.services.typed.classes import message_classes
from inferloom.services.typed.model_json import ModelJson
from inferloom.services.typed.model_messages import ModelMessages
from inferloom.services.typed.service_messages import ServiceMessages

__all__ = ["Served"]


@dataclass(frozen=True)
class Served:
    """What it takes and gives. A model has metadata, a service or pipeline has a description."""

    face: Face
    metadata: ModelMetadata | None = None
    described: Description | None = None
    numbered: bool = True  # False: its fields' numbers may be others, for the mesh's documents could not be read

    @cached_property
    def classes(self) -> dict[str, Any]:
        """Its message classes by name."""
        return message_classes(self.face)

    @cached_property
    def json(self) -> ModelJson:
        """Of a model."""
        return ModelJson(self.face)

    @cached_property
    def messages(self) -> ModelMessages:
        """Of a model."""
        predict = self.face.predict
        return ModelMessages(self.face, self.classes[predict.request], self.classes[predict.response])

    @cached_property
    def service_messages(self) -> ServiceMessages:
        """Of a service or pipeline."""
        return ServiceMessages(self.face, self.classes)
