from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest

from inferloom.clients.metadata import ModelMetadata, TensorSpec
from inferloom.mesh.errors import RegistryUnavailable
from inferloom.mesh.registry.base import Document, Documents
from inferloom.mesh.registry.memory import MemoryRegistry
from inferloom.services.proto.face import Face
from inferloom.services.proto.keep import keep, lock_of
from inferloom.services.proto.lock import KIND
from inferloom.services.proto.model import model_face


def build(name: str, *datatypes: str) -> Any:
    inputs = tuple(TensorSpec(f"x{number}", datatype, (1,)) for number, datatype in enumerate(datatypes))

    def face(part: str, taken: Collection[str]) -> Face:
        return model_face(ModelMetadata(name, ("1",), "", inputs, (), 0), taken=taken, part=part)

    return face


@pytest.fixture
def documents() -> Documents:
    return MemoryRegistry().documents


async def test_numbers_are_written_once_and_kept(documents: Documents) -> None:
    await keep(documents, "m", build("m", "FP32", "FP32"))
    face = await keep(documents, "m", build("m", "FP32"))
    assert face.message("PredictRequest").reserved.names == ("x1",)
    assert await keep(documents, "m", build("m", "FP32")) == face
    assert len(await documents.history(KIND, "m")) == 2


async def test_what_breaks_stubs_is_served_as_the_next_package_and_stays_there(documents: Documents) -> None:
    await keep(documents, "m", build("m", "FP32"))
    face = await keep(documents, "m", build("m", "INT64"))
    assert face.package == "inferloom.models.m.v2"
    assert await keep(documents, "m", build("m", "INT64")) == face


async def test_names_that_would_share_a_package_do_not_whichever_comes_first(documents: Documents) -> None:
    first = await keep(documents, "a-b", build("a-b", "FP32"))
    second = await keep(documents, "a_b", build("a_b", "FP32"))
    assert (first.package, second.package) == ("inferloom.models.a_b.v1", "inferloom.models.a_b_2.v1")
    assert await keep(documents, "a-b", build("a-b", "FP32")) == first


async def test_a_lock_that_cannot_be_read_begins_anew(documents: Documents) -> None:
    document = await documents.put(KIND, "m", {"format": 9})
    assert lock_of(document) is None
    face = await keep(documents, "m", build("m", "FP32"))
    assert lock_of(await documents.get(KIND, "m")) is not None
    assert face.major == 1


async def test_numbers_that_cannot_be_written_are_as_they_would_have_been(documents: Documents) -> None:
    class ReadOnly:
        get, watch = documents.get, documents.watch

        async def put(self, *_: Any, **__: Any) -> Document:
            raise RegistryUnavailable("no")

    face = await keep(ReadOnly(), "m", build("m", "FP32"))  # type: ignore[arg-type]
    assert face == await keep(documents, "m", build("m", "FP32"))


async def test_two_routers_at_once_agree(documents: Documents) -> None:
    class Late:
        get, watch = documents.get, documents.watch
        others = 0

        async def put(self, *args: Any, **more: Any) -> Document:
            if not self.others:
                self.others += 1
                await keep(documents, "m", build("m", "FP32", "FP32"))
            return await documents.put(*args, **more)

    face = await keep(Late(), "m", build("m", "FP32"))  # type: ignore[arg-type]
    assert face.message("PredictRequest").reserved.names == ("x1",)
