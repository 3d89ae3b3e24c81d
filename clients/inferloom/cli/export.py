"""`inferloom export helm DIR`: the values with which the chart makes the same mesh on a cluster."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from inferloom.cli.build import MODELS, Built, build, by_model, digests, inside
from inferloom.cli.up.documents import APP, ENVOY, KIND, PIPELINE, SERVICE, ModelSpec
from inferloom.cli.up.expand import Wanted, models_of, services_of
from inferloom.cli.up.hosting import THREADS
from inferloom.cli.up.meshfile import FILE
from inferloom.cli.up.meshfile_hosted import functions
from inferloom.cli.up.service_spec import ServiceVersion
from inferloom.mesh.errors import ConfigError
from inferloom.mesh.listen import parse_address
from inferloom.mesh.names import is_name
from inferloom.sidecar.modelfile.recognise import recognise

__all__ = ["export_helm", "values"]

MESH = (
    "kubernetes"  # which mesh the documents of models and services belong to: no `inferloom up` takes them for its own
)
NATIVE = frozenset({"numpy", "onnxruntime", "torch"})  # what NVIDIA's image has, or does without

Values = dict[str, Any]


async def export_helm(source: Path, image: str = "", models: str = "image") -> tuple[str, list[str]]:
    """Values as YAML, and what the user should know beside.

    Args:
        source: a folder with a mesh.yaml, or with models and Python files.
        image: name of the image that `inferloom build` is pushed as; default: the folder's name.
        models: where Tritons get their models: `image`, `s3://BUCKET/PREFIX` or `pvc:NAME`.

    Raises:
        ConfigError: the mesh cannot be on a cluster; says what and why.
    """
    if models != "image" and not models.startswith(("s3://", "pvc:")):
        raise ConfigError(f"--models: '{models}' is none of image, s3://BUCKET/PREFIX, pvc:NAME")
    with tempfile.TemporaryDirectory() as scratch:
        built = await build(source, Path(scratch) / "context")
        found = digests(built.folder / MODELS)
        made = values(built, f"{image}:{built.revision}" if image else built.image, models, found)
    wanted = built.wanted.documents(MESH)
    head = "".join(f"# {line}\n" for line in _head(source, made, models))
    return head + yaml.safe_dump(made, sort_keys=False, allow_unicode=True, width=120), _notes(models_of(wanted))


def values(built: Built, image: str, models: str, found: Mapping[str, str]) -> Values:
    """The values themselves. Pure.

    Args:
        image: NAME:REVISION of the code, and of the models where they are in it.
        found: SHA-256 of each file of the model repository.

    Raises:
        ConfigError: as `export_helm`.
    """
    wanted = built.wanted.documents(MESH)
    made: Values = {**_mesh(built), "models": {}}
    for name, spec in models_of(wanted).items():
        entry: Values = {"repository": _repository(name, image, models, found), "replicas": spec.replicas}
        made["models"][name] = entry | ({"gpus": spec.gpus} if spec.gpus else {})
    repository, _, tag = image.rpartition(":")
    own = {"repository": repository, "tag": tag}
    hosts = {}
    for name, service in services_of(wanted).items():
        for number, version in service.versions.items():
            key = name if number == "1" else f"{name}-v{number}"
            hosts[key] = {"image": own, **_host(name, version, built.source)}
    if hosts:
        made["hosts"] = hosts
    if any(kind == PIPELINE for kind, _ in wanted):
        source = _steps(wanted, built.source)
        made["composer"] = {"enabled": True, **({"image": own, "source": source} if source else {})}
    made["documents"] = [
        {"kind": kind, "name": name, "spec": _located(kind, name, dict(spec), built)}
        for (kind, name), spec in wanted.items()
        if kind != APP  # an app's document says where `up` finds a file; here an image has it
    ]
    return made


def _mesh(built: Built) -> Values:
    """From the document of kind mesh."""
    mesh, where = built.wanted.mesh, built.source / FILE
    made: Values = {"edge": {"enabled": mesh.gateway == ENVOY}}
    registry = mesh.registry or "consul"
    if registry == "memory":
        raise ConfigError(
            f"{where}: registry: memory lives inside one process, and a cluster has many: take the line out, or name a Consul"
        )
    if registry == "consul":
        made["consul-agent"] = {"enabled": True}
    else:
        address = parse_address(registry.removeprefix("consul://"), f"{where}: registry")
        if address.loopback:
            raise ConfigError(
                f"{where}: registry: {registry} is this machine's own, and no cluster reaches it: name one that it does, "
                "or write `registry: consul`"
            )
        made["consul"] = {"host": address.host, "port": address.port}
    ports = {"grpcPort": mesh.grpc, "httpPort": mesh.http if mesh.http != "off" else None}
    service = {key: parse_address(text, f"{where}: {key}").port for key, text in ports.items() if text is not None}
    if service := {key: port for key, port in service.items() if port}:
        made["service"] = service
    return made


def _repository(name: str, image: str, models: str, found: Mapping[str, str]) -> Values:
    if models == "image":
        return {"image": image}
    if models.startswith("pvc:"):
        claim = models.removeprefix("pvc:")
        if not is_name(claim):
            raise ConfigError(f"--models: '{claim}' is no name of a PersistentVolumeClaim")
        return {"pvc": claim}
    return {"s3": {"url": models.rstrip("/"), "sha256": by_model(found, name)}}


def _host(name: str, version: ServiceVersion, folder: Path) -> Values:
    entry: Values = {
        "source": str(inside(version.source, folder, f"service '{name}'")),
        "only": [name],
        "replicas": version.replicas,
    }
    if version.gpus:
        entry["gpus"] = version.gpus
    if version.cpus:
        entry["resources"] = {"requests": {"cpu": str(version.cpus)}}
    threads = dict.fromkeys(THREADS, str(version.cpus)) if version.cpus else {}
    env = threads | dict(version.env)
    return entry | ({"env": env} if env else {})


def _steps(wanted: Wanted, folder: Path) -> str:
    """The file whose functions pipelines name; "" where none does. A composer imports one."""
    named = {
        module.partition(".")[0] for (kind, _), spec in wanted.items() if kind == PIPELINE for module in functions(spec)
    }
    files = {name: Path(str(spec["source"])) for (kind, name), spec in wanted.items() if kind == APP and name in named}
    if len(files) > 1:
        names = ", ".join(sorted(path.name for path in files.values()))
        raise ConfigError(f"pipelines name functions of several files ({names}), and a composer imports one: join them")
    return next((str(inside(path, folder, f"'{name}'")) for name, path in files.items()), "")


def _located(kind: str, name: str, spec: dict[str, Any], built: Built) -> dict[str, Any]:
    """The document with what it names as it is in the image, and the image's revision."""
    if kind not in (KIND, SERVICE):
        return spec
    versions = {}
    for number, version in spec["versions"].items():
        if kind == KIND:
            place = {"source": f"{MODELS}/{name}/{number}", "warmup": None}
        else:
            place = {"source": str(inside(Path(version["source"]), built.source, f"service '{name}'"))}
        versions[number] = {**version, **place, "revision": built.revision}
    return {**spec, "versions": versions}


def _head(source: Path, made: Values, models: str) -> list[str]:
    lines = [f"The mesh of {source}, made by `inferloom export helm`. helm/inferloom/values.yaml explains every key."]
    used = {entry["repository"].get("image") for entry in made["models"].values()} - {None}
    used |= {f"{entry['image']['repository']}:{entry['image']['tag']}" for entry in made.get("hosts", {}).values()}
    lines += [f"The image first: inferloom build {source} && docker build -t {image} build" for image in sorted(used)]
    if models.startswith("s3://"):
        lines.append(f"The models, from the same folder: aws s3 sync build/models {models}")
    if models.startswith("pvc:"):
        lines.append(f"The claim {models.removeprefix('pvc:')} must hold what is in build/models.")
    return lines


def _notes(models: Mapping[str, ModelSpec]) -> list[str]:
    """What NVIDIA's image lacks."""
    notes = []
    for name, spec in models.items():
        needs = {need for version in spec.versions.values() for need in recognise(version.source).needs} - NATIVE
        if needs:
            notes.append(
                f"model '{name}' needs {', '.join(sorted(needs))}, which NVIDIA's image lacks: "
                f"give models.{name}.image one that has it (docs/images.md)"
            )
    return notes
