"""`inferloom control` as a command: what it refuses, in one line."""

from __future__ import annotations

import asyncio
import sys

import pytest

from inferloom.mesh.listen import free_port

WITHOUT = "import sys; sys.modules['envoy_data_plane'] = None; from inferloom.cli.main import main; main()"
STATIC = ("control", "--registry", "static:iris=127.0.0.1:1", "--admin", "127.0.0.1:0")


async def run(*argv: str) -> tuple[int | None, str]:
    """Exit status, and what it says on stderr."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, *argv, stdout=pipe, stderr=pipe)
    _, error = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, error.decode()


@pytest.mark.parametrize(
    ("argv", "status", "says"),
    [
        (("-c", WITHOUT, *STATIC), 2, "pip install 'inferloom[edge]'"),
        (("-m", "inferloom.cli", *STATIC, "--grpc", "0.0.0.0:0"), 2, "a control plane listens on loopback"),
        (("-m", "inferloom.cli", *STATIC, "--router", "nowhere"), 2, "--router: 'nowhere' is no HOST:PORT"),
        (
            ("-m", "inferloom.cli", "control", "status", "--control", f"127.0.0.1:{free_port()}"),
            3,
            "start one with `inferloom control`",
        ),
    ],
    ids=["without envoy-data-plane", "reachable from elsewhere", "a wrong address", "status of nobody"],
)
async def test_what_cannot_be_is_said_in_one_line(argv: tuple[str, ...], status: int, says: str) -> None:
    code, error = await run(*argv)
    assert code == status
    assert says in error
    assert len(error.strip().splitlines()) == 1
