"""Which host process runs what."""

from __future__ import annotations

from pathlib import Path

import pytest

from inferloom.cli.up.hosting import HostPlace, host_places
from inferloom.cli.up.service_spec import AppSpec, ServiceSpec, ServiceVersion
from inferloom.mesh.errors import InvalidInput

APP, OTHER = Path("/a/app.py"), Path("/a/other.py")
STEPS = (AppSpec("app", APP), AppSpec("other", OTHER))


def service(name: str, source: Path = APP, **options: object) -> ServiceSpec:
    return ServiceSpec(name, {"1": ServiceVersion(source, **options)})  # type: ignore[arg-type]


def places(*services: ServiceSpec, shared: bool = True, pipelines: bool = False, **more: object) -> list[HostPlace]:
    found = host_places(services, STEPS[:1], shared=shared, pipelines=pipelines, **more)  # type: ignore[arg-type]
    assert all(key == place.id for key, place in found.items())
    return list(found.values())


def test_in_memory_the_services_of_a_file_share_a_process_with_the_pipelines() -> None:
    assert places(service("B"), service("A")) == [HostPlace("host-app", (APP,), ("A", "B"), True)]
    assert places(service("A"), pipelines=True) == [HostPlace("host-app", (APP,), ("A",), True)]


def test_on_consul_each_has_one_of_its_own_and_so_have_pipelines() -> None:
    assert places(service("A"), service("B"), shared=False, pipelines=True) == [
        HostPlace("pipelines", (APP,), (), True),
        HostPlace("A-0", (APP,), ("A",)),
        HostPlace("B-0", (APP,), ("B",)),
    ]


def test_without_services_and_pipelines_there_is_no_process() -> None:
    assert places() == []
    assert places(pipelines=True) == [HostPlace("pipelines", (APP,), (), True)]


@pytest.mark.parametrize("options", [{"replicas": 2}, {"cpus": 1}, {"gpus": 1}, {"env": {"A": "b"}}])
def test_who_asks_for_something_is_alone(options: dict[str, object]) -> None:
    found = places(service("A"), service("B", APP, **options), gpus=["0"])
    assert [place.services for place in found] == [("A",)] + [("B",)] * int(str(options.get("replicas", 1)))


def test_cpus_bound_the_threads_of_numerical_libraries_and_env_has_the_last_word() -> None:
    (one,) = places(service("A", cpus=3, env={"MKL_NUM_THREADS": "1", "X": "y"}))
    assert one.env["OMP_NUM_THREADS"] == one.env["OPENBLAS_NUM_THREADS"] == "3"
    assert (one.env["MKL_NUM_THREADS"], one.env["X"]) == ("1", "y")


def test_two_files_of_one_name_have_places_of_their_own() -> None:
    found = places(service("A"), service("B", Path("/b/app.py")))
    assert [(place.id, place.sources) for place in found] == [
        ("host-app", (APP,)),
        ("host-app-2", (Path("/b/app.py"),)),
    ]


def test_with_steps_in_several_files_pipelines_have_a_process_of_their_own() -> None:
    found = host_places([service("A"), service("B", OTHER)], STEPS, pipelines=True, shared=True)
    assert {key: place.pipelines for key, place in found.items()} == {
        "host-app": False,
        "host-other": False,
        "pipelines": True,
    }


def test_versions_of_a_service_run_beside_each_other() -> None:
    both = ServiceSpec("A", {"1": ServiceVersion(APP), "2": ServiceVersion(OTHER)})
    assert [place.id for place in places(both, shared=False)] == ["A-0", "A-v2-0"]


def test_each_replica_has_its_gpus_and_keeps_them() -> None:
    gpus = ["0", "1", "2"]
    first = host_places([service("A", gpus=1)], (), pipelines=False, shared=True, gpus=gpus)
    assert first["A-0"].gpus == ("0",)
    both = host_places(
        [service("A", gpus=1), service("AA", gpus=1, replicas=2)],
        (),
        pipelines=False,
        shared=True,
        before={"AA-0": HostPlace("AA-0", (APP,), ("AA",), gpus=("0",))},
        gpus=gpus,
    )
    assert {key: place.gpus for key, place in both.items()} == {"A-0": ("1",), "AA-0": ("0",), "AA-1": ("2",)}


def test_more_gpus_than_there_are_is_invalid() -> None:
    with pytest.raises(InvalidInput, match="service 'A': 4 GPUs are asked for, and 1 are free here"):
        places(service("A", gpus=2, replicas=2), service("B"), gpus=["0"])
    with pytest.raises(InvalidInput, match="and none are free here"):
        places(service("A", gpus=1))
