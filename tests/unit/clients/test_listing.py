"""The list of models, from a mesh and from a plain Triton."""

from __future__ import annotations

from inferloom.clients.listing import _of_index, _of_mesh
from inferloom.clients.metadata import ModelInfo
from inferloom.mesh.oip import pb
from inferloom.v1 import mesh_pb2


def replica(
    state: mesh_pb2.ReplicaState, versions: list[str], healthy: bool = True, problem: str = ""
) -> mesh_pb2.Replica:
    return mesh_pb2.Replica(state=state, versions=versions, healthy=healthy, problem=problem)


def test_a_model_is_ready_where_one_replica_serves_and_is_healthy() -> None:
    up, down = mesh_pb2.REPLICA_STATE_SERVING, mesh_pb2.REPLICA_STATE_DRAINING
    replicas = [replica(up, ["2", "10"]), replica(down, ["1"])]
    found = _of_mesh(mesh_pb2.Model(name="m", replicas=replicas))
    assert found == ModelInfo("m", ("1", "2", "10"), True, 2)
    assert str(found) == "m (versions 1, 2, 10; ready)"
    broken = [replica(up, [], healthy=False, problem="no memory"), replica(down, [])]
    found = _of_mesh(mesh_pb2.Model(name="m", replicas=broken))
    assert str(found) == "m (versions none; not ready: no memory)"


def test_versions_of_a_repository_index_are_gathered() -> None:
    index = pb.RepositoryIndexResponse()
    index.models.add(name="b", version="10", state="READY")
    index.models.add(name="b", version="9", state="READY")
    index.models.add(name="a", version="1", state="UNAVAILABLE", reason="no file")
    assert _of_index(index) == [
        ModelInfo("a", (), False, problem="no file"),
        ModelInfo("b", ("9", "10"), True),
    ]
