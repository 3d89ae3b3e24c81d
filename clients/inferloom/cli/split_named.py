"""Which splits still send requests to a version that is to go."""

from __future__ import annotations

from inferloom.mesh.errors import InvalidInput
from inferloom.mesh.registry.base import Document, Documents
from inferloom.mesh.split import KIND
from inferloom.mesh.splits.spec import read

__all__ = ["check_not_split"]


async def check_not_split(documents: Documents, name: str, version: str | None) -> None:
    """For whoever takes a version of a model away, or (None) the whole model, whose own split goes with it.

    Raises:
        InvalidInput: a split still sends requests to it.
    """
    for document in (await _all(documents)).values():
        if document.spec is None:
            continue
        for arm in read(f"split '{document.name}'", document.spec).arms:
            target = arm.version or ("" if arm.model else arm.name)
            gone = version is None or target == version
            own = version is None and document.name == name
            if gone and not own and (arm.model or document.name) == name and (arm.share or arm.mirror):
                cure = f"--mirror {arm.name}=0" if arm.mirror else "OTHER=100"
                does = "copies requests to" if arm.mirror else "sends requests to"
                raise InvalidInput(
                    f"the split of '{document.name}' {does} {name}{f':{version}' if version else ''}: "
                    f"first inferloom split {document.name} {cure}"
                )


async def _all(documents: Documents) -> dict[str, Document]:
    watching = documents.watch(KIND)
    try:
        async for present in watching:
            return {key[1]: document for key, document in present.items()}
    finally:
        await watching.aclose()  # type: ignore[attr-defined]
    return {}
