"""One step of a pipeline, as one run of it went."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inferloom.mesh.explain.story import Story

__all__ = ["Step"]


class Step:
    """A call of a model or of a Python step, or the wait for a batch.

    Args:
        name: "node", or "node.member".
        calls: "model 'svm'"; "batch": it waited for one.
        story: of the call, which has the attempts; None: it calls no replica.
        code: name of the status code; CANCELLED where nobody waited for it any longer.
        why: it failed.
        rows: of the batch; 0: it was none.
        requests: that shared it.
    """

    __slots__ = ("began", "calls", "code", "ended", "name", "requests", "rows", "story", "why")

    def __init__(
        self,
        name: str,
        calls: str,
        began: float,
        ended: float,
        story: Story | None = None,
        code: str = "OK",
        why: str = "",
        rows: int = 0,
        requests: int = 1,
    ) -> None:
        self.name = name
        self.calls = calls
        self.began = began
        self.ended = ended
        self.story = story
        self.code = code
        self.why = why
        self.rows = rows
        self.requests = requests

    def __repr__(self) -> str:
        return f"<Step {self.name} {self.calls} {(self.ended - self.began) * 1e3:.2f} ms>"
