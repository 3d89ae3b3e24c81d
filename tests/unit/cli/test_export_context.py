"""The context of an image: what is in it, and what is refused."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from inferloom.cli.build import LOCK, build
from inferloom.mesh.errors import ConfigError
from tests.unit.cli.test_export_values import folder


def listed(path: Path) -> set[str]:
    return {found.relative_to(path).as_posix() for found in path.rglob("*") if found.is_file()}


async def test_code_and_models_are_apart_and_noise_is_left_out(tmp_path: Path) -> None:
    path = folder(tmp_path / "shop")
    for name in ("prices.csv", ".env", "__pycache__/a.pyc", "lib/helpers.py", "env/pyvenv.cfg", "env/bin/python"):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text("x")
    built = await build(path, tmp_path / "out")
    assert listed(built.folder) == {
        "Dockerfile",
        "REVISION",
        LOCK,
        "app/mesh.yaml",
        "app/prices.csv",
        "app/lib/helpers.py",
        "models/iris/config.pbtxt",
        "models/iris/1/model.py",
    }


async def test_the_revision_is_a_digest_of_all_that_is_in_it(tmp_path: Path) -> None:
    path = folder(tmp_path / "shop")
    first = await build(path, tmp_path / "out")
    lines = [
        f"{hashlib.sha256((first.folder / name).read_bytes()).hexdigest()}  {name}\n"
        for name in sorted(listed(first.folder), key=lambda name: Path(name))
        if name != "REVISION"
    ]
    assert first.revision == hashlib.sha256("".join(lines).encode()).hexdigest()[:12]
    assert (first.folder / "REVISION").read_text() == f"{first.revision}\n"
    assert (await build(path, tmp_path / "again")).revision == first.revision
    (path / "requirements.txt").write_text("polars==1.2.3\n")
    assert (await build(path, tmp_path / "out")).revision != first.revision


async def test_a_context_within_the_folder_is_not_part_of_the_next_one(tmp_path: Path) -> None:
    path = folder(tmp_path / "shop")
    first = await build(path, path / "image")
    assert (await build(path, path / "image")).revision == first.revision
    assert not [name for name in listed(first.folder) if name.startswith("app/image")]


@pytest.mark.parametrize("line", ["polars", "polars>=1", "polars==1.*", "polars ~= 1.2"])
async def test_a_dependency_without_a_version_is_refused_with_its_line(tmp_path: Path, line: str) -> None:
    path = folder(tmp_path / "shop")
    (path / LOCK).write_text(f"# made by hand\nnumpy==2.1.0\n{line}\n")
    with pytest.raises(ConfigError, match=rf"{LOCK}:3: .* names no version; a lock does, as name==1.2.3"):
        await build(path, tmp_path / "out")


async def test_a_lock_with_hashes_markers_and_options_is_taken(tmp_path: Path) -> None:
    path = folder(tmp_path / "shop")
    lock = '--only-binary :all:\npolars[sql]==1.2.3 ; python_version > "3.10" \\\n    --hash=sha256:abc\nours @ file:///srv/o.whl\n'
    (path / LOCK).write_text(lock)
    built = await build(path, tmp_path / "out")
    assert (built.folder / LOCK).read_text() == lock


async def test_a_project_without_a_lock_is_told_how_to_make_one(tmp_path: Path) -> None:
    path = folder(tmp_path / "shop")
    (path / "pyproject.toml").touch()
    with pytest.raises(ConfigError, match=rf"pyproject\.toml: write what is installed to {LOCK}"):
        await build(path, tmp_path / "out")


async def test_a_folder_that_was_not_built_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").touch()
    with pytest.raises(ConfigError, match="holds something that `inferloom build` has not written"):
        await build(folder(tmp_path / "shop"), tmp_path / "out")
    assert (tmp_path / "out" / "thesis.tex").exists()


async def test_the_folder_itself_is_no_place_for_its_context(tmp_path: Path) -> None:
    path = folder(tmp_path / "shop")
    for out in (path, tmp_path):
        with pytest.raises(ConfigError, match="is what the image is made of; name another folder"):
            await build(path, out)
