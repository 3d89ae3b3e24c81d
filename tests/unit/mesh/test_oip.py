from __future__ import annotations

import pytest

from inferloom.mesh.oip import METHODS, MODEL_INFER, MODEL_STREAM_INFER, SERVICE, Kind, pb


def test_every_method_of_the_service_is_in_the_table() -> None:
    service = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    assert {m.name for m in METHODS.values() if m.service == SERVICE} == {method.name for method in service.methods}


@pytest.mark.parametrize("method", [m for m in METHODS.values() if m.kind in (Kind.REPLICA, Kind.STREAM)])
def test_methods_that_go_to_a_replica_say_where_their_model_stands(method: object) -> None:
    assert method in METHODS.values()
    assert method.name_field  # type: ignore[attr-defined]
    assert method.version_field  # type: ignore[attr-defined]


def test_what_changes_one_replica_or_reaches_into_its_machine_is_forbidden() -> None:
    for name in (
        "RepositoryModelLoad",
        "RepositoryModelUnload",
        "SystemSharedMemoryRegister",
        "CudaSharedMemoryRegister",
        "TraceSetting",
        "LogSettings",
    ):
        assert METHODS[f"/{SERVICE}/{name}"].kind is Kind.FORBIDDEN, name


def test_inference_names_its_model_in_fields_1_and_2() -> None:
    for method in (MODEL_INFER, MODEL_STREAM_INFER):
        assert (method.name_field, method.version_field) == (1, 2)
