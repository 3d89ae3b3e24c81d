"""What Triton writes, made readable: refusals, ends, metrics, configurations."""

from __future__ import annotations

from pathlib import Path

import pytest

from inferloom.mesh.errors import InvalidInput
from inferloom.sidecar import shared_memory
from inferloom.sidecar.diagnosis import why_ended
from inferloom.sidecar.lifecycle import bad_versions
from inferloom.sidecar.load import parse
from inferloom.sidecar.triton import one_line
from inferloom.sidecar.version_policy import load_config

REFUSAL = (
    "load failed for model 'double': version 3 is at UNAVAILABLE state: Internal: RuntimeError: bad\nthree\n\nAt:\n"
    "  /models/double/3/model.py(9): <module>\n  <frozen importlib._bootstrap>(241): _call_with_frames_removed\n;\n"
    "version 4 is at UNAVAILABLE state: Invalid argument: no file;\n"
)


def test_each_version_that_does_not_load_has_its_reason() -> None:
    assert bad_versions(REFUSAL) == {"3": "RuntimeError: bad three", "4": "Invalid argument: no file"}
    assert bad_versions("failed to load 'x', failed to poll from model repository") == {}


def test_a_text_of_triton_becomes_one_line() -> None:
    assert one_line("Internal: RuntimeError: no\nsuch file\n\nAt:\n  x.py(1): f\n") == "RuntimeError: no such file"
    assert one_line("x" * 500) == "x" * 399 + "…"


NO_LIBRARY = (
    "stub: error while loading shared libraries: libpython3.12.so.1.0: cannot open shared object file: No such file"
)


@pytest.mark.parametrize(
    ("code", "head", "tail", "expected"),
    [
        (1, ["/x/tritonserver: unrecognized option '--y'", "Usage"], ["z"], "Triton: unrecognized option '--y'"),
        (1, [], ['Bad option: "--grpc-port".', "Invalid value"], 'Triton: "--grpc-port": Invalid value'),
        (1, [], ['E1120 9 main.cc:245] "failed to start GRPC"', "I1120 x] bye"], "Triton: failed to start GRPC"),
        (1, [], ['E1120 1 2 server.cc:241] "CudaDriverHelper has not been initialized."'], None),
        (2, [], [], "Triton ended with code 2"),
        (-9, [], ["E1120 x] earlier"], "Triton was ended by SIGKILL"),
        (-6, [], ["terminate called"], "Triton was ended by SIGABRT: terminate called"),
        (127, [], [NO_LIBRARY, "E x] y"], "Triton: the shared library libpython3.12 is missing: apt install libpython3.12"),
    ],
)  # fmt: skip
def test_the_end_of_a_triton_is_explained(code: int, head: list[str], tail: list[str], expected: str | None) -> None:
    text = why_ended(code, head, tail)
    if expected is None:
        assert text.startswith("Triton ended with code 1")
    else:
        assert text == expected


METRICS = """\
# HELP nv_inference_request_success Number of successful inference requests
nv_inference_request_success{model="a",version="1"} 3
nv_inference_request_success{model="a",version="2"} 4
nv_inference_pending_request_count{model="a",version="1"} 2
nv_inference_request_failure{model="b",reason="OTHER",version="1"} 1
nv_cpu_utilization 0.5
"""


def test_load_is_summed_over_versions() -> None:
    loads = parse(METRICS)
    assert (loads["a"].succeeded, loads["a"].pending, loads["b"].failed) == (7, 2, 1)
    assert set(loads) == {"a", "b"}


def test_a_model_without_configuration_is_loaded_with_all_its_versions(tmp_path: Path) -> None:
    assert load_config(tmp_path) == {"version_policy": {"all": {}}}
    assert load_config(tmp_path, ["1"]) == {"version_policy": {"specific": {"versions": ["1"]}}}


def test_a_configuration_is_kept_but_for_its_version_policy(tmp_path: Path) -> None:
    (tmp_path / "config.pbtxt").write_text('backend: "python" max_batch_size: 8')
    assert load_config(tmp_path) == {"backend": "python", "max_batch_size": 8, "version_policy": {"all": {}}}


def test_a_policy_that_the_user_has_chosen_is_left_alone_unless_a_version_is_broken(tmp_path: Path) -> None:
    (tmp_path / "config.pbtxt").write_text('backend: "python" version_policy { latest { num_versions: 2 } }')
    assert load_config(tmp_path) is None
    config = load_config(tmp_path, ["1"])
    assert config is not None
    assert config["version_policy"] == {"specific": {"versions": ["1"]}}


def test_a_configuration_that_cannot_be_read_names_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "config.pbtxt").write_text('backend: "python"\ncolour: "red"')
    with pytest.raises(InvalidInput, match=r'config\.pbtxt: 2:1 : .*"colour"'):
        load_config(tmp_path)


def test_shared_memory_of_a_run_is_removed_and_that_of_others_is_not(tmp_path: Path) -> None:
    mine, other = shared_memory.prefix(), shared_memory.prefix()
    for name in (f"{mine}region", f"{other}region", "triton_python_backend_shm_region_1"):
        (tmp_path / name).touch()
    shared_memory.remove(mine, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {f"{other}region", "triton_python_backend_shm_region_1"}


def test_shared_memory_is_removed_when_its_sidecar_has_gone(tmp_path: Path) -> None:
    proc = tmp_path / "proc"
    for number, state in ((10, "S"), (12, "Z")):
        (proc / str(number)).mkdir(parents=True)
        (proc / str(number) / "stat").write_text(f"{number} (python (3)) {state} 1 1 1")
    shm = tmp_path / "shm"
    shm.mkdir()
    for name in ("inferloom-10-ab-x", "inferloom-11-ab-x", "inferloom-12-ab-x", "inferloom-else", "other"):
        (shm / name).touch()
    shared_memory.remove_orphans(shm, proc)
    assert {path.name for path in shm.iterdir()} == {"inferloom-10-ab-x", "inferloom-else", "other"}
