"""Every example by the command its first lines name, against the figures of its offline pipeline."""

from __future__ import annotations

import base64
import importlib.util
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import skimage.data

from inferloom.sdk import InvalidInput, ReplicaError, SyncMeshClient
from tests.support.up import Home, Up, wait_for

EXAMPLES = Path(__file__).parents[2] / "examples"
TOKEN = "s3cret"


@pytest.fixture(scope="module")
def digits(homes: Callable[[], Home]) -> Iterator[Up]:
    with homes().up(EXAMPLES / "digits", "--http", "127.0.0.1:0") as up:
        yield up


@pytest.fixture(scope="module")
def heldout() -> dict[str, Any]:
    return loaded("digits")


@pytest.fixture(scope="module")
def pngs(heldout: dict[str, Any]) -> list[bytes]:
    png = module("digits/png.py")
    return [png.encode(pixels) for pixels in heldout["pixels"]]


@pytest.mark.parametrize(
    ("pipeline", "offline"),
    [("digits", "vote_labels"), ("digits-cascade", "cascade_labels"), ("digits-mirror", "svm_labels")],
)
def test_a_pipeline_of_digits_answers_each_held_out_image_as_its_classifiers_do_offline(
    digits: Up, heldout: dict[str, Any], pngs: list[bytes], pipeline: str, offline: str
) -> None:
    with SyncMeshClient(digits.address) as mesh:
        labels = [int(mesh.infer(pipeline, {"png": bytes_of(png)}).label[0].item()) for png in pngs]
    assert labels == heldout[offline].tolist()


def test_a_person_keeps_the_arm_of_the_ab_test_and_the_arms_get_their_shares(digits: Up, pngs: list[bytes]) -> None:
    with SyncMeshClient(digits.address) as mesh:

        def arm(user: str) -> str:
            answer = mesh.infer("digits-ab", {"png": bytes_of(pngs[0])}, metadata={"user": user})
            return str(answer.parameters["classifier.arm"])

        arms = {f"user-{number}": arm(f"user-{number}") for number in range(200)}
        again = {user: arm(user) for user in list(arms)[:50]}
        assert again.items() <= arms.items()
        assert arm("tester") == "mlp"
    assert 0.1 < list(arms.values()).count("mlp") / len(arms) < 0.3


def test_the_mirror_compares_the_forest_with_the_svm_and_counts_as_they_do_offline(
    digits: Up, heldout: dict[str, Any], pngs: list[bytes]
) -> None:
    def mirror() -> dict[str, Any]:
        done = digits.run("split", "digits-mirror.classifier", "--json")
        assert done.status == 0, str(done)
        return next(dict(arm["compared"]) for arm in json.loads(done.out)["arms"] if arm.get("mirror"))

    def count(of: dict[str, Any]) -> tuple[int, int]:
        return int(of.get("agreed", 0)), int(of.get("differed", 0))

    with SyncMeshClient(digits.address) as mesh:
        mesh.infer("digits-mirror", {"png": bytes_of(pngs[0])})
        wait_for(lambda: sum(count(mirror())) > 0, 10)
        wait_for(lambda: count(mirror()) == count(mirror()), 10)  # of other tests' requests too
        before = count(mirror())
        for png in pngs:
            mesh.infer("digits-mirror", {"png": bytes_of(png)})
        wait_for(lambda: sum(count(mirror())) == sum(before) + len(pngs), 20, lambda: str(mirror()))
    agreed = int((heldout["svm_labels"] == heldout["forest_labels"]).sum())
    assert count(mirror())[0] - before[0] == agreed


def test_json_takes_the_same_image_in_base64(digits: Up, heldout: dict[str, Any], pngs: list[bytes]) -> None:
    status, answer = post(digits, "/v1/digits", {"png": base64.b64encode(pngs[0]).decode()})
    assert (status, answer["label"]) == (200, [int(heldout["vote_labels"][0])])


def test_bytes_that_are_no_png_are_the_callers_mistake(digits: Up) -> None:
    with SyncMeshClient(digits.address) as mesh, pytest.raises((InvalidInput, ReplicaError), match="no PNG file"):
        mesh.infer("digits", {"png": bytes_of(b"GIF89a")})


def test_the_service_of_ten_lines_reads_a_digit(home: Home, heldout: dict[str, Any]) -> None:
    with home.up(EXAMPLES / "service" / "app.py", "--http", "127.0.0.1:0") as up:
        for pixels, label in zip(heldout["pixels"][:20], heldout["mlp_labels"][:20], strict=True):
            status, answer = post(up, "/v1/ReadDigit", {"pixels": pixels.tolist()})
            assert (status, answer["label"]) == (200, int(label))
        status, answer = post(up, "/v1/ReadDigit", {"pixels": ["nine"]})
        assert status == 400
        assert "pixels[0]" in answer["message"]


