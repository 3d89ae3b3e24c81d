"""What a command line makes of a split."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from inferloom.mesh.catalog import Catalog
from inferloom.mesh.errors import InvalidInput, ModelNotFound
from inferloom.mesh.registry.base import Document
from inferloom.mesh.split import Arm, Split

__all__ = ["Change", "split_after"]


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
