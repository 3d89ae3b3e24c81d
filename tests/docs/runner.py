"""Does what a page says, block after block, in a fresh folder."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self

import psutil

from tests.docs.background import Background, Failed
from tests.docs.commands import END, Command, commands, with_ports
from tests.docs.given import ROOT, lay
from tests.docs.marks import PageError
from tests.docs.page import Block, Page
from tests.docs.ports import GRPC, HTTP, Ports
from tests.docs.printed import agrees
from tests.docs.shell import KEPT, LIMIT, Shell
from tests.docs.tested import check_tested
from tests.support.up import Home

__all__ = ["Run", "run_page"]

AGAIN = 20.0  # seconds for which a block marked `eventually` is tried
PATIENCE = 10.0  # seconds until what stays has printed what is shown
GONE = 10.0  # seconds until all has ended
TOPLEVEL = Path(__file__).parent / "toplevel.py"
PYTHON = Path(sys.executable)
Say = Callable[[str], None]


class Run:
    """One page while it runs; nothing of it is left when the context ends."""

    def __init__(self, page: Page, folder: Path, say: Say = lambda line: None) -> None:
        self.page = page
        self.home = Home(folder, command=(str(PYTHON),))
        self.ports = Ports()
        self._say = say
        self._background: list[Background] = []
        self._shell = Shell(self.home, self.ports)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for each in self._background:
            each.kill()
        for process in self.home.processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def all(self) -> None:
        """Every block, and the end of what stayed.

        Raises:
            PageError: the first thing that is not as the page says.
        """
        for mark in self.page.given:
            for name in mark.text.replace(",", " ").split():
                try:
                    lay(name, self.home.here)
                except FileNotFoundError as error:
                    raise PageError(self.page.path, mark.line, str(error)) from None
                self._say(f"{self._at(mark.line)} given {name}")
        for block in self.page.blocks:
            self._block(block)
        while self._background:
            self._end_last(self._background[-1].command.line)
        end = time.monotonic() + GONE
        while left := self.home.processes():
            if time.monotonic() > end:
                raise self._wrong(
                    1, f"still running after the page's end: {[' '.join(each.cmdline()) for each in left]}"
                )
            time.sleep(0.1)

    def _block(self, block: Block) -> None:
        if block.mark("tested"):
            check_tested(_short(self.page.path), block)
        if not block.runs:
            why = " ".join(f"{mark.word} {mark.text}".strip() for mark in block.marks) or "only to be read"
            self._say(f"{self._at(block.line)} {block.language or 'block'}: not run ({why})")
        elif block.kind == "file":
            target = self.home.here / block.title
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(self.ports.replaced(block.text))
            self._say(f"{self._at(block.line)} wrote {block.title}")
        else:
            self._until(block)

    def _until(self, block: Block) -> None:
        """Run it; where it is marked `eventually`, until it does what it should."""
        end = time.monotonic() + (AGAIN if block.mark("eventually") else 0.0)
        while True:
            try:
                self._do(block)
            except PageError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.2)
            else:
                return

    def _do(self, block: Block) -> None:
        stays: list[Background] = []
        parts: list[Callable[[], str]] = []
        if block.kind == "python":
            text = self._python(block)
            parts.append(lambda: text)
        else:
            for command in commands(block.text, block.line):
                if command.text.strip() == END:
                    self._end_last(command.line)
                elif command.stays and not block.mark("fails"):
                    stays.append(self._start(command))
                    parts.append(lambda it=stays[-1]: self.ports.shown(it.printed))  # type: ignore[misc]
                else:
                    printed = self._command(command, fails=block.mark("fails") is not None)
                    parts.append(lambda it=printed: it)  # type: ignore[misc]
        if block.prints is not None:
            self._compare(block, parts, waits=bool(stays))

    def _python(self, block: Block) -> str:
        program = shlex.join([str(PYTHON), str(TOPLEVEL), str(self.page.path), str(block.line)])
        fails = block.mark("fails") is not None
        source = self.ports.replaced(block.text)
        return self._finish(program, block.line, "python", client=True, given=source, fails=fails)

    def _command(self, command: Command, *, fails: bool) -> str:
        text = with_ports(command, self.ports, self.home.here)
        client = command.words[:1] != ["inferloom"]
        return self._finish(text, command.line, text, client=client, fails=fails)

    def _finish(self, text: str, line: int, shown: str, *, client: bool, given: str = "", fails: bool) -> str:
        began = time.monotonic()
        code, printed = self._shell.run(text, client=client, given=given)
        printed = self.ports.shown(printed)
        if code is None:
            raise self._wrong(line, f"`{shown}` had not ended after {LIMIT:.0f} s\n{printed}")
        took = f"[exit code {code}, {time.monotonic() - began:.1f} s]"
        self._say(f"{self._at(line)} {shown}\n{_indented(printed)}    {took}")
        if bool(code) != fails:
            wanted = "another than 0, as it is marked `fails`" if fails else "0"
            raise self._wrong(line, f"`{shown}` ended with exit code {code}, not {wanted}\n{printed}")
        return printed

    def _start(self, command: Command) -> Background:
        text = with_ports(command, self.ports, self.home.here)
        log = self.home.state / f"background-{len(self._background)}-{command.line}.log"
        environ = self._shell.environ(client=not command.role)
        began = time.monotonic()
        it = Background(command, KEPT + text, self.home.here, log, environ)
        self._background.append(it)
        try:
            ready = it.wait_ready(self.ports.address(8500) if command.consul else "")
        except Failed as error:
            raise self._wrong(command.line, f"`{text}`: {error}") from None
        self._settle(command, ready)
        took = f"[stays; ready after {time.monotonic() - began:.1f} s]"
        self._say(f"{self._at(command.line)} {text} &\n{_indented(self.ports.shown(it.printed))}    {took}")
        return it

    def _settle(self, command: Command, ready: Mapping[str, str]) -> None:
        """The usual ports are those that `up` says it has, where the page does not choose.

        Envoy has one port for both; 8080 is nobody's then.
        """
        words = command.words
        if ready.get("http") == ready.get("grpc"):
            return
        for usual, key, option in ((GRPC, "grpc", "--grpc"), (HTTP, "http", "--http")):
            if command.role == "up" and key in ready and option not in words:
                self.ports.settle(usual, int(ready[key].rpartition(":")[2]))

    def _end_last(self, line: int) -> None:
        if not self._background:
            raise self._wrong(line, "nothing runs that Ctrl-C could end")
        it = self._background[-1]
        try:
            it.end()
        except Failed as error:
            raise self._wrong(it.command.line, f"`{it.command.bare}`: {error}") from None
        self._background.remove(it)
        self._say(f"{self._at(it.command.line)} {it.command.bare}\n    [ended by Ctrl-C]")

    def _compare(self, block: Block, parts: list[Callable[[], str]], *, waits: bool) -> None:
        end = time.monotonic() + (PATIENCE if waits else 0.0)
        while True:
            printed = "".join(part() if not part() or part().endswith("\n") else part() + "\n" for part in parts)
            missing = agrees(block.prints or "", printed, more=waits)
            if not missing:
                return
            if time.monotonic() > end:
                raise self._wrong(
                    block.prints_line, f"not printed as shown: {missing!r} (numbers are #); printed was\n{printed}"
                )
            time.sleep(0.1)

    def _at(self, line: int) -> str:
        return f"{_short(self.page.path)}:{line}:"

    def _wrong(self, line: int, what: str) -> PageError:
        return PageError(_short(self.page.path), line, what)


def run_page(page: Page, folder: Path, say: Say = lambda line: None) -> None:
    """Run all of it.

    Args:
        folder: does not exist, or is empty.
        say: told what was run and how it ended.

    Raises:
        PageError: the first thing that is not as the page says.
    """
    with Run(page, folder, say) as run:
        run.all()


def _short(path: Path) -> Path:
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


def _indented(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.splitlines())
