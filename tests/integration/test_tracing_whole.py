"""One trace from Envoy through a pipeline, a service and the router inside the host into Triton."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from inferloom.sidecar.flags import trace_flags
from tests.support.caller import infer_request, stub
from tests.support.edge import running_edge
from tests.support.host import eventually, running_host, write_app
from tests.support.otlp import Traces, traces_received
from tests.support.router import running_mesh, running_server
from tests.support.traced import Asked, asked, tracing_as

APP = """
    from typing import Annotated

    import numpy as np
    import numpy.typing as npt

    from inferloom.sdk import model, service, shape

    echo = model("echo")
    Row = Annotated[npt.NDArray[np.float32], shape(-1, 2)]


    @service
    async def twice(x: Row) -> Row:
        first = await echo(x=x)
        second = await echo(x=first.y)
        return second.y


    @service
    async def headers(x: Row) -> str:
        return (await echo(x=x))["parameters"][0, 0].decode()
"""
GRAPH = {
    "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}],
    "outputs": [{"name": "y", "source": "doubled.result"}],
    "nodes": [{"name": "doubled", "step": {"model": "twice", "inputs": {"x": "input.x"}}}],
}
RPC = "inference.GRPCInferenceService/ModelInfer"
ECHO = f"""\
              inferloom-host  call echo  internal  model=echo
                inferloom-host  {RPC}  client  model=echo
                  triton  InferRequest  server
                    triton  echo  server
                      triton  compute  server
"""


def triton_flags(traces: Traces) -> list[str]:
    """Spans at once, and the headers but user-agent for the model."""
    return [flag.replace("delay=1000", "delay=50") for flag in trace_flags(traces.http)] + [
        "--grpc-header-forward-pattern=^[^u]"
    ]


async def test_a_call_of_a_pipeline_is_one_tree_from_the_edge_to_triton(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0")
    app = write_app(tmp_path / "whole_app.py", APP)
    with (
        traces_received() as traces,
        running_server(tmp_path / "one", ("echo",), triton_flags(traces)) as one,
        tracing_as("host", traces) as inside,
    ):
        async with (
            running_mesh({"one": one}) as mesh,
            running_host(mesh.registry, app, inside, pipelines=True) as host,
            running_edge(mesh, control_options=["--otlp", traces.grpc.removeprefix("http://")]) as gateway,
            stub(gateway.address) as face,
        ):
            await mesh.registry.documents.put("pipeline", "whole", GRAPH)
            await eventually(lambda: "whole" in host.names)
            await gateway.edge.reaches("whole")
            request = infer_request("whole", x=np.ones((1, 2), np.float32))
            await face.ModelInfer(request, timeout=20)  # it learns what the model takes

            async def ask() -> Asked:
                caller = asked()
                await face.ModelInfer(request, metadata=caller.metadata, timeout=20)
                return caller

            expected = f"""
inferloom-edge  ingress  server  model=whole
  inferloom-edge  router model/whole egress  client  model=whole
    inferloom-host  {RPC}  server  model=whole
      inferloom-host  node doubled  internal
        inferloom-host  call twice  internal  model=twice
          inferloom-host  {RPC}  client  model=twice
            inferloom-host  {RPC}  server  model=twice
{ECHO}{ECHO}"""
            await traces.whole(ask, expected, "model")

            await gateway.edge.reaches("headers")
            request = infer_request("headers", x=np.ones((1, 2), np.float32))
            answer = await face.ModelInfer(request, metadata=asked(baggage="user=ada").metadata, timeout=20)
            seen = json.loads(answer.raw_output_contents[0][4:])  # by the model
            assert seen.get("baggage") == "user=ada", seen
