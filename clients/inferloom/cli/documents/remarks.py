"""What there is to say about documents that are not wrong: a policy that a gateway keeps to nearly, or that names nobody."""

from __future__ import annotations

import difflib
from collections.abc import Collection

from inferloom.cli.documents.written import Written
from inferloom.cli.up.documents import NAMED, POLICY
from inferloom.mesh.planes import warnings

__all__ = ["remarks"]


def remarks(file: Written, served: Collection[str] | None) -> list[str]:
    """A line for each, beginning with the place.

    Args:
        served: names in the mesh; None where no mesh was asked.
    """
    found = []
    beside = {name for kind, name in file.documents if kind in NAMED}
    for (kind, name), spec in file.documents.items():
        if kind != POLICY:
            continue
        where = f"{file.place((kind, name))}: policy '{name}'"
        if served is not None and name not in beside and name not in served:
            near = difflib.get_close_matches(name, {*served, *beside}, 1, 0.5)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            found.append(f"{where}: nothing of that name is served now{hint}")
        found += [f"{where}: {line}" for line in warnings(spec)]
    return found
