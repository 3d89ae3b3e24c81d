"""Splits inside a host process: of what its services call, and of its pipelines' Routes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from inferloom.mesh.split import KIND, Split
from inferloom.services.host.describe import describe
from inferloom.v1 import mesh_pb2 as pb
from inferloom.v1 import mesh_pb2_grpc
from tests.support.caller import stub
from tests.support.host import WRITABLE, client, eventually, host_process, write_app
from tests.support.router import Server, running_mesh

SPEC: dict[str, Any] = {"arms": [{"name": "1", "share": 50}, {"name": "2", "share": 50}], "by": "user"}
USERS = [f"user-{number}" for number in range(12)]

APP = """
    from typing import Annotated

    import numpy as np
    import numpy.typing as npt

    from inferloom.sdk import model, pipeline, route, service, shape, step

    versioned = model("versioned")
    Row = Annotated[npt.NDArray[np.float32], shape(-1, 4)]


    @service
    async def outer(x: Row) -> Row:
        return (await versioned(x=x)).y


    @step
    def doubled(x: Row) -> Row:
        return x * 2


    @step
    def tripled(x: Row) -> Row:
        return x * 3


    @pipeline
    def ways(x: Row) -> Row:
        return route(by="user", arms={"a": (50, doubled(x)), "b": (50, tripled(x))})
"""


async def test_a_host_tells_and_records_what_its_services_and_routes_have_split(
    tmp_path: Path, pair: tuple[Server, Server]
) -> None:
    app, told = write_app(tmp_path / "splitting.py", APP), tmp_path / "told" / "exposures.jsonl"
    graph = {k: v for k, v in json.loads(describe(str(app)))["pipelines"]["ways"].items() if k != "name"}
    node = next(each["name"] for each in graph["nodes"] if "route" in each)
    async with running_mesh({"one": pair[0]}, server=WRITABLE) as mesh:
        await mesh.registry.documents.put(KIND, "versioned", SPEC)
        await mesh.registry.documents.put("pipeline", "ways", graph)
        address = str(mesh.address)
        async with host_process(tmp_path, address, str(app), "--pipelines", "--exposures", str(told)) as host:
            await eventually(lambda: {"outer", "ways"} <= mesh.router.pool.groups.keys())
            split = Split.from_json("versioned", SPEC)
            x = np.ones((1, 4), np.float32)
            async with client(address) as caller:
                for user in USERS:
                    await caller.infer("outer", {"x": x}, metadata={"user": user})
                    await caller.infer("ways", {"x": x}, metadata={"user": user})
            async with stub(mesh.address) as face:
                service: Any = mesh_pb2_grpc.MeshServiceStub(face.channel)  # type: ignore[no-untyped-call]
                inner = await service.SplitFigures(pb.SplitFiguresRequest(name="versioned"), timeout=5)
                route = await service.SplitFigures(pb.SplitFiguresRequest(name=f"ways.{node}"), timeout=5)
            arms = [split.arm(user).name for user in USERS]
            assert {arm.arm: arm.codes["OK"] for arm in inner.arms} == {arm: arms.count(arm) for arm in ("1", "2")}
            assert sum(arm.codes["OK"] for arm in route.arms) == len(USERS)
            assert [arm.arm for arm in route.arms] == ["a", "b"]
            async with stub(mesh.router.pool.groups["outer"].endpoints["host"].replica.address) as direct:
                alone: Any = mesh_pb2_grpc.MeshServiceStub(direct.channel)  # type: ignore[no-untyped-call]
                own = await alone.SplitFigures(pb.SplitFiguresRequest(name="versioned", alone=True), timeout=5)
                assert own.arms == inner.arms
            host.terminate()
            assert await host.ended() == 0
    lines = [json.loads(line) for line in told.read_text().splitlines()]
    assert [line["arm"] for line in lines if line["split"] == "versioned"] == arms
    assert sum(line["split"] == f"ways.{node}" for line in lines) == len(USERS)
