from __future__ import annotations

import pytest

from inferloom.mesh.errors import Forbidden
from inferloom.mesh.oip import METHODS, SERVICE, Kind
from inferloom.mesh.oip_rest import REST, find, refusal
from inferloom.mesh.router import face


@pytest.mark.parametrize(
    ("path", "name", "model", "version"),
    [
        ("/v2", "server", "", ""),
        ("/v2/", "server", "", ""),
        ("/v2/health/live", "live", "", ""),
        ("/v2/health/ready", "ready", "", ""),
        ("/v2/models/stats", "statistics", "", ""),
        ("/v2/models/iris", "model", "iris", ""),
        ("/v2/models/iris/versions/2", "model", "iris", "2"),
        ("/v2/models/iris/ready", "model ready", "iris", ""),
        ("/v2/models/iris/versions/2/config", "config", "iris", "2"),
        ("/v2/models/iris/stats", "model statistics", "iris", ""),
        ("/v2/models/Shop.items/infer", "infer", "Shop.items", ""),
        ("/v2/models/a%20b/versions/10/infer", "infer", "a b", "10"),
        ("/v2/models/iris/generate", "generate", "iris", ""),
        ("/v2/models/iris/versions/1/generate_stream", "generate_stream", "iris", "1"),
        ("/v2/repository/index", "index", "", ""),
        ("/v2/repository/mine/models/iris/unload", "unload", "iris", ""),
        ("/v2/systemsharedmemory/region/r/register", "shared memory register", "", ""),
        ("/v2/models/iris/trace/setting", "trace", "iris", ""),
    ],
)
def test_a_path_says_what_is_asked_of_which_model(path: str, name: str, model: str, version: str) -> None:
    found = find(path)

    assert found is not None
    assert (found.method.name, found.model, found.version) == (name, model, version)


@pytest.mark.parametrize(
    "path", ["/v1", "/v2x", "/v2/models", "/v2/models/", "/v2/models//infer", "/v2/models/a/b/infer"]
)
def test_other_paths_are_nobodys(path: str) -> None:
    assert find(path) is None


def test_what_is_forbidden_over_grpc_is_forbidden_over_rest() -> None:
    rest = {method.twin for method in REST if method.kind is Kind.FORBIDDEN}

    assert rest == {method for method in METHODS.values() if method.kind is Kind.FORBIDDEN}


def test_only_requests_of_one_model_may_go_to_a_replica_directly() -> None:
    assert [method.name for method in REST if method.direct] == ["infer", "generate", "generate_stream"]


async def test_a_refusal_reads_the_same_over_grpc(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[BaseException] = []

    async def abort(context: object, error: BaseException, where: str) -> None:
        told.append(error)

    monkeypatch.setattr(face, "abort", abort)
    method = METHODS[f"/{SERVICE}/RepositoryModelLoad"]
    with pytest.raises(AssertionError):
        await face._forbid(method)(b"", None)

    assert isinstance(told[0], Forbidden)
    assert str(told[0]) == refusal(method)
