"""What happens to one request, written down as it goes and made readable only where somebody asks.

The request path appends plain tuples; a story that nobody asks for costs less than a microsecond. It travels in a context
variable, so whatever works for the request finds it: the router's layers, a pipeline's steps, the calls inside a service.
(Dapper, Google 2010, is the idea of following one request everywhere; here one process remembers the few that matter.)
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from grpc import StatusCode

from inferloom.mesh.call import Call, Metadata, Reply
from inferloom.mesh.errors import InferloomError

__all__ = ["ASKED", "ID_KEY", "KEY", "LEFT", "Step", "Story", "current_story"]

KEY = "x-inferloom-explain"  # in the request: 1; in the trailing metadata: the explanation
ID_KEY = "x-inferloom-request-id"  # trailing metadata: by which `inferloom explain` finds it
ASKED = (KEY, "1")
MOST = 64  # attempts that are written down: a service may make any number of calls
LEFT = "the caller went away, or its deadline passed"


class Story:
    """One request.

    Args:
        began: on the process's clock.
        asked: whether the caller wants to be told.
        hosted: of a service or pipeline: its attempts are calls that were made inside of it.

    Attributes:
        attempts: `(endpoint, method, model, version, code, why, began, ended)`; code None: the caller went away.
        admitted, entered: when it had passed admission, and when the layer of retries took it; 0: it did not get there.
        trailing: metadata for the answer, set when the story has ended.
        over: the request has ended; a task that it began may go on.
        inside: JSON that the last host to answer told of its part; "": none did.
    """

    split = arm = ""
    admitted = entered = 0.0
    attempts: tuple[tuple[Any, str, str, str, StatusCode | None, str, float, float], ...] = ()
    steps: list[Step] | tuple[()] = ()
    notes: Mapping[str, str] = {}
    passed_over: tuple[tuple[str, str], ...] = ()
    trailing: Metadata = ()
    inside = ""
    over = False

    def __init__(self, began: float, asked: bool = False, hosted: bool = False) -> None:
        self.began = began
        self.asked = asked
        self.hosted = hosted

    def __repr__(self) -> str:
        return f"<Story attempts={len(self.attempts)} steps={len(self.steps)}{' asked' if self.asked else ''}>"

    def attempted(
        self,
        endpoint: Any,
        call: Call,
        code: StatusCode | None,
        error: InferloomError | None,
        began: float,
        ended: float,
        reply: Reply | None,
    ) -> None:
        """An attempt at a replica has ended.

        Args:
            endpoint: of the router: `replica` is read.
            reply, error: one of them; a host tells in its trailing metadata what it knows.
        """
        if len(self.attempts) < MOST:
            why = "" if error is None else str(error)
            self.attempts += ((endpoint, call.method, call.model, call.version, code, why, began, ended),)
        if self.asked:
            self._listen(reply.trailing if reply is not None else getattr(error, "trailing", ()))

    def _listen(self, trailing: Metadata) -> None:
        for key, value in trailing:
            if key == KEY and isinstance(value, str):
                self.inside = value


current_story: ContextVar[Story | None] = ContextVar("inferloom_story", default=None)


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
