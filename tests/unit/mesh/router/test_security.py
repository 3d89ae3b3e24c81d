from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from inferloom.mesh.errors import ConfigError
from inferloom.mesh.router.security import Tls, TokenInterceptor, read_token

METHOD = "/inference.GRPCInferenceService/ModelInfer"
HEALTH = "/grpc.health.v1.Health/Check"


@pytest.mark.parametrize("text", ["secret", "secret\n", "  secret \n\n"])
def test_a_token_is_the_files_text_less_white_space(tmp_path: Path, text: str) -> None:
    (tmp_path / "token").write_text(text)
    assert read_token(tmp_path / "token") == "secret"


@pytest.mark.parametrize("text", ["", "\n", "clé", "two\nlines", "two words"])
def test_what_cannot_be_sent_as_a_token_names_the_option(tmp_path: Path, text: str) -> None:
    (tmp_path / "token").write_text(text)
    with pytest.raises(ConfigError, match=r"--token-file: .* must hold one line of ASCII"):
        read_token(tmp_path / "token")


def test_a_missing_file_names_its_option(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--token-file: cannot read .*token: No such file"):
        read_token(tmp_path / "token")
    with pytest.raises(ConfigError, match="--tls-key: cannot read"):
        Tls(cert=tmp_path / "cert", key=tmp_path / "key").server_credentials()


async def handler(request: Any, context: Any) -> bytes:
    return b"answer"


UNARY = grpc.unary_unary_rpc_method_handler(handler)
STREAM = grpc.stream_stream_rpc_method_handler(handler)


async def intercepted(metadata: tuple[tuple[str, str], ...], method: str = METHOD, found: Any = UNARY) -> Any:
    async def continuation(details: Any) -> Any:
        return found

    details: Any = SimpleNamespace(method=method, invocation_metadata=metadata)
    return await TokenInterceptor("secret").intercept_service(continuation, details)


async def test_a_call_with_the_token_passes() -> None:
    assert await intercepted((("x", "y"), ("authorization", "Bearer secret"))) is UNARY
    assert await intercepted((("authorization", "Bearer secret"),), found=STREAM) is STREAM


@pytest.mark.parametrize(
    "metadata",
    [(), (("authorization", "Bearer wrong"),), (("authorization", "secret"),), (("authorization", "Bearer sécret"),)],
    ids=["none", "wrong", "no Bearer", "not ASCII"],
)
@pytest.mark.parametrize("found", [UNARY, STREAM], ids=["unary", "stream"])
async def test_one_without_it_is_refused_in_its_own_manner(metadata: tuple[tuple[str, str], ...], found: Any) -> None:
    refusing = await intercepted(metadata, found=found)
    assert refusing is not found
    assert (refusing.request_streaming, refusing.response_streaming) == (
        found.request_streaming,
        found.response_streaming,
    )

    class Aborted(Exception):
        pass

    class Context:
        async def abort(self, code: grpc.StatusCode, text: str) -> None:
            assert code is grpc.StatusCode.UNAUTHENTICATED
            assert "authorization: Bearer TOKEN" in text
            raise Aborted

    behaviour = refusing.stream_stream if found is STREAM else refusing.unary_unary
    with pytest.raises(Aborted):
        await behaviour(b"", Context())


async def test_health_checks_need_no_token_and_unknown_methods_stay_unknown() -> None:
    assert await intercepted((), HEALTH) is UNARY
    assert await intercepted((), found=None) is None
