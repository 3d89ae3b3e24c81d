"""What there is to say about documents that are not wrong: a policy that a gateway keeps to nearly, or that names nobody."""

from __future__ import annotations

import difflib
from collections.abc import Collection

from inferloom.cli.documents.written import Written
from inferloom.cli.up.documents import NAMED, POLICY
from inferloom.mesh.planes import warnings

__all__ = ["remarks"]

_GATEWAY = "with gateway: envoy, "  # how a warning begins; the path of the field it is about follows


def remarks(file: Written, served: Collection[str] | None, *, gateway: bool = True) -> list[str]:
    """A line for each, beginning with the place.

    Args:
        served: names in the mesh; None where no mesh was asked.
        gateway: whether Envoy may be in front of the mesh; False: it is known that none is.
    """
    found = []
    beside = {name for kind, name in file.documents if kind in NAMED}
    for (kind, name), spec in file.documents.items():
        if kind != POLICY:
            continue
        policy = f"policy '{name}'"
        if served is not None and name not in beside and name not in served:
            near = difflib.get_close_matches(name, {*served, *beside}, 1, 0.5)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            found.append(f"{file.place((kind, name))}: {policy}: nothing of that name is served now{hint}")
        for line in warnings(spec) if gateway else ():
            field = line.removeprefix(_GATEWAY).partition(" ")[0]
            found.append(f"{file.field((kind, name), field)}: {policy}: {line}")
    return found