def test_tabular_gives_the_offline_figures(home: Home) -> None:
    offline = loaded("tabular")
    figures = json.loads((EXAMPLES / "tabular" / "offline.json").read_text())
    pipelines = {"progression": "averaged", "progression-stacked": "stacked", "progression-trees": "trees"}
    with home.up(EXAMPLES / "tabular" / "app.py") as up, SyncMeshClient(up.address) as mesh:
        for pipeline, key in pipelines.items():
            answer = mesh.infer(pipeline, {"patient": offline["patient"], "today": offline["today"]})
            found = answer.progression.reshape(-1)
            assert np.abs(found - offline[key]).max() < 1e-3
            assert r2(offline["truth"], found) == pytest.approx(figures[f"{key}_r2"], abs=1e-5)
        with pytest.raises((InvalidInput, ReplicaError), match=r"no patient 5 in patients\.sqlite"):
            mesh.infer("progression", {"patient": np.array([5]), "today": offline["today"][:1]})
        assert len(up.replicas("near_landmarks")) == 2


def test_recommend_shows_the_items_of_the_offline_pipeline(home: Home) -> None:
    offline = loaded("recommend")
    figures = json.loads((EXAMPLES / "recommend" / "offline.json").read_text())
    hits = 0
    with home.up(EXAMPLES / "recommend" / "app.py") as up, SyncMeshClient(up.address) as mesh:
        for user, context, items, hidden in zip(
            offline["user"], offline["context"], offline["items"], offline["hidden"], strict=True
        ):
            shown = mesh.infer("recommend", {"user": np.array([user]), "context": context})["items"]
            assert shown.tolist() == items.tolist()
            hits += bool(np.isin(hidden, shown).any())
    assert hits / len(offline["user"]) == pytest.approx(figures["hit_rate"])
    assert figures["hit_rate"] > 10 * figures["hit_rate_by_chance"]


def test_vision_tells_what_the_offline_pipeline_tells_and_ends_early_without_a_face(home: Home) -> None:
    figures = json.loads((EXAMPLES / "vision" / "offline.json").read_text())
    folder = Path(skimage.data.__file__).parent
    with home.up(EXAMPLES / "vision" / "app.py") as up, SyncMeshClient(up.address) as mesh:
        for name, offline in figures["answers"].items():
            seen = mesh.infer("vision", {"photo": bytes_of((folder / name).read_bytes())})
            found, caption = seen.found[0].decode(), seen.caption[0].decode()
            assert (found, seen.box.tolist(), seen.points.item(), caption) == (
                offline["found"],
                offline["box"],
                offline["points"],
                offline["caption"],
            )
            assert seen.parameters["route.arm"] == found
        with pytest.raises((InvalidInput, ReplicaError), match="no picture"):
            mesh.infer("vision", {"photo": bytes_of(b"not a picture")})


def test_the_fastapi_application_authenticates_validates_looks_up_and_calls_the_model(
    home: Home, heldout: dict[str, Any]
) -> None:
    pixels = heldout["pixels"][0].tolist()
    scan = {"station": "north", "pixels": pixels}
    readers = {"READERS": json.dumps({TOKEN: "mail-room"})}
    with home.up(EXAMPLES / "fastapi" / "app.py", "--http", "127.0.0.1:0", environ=readers) as up:
        status, answer = post(up, "/letters/digit", scan, TOKEN)
        assert status == 200
        assert (answer["digit"], answer["hall"], answer["reader"]) == (
            int(heldout["mlp_labels"][0]),
            "Sorting hall A",
            "mail-room",
        )
        assert post(up, "/letters/digit", scan)[0] == 401
        assert post(up, "/letters/digit", scan, "another")[0] == 401
        assert post(up, "/letters/digit", {**scan, "station": "nowhere"}, TOKEN)[0] == 404
        assert post(up, "/letters/digit", {**scan, "pixels": pixels[:3]}, TOKEN)[0] == 422


def loaded(example: str) -> dict[str, Any]:
    with np.load(EXAMPLES / example / "heldout.npz") as file:
        return {name: file[name] for name in file.files}


def module(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{Path(path).stem}", EXAMPLES / path)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def bytes_of(value: bytes) -> np.ndarray[Any, Any]:
    return np.array([value], object)


def r2(truth: np.ndarray[Any, Any], found: np.ndarray[Any, Any]) -> float:
    return float(1 - np.square(truth - found).sum() / np.square(truth - truth.mean()).sum())


def post(up: Up, path: str, body: object, token: str = "") -> tuple[int, Any]:
    headers = {"content-type": "application/json", "authorization": f"Bearer {token}"}
    request = urllib.request.Request(f"http://{up.http}{path}", json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)
