"""From a mesh.yaml to the chart's values: folders with Triton models, so no file has to be asked what it declares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from inferloom.cli.build import build
from inferloom.cli.export import export_helm
from inferloom.mesh.errors import ConfigError, InvalidInput

TENSOR = '[{ name: "%s" data_type: TYPE_FP32 dims: [1] }]'
CONFIG = f'backend: "python"\ninput {TENSOR % "x"}\noutput {TENSOR % "y"}\n'


def folder(path: Path, *documents: dict[str, Any], models: tuple[str, ...] = ("iris",)) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    for name in models:
        (path / name / "1").mkdir(parents=True, exist_ok=True)
        (path / name / "config.pbtxt").write_text(CONFIG)
        (path / name / "1" / "model.py").write_text("class TritonPythonModel: ...\n")
    entries = [*documents, *({"kind": "model", "name": name, "spec": {"source": name}} for name in models)]
    (path / "mesh.yaml").write_text(yaml.safe_dump(entries))
    return path


def mesh(**spec: Any) -> dict[str, Any]:
    return {"kind": "mesh", "name": "shop", "spec": spec}


async def exported(path: Path, **options: Any) -> dict[str, Any]:
    text, _ = await export_helm(path, **options)
    made: dict[str, Any] = yaml.safe_load(text)
    return made


async def test_each_model_is_an_entry_with_its_replicas_and_gpus(tmp_path: Path) -> None:
    path = folder(tmp_path / "shop", mesh(replicas=2), models=("iris", "llm"))
    text = (path / "mesh.yaml").read_text().replace("source: llm", "source: llm\n    gpus: 2\n    replicas: 3")
    (path / "mesh.yaml").write_text(text)
    made = await exported(path)
    iris, llm = made["models"]["iris"], made["models"]["llm"]
    assert (iris["replicas"], "gpus" in iris) == (2, False)
    assert (llm["replicas"], llm["gpus"]) == (3, 2)


async def test_the_image_is_named_by_the_content_of_the_folder(tmp_path: Path) -> None:
    path = folder(tmp_path / "shop")
    first = (await exported(path, image="registry.example/shop"))["models"]["iris"]["repository"]["image"]
    built = await build(path, tmp_path / "out")
    assert first == f"registry.example/shop:{built.revision}"
    assert (await exported(path, image="registry.example/shop"))["models"]["iris"]["repository"]["image"] == first
    (path / "iris" / "1" / "model.py").write_text("class TritonPythonModel:\n    pass\n")
    assert (await exported(path, image="registry.example/shop"))["models"]["iris"]["repository"]["image"] != first


async def test_documents_are_those_of_the_mesh_and_name_the_revision(tmp_path: Path) -> None:
    split = {"kind": "split", "name": "iris", "spec": {"arms": [{"name": "1", "share": 100}]}}
    policy = {"kind": "policy", "name": "iris", "spec": {"timeout": "2s"}}
    path = folder(tmp_path / "shop", split, policy)
    made = await exported(path)
    documents = {(each["kind"], each["name"]): each["spec"] for each in made["documents"]}
    assert set(documents) == {("model", "iris"), ("split", "iris"), ("policy", "iris")}
    version = documents["model", "iris"]["versions"]["1"]
    assert version["source"] == "models/iris/1"
    assert made["models"]["iris"]["repository"]["image"].endswith(f":{version['revision']}")
    assert [arm["share"] for arm in documents["split", "iris"]["arms"]] == [100]


async def test_models_in_s3_have_the_checksum_of_every_file(tmp_path: Path) -> None:
    made = await exported(folder(tmp_path / "shop", models=("iris", "iris-2")), models="s3://bucket/shop/")
    found = made["models"]["iris"]["repository"]["s3"]
    assert found["url"] == "s3://bucket/shop"
    assert set(found["sha256"]) == {"iris/config.pbtxt", "iris/1/model.py"}
    assert all(len(digest) == 64 for digest in found["sha256"].values())


async def test_models_may_be_in_a_claim(tmp_path: Path) -> None:
    made = await exported(folder(tmp_path / "shop"), models="pvc:weights")
    assert made["models"]["iris"]["repository"] == {"pvc": "weights"}


@pytest.mark.parametrize(
    ("spec", "values"),
    [
        ({}, {"edge": {"enabled": False}, "consul-agent": {"enabled": True}}),
        ({"gateway": "envoy", "registry": "consul"}, {"edge": {"enabled": True}, "consul-agent": {"enabled": True}}),
        (
            {"registry": "consul://consul.internal:8501", "grpc": "0.0.0.0:9000", "http": "127.0.0.1:9001"},
            {
                "edge": {"enabled": False},
                "consul": {"host": "consul.internal", "port": 8501},
                "service": {"grpcPort": 9000, "httpPort": 9001},
            },
        ),
        ({"http": "off"}, {"edge": {"enabled": False}, "consul-agent": {"enabled": True}}),
    ],
    ids=["nothing said", "Envoy", "a Consul and ports", "no HTTP"],
)
async def test_what_holds_for_the_whole_mesh_is_carried_over(
    tmp_path: Path, spec: dict[str, Any], values: dict[str, Any]
) -> None:
    made = await exported(folder(tmp_path / "shop", mesh(**spec)))
    assert {key: made[key] for key in made if key not in ("models", "documents")} == values


async def test_a_memory_registry_is_refused_with_the_reason(tmp_path: Path) -> None:
    path = folder(tmp_path / "shop", mesh(registry="memory"))
    with pytest.raises(
        ConfigError, match=r"mesh\.yaml: registry: memory lives inside one process, and a cluster has many"
    ):
        await export_helm(path)


async def test_a_consul_on_loopback_is_refused_with_the_reason(tmp_path: Path) -> None:
    path = folder(tmp_path / "shop", mesh(registry="consul://127.0.0.1:8500"))
    with pytest.raises(ConfigError, match="this machine's own, and no cluster reaches it"):
        await export_helm(path)


async def test_a_model_outside_the_folder_is_refused_with_the_reason(tmp_path: Path) -> None:
    path = folder(tmp_path / "shop")
    folder(tmp_path / "elsewhere", models=("wine",))
    (path / "mesh.yaml").write_text("- {kind: model, name: wine, spec: {source: ../elsewhere/wine}}\n")
    with pytest.raises(ConfigError, match=r"model 'wine': .*/elsewhere/wine lies outside .*/shop.*: move it there"):
        await export_helm(path)


async def test_a_wrong_place_for_models_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--models: 'gs://x' is none of image, s3://BUCKET/PREFIX, pvc:NAME"):
        await export_helm(folder(tmp_path / "shop"), models="gs://x")


async def test_a_file_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no folder; an image is made of one"):
        await export_helm(folder(tmp_path / "shop") / "mesh.yaml")


async def test_a_mesh_yaml_that_is_wrong_is_refused_as_up_refuses_it(tmp_path: Path) -> None:
    path = folder(tmp_path / "shop")
    (path / "mesh.yaml").write_text("- {kind: model, name: iris, spec: {sorce: iris}}\n")
    with pytest.raises(InvalidInput, match=r"mesh\.yaml:1: .*did you mean 'source'"):
        await export_helm(path)
