"""`inferloom split`: who gets which version of a model or service, and what each arm has done."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from inferloom.cli.split_table import show_split, shown_arms
from inferloom.cli.state import author, find
from inferloom.mesh.catalog import Catalog
from inferloom.mesh.errors import InvalidInput, ModelNotFound
from inferloom.mesh.registry.base import Document, Documents
from inferloom.mesh.registry.remote import RemoteRegistry
from inferloom.mesh.split import KIND, Arm, Split
from inferloom.mesh.splits.spec import read

__all__ = ["Change", "check_not_split", "run_split", "split_after"]


@dataclass(frozen=True, slots=True)
class Change:
    """What the command line asks for; None, or empty: as it is."""

    arms: tuple[str, ...] = ()  # ARM=SHARE: all arms there shall be
    mirrors: tuple[str, ...] = ()  # ARM=PERCENT of the requests; 0: no more
    overrides: tuple[str, ...] = ()  # UNIT=ARM; UNIT= takes one out
    by: str | None = None
    salt: str | None = None

    def __bool__(self) -> bool:
        return self != Change()


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


def split_after(name: str, change: Change, present: Document | None, catalog: Catalog) -> Split:
    """The split that a change leads to. Whoever can stay in their arm does.

    Raises:
        ModelNotFound: there is no such model.
        InvalidInput: see `change_split`.
    """
    model = catalog.models.get(name)
    if model is None:
        raise ModelNotFound(name, catalog.near(name))
    before = Split.from_json(name, present.spec) if present is not None and present.spec is not None else None
    known = {arm.name: arm for arm in before.arms} if before is not None else {}
    shares = dict(_pairs(change.arms, "ARM=SHARE, as 1=90"))
    mirrors = dict(_pairs(change.mirrors, "--mirror ARM=PERCENT, as 3=100"))
    if not shares and before is None:
        oldest = next(iter(model.versions), "1")
        shares = {oldest: 100.0}
    arms = [replace(_arm(arm, name, known, catalog), share=share, mirror=False) for arm, share in shares.items()]
    arms = arms or [arm for arm in known.values() if not arm.mirror]
    kept = [arm for arm in known.values() if arm.mirror and arm.name not in mirrors and arm.name not in shares]
    for arm, percent in mirrors.items():
        if not 0 <= percent <= 100:
            raise InvalidInput(f"--mirror {arm}={percent:g}: percent of the requests, 0 to 100")
        if arm in {each.name for each in arms}:
            raise InvalidInput(f"--mirror {arm}: version {arm} has a share already; a mirror's answers reach nobody")
        if percent:
            kept.append(replace(_arm(arm, name, known, catalog), share=0.0, mirror=True, sample=percent / 100))
    overrides = dict(before.overrides) if before is not None else {}
    for text in change.overrides:
        unit, separator, arm = text.partition("=")
        if not separator or not unit:
            raise InvalidInput(f"--override {text!r} is no UNIT=ARM, as u17=2")
        overrides.pop(unit, None)
        if arm:
            overrides[unit] = arm
    by = change.by if change.by is not None else before.by if before is not None else ""
    salt = change.salt if change.salt is not None else before.salt if before is not None else ""
    split = Split.of(name, [*arms, *kept], salt=salt, by=by, overrides=overrides, previous=before)
    for each in split.arms:
        _check_served(each, name, catalog)
    return split


async def check_not_split(documents: Documents, name: str, version: str) -> None:
    """For whoever takes a version of a model away.

    Raises:
        InvalidInput: a split still sends requests to it.
    """
    for document in (await _all(documents)).values():
        if document.spec is None:
            continue
        for arm in read(f"split '{document.name}'", document.spec).arms:
            target = arm.version or ("" if arm.model else arm.name)
            if (arm.model or document.name, target) == (name, version) and (arm.share or arm.mirror):
                cure = f"--mirror {arm.name}=0" if arm.mirror else "OTHER=100"
                does = "copies requests to" if arm.mirror else "sends requests to"
                raise InvalidInput(
                    f"the split of '{document.name}' {does} {name}:{version}: first inferloom split {document.name} {cure}"
                )


async def _all(documents: Documents) -> dict[str, Document]:
    watching = documents.watch(KIND)
    try:
        async for present in watching:
            return {key[1]: document for key, document in present.items()}
    finally:
        await watching.aclose()  # type: ignore[attr-defined]
    return {}


@asynccontextmanager
async def _registry(mesh: str | None, token: str | None) -> AsyncIterator[RemoteRegistry]:
    state = find(mesh, token)
    registry = RemoteRegistry(state.address, token=state.token)
    await registry.start()
    try:
        yield registry
    finally:
        await registry.close()


def _pairs(texts: Sequence[str], form: str) -> Iterable[tuple[str, float]]:
    seen = set()
    for text in texts:
        name, separator, number = text.partition("=")
        try:
            value = float(number.removesuffix("%"))
        except ValueError:
            separator = ""
        if not separator or not name:
            raise InvalidInput(f"{text!r} is no {form}")
        if name in seen:
            raise InvalidInput(f"{text!r}: '{name}' is there twice")
        seen.add(name)
        yield name, value


def _arm(arm: str, name: str, known: dict[str, Arm], catalog: Catalog) -> Arm:
    """The arm that a word on the command line means: one there is, a version, or another model."""
    if arm in known:
        return known[arm]
    model = catalog.models[name]
    if arm not in model.versions and arm in catalog.models and arm != name:
        return Arm(arm, model=arm)
    return Arm(arm)


def _check_served(arm: Arm, name: str, catalog: Catalog) -> None:
    target, version = arm.model or name, arm.target_version
    model = catalog.models.get(target)
    if model is None:
        raise ModelNotFound(target, catalog.near(target))
    usable = [replica for replica in model.replicas if replica.usable]
    if any(not version or not replica.versions or replica.serves(version) for replica in usable):
        return
    have = ", ".join(model.versions) or "none"
    cure = f"add it: inferloom add FILE --as {target}:{version}"
    raise InvalidInput(f"version {version} of '{target}' is not served (versions: {have}); {cure}")


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
