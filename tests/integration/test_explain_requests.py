"""Why a request failed, was retried or was slow: over real Tritons and hosts, in trailing metadata and by its id."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import numpy as np
import pytest

from inferloom.mesh.catalog import Replica
from inferloom.mesh.oip import SERVICE
from inferloom.mesh.oip import pb as oip
from inferloom.mesh.policy import Locality, Objective, TrafficPolicy
from inferloom.mesh.registry.memory import MemoryRegistry
from inferloom.mesh.router.router import RouterSettings
from inferloom.services.typed.http import HttpFace
from inferloom.v1 import explain_pb2 as pb
from inferloom.v1 import explain_pb2_grpc
from tests.support.caller import echo_request, infer_request, slow_request, stub
from tests.support.faulty import Faulty, failing
from tests.support.host import eventually, running_host, write_app
from tests.support.router import LOOPBACK, Mesh, Server, running_mesh

Pair = tuple[Server, Server]
ASKED = ("x-inferloom-explain", "1")
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE

APP = """
    from typing import Annotated

    import numpy as np
    import numpy.typing as npt

    from inferloom.sdk import model, service, shape

    Row = Annotated[npt.NDArray[np.float32], shape(-1, 2)]
    echo = model("echo")


    @service
    async def twice(x: Row) -> Row:
        return (await echo(x=x)).y * 2


    @service
    async def broken(x: Row) -> Row:
        raise ValueError("no such thing")
