"""A split that is in force, with what it has counted; and how a call is aimed at an arm."""

from __future__ import annotations

from inferloom.mesh.call import Call
from inferloom.mesh.oip import METHODS
from inferloom.mesh.split import Arm, Split
from inferloom.mesh.splits.figures import SplitFigures
from inferloom.mesh.wire import with_string

__all__ = ["LiveSplit", "aimed"]


class LiveSplit:
    """The last good document of one name."""

    __slots__ = ("figures", "since", "split", "version")

    def __init__(self, split: Split, version: int, since: float) -> None:
        self.figures = SplitFigures()
        self.since = since  # seconds since 1970
        self.follow(split, version)

    def __repr__(self) -> str:
        arms = ", ".join(f"{arm.name}={'mirror' if arm.mirror else arm.share}" for arm in self.split.arms)
        return f"<LiveSplit {self.split.name} {arms}, document {self.version}>"

    def follow(self, split: Split, version: int) -> None:
        """Take over a newer document."""
        self.split = split
        self.version = version
        self.figures.follow(split)


def aimed(call: Call, arm: Arm) -> Call:
    """The call with the arm's model and version, in the message as well: the last occurrence of a field wins."""
    method = METHODS[call.method]
    payload, version = call.payload, arm.target_version
    if arm.model:
        payload = with_string(payload, method.name_field, arm.model)
    if version:
        payload = with_string(payload, method.version_field, version)
    return call._replace(model=arm.model or call.model, version=version, payload=payload)
