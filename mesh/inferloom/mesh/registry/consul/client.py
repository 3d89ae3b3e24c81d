"""Questions to one Consul agent: py-consul's calls, blocking queries and transactions, with our errors."""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from consul import base
from consul.callback import CB
from consul.exceptions import ACLPermissionDenied, ConsulException

from inferloom.mesh.errors import RegistryUnavailable
from inferloom.mesh.registry.consul.errors import not_consul, refused
from inferloom.mesh.registry.consul.http import CONNECTIONS, AioConsul
from inferloom.mesh.registry.consul.settings import ConsulSettings

__all__ = ["Answer", "Committed", "ConsulClient", "operation"]

LATE = 5.0  # seconds beyond its wait after which a blocking query is given up
SPREAD = 1.0 / 16.0  # Consul itself adds up to this part to a wait


@dataclass(frozen=True, slots=True)
class Answer:
    """A read's answer, not parsed. `found` is False where there is no such key."""

    index: int
    body: bytes
    found: bool


@dataclass(frozen=True, slots=True)
class Committed:
    """A transaction's outcome; where it was rolled back, `errors` has what was wrong."""

    done: bool
    results: Sequence[dict[str, Any]] = ()
    errors: Sequence[str] = ()


class ConsulClient:
    """One agent. Connections are few, and opened with the first question.

    Every method raises RegistryUnavailable where no agent or leader answers, Forbidden or Unauthenticated where the
    ACLs say no, InvalidInput where Consul finds the request wrong.
    """

    def __init__(self, settings: ConsulSettings, *, connections: int = CONNECTIONS) -> None:
        self.settings = settings
        self._connections = connections
        self._consul: AioConsul | None = None

    @property
    def _open(self) -> AioConsul:
        if self._consul is None:
            self._consul = AioConsul(self.settings, self._connections)
        return self._consul

    async def close(self) -> None:
        if self._consul is not None:
            consul, self._consul = self._consul, None
            await consul.close()

    async def call(self, ask: Callable[[Any], Awaitable[Any]], needs: str) -> Any:
        """One of py-consul's calls, with its result.

        Args:
            needs: the ACL rule it needs, for the error message.
        """
        try:
            return await ask(self._open)
        except ConsulException as error:
            raise refused(self.settings, error, needs) from error

    async def read(
        self, path: str, params: Sequence[tuple[str, str]], *, needs: str, index: int = 0, wait: float = 0.0
    ) -> Answer:
        """GET; with an `index`, a blocking query that returns after `wait` seconds at the latest.

        An index means nothing to another Consul, and a restarted one is another: so a question with an index goes over
        the connection of the question before, and where that is gone it fails like any other lost connection. For that
        the client must have one connection and one user.
        """
        query: list[tuple[str, str]] = list(params)
        timeout = LATE
        if index:
            query += [("index", str(index)), ("wait", f"{round(wait * 1000)}ms")]
            timeout += wait * (1.0 + SPREAD)

        def take(response: base.Response) -> Answer:
            if response.code != 404:
                CB._status(response._replace(body=response.body[:500].decode(errors="replace")))
            return Answer(_index(response.headers.get("X-Consul-Index")), response.body, response.code == 200)

        def ask(consul: Any) -> Any:
            headers = consul.prepare_headers()
            return consul.http.get(
                take, path, query, headers=headers, raw=True, connections_timeout=timeout, same_connection=index > 0
            )

        answer: Answer = await self.call(ask, needs)
        return answer

    async def transaction(self, operations: Sequence[dict[str, Any]], *, needs: str) -> Committed:
        """All of these, or none. (py-consul's own `txn.put` sends no token.)"""

        def take(response: base.Response) -> Committed:
            if response.code == 409:
                errors = [error["What"] for error in json.loads(response.body)["Errors"] or ()]
                if denied := next((what for what in errors if "ermission denied" in what), None):
                    raise ACLPermissionDenied(denied)
                return Committed(False, errors=errors)
            results = CB.json()(response)["Results"] or ()
            return Committed(True, [result["KV"] for result in results])

        data = json.dumps([{"KV": operation} for operation in operations])

        def ask(consul: Any) -> Any:
            return consul.http.put(take, "/v1/txn", data=data, headers=consul.prepare_headers())

        committed: Committed = await self.call(ask, needs)
        return committed

    def not_consul(self, error: ValueError) -> RegistryUnavailable:
        """What answers does not speak as Consul does."""
        return not_consul(self.settings, error)


def operation(verb: str, key: str, value: bytes | None = None, **more: object) -> dict[str, Any]:
    """One operation on a key within a transaction."""
    found: dict[str, Any] = {"Verb": verb, "Key": key, **more}
    if value is not None:
        found["Value"] = base64.b64encode(value).decode()
    return found


def _index(header: str | None) -> int:
    return int(header) if header is not None and header.isdigit() else 0