"""


def member(name: str, model: str) -> dict[str, Any]:
    return {"name": name, "step": {"model": model, "inputs": {"x": "input.x"}}}


VOTES = {
    "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}],
    "outputs": [{"name": "out", "source": "votes.y"}],
    "nodes": [
        {
            "name": "votes",
            "ensemble": {
                "combine": "mean",
                "output": "y",
                "members": [member("echo", "echo"), member("late", "versioned")],
                "quorum": 1,
                "wait": "100ms",
            },
        }
    ],
}


@asynccontextmanager
async def explaining(mesh: Mesh) -> AsyncIterator[Any]:
    async with grpc.aio.insecure_channel(mesh.address) as channel:
        yield explain_pb2_grpc.ExplainServiceStub(channel)  # type: ignore[no-untyped-call]


async def answered(face: Any, request: Any, *metadata: tuple[str, str]) -> tuple[Any, dict[str, str]]:
    """The answer and its trailing metadata."""
    call = face.ModelInfer(request, metadata=metadata)
    return await call, dict(await call.trailing_metadata())


async def refused(face: Any, request: Any, *metadata: tuple[str, str]) -> tuple[grpc.aio.AioRpcError, dict[str, str]]:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await face.ModelInfer(request, metadata=metadata)
    trailing: Any = raised.value.trailing_metadata()
    return raised.value, dict(trailing or ())


def told(trailing: dict[str, str]) -> Any:
    text = trailing["x-inferloom-explain"]
    assert len(text) <= 4096
    assert "\n" not in text
    return json.loads(text)


async def test_a_retried_request_explains_both_attempts(pair: Pair) -> None:
    async with Faulty("bad", failing(UNAVAILABLE)) as bad, running_mesh({"good": pair[0]}) as mesh:
        await mesh.registry.register(Replica("echo", "bad", "127.0.0.1", bad.port, versions=("1",)))
        await known(mesh, "echo", 2)
        async with stub(mesh.address) as face, explaining(mesh) as explain:
            story: Any = {"attempts": ()}
            while len(story["attempts"]) < 2:
                _, trailing = await answered(face, echo_request(request_id="r-1"), ASKED)
                story = told(trailing)
            kept = await explain.Explain(pb.ExplainRequest(request_id="r-1"))
    first, second = story["attempts"]
    assert (first["replica"], first["code"], first["why"]) == ("bad", "UNAVAILABLE", "bad says UNAVAILABLE")
    assert (second["replica"], second["code"]) == ("good", "OK")
    assert (story["model"], story["version"], story["replica"], story["code"]) == ("echo", "1", "good", "OK")
    assert second["after_ms"] >= first["after_ms"] + first["ms"]
    layers = story["layers"]
    assert layers.keys() == {"admission", "split", "retry", "attempt"}
    assert sum(layers.values()) == pytest.approx(story["ms"], abs=0.5)
    assert layers["attempt"] == pytest.approx(first["ms"] + second["ms"], abs=0.01)
    assert (kept.kind, kept.process, len(kept.attempts)) == ("asked", "router", 2)


async def test_a_request_that_fails_is_found_by_the_id_in_its_error_and_by_its_own() -> None:
    async with Faulty("bad", failing(grpc.StatusCode.INTERNAL)) as bad, running_mesh() as mesh:
        await mesh.registry.register(Replica("echo", "bad", "127.0.0.1", bad.port, versions=("1",)))
        await mesh.settled()
        async with stub(mesh.address) as face, explaining(mesh) as explain:
            error, trailing = await refused(face, echo_request())
            found = await explain.Explain(pb.ExplainRequest(request_id=trailing["x-inferloom-request-id"]))
            _, named = await refused(face, echo_request(), ("x-request-id", "mine"))
            listed = await explain.ListRecent(pb.ListRecentRequest())
            with pytest.raises(grpc.aio.AioRpcError) as unknown:
                await explain.Explain(pb.ExplainRequest(request_id="nobody's"))
    assert (error.code(), error.details()) == (grpc.StatusCode.INTERNAL, "bad says INTERNAL")
    assert (found.kind, found.code, found.message) == ("failed", "INTERNAL", "bad says INTERNAL")
    assert [(each.replica, each.code) for each in found.attempts] == [("bad", "INTERNAL")]
    assert named["x-inferloom-request-id"] == "mine"
    assert [each.request_id for each in listed.requests] == ["mine", found.request_id]
    assert unknown.value.code() is grpc.StatusCode.NOT_FOUND
    assert "x-inferloom-explain: 1" in (unknown.value.details() or "")


async def test_replicas_passed_over_are_told_with_the_reason(pair: Pair) -> None:
    near = TrafficPolicy(locality=Locality.PREFER)
    settings = RouterSettings(zone="eu/a")
    async with running_mesh(settings=settings, policy=lambda _: near) as mesh:
        assert isinstance(mesh.registry, MemoryRegistry)
        for name, zone, port in (("here", "eu/a", pair[0].port), ("far", "eu/b", pair[1].port), ("dead", "eu/a", 9)):
            record = Replica("echo", name, "127.0.0.1", port, versions=("1",), locality=zone)
            await mesh.registry.register(record)
        await known(mesh, "echo", 3)
        async with stub(mesh.address) as face:
            story = told((await answered(face, echo_request(), ASKED))[1])
    assert story["replica"] == "here"
    why = {each["replica"]: each["why"] for each in story["passed_over"]}
    assert why["far"] == "in zone eu/b; eu/a is nearer"
    assert why["dead"].startswith("open (no connection to 127.0.0.1:9")


async def test_what_misses_its_objective_is_kept_without_being_asked_for(pair: Pair) -> None:
    promised = TrafficPolicy(objective=Objective(latency=0.5))
    async with running_mesh({"a": pair[0]}, policy=lambda _: promised) as mesh, stub(mesh.address) as face:
        _, quick = await answered(face, slow_request(0.0, 1, request_id="quick"))
        _, trailing = await answered(face, slow_request(0.6, 2, request_id="late"))
        async with explaining(mesh) as explain:
            listed = (await explain.ListRecent(pb.ListRecentRequest())).requests
    assert [(each.request_id, each.kind, each.replica) for each in listed] == [("late", "slow", "a")]
    assert listed[0].slow_over_ms == 500
    assert listed[0].layers["attempt"] > 600
    assert not {*quick, *trailing} & {"x-inferloom-explain", "x-inferloom-request-id"}


async def test_the_arm_of_a_split_is_told(pair: Pair) -> None:
    async with running_mesh({"a": pair[0]}) as mesh:
        arms = [{"name": "1", "share": 0}, {"name": "2", "share": 100}]
        await mesh.registry.documents.put("split", "versioned", {"arms": arms})
        await eventually(lambda: "versioned" in mesh.router.splitting.splits)
        async with stub(mesh.address) as face:
            story = told((await answered(face, echo_request(model="versioned"), ASKED))[1])
    assert (story["split"], story["arm"], story["version"]) == ("versioned", "2", "2")


async def test_over_http_the_explanation_is_a_header_of_the_response(pair: Pair) -> None:
    async with running_mesh({"a": pair[0]}) as mesh:
        face = HttpFace(mesh.router)
        address = await face.start(LOOPBACK)
        try:
            async with aiohttp.ClientSession() as session:
                url, body = f"http://{address}/v1/echo", {"rows": [{"x": [1.0, 2.0]}]}
                headers = {"X-Request-Id": "h-1", "X-Inferloom-Explain": "1"}
                async with session.post(url, json=body, headers=headers) as response:
                    assert response.status == 200, await response.text()
                    story = told(dict(response.headers))
                async with session.post(url, json=body) as response:
                    plain = dict(response.headers)
        finally:
            await face.close()
    assert (story["request_id"], story["model"], story["replica"]) == ("h-1", "echo", "a")
    assert "x-inferloom-explain" not in plain


async def test_a_pipelines_late_member_is_named_with_the_time_of_each_step(pair: Pair, tmp_path: Path) -> None:
    app = write_app(tmp_path / "explained.py", APP)

    async def silent(server: Faulty, request: Any, context: Any) -> Any:
        await asyncio.sleep(30)

    async with Faulty("mute", silent) as mute, running_mesh({"a": pair[0]}) as mesh:
        async with stub(pair[0].address) as triton:
            for method, ask in (("ModelMetadata", oip.ModelMetadataRequest), ("ModelConfig", oip.ModelConfigRequest)):
                answer = await getattr(triton, method)(ask(name="versioned"))
                mute.answers[f"/{SERVICE}/{method}"] = answer.SerializeToString()
        async with running_host(mesh.registry, app, pipelines=True) as host:
            await mesh.registry.documents.put("pipeline", "votes", VOTES)
            await eventually(lambda: "votes" in host.names)
            await mesh.registry.register(Replica("versioned", "mute", "127.0.0.1", mute.port, versions=("1",)))
            await hushed(mesh, "versioned", "a")
            async with stub(mesh.address) as face, explaining(mesh) as explain:
                x = np.array([[1.0, 2.0]], np.float32)
                _, trailing = await answered(face, infer_request("votes", "v-1", x=x), ASKED)
                story = told(trailing)
                kept = await explain.Explain(pb.ExplainRequest(request_id="v-1"))
                figures = await explain.Figures(pb.FiguresRequest())
                await service_calls(face, explain)
    inside = story["inside"]
    assert inside["notes"]["votes.late"] == "late"
    steps = {step["step"]: step for step in inside["steps"]}
    assert steps["votes.echo"]["code"] == "OK"
    assert steps["votes.echo"]["attempts"][0]["replica"] == "a"
    assert (steps["votes.late"]["code"], steps["votes.late"]["why"]) == (
        "CANCELLED",
        "late: the ensemble went on without it",
    )
    assert steps["votes.late"]["ms"] >= 95
    assert story["ms"] >= inside["ms"] >= steps["votes.late"]["ms"]
    assert kept.inside.process == host.router.settings.process
    (votes,) = figures.pipelines
    edges = {(edge.source, edge.target): edge.requests for edge in votes.edges}
    assert (votes.name, votes.requests, edges) == ("votes", 1, {("input", "votes"): 1, ("votes", "output"): 1})
    assert [(node.name, node.requests, node.late) for node in votes.nodes] == [("votes", 1, 1)]


async def service_calls(face: Any, explain: Any) -> None:
    """The calls inside a service are told; what fails in a host is found by the id that came with the error."""
    x = np.array([[1.0, 2.0]], np.float32)
    story = told((await answered(face, infer_request("twice", x=x), ASKED))[1])
    calls = [(each["model"], each.get("method"), each["code"]) for each in story["inside"]["attempts"]]
    assert sorted(calls[:-1]) == [("echo", "ModelConfig", "OK"), ("echo", "ModelMetadata", "OK")], "learnt once"
    assert calls[-1] == ("echo", None, "OK")
    error, trailing = await refused(face, infer_request("broken", x=x))
    assert error.details() == "ValueError: no such thing"
    kept = await explain.Explain(pb.ExplainRequest(request_id=trailing["x-inferloom-request-id"]))
    assert (kept.process, kept.inside.process != "router") == ("router", True)
    assert kept.inside.message == "ValueError: no such thing"


async def hushed(mesh: Mesh, model: str, name: str) -> None:
    """Take the replica that answers away, once the one that does not is known."""
    await known(mesh, model, 2)
    await mesh.registrations[model, name].deregister()
    await known(mesh, model, 1)


async def known(mesh: Mesh, model: str, count: int) -> None:
    """Return once the router has so many replicas of it, and knows whether they can be reached."""
    groups = mesh.router.pool.groups
    await eventually(lambda: model in groups and len(groups[model].endpoints) == count)
    await mesh.settled()
