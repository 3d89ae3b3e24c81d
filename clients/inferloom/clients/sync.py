"""The synchronous client: the asynchronous one on an event loop in a thread of its own.

So it works where a loop is already running (a notebook), and there is one implementation of everything.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import AsyncIterable, AsyncIterator, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self, TypeVar

from inferloom.clients.aio import MeshClient
from inferloom.clients.handle import one_or_named
from inferloom.clients.metadata import ModelInfo, ModelMetadata
from inferloom.clients.result import InferResult
from inferloom.clients.stream import InferStream, Requests
from inferloom.mesh.errors import InferloomError

__all__ = ["SyncMeshClient", "SyncModelHandle", "SyncStream"]

T = TypeVar("T")
_END = object()


class SyncMeshClient:
    """`MeshClient` without `await`; also inside a notebook, and from any number of threads.

        with SyncMeshClient("127.0.0.1:8081") as mesh:
            print(mesh.infer("digits-svm", {"pixels": pixels}).label)

    Args:
        address, **options: as of `MeshClient`. The methods take, return and raise what its methods of the same names do.
    """

    def __init__(self, address: str | None = None, **options: Any) -> None:
        self._client = MeshClient(address, **options)
        self._thread = _LoopThread()
        # At the interpreter's end too: gRPC complains about a channel whose loop has gone.
        self._finalizer = weakref.finalize(self, _shut, self._thread, self._client)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return repr(self._client).replace("MeshClient", "SyncMeshClient", 1)

    def close(self) -> None:
        """Close the connection and end the thread. Safe to call more than once."""
        self._finalizer()

    def infer(self, model: str, inputs: Any, **options: Any) -> InferResult:
        """As `MeshClient.infer`: version, timeout, metadata, outputs, parameters, request_id."""
        return self._thread.run(self._client.infer(model, inputs, **options))

    def stream(self, model: str, requests: Requests, **options: Any) -> SyncStream:
        """As `MeshClient.stream`; an iterable of requests is read in a thread, so it may wait."""
        return SyncStream(self._thread, self._client.stream(model, _threaded(requests), **options))

    def model(self, name: str, **options: Any) -> SyncModelHandle:
        """A handle: `digits = mesh.model("digits-svm")`, then `digits(pixels=array)`."""
        return SyncModelHandle(self, name, **options)

    def models(self, **options: Any) -> list[ModelInfo]:
        """As `MeshClient.models`."""
        return self._thread.run(self._client.models(**options))

    def metadata(self, model: str, **options: Any) -> ModelMetadata:
        """As `MeshClient.metadata`."""
        return self._thread.run(self._client.metadata(model, **options))

    def ready(self, model: str = "", **options: Any) -> bool:
        """As `MeshClient.ready`."""
        return self._thread.run(self._client.ready(model, **options))

    def live(self, **options: Any) -> bool:
        """As `MeshClient.live`."""
        return self._thread.run(self._client.live(**options))


@dataclass(frozen=True, slots=True)
class SyncModelHandle:
    """One model of a `SyncMeshClient`; see `ModelHandle`."""

    client: SyncMeshClient
    name: str
    version: str | int = ""
    timeout: float | None = None
    metadata: Any = None
    outputs: Sequence[str] = ()

    def options(self, **changes: Any) -> SyncModelHandle:
        """The same model with another version, timeout, metadata or outputs."""
        return replace(self, **changes)

    def __call__(self, /, *value: Any, **inputs: Any) -> InferResult:
        return self.client.infer(self.name, one_or_named(self.name, value, inputs), **self._own())

    def stream(self, requests: Requests, **options: Any) -> SyncStream:
        """As `SyncMeshClient.stream`."""
        return self.client.stream(self.name, requests, **(self._own() | options))

    def describe(self) -> ModelMetadata:
        """What it takes and gives."""
        return self.client.metadata(self.name, version=self.version)

    def ready(self) -> bool:
        return self.client.ready(self.name, version=self.version)

    def _own(self) -> dict[str, Any]:
        return {"version": self.version, "timeout": self.timeout, "metadata": self.metadata, "outputs": self.outputs}


class SyncStream(Iterator[InferResult]):
    """The answers of a stream; see `InferStream`. `close` (or `with`) ends it before its end."""

    def __init__(self, thread: _LoopThread, stream: InferStream) -> None:
        self._thread = thread
        self._stream = stream

    def __next__(self) -> InferResult:
        found = self._thread.run(_next(self._stream))
        if found is None:
            raise StopIteration
        return found

    def close(self) -> None:
        self._thread.run(self._stream.aclose())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _LoopThread:
    """An event loop running in a daemon thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="inferloom-client", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, waited for by the calling thread; Ctrl-C cancels it."""
        if self._loop.is_closed():
            work.close()
            raise InferloomError("this client is closed")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def end(self) -> None:
        if self._loop.is_closed():
            return
        self.run(self._finish())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _finish(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._loop.shutdown_asyncgens()


def _shut(thread: _LoopThread, client: MeshClient) -> None:
    thread.run(client.close())
    thread.end()


async def _next(stream: InferStream) -> InferResult | None:
    return await anext(stream, None)


def _threaded(requests: Requests) -> Requests:
    """An iterable as an async one whose items are fetched in a thread, so that one that waits holds up no other call."""
    single = isinstance(requests, (Mapping, AsyncIterable)) or hasattr(requests, "__array__")
    return requests if single or not isinstance(requests, Iterable) else _fetched(requests)


async def _fetched(requests: Iterable[Any]) -> AsyncIterator[Any]:
    iterator = iter(requests)
    while (inputs := await asyncio.to_thread(next, iterator, _END)) is not _END:
        yield inputs
