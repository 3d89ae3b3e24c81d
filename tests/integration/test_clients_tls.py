"""TLS and mutual TLS against a real Triton."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from inferloom.sdk import MeshClient, Unreachable
from tests.support.client_models import DOUBLE
from tests.support.triton import running_triton, write_model

CONFIG = """max_batch_size: 8
input [{ name: "x" data_type: TYPE_FP32 dims: [4] }]
output [{ name: "y" data_type: TYPE_FP32 dims: [4] }]
"""


@dataclass
class Secured:
    """A Triton that asks for certificates, and the files to reach it."""

    grpc: str
    ca: Path
    cert: Path
    key: Path
    other_ca: Path


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("tls")
    authority, other = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    other.cert_pem.write_to_path(folder / "other.pem")
    for name, leaf in (("server", authority.issue_cert("localhost")), ("client", authority.issue_cert("client"))):
        leaf.private_key_pem.write_to_path(folder / f"{name}.key")
        leaf.cert_chain_pems[0].write_to_path(folder / f"{name}.pem")
    write_model(folder / "models", "double", CONFIG, DOUBLE)
    extra = (
        "--load-model=*",
        "--grpc-use-ssl=true",
        "--grpc-use-ssl-mutual=true",
        f"--grpc-server-cert={folder}/server.pem",
        f"--grpc-server-key={folder}/server.key",
        f"--grpc-root-cert={folder}/ca.pem",
    )
    with running_triton(folder / "models", folder / "triton.log", extra=extra) as server:
        address = f"localhost:{server.grpc.rpartition(':')[2]}"
        yield Secured(address, folder / "ca.pem", folder / "client.pem", folder / "client.key", folder / "other.pem")


async def test_a_client_with_a_certificate_is_let_in(secured: Secured) -> None:
    async with MeshClient(secured.grpc, ca=secured.ca, cert=secured.cert, key=secured.key) as mesh:
        assert (await mesh.infer("double", [1, 2, 3, 4])).y.tolist() == [[2, 4, 6, 8]]


async def test_a_server_of_another_authority_is_refused(secured: Secured) -> None:
    async with MeshClient(secured.grpc, ca=secured.other_ca, cert=secured.cert, key=secured.key) as mesh:
        with pytest.raises(
            Unreachable, match=f"the certificate of {secured.grpc} is not signed by the authority in ca="
        ):
            await mesh.infer("double", [1])


async def test_a_name_that_is_not_in_the_certificate_is_refused_and_can_be_told(secured: Secured) -> None:
    address = secured.grpc.replace("localhost", "127.0.0.1")
    options = {"ca": secured.ca, "cert": secured.cert, "key": secured.key}
    async with MeshClient(address, **options) as mesh:  # type: ignore[arg-type]
        with pytest.raises(Unreachable, match="is for another host: give its name as server_name="):
            await mesh.infer("double", [1])
    async with MeshClient(address, server_name="localhost", **options) as mesh:  # type: ignore[arg-type]
        assert await mesh.ready("double")


async def test_without_a_certificate_or_without_tls_there_is_no_connection(secured: Secured) -> None:
    for options in ({"ca": secured.ca}, {}):
        async with MeshClient(secured.grpc, **options) as mesh:  # type: ignore[arg-type]
            with pytest.raises(Unreachable, match="TLS"):
                await mesh.infer("double", [1])
