"""ACLs and TLS of a real Consul, and what the registry says where they are in the way."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from inferloom.mesh.clock import SYSTEM
from inferloom.mesh.errors import ConfigError, Forbidden, InferloomError, RegistryUnavailable, Unauthenticated
from inferloom.mesh.registry.consul import ConsulRegistry
from inferloom.mesh.registry.consul.pace import retrying
from tests.support.consul import Consul, ConsulFactory, Health, eventually, replica
from tests.support.documents_contract import first

pytest_plugins = ("tests.support.consul_fixtures",)

Make = Callable[..., ConsulRegistry]
ROOT = "6b1c9d51-4d3f-4a0e-9d4f-1b7c4f7e3a55"
DOCS = Path(__file__).parents[2] / "docs" / "consul.md"


def documented_policy(role: str) -> str:
    """The policy that docs/consul.md gives for a role."""
    text = DOCS.read_text()
    block = text.split(f"<!-- policy: {role} -->")[1].split("```hcl\n")[1]
    return block.split("```")[0]


@pytest.fixture
async def guarded(consul_with: ConsulFactory) -> Consul:
    acl = {"enabled": True, "default_policy": "deny", "tokens": {"master": ROOT}}
    consul = await consul_with({"acl": acl})
    async for attempt in retrying(SYSTEM, random.Random(), attempts=40, on=InferloomError):
        with attempt:
            try:
                await consul.ask("GET", "acl/tokens", token=ROOT)
            except AssertionError as error:
                raise RegistryUnavailable("the ACLs are not ready yet") from error
    return consul


async def token(consul: Consul, rules: str) -> str:
    name = f"policy-{random.getrandbits(32)}"
    policy = await consul.ask("PUT", "acl/policy", {"Name": name, "Rules": rules}, ROOT)
    made = await consul.ask("PUT", "acl/token", {"Policies": [{"ID": policy["ID"]}]}, ROOT)
    return str(made["SecretID"])


async def test_the_documented_policies_suffice(guarded: Consul, registries: Make, sidecar_health: Health) -> None:
    sidecar = registries(address=guarded.address, token=await token(guarded, documented_policy("sidecar")))
    router = registries(address=guarded.address, token=await token(guarded, documented_policy("router")))
    operator = registries(address=guarded.address, token=await token(guarded, documented_policy("operator")))
    await router.start()
    assert await first(router.documents.watch()) == {}
    registration = await sidecar.register(replica(check=sidecar_health.address))
    await sidecar.start()
    await eventually(router, lambda c: "iris" in c.models and c.models["iris"].ready)
    sidecar_health.serving = False
    await eventually(router, lambda c: not c.models["iris"].ready, 6.0)
    await sidecar._registrar._assert()
    await operator.documents.put("policy", "iris", {"retries": 1})
    assert await router.documents.get("policy", "iris") is not None
    assert len(await router.documents.history("policy", "iris")) == 1
    with pytest.raises(Forbidden, match=r'`key_prefix "inferloom/" \{ policy = "write" \}`'):
        await router.documents.put("policy", "iris", {"retries": 2})
    with pytest.raises(Forbidden):
        await router.register(replica("other"))
    await registration.deregister()
    await eventually(router, lambda c: not c.models)


async def test_what_is_missing_is_named(guarded: Consul, registries: Make) -> None:
    with pytest.raises(Forbidden, match=r"no token is set \(CONSUL_HTTP_TOKEN\) and anonymous lacks `key_prefix"):
        await registries(address=guarded.address).start()
    rules = 'key_prefix "inferloom/" { policy = "write" }'
    keys = registries(address=guarded.address, token=await token(guarded, rules))
    with pytest.raises(Forbidden, match=r'the token lacks `session_prefix "" \{ policy = "write" \}`'):
        await keys.register(replica())
    rules += 'session_prefix "" { policy = "write" }'
    sessions = registries(address=guarded.address, token=await token(guarded, rules))
    with pytest.raises(Forbidden, match=r'the token lacks `service "iris" \{ policy = "write" \}`'):
        await sessions.register(replica())
    unknown = registries(address=guarded.address, token="00000000-0000-0000-0000-00000000bad0")
    with pytest.raises(Unauthenticated, match="does not know the token: check CONSUL_HTTP_TOKEN"):
        await unknown.start()


async def test_the_environment_tells_where_consul_is_and_who_we_are(
    guarded: Consul, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "token"
    secret.write_text(await token(guarded, documented_policy("router")) + "\n")
    monkeypatch.setenv("CONSUL_HTTP_ADDR", guarded.address)
    monkeypatch.setenv("CONSUL_HTTP_TOKEN_FILE", str(secret))
    monkeypatch.setenv("INFERLOOM_STATE", str(tmp_path))
    registry = ConsulRegistry.from_environment()
    await registry.start()
    assert registry.catalog.fresh
    await registry.close()
    (snapshot,) = (tmp_path / "registry").iterdir()
    assert secret.read_text().strip() not in snapshot.read_text() + snapshot.name
    monkeypatch.setenv("CONSUL_HTTP_TOKEN", "00000000-0000-0000-0000-00000000bad0")
    given = ConsulRegistry(guarded.address, token=secret.read_text().strip(), snapshot=None)
    await given.start()  # py-consul alone would take the variable's
    await given.close()


async def test_mutual_tls(consul_with: ConsulFactory, registries: Make, tmp_path: Path) -> None:
    authority = trustme.CA()
    server, client = authority.issue_cert("127.0.0.1"), authority.issue_cert("router@mesh")
    files = {name: tmp_path / f"{name}.pem" for name in ("ca", "server", "server-key", "client", "client-key")}
    authority.cert_pem.write_to_path(files["ca"])
    for name, leaf in (("server", server), ("client", client)):
        leaf.cert_chain_pems[0].write_to_path(files[name])
        leaf.private_key_pem.write_to_path(files[f"{name}-key"])
    consul = await consul_with(
        {
            "ports": {"https": (port := _free_port())},
            "ca_file": str(files["ca"]),
            "cert_file": str(files["server"]),
            "key_file": str(files["server-key"]),
            "verify_incoming_https": True,
        }
    )
    address = f"https://127.0.0.1:{port}"
    both = {"ca": files["ca"], "cert": files["client"], "key": files["client-key"]}
    registry = registries(address=address, **both)
    await registry.start()
    registration = await registry.register(replica())
    await eventually(registry, lambda c: "iris" in c.models)
    await registration.deregister()
    with pytest.raises(RegistryUnavailable, match="CONSUL_CACERT"):
        await registries(address=address).start(0.5)
    with pytest.raises(RegistryUnavailable, match="CONSUL_CLIENT_CERT"):
        await registries(address=address, ca=files["ca"]).start(0.5)
    with pytest.raises(ConfigError, match=r"client-key\.pem\) cannot be used"):
        await registries(address=address, ca=files["client-key"]).start(0.5)
    with pytest.raises(RegistryUnavailable, match=r"write https://127\.0\.0\.1"):
        await registries(address=f"http://127.0.0.1:{port}").start(0.5)
    with pytest.raises(RegistryUnavailable, match="no TLS with Consul at"):
        await registries(address=f"https://{consul.address}", ca=files["ca"]).start(0.5)


async def test_something_else_than_consul_is_recognised(registries: Make) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nX-Consul-Index: 1\r\n\r\n<html>")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(RegistryUnavailable, match="is it one"):
            await registries(address=f"127.0.0.1:{port}").start(0.5)


def _free_port() -> int:
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
