"""Commands and environments of the runtimes, and what is said when one is missing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inferloom.mesh.errors import ConfigError
from inferloom.sidecar import managed
from inferloom.sidecar.cache import cache_folder
from inferloom.sidecar.managed import ManagedRuntime, Marker
from inferloom.sidecar.runtime import DockerRuntime, PathRuntime, find

PORTS: dict[str, Any] = {"http_port": 1, "grpc_port": 2, "metrics_port": 3}
MARKER = Marker(triton="2.51.0", python="3.11", libdir="/usr/lib")


def test_the_cache_is_where_the_user_says() -> None:
    home = Path.home()
    assert cache_folder({"INFERLOOM_CACHE": "/a", "XDG_CACHE_HOME": "/b"}) == Path("/a")
    assert cache_folder({"XDG_CACHE_HOME": "/b"}) == Path("/b/inferloom")
    assert cache_folder({}) == home / ".cache" / "inferloom"


def test_docker_publishes_the_ports_on_the_address_given_and_the_metrics_on_loopback() -> None:
    docker = DockerRuntime("/usr/bin/docker", "25.08-py3", ("0", "2"))
    command = docker.command(repository=Path("/srv/models"), host="10.0.0.1", secret="s", extra=("--x",), **PORTS)
    text = " ".join(command)
    assert text.startswith("/usr/bin/docker run --rm --init --name inferloom-2 --shm-size=1g ")
    assert "--publish 10.0.0.1:1:1 --publish 10.0.0.1:2:2 --publish 127.0.0.1:3:3" in text
    assert "--volume /srv/models:/models:ro" in text
    assert '--gpus "device=0,2"' in text
    image = command.index("nvcr.io/nvidia/tritonserver:25.08-py3")
    assert command[image + 1 : image + 3] == ["tritonserver", "--model-repository=/models"]
    assert {"--grpc-address=0.0.0.0", "--metrics-address=0.0.0.0", "--x"} <= set(command[image:])
    assert docker.cleanup(2) == ["/usr/bin/docker", "rm", "--force", "inferloom-2"]


def test_docker_without_gpus_asks_for_none() -> None:
    assert "--gpus" not in DockerRuntime("docker").command(repository=Path("/m"), **PORTS)
    everything = DockerRuntime("docker", gpus=("all",)).command(repository=Path("/m"), **PORTS)
    assert everything[everything.index("--gpus") + 1] == "all"


def test_tritonserver_on_path_uses_its_own_backends() -> None:
    command = PathRuntime("/opt/tritonserver/bin/tritonserver").command(repository=Path("/m"), **PORTS)
    assert command[:2] == ["/opt/tritonserver/bin/tritonserver", "--model-repository=/m"]
    assert not [option for option in command if "backend-directory" in option]


def test_the_managed_environment_puts_its_own_python_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", "/usr/bin")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    environment = ManagedRuntime(tmp_path, MARKER).environment(CUDA_VISIBLE_DEVICES="1")
    assert environment["PATH"] == f"{tmp_path}/bin:/usr/bin"
    packages = f"{tmp_path}/lib/python3.11/site-packages"
    assert environment["LD_LIBRARY_PATH"] == f"{packages}/nvidia_pytriton.libs:/usr/lib"
    assert environment["PYTHONDONTWRITEBYTECODE"] == "1"
    assert environment["CUDA_VISIBLE_DEVICES"] == "1"
    assert "PYTHONPATH" not in environment


def test_the_managed_command_uses_the_wheels_server_and_the_backends_given(tmp_path: Path) -> None:
    command = ManagedRuntime(tmp_path, MARKER).command(repository=Path("/m"), backend_directory=Path("/b"), **PORTS)
    assert command[0] == f"{tmp_path}/lib/python3.11/site-packages/pytriton/tritonserver/bin/tritonserver"
    assert "--backend-directory=/b" in command


def fake_environment(cache: Path) -> Path:
    """What of an installed environment the backend directory is made of."""
    folder = managed.runtime_folder({"INFERLOOM_CACHE": str(cache)})
    server = folder / "lib/python3.11/site-packages/pytriton/tritonserver"
    for name in ("backends/python/libtriton_python.so", "backends/python/triton_python_backend_utils.py"):
        (server / name).parent.mkdir(parents=True, exist_ok=True)
        (server / name).write_text(name)
    stub = server / "python_backend_stubs/3.11/triton_python_backend_stub"
    stub.parent.mkdir(parents=True)
    stub.write_text("stub")
    (folder / "bin").mkdir()
    (folder / "bin" / "python").write_text("")
    return folder


def finished(folder: Path) -> Path:
    """Mark it whole; returns the library it needs."""
    library = folder / "libpython3.11.so.1.0"
    library.touch()
    replace(MARKER, libdir=str(folder)).write(folder)
    return library


def test_the_backend_directory_holds_copies_and_is_made_once(tmp_path: Path) -> None:
    folder = fake_environment(tmp_path)
    finished(folder)
    environ = {"INFERLOOM_CACHE": str(tmp_path)}
    backends = managed.find(environ=environ).backends
    assert backends.parent == tmp_path / "backends"
    assert {path.name for path in (backends / "python").iterdir()} == {
        "libtriton_python.so",
        "triton_python_backend_utils.py",
        "triton_python_backend_stub",
    }
    assert (backends / "onnxruntime" / "model.py").is_file()
    assert not [path for path in backends.rglob("*") if path.is_symlink()], "Triton refuses links that lead out"
    made = backends.stat().st_ino
    assert managed.find(environ=environ).backends.stat().st_ino == made
    assert [path.name for path in backends.parent.iterdir()] == [backends.name]


def test_a_half_made_environment_is_not_taken_for_a_whole_one(tmp_path: Path) -> None:
    environ = {"INFERLOOM_CACHE": str(tmp_path)}
    folder = fake_environment(tmp_path)
    for marker in (None, "", "{", "[]", json.dumps({"triton": "2.51.0"})):
        if marker is not None:
            (folder / "inferloom.json").write_text(marker)
        with pytest.raises(ConfigError, match="not installed: inferloom triton install"):
            managed.find(environ=environ)


def test_an_environment_whose_python_has_gone_says_so(tmp_path: Path) -> None:
    folder = fake_environment(tmp_path)
    library = finished(folder)
    environ = {"INFERLOOM_CACHE": str(tmp_path)}
    managed.find(environ=environ)
    library.unlink()
    with pytest.raises(ConfigError, match=r"has gone: apt install libpython3\.11, or inferloom triton install"):
        managed.find(environ=environ)
    (folder / "bin" / "python").unlink()
    with pytest.raises(ConfigError, match=r"has lost its Python 3\.11: inferloom triton install"):
        managed.find(environ=environ)


def test_a_marker_reads_back_as_it_was_written(tmp_path: Path) -> None:
    marker = Marker(triton="2.51.0", python="3.12", libdir="/l", extras=("sklearn",), pending=("torch",))
    marker.write(tmp_path)
    assert Marker.read(tmp_path) == marker
    assert [path.name for path in tmp_path.iterdir()] == ["inferloom.json"]


@pytest.mark.parametrize(
    ("triton", "message"),
    [
        ("managed", "inferloom triton install"),
        ("path", "no tritonserver on PATH"),
        ("docker", "no docker on PATH"),
        ("docker:25.08-py3", "no docker on PATH"),
        ("managed:1", "no Triton runtime 'managed:1'"),
        ("podman", "no Triton runtime 'podman': it is managed, path, docker or docker:TAG"),
    ],
)
def test_a_runtime_that_is_not_there_names_the_cure(triton: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        find(triton, environ={"PATH": str(tmp_path), "INFERLOOM_CACHE": str(tmp_path)})


def test_pins_name_exact_versions_and_no_address() -> None:
    for name in ("core", *managed.EXTRAS):
        lines = [line for line in managed.pins(name).read_text().splitlines() if not line.startswith("#")]
        assert lines
        for line in lines:
            assert "==" in line
            assert "/" not in line
    assert "numpy==1." in managed.pins("core").read_text()
