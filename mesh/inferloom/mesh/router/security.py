"""Who may call: TLS from files, and a bearer token."""

from __future__ import annotations

import hmac
import ssl
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from inferloom.mesh.errors import ConfigError, Unauthenticated

__all__ = ["Tls", "TokenInterceptor", "Tokens", "read_file", "read_token"]

OPEN = "/grpc.health.v1.Health/"  # health checks carry no token


def read_file(path: Path, option: str) -> bytes:
    """The file's bytes, or ConfigError naming the option."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{option}: cannot read {path}: {error.strerror or error}") from None


def read_token(path: Path, option: str = "--token-file") -> str:
    """The token in a file, less surrounding white space."""
    token = read_file(path, option).decode(errors="replace").strip()
    if not token.isascii() or len(token.split()) != 1:
        raise ConfigError(f"{option}: {path} must hold one line of ASCII, the token")
    return token


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """PEM files. With `client_ca` callers must show a certificate signed by it (mTLS)."""

    cert: Path
    key: Path
    client_ca: Path | None = None

    def server_credentials(self) -> grpc.ServerCredentials:
        """Raises ConfigError, naming the option, where a file cannot be read or holds something else."""
        self._check()
        pair = (read_file(self.key, "--tls-key"), read_file(self.cert, "--tls-cert"))
        ca = read_file(self.client_ca, "--tls-client-ca") if self.client_ca is not None else None
        return grpc.ssl_server_credentials([pair], ca, require_client_auth=ca is not None)

    def _check(self) -> None:
        """grpc says no more than that it could not listen."""
        read_file(self.key, "--tls-key")
        for path, option in ((self.cert, "--tls-cert"), (self.client_ca, "--tls-client-ca")):
            if path is not None:
                read_file(path, option)
                _certificates(path, option)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(self.cert, self.key, password="")
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                raise ConfigError(f"--tls-key: {self.key} is not the key of the certificate {self.cert}") from None
            raise ConfigError(f"--tls-key: {self.key} holds no private key in PEM, or one with a password") from None


def _certificates(path: Path, option: str) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(path)
    except ssl.SSLError:
        raise ConfigError(f"{option}: {path} holds no certificate in PEM") from None


class Tokens:
    """Bearer tokens, compared in constant time; false where there are none."""

    def __init__(self, tokens: Iterable[str]) -> None:
        self._expected = [f"Bearer {token}".encode() for token in tokens]

    def __bool__(self) -> bool:
        return bool(self._expected)

    def has(self, authorization: object) -> bool:
        """Whether the value of `authorization` is one of them."""
        given = str(authorization).encode(errors="surrogateescape")
        return any(hmac.compare_digest(given, expected) for expected in self._expected)


class TokenInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]
    """Refuses every call but health checks that does not carry `authorization: Bearer TOKEN`, one of the tokens."""

    def __init__(self, *tokens: str) -> None:
        self._tokens = Tokens(tokens)
        self._refuse = grpc.unary_unary_rpc_method_handler(_refuse)

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        handler = await continuation(handler_call_details)
        if handler is None or handler_call_details.method.startswith(OPEN):
            return handler
        for key, value in handler_call_details.invocation_metadata or ():
            if key == "authorization" and self._tokens.has(value):
                return handler
        if handler.request_streaming or handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(_refuse)
        return self._refuse


async def _refuse(request: Any, context: Any) -> Any:
    error = Unauthenticated("this mesh needs a token: send the metadata 'authorization: Bearer TOKEN'")
    await context.abort(error.code, str(error))
