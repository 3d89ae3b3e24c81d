"""The commands of a block, one after another, and what the runner adds to them."""

from __future__ import annotations

import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.docs.ports import GRPC, HTTP, Ports

__all__ = ["END", "Command", "commands", "with_ports"]

END = "# Ctrl-C"  # ends what was started last
ROLES = frozenset({"up", "router", "control", "edge", "sidecar", "host"})
ENDS = frozenset({"--help", "-h", "--describe", "status"})  # with one of these a role does not stay

# What a role takes where it is not told, so that pages that run at once do not meet: option, and the usual port.
LISTENS = {
    "router": (("--grpc", GRPC), ("--admin", 9100)),
    "control": (("--grpc", 9091), ("--admin", 9102), ("--router", GRPC), ("--router-http", HTTP)),
    "edge": (("--listen", GRPC), ("--control", 9091)),
    "sidecar": (("--admin", 9101),),
}
CONSUL = (("-http-port", 8500), ("-server-port", 8300), ("-serf-lan-port", 8301), ("-serf-wan-port", 8302))


@dataclass(frozen=True, slots=True)
class Command:
    """One command of a block; it may have several lines."""

    text: str
    line: int  # on the page

    @property
    def words(self) -> list[str]:
        """Without the assignments before it and the `&` after it; of what is no simple command: none."""
        try:
            words = shlex.split(self.text, comments=True)
        except ValueError:
            return []
        while words and re.fullmatch(r"\w+=.*", words[0], re.DOTALL):
            words.pop(0)
        return words[:-1] if words and words[-1] == "&" else words

    @property
    def role(self) -> str:
        """Of `inferloom up ...` and its like: "up"; of others: ""."""
        words = self.words
        stays = len(words) > 1 and words[0] == "inferloom" and words[1] in ROLES and not ENDS & set(words)
        return words[1] if stays else ""

    @property
    def consul(self) -> bool:
        return self.words[:2] == ["consul", "agent"]

    @property
    def stays(self) -> bool:
        """Whether it is started in the background."""
        return bool(self.role) or self.text.rstrip().endswith(" &")

    @property
    def bare(self) -> str:
        """Without the `&` at its end."""
        text = self.text.rstrip()
        return text[:-1].rstrip() if text.endswith(" &") else text


def commands(text: str, line: int) -> list[Command]:
    """Cut a block into commands, where bash says that one is complete; comments are left out, but for `# Ctrl-C`.

    Args:
        line: of the block's first line.
    """
    found: list[Command] = []
    open_lines: list[str] = []
    for number, each in enumerate(text.splitlines(), line):
        if not open_lines and (not each.strip() or (each.lstrip().startswith("#") and each.strip() != END)):
            continue
        open_lines.append(each)
        if _complete("\n".join(open_lines)):
            found.append(Command("\n".join(open_lines), number - len(open_lines) + 1))
            open_lines = []
    if open_lines:
        found.append(Command("\n".join(open_lines), line + len(text.splitlines()) - len(open_lines)))
    return found


def _complete(text: str) -> bool:
    if text.endswith("\\"):
        return False
    if not re.search(r"['\"`({<]|\b(for|while|if|case|do|then)\b", text):
        return True
    checked = subprocess.run(["bash", "-n", "-c", text], capture_output=True, text=True, check=False)
    return checked.returncode == 0 and not checked.stderr  # a here-document without its end is a warning


def with_ports(command: Command, ports: Ports, folder: Path) -> str:
    """The command's text on this run's ports, with an option for each usual port that it would take.

    Args:
        folder: where it runs.
    """
    text, words = ports.replaced(command.bare), command.words
    given = {word.partition("=")[0] for word in words}
    added: list[tuple[str, int]] = []
    if command.role == "up":
        added = [("--grpc", GRPC)]
        if "--gateway" not in given and not _says_http(words, folder):
            added.append(("--http", HTTP))
    elif command.role:
        added = list(LISTENS.get(command.role, ()))
    elif words[:3] == ["inferloom", "control", "status"]:
        added = [("--control", 9091)]
    elif command.consul:
        options = [f" {name} {ports[port]}" for name, port in CONSUL if name not in given]
        return text + " -dns-port -1 -grpc-port -1" + "".join(options)
    return text + "".join(f" {name} {ports.address(port)}" for name, port in added if name not in given)


def _says_http(words: list[str], folder: Path) -> bool:
    """Whether the mesh.yaml that is named says where HTTP is: an option beside it may contradict it."""
    files = [folder / word / "mesh.yaml" for word in words[2:] if not word.startswith("-")]
    return any(re.search(r"\b(http|gateway):", file.read_text()) for file in files if file.is_file())
