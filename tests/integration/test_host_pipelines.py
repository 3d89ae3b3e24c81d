"""Pipelines beside services in one host."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from inferloom.mesh.catalog import Kind, State
from inferloom.services.host.describe import describe
from tests.support.host import client, eventually, running_host, write_app
from tests.support.router import Server, running_mesh

APP = """
    from typing import Annotated

    import numpy as np
    import numpy.typing as npt

    from inferloom.sdk import model, pipeline, service, shape, step

    echo = model("echo")
    Row = Annotated[npt.NDArray[np.float32], shape(-1, 4)]


    @step
    def doubled(x: Row) -> Row:
        return x * 2


    @service
    async def minus(x: Row) -> Row:
        return x - 1


    @pipeline
    def chain(x: Row) -> Row:
        return minus(echo(x=doubled(x)).y)
"""


async def test_a_pipeline_of_a_step_a_model_and_a_service_is_served_and_follows_the_code(
    tmp_path: Path, pair: tuple[Server, Server]
) -> None:
    app = write_app(tmp_path / "chained.py", APP)
    async with running_mesh() as mesh, running_host(mesh.registry, app, pipelines=True, reload=True) as host:
        graph: Any = {k: v for k, v in json.loads(describe(str(app)))["pipelines"]["chain"].items() if k != "name"}
        await mesh.registry.documents.put("pipeline", "chain", graph)
        await eventually(lambda: "chain" in host.problems)
        replica = mesh.registry.catalog.models["chain"].replicas[0]
        assert (replica.kind, replica.state) == (Kind.PIPELINE, State.STARTING)
        assert "echo" in replica.problem

        await mesh.join("a", pair[0])
        await eventually(lambda: mesh.registry.catalog.models["chain"].ready)
        assert host.problems == {}
        async with client(mesh.address) as caller:
            x = np.arange(4, dtype=np.float32)[None, :]
            assert (await caller.infer("chain", {"x": x}))["result"].tolist() == [[-1, 1, 3, 5]]

            app.write_text(app.read_text().replace("x * 2", "x * 3").replace("x - 1", "x - 2"))
            await eventually(lambda: host.names == ["chain", "minus"])
            while (await caller.infer("chain", {"x": x}))["result"].tolist() != [[-2, 1, 4, 7]]:
                continue
