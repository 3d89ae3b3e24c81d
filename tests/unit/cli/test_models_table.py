"""What `inferloom models` says of a replica."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from inferloom.cli.models import table_of_models
from inferloom.v1 import mesh_pb2 as pb

STARTING, SERVING = pb.REPLICA_STATE_STARTING, pb.REPLICA_STATE_SERVING


@pytest.mark.parametrize(
    ("replica", "state", "health"),
    [
        (pb.Replica(state=SERVING, load=pb.ReplicaLoad(breaker="closed")), "serving", "closed"),
        (pb.Replica(state=STARTING, load=pb.ReplicaLoad(why="starting")), "starting", "-"),
        (
            pb.Replica(state=STARTING, problem="version 1: no", load=pb.ReplicaLoad(why="starting (version 1: no)")),
            "failed",
            "-: version 1: no",
        ),
        (pb.Replica(state=SERVING, problem="version 2: no"), "serving", "-: version 2: no"),
    ],
    ids=["it serves", "it loads", "it cannot be loaded", "one of its versions cannot be loaded"],
)
def test_only_a_replica_without_a_problem_is_starting(replica: pb.Replica, state: str, health: str) -> None:
    replica.id = "a"
    written = io.StringIO()
    answer = pb.ListModelsResponse(models=[pb.Model(name="iris", replicas=[replica])])
    Console(width=160, file=written).print(table_of_models(answer, {}, 0.0))
    row = next(line for line in written.getvalue().splitlines() if line.startswith("│ iris"))
    cells = [cell.strip() for cell in row.strip("│").split("│")]
    assert (cells[4], cells[9]) == (state, health)
