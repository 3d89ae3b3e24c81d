"""Importing the user's file, and importing it anew."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from inferloom.mesh.errors import ConfigError
from inferloom.services.host.load import Loader
from inferloom.services.host.watch import Files


@pytest.fixture(autouse=True)
def same_modules() -> Iterator[None]:
    path, modules = list(sys.path), dict(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - set(modules):
        del sys.modules[name]


def same(module: ModuleType) -> ModuleType:
    return module


def test_a_reload_makes_fresh_modules_of_all_files_below_the_folder(tmp_path: Path) -> None:
    (tmp_path / "loads_a.py").write_text("import json\nfrom loads_b import X\n")
    (tmp_path / "loads_b.py").write_text("X = 1\n")
    loader = Loader(tmp_path / "loads_a.py")
    assert loader.load(same).X == 1
    json = sys.modules["json"]

    (tmp_path / "loads_b.py").write_text("X = 2\n")  # the same size, within the same second
    assert loader.load(same).X == 2
    assert sys.modules["json"] is json
    assert loader.files() == {tmp_path / "loads_a.py", tmp_path / "loads_b.py"}
    assert not list(tmp_path.rglob("*.pyc"))


def test_after_a_failure_the_modules_are_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "loads_c.py").write_text("from loads_d import X\n")
    (tmp_path / "loads_d.py").write_text("X = 1\n")
    loader = Loader(tmp_path / "loads_c.py")
    first = loader.load(same)
    (tmp_path / "loads_d.py").write_text("X = 2\nraise OSError('no disk\\nmore')\n")

    with pytest.raises(ConfigError, match=r"^loads_d\.py:2: OSError: no disk$"):
        loader.load(same)
    assert sys.modules["loads_c"] is first
    assert sys.modules["loads_d"].X == 1


def test_a_file_that_never_became_a_module_is_watched_after_the_failure(tmp_path: Path) -> None:
    (tmp_path / "loads_e.py").write_text("import loads_f\n")
    (tmp_path / "loads_f.py").write_text("x = = 1\n")
    loader = Loader(tmp_path / "loads_e.py")
    with pytest.raises(ConfigError, match=r"^loads_f\.py:1: SyntaxError: invalid syntax$"):
        loader.load(same)
    assert tmp_path / "loads_f.py" in loader.files()


def test_what_is_made_of_the_module_may_refuse_it(tmp_path: Path) -> None:
    (tmp_path / "loads_g.py").write_text("X = 1\n")
    loader = Loader(tmp_path / "loads_g.py")

    def refuse(module: ModuleType) -> None:
        raise ConfigError("app.py:7: two services are named 'Shop'")

    with pytest.raises(ConfigError, match=r"app\.py:7: two services are named 'Shop'$"):
        loader.load(refuse)
    assert "loads_g" not in sys.modules


def test_a_file_that_hides_a_module_is_refused(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("X = 1\n")
    with pytest.raises(ConfigError, match=r"^json\.py: there is a module 'json' already; give the file another name$"):
        Loader(tmp_path / "json.py")


def test_a_folder_stands_for_its_app_py(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"app\.py: there is no such file"):
        Loader(tmp_path)


def test_installed_packages_below_the_folder_are_left_alone(tmp_path: Path) -> None:
    packages = tmp_path / "lib" / "site-packages"
    packages.mkdir(parents=True)
    (packages / "loads_h.py").write_text("X = []\n")
    (tmp_path / "loads_i.py").write_text("import loads_h\n")
    sys.path.insert(0, str(packages))
    loader = Loader(tmp_path / "loads_i.py")
    first = loader.load(same).loads_h
    assert loader.load(same).loads_h is first


def test_a_file_changes_by_its_time_or_size_or_by_being_new(tmp_path: Path) -> None:
    one, two = tmp_path / "one.py", tmp_path / "two.py"
    one.write_text("1")
    files = Files([one])
    assert not files.changed([one])
    one.write_text("12")
    assert files.changed([one])
    assert not files.changed([one, two])
    two.write_text("2")
    assert files.changed([one, two])
    one.unlink()
    assert not files.changed([one, two])


def test_a_file_that_is_taken_up_is_no_change(tmp_path: Path) -> None:
    one = tmp_path / "one.py"
    one.write_text("1")
    files = Files([])
    files.see([one])
    assert not files.changed([one])


def test_an_error_of_a_declaration_names_its_own_line_once_and_below_the_folder(tmp_path: Path) -> None:
    (tmp_path / "loads_h.py").write_text(
        "from inferloom.sdk import service\n\n\n@service\nasync def first(x: int) -> int:\n    return x\n\n\n"
        "@service(replicas=0)\nasync def second(x: int) -> int:\n    return x\n"
    )
    with pytest.raises(ConfigError, match=r"^loads_h\.py:(9|10): replicas=0") as caught:
        Loader(tmp_path / "loads_h.py").load(same)
    assert str(tmp_path) not in str(caught.value)


def test_a_place_at_the_end_of_a_message_is_put_in_front(tmp_path: Path) -> None:
    (tmp_path / "loads_i.py").write_text("X = 1\n")
    where = f"{tmp_path.resolve() / 'loads_i.py'}:12"

    def refuse(module: ModuleType) -> None:
        raise ConfigError(f"Shop: argument 'x' has no type ({where}): write `x: bytes`")

    with pytest.raises(ConfigError, match=r"^loads_i\.py:12: Shop: argument 'x' has no type: write `x: bytes`$"):
        Loader(tmp_path / "loads_i.py").load(refuse)
