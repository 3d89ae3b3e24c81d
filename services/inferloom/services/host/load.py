"""Imports the user's file, and imports it anew.

A module's name is the file's; its folder is put on `sys.path`, so files beside it can be imported. A reload makes fresh
modules of everything below that folder, and where that fails the modules are as they were before.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TypeVar

import structlog

from inferloom.mesh.errors import ConfigError, InferloomError
from inferloom.services.host.fault import stack_text, summary

__all__ = ["Loader", "problem_of"]

log = structlog.get_logger(__name__)
T = TypeVar("T")

_AT_FRONT = re.compile(r"\S+\.py:\d+: ")  # a declaration's error names its own line, which is not where it was noticed
_BEHIND = re.compile(r" \((\S+\.py:\d+)\)")
FOREIGN = frozenset({"site-packages", "dist-packages", "__pycache__", "node_modules"})


class Loader:
    """One app: a file, or a module's dotted name.

    Args:
        source: "app.py", "folder/app.py", or "package.module" that can be imported.

    Raises:
        ConfigError: there is no such file or module, or its name is taken by a module that is already imported.
    """

    def __init__(self, source: str | Path) -> None:
        text = str(source)
        path = Path(text)
        if path.suffix == ".py" or path.exists():
            self.file = _app_file(path).resolve()
            self.name = self.file.stem if self.file.stem != "__init__" else self.file.parent.name
            self.folder = self.file.parent
            self._by_path = True
            _put_on_path(self.folder)
        else:
            self.file, self.name, self._by_path = _find(text), text, False
            self.folder = self.file.parent
        self._tried: set[Path] = set()  # files of a load that failed, which are no modules now
        self._refuse_taken()

    def load(self, use: Callable[[ModuleType], T]) -> T:
        """What `use` makes of the module, imported fresh.

        Raises:
            ConfigError: it does not import, or `use` raises: "file:line: TypeName: message". The stack is in the log; the
                modules are as they were before.
        """
        before = {name: module for name, module in sys.modules.items() if self._is_ours(module)}
        for name in before:
            del sys.modules[name]
        importlib.invalidate_caches()
        try:
            with _no_bytecode():
                found = use(self._import())
        except BaseException as error:  # SystemExit too: a script at its end
            self._tried = self.files() | set(self.folder.glob("*.py"))
            for name in [name for name, module in sys.modules.items() if self._is_ours(module)]:
                del sys.modules[name]
            sys.modules.update(before)
            if isinstance(error, KeyboardInterrupt):
                raise
            where = problem_of(error, self.folder, self.file)
            if not isinstance(error, InferloomError):
                log.error("the file does not import", file=str(self.file), stack=stack_text(error))
            raise ConfigError(where) from None
        self._tried = set()
        return found

    def files(self) -> set[Path]:
        """The app's file and all that it has imported from below its folder; after a failure also those beside it."""
        found = {self.file, *self._tried}
        for module in list(sys.modules.values()):
            if self._is_ours(module):
                found.add(Path(str(module.__file__)))
        return found

    def _import(self) -> ModuleType:
        if not self._by_path:
            return importlib.import_module(self.name)
        spec = importlib.util.spec_from_file_location(self.name, self.file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[self.name] = module
        spec.loader.exec_module(module)
        return module

    def _is_ours(self, module: ModuleType) -> bool:
        file = getattr(module, "__file__", None)
        if not isinstance(file, str) or module.__name__ == "__main__" or module.__name__.startswith("inferloom."):
            return False
        path = Path(file)
        if path == self.file:
            return True
        if not path.is_relative_to(self.folder):
            return False
        return FOREIGN.isdisjoint(path.relative_to(self.folder).parts)

    def _refuse_taken(self) -> None:
        known = sys.modules.get(self.name)
        if known is None or not self._by_path:
            return
        file = getattr(known, "__file__", None)
        if file is None or Path(file) != self.file:
            raise ConfigError(f"{self.file.name}: there is a module '{self.name}' already; give the file another name")


def problem_of(error: BaseException, folder: Path, file: Path) -> str:
    """One line: the last place in the user's own files, and what was raised there."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_shown(error.filename, folder)}:{error.lineno}: {type(error).__name__}: {error.msg}"
    place = _shown(str(file), folder)
    for frame in traceback.extract_tb(error.__traceback__):
        path = Path(frame.filename)
        if path.is_relative_to(folder) and FOREIGN.isdisjoint(path.parts):
            place = f"{_shown(frame.filename, folder)}:{frame.lineno}"
    if isinstance(error, SystemExit):
        return f"{place}: the file ends the process while it is imported (SystemExit: {error.code})"
    if not isinstance(error, InferloomError):
        return f"{place}: {summary(error)}"
    said = re.sub(rf"{re.escape(str(folder))}/(\S+\.py:\d+)", r"\1", str(error))
    if said.startswith(place) or _AT_FRONT.match(said):
        return said
    own = _BEHIND.search(said)  # "argument 'x' has no type (app.py:12): ..."
    return f"{own[1]}: {said.replace(own[0], '', 1)}" if own else f"{place}: {said}"


def _shown(filename: str, folder: Path) -> str:
    path = Path(filename)
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else filename


def _app_file(path: Path) -> Path:
    if path.is_dir():
        path = path / "app.py"
    if not path.is_file():
        raise ConfigError(f"{path}: there is no such file")
    return path


def _find(name: str) -> Path:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError) as error:
        raise ConfigError(f"{name}: it is no file, and no module that can be imported ({error})") from None
    if spec is None or spec.origin is None:
        raise ConfigError(f"{name}: it is no file, and no module that can be imported")
    return Path(spec.origin).resolve()


def _put_on_path(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


@contextmanager
def _no_bytecode() -> Iterator[None]:
    """Cached bytecode is found fresh by a time in whole seconds and a size: two edits within a second may look the same."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before
