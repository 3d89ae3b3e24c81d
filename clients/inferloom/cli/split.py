"""`inferloom split`: who gets which version of a model or service, and what each arm has done."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from inferloom.cli.change import meant
from inferloom.cli.split_change import Change, split_after
from inferloom.cli.split_table import show_split, shown_arms
from inferloom.cli.state import author
from inferloom.mesh.errors import InvalidInput
from inferloom.mesh.registry.base import Document
from inferloom.mesh.registry.remote import RemoteRegistry
from inferloom.mesh.split import KIND, Split

__all__ = ["Change", "run_split"]


async def run_split(name: str, change: Change, asked: Sequence[str], *, mesh: str | None, token: str | None) -> None:
    """What the command does.

    Args:
        asked: of --undo, --history, --remove, --once and --json those that were given.

    Raises:
        InvalidInput: two things at once; see also the others here.
    """
    doing = [option for option in asked if option in _DOES]
    if len(doing) + bool(change) > 1 or (asked and change):
        together = [*asked, *(["a change"] if change else [])]
        raise InvalidInput(f"{' and '.join(together)}: one at a time")
    if change:
        await change_split(name, change, mesh=mesh, token=token)
    elif doing:
        await _DOES[doing[0]](name, mesh=mesh, token=token)
    else:
        await show_split(name, mesh, token, once="--once" in asked, json="--json" in asked)


async def change_split(name: str, change: Change, *, mesh: str | None, token: str | None) -> None:
    """Write the split, having checked that every arm is served.

    Raises:
        InvalidInput: the change contradicts itself, or names a version that is not served.
        Conflict: somebody else has changed it meanwhile.
        RegistryUnavailable: no mesh answers.
    """
    async with _registry(mesh, token) as registry:
        present = await registry.documents.get(KIND, name)
        split = split_after(name, change, present, registry.catalog)
        version = present.version if present is not None else 0
        await registry.documents.put(KIND, name, split.to_json(), expected_version=version, author=author())
        print(f"{name}: {shown_arms(split)}")
        if present is not None and present.spec is not None:
            print(f"{_moved(Split.from_json(name, present.spec), split):.1%} of the units have another arm than before")
        if split.by:
            print(f"send the unit as metadata, or HTTP header, '{split.by}'; requests without it are drawn one by one")


async def undo_split(name: str, *, mesh: str | None, token: str | None) -> None:
    """Take the last change back, ranges and all: everybody is where they were. Undone twice, it is as it is now."""
    async with _registry(mesh, token) as registry:
        history = await registry.documents.history(KIND, name)
        if not history:
            raise InvalidInput(f"'{name}' has no split, and had none: make one with inferloom split {name} 1=90 2=10")
        spec = history[-2].spec if len(history) > 1 else None
        now = history[-1]
        expected = now.version if now.spec is not None else 0
        if spec is None and now.spec is None:
            raise InvalidInput(
                f"the split of '{name}' was removed and there is nothing earlier: inferloom split {name} --history"
            )
        await registry.documents.put(KIND, name, spec, expected_version=expected, author=author())
        print(f"{name}: " + (shown_arms(Split.from_json(name, spec)) if spec is not None else "no split any more"))


async def remove_split(name: str, *, mesh: str | None, token: str | None) -> None:
    """Have no split: requests that name no version go to the oldest again."""
    async with _registry(mesh, token) as registry:
        present = await registry.documents.get(KIND, name)
        if present is None:
            raise InvalidInput(f"'{name}' has no split")
        await registry.documents.put(KIND, name, None, expected_version=present.version, author=author())
        print(f"{name}: no split any more; requests that name no version go to the oldest")


async def history_of(name: str, *, mesh: str | None, token: str | None) -> None:
    """Print every kept version of the split, newest first."""
    async with _registry(mesh, token) as registry:
        for document in reversed(await registry.documents.history(KIND, name)):
            print(_history_line(document))


@asynccontextmanager
async def _registry(mesh: str | None, token: str | None) -> AsyncIterator[RemoteRegistry]:
    state = meant(mesh, token)
    registry = RemoteRegistry(state.address, token=state.token)
    await registry.start()
    try:
        yield registry
    finally:
        await registry.close()


def _moved(before: Split, after: Split) -> float:
    """The part of the units that have another arm."""
    if before.salt != after.salt:
        return 1 - sum((next((b.part for b in before.arms if b.name == a.name), 0.0)) * a.part for a in after.arms)
    parts = {arm.name: arm.part for arm in before.arms}
    return sum(max(0.0, arm.part - parts.get(arm.name, 0.0)) for arm in after.arms)


def _history_line(document: Document) -> str:
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(document.time))
    what = shown_arms(Split.from_json(document.name, document.spec)) if document.spec is not None else "removed"
    return f"{document.version:4}  {when}  {document.author}  {what}"


_DOES = {"--undo": undo_split, "--history": history_of, "--remove": remove_split}
