"""Where a pod gets its models from, and what it loads of them."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_helm_pods import DIGITS, flag, one_model
from tests.support.helm import MATRIX, container, render


def test_models_from_s3_are_fetched_and_checked_before_triton_starts() -> None:
    rendered = render(MATRIX["models from S3"])
    pod = rendered.pod(DIGITS)
    fetch, triton = pod["initContainers"]
    assert "restartPolicy" not in fetch
    assert triton["name"] == "triton"
    assert fetch["args"][0].rstrip().endswith("sha256sum --check --quiet --strict /etc/inferloom/checksums/SHA256SUMS")
    sums = rendered.one("ConfigMap", DIGITS)["data"]["SHA256SUMS"]
    assert sums == f"{'b' * 64}  digits/1/model.onnx\n{'a' * 64}  digits/config.pbtxt\n"
    assert {e["name"]: e["value"] for e in fetch["env"]}["SOURCE"] == "s3://bucket/prefix"
    assert fetch["envFrom"] == [{"secretRef": {"name": "s3-reader"}}]


def test_the_script_that_fetches_takes_what_is_right_and_refuses_what_is_not(tmp_path: Path) -> None:
    fetch = render(MATRIX["models from S3"]).pod(DIGITS)["initContainers"][0]
    (tmp_path / "bin").mkdir()
    (tmp_path / "bucket" / "digits" / "1").mkdir(parents=True)
    content = {"digits/config.pbtxt": b"name", "digits/1/model.onnx": b"weights"}
    for path, data in content.items():
        (tmp_path / "bucket" / path).write_bytes(data)
    (tmp_path / "bucket" / "digits" / "1" / "model.py").write_bytes(b"not in the list")
    fake = tmp_path / "bin" / "aws"  # as `aws s3 cp --only-show-errors FROM TO`
    fake.write_text('#!/bin/sh\nmkdir -p "$(dirname "$5")"\nexec cp "$4" "$5"\n')
    fake.chmod(0o755)
    sums = tmp_path / "SHA256SUMS"
    script = fetch["args"][0].replace("/etc/inferloom/checksums/SHA256SUMS", str(sums))

    def run(into: str, wrong: str = "") -> subprocess.CompletedProcess[bytes]:
        digests = {path: hashlib.sha256(data).hexdigest() for path, data in content.items()}
        sums.write_text("".join(f"{'0' * 64 if path == wrong else it}  {path}\n" for path, it in digests.items()))
        (tmp_path / into).mkdir()
        text = script.replace("cd /models", f"cd {tmp_path / into}")
        env = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "SOURCE": str(tmp_path / "bucket")}
        return subprocess.run([*fetch["command"], text], env=env, capture_output=True, check=False)

    assert run("good").returncode == 0
    found = {str(p.relative_to(tmp_path / "good")) for p in (tmp_path / "good").rglob("*") if p.is_file()}
    assert found == content.keys()
    refused = run("bad", wrong="digits/1/model.onnx")
    assert refused.returncode != 0
    assert b"digits/1/model.onnx: FAILED" in refused.stdout


@pytest.mark.parametrize(
    ("load", "copied"), [([], {"digits"}), (["a", "b"], {"a", "b"}), (["*"], {"a", "b", "digits"})]
)
def test_models_from_an_image_are_copied_by_name(tmp_path: Path, load: list[str], copied: set[str]) -> None:
    values = one_model(repository={"image": "registry.example/shop:4f1d2a9b03c7"}, load=load)
    fetch = render(values).pod(DIGITS)["initContainers"][0]
    assert fetch["image"] == "registry.example/shop:4f1d2a9b03c7"
    for name in ("a", "b", "digits"):
        (tmp_path / "srv" / name / "1").mkdir(parents=True)
        (tmp_path / "srv" / name / "1" / "model.onnx").write_text(name)
    into = tmp_path / "into"
    into.mkdir()
    python, option, script = fetch["command"]
    script = script.replace("/srv/models", str(tmp_path / "srv")).replace("/models", str(into))
    for _ in range(2):  # a container that is started again finds what it has copied
        subprocess.run([sys.executable if python == "python" else python, option, script, *fetch["args"]], check=True)
    assert {path.name: (path / "1" / "model.onnx").read_text() for path in into.iterdir()} == {n: n for n in copied}


def test_triton_loads_the_entrys_model_unless_told_what_else() -> None:
    def loaded(**keys: Any) -> list[str]:
        return flag(container(render(one_model(**keys)).pod(DIGITS), "triton")["args"], "--load-model")

    assert loaded() == ["digits"]
    assert loaded(load=["digits-svm", "digits-mlp"]) == ["digits-svm", "digits-mlp"]
    assert loaded(load=["*"]) == ["*"]


def test_shared_memory_and_the_repository_are_mounted_as_asked() -> None:
    values = one_model(repository={"pvc": "weights", "subPath": "team-a"}, shmSize="2Gi")
    pod = render(values).pod(DIGITS)
    volumes = {v["name"]: v for v in pod["volumes"]}
    mounts = {m["name"]: m for m in container(pod, "triton")["volumeMounts"]}
    assert volumes["shm"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "2Gi"}
    assert mounts["shm"]["mountPath"] == "/dev/shm"
    assert volumes["models"]["persistentVolumeClaim"] == {"claimName": "weights", "readOnly": True}
    assert mounts["models"] == {"name": "models", "mountPath": "/models", "subPath": "team-a", "readOnly": True}
