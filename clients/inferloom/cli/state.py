"""Where a running mesh is found by the command line: a file per mesh, readable by its user alone.

It holds the mesh's address and the token that allows writing, so only the user who runs a mesh can change it.
"""

from __future__ import annotations

import getpass
import json
import os
import secrets
import socket
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from inferloom.mesh.errors import ConfigError
from inferloom.mesh.listen import Address

__all__ = ["MeshState", "alive", "announce", "find", "new_token", "state_folder", "withdraw"]

DEFAULT = "127.0.0.1:8081"


@dataclass(frozen=True, slots=True)
class MeshState:
    """A mesh that `inferloom up` runs on this machine."""

    address: str  # gRPC, host:port
    pid: int
    token: str | None
    admin: str = ""
    host: str = ""  # how its documents name it; "": it was not started by `up` on this machine
    http: str = ""  # HOST:PORT of JSON for services and pipelines
    control: str = ""  # HOST:PORT of its control plane; "": it has no gateway, or it was not started by `up`

    @property
    def may_have_gateway(self) -> bool:
        """Whether Envoy may be in front of it: known of a mesh that `up` runs here, and of no other."""
        return bool(self.control) or not self.pid


def state_folder() -> Path:
    """`$INFERLOOM_STATE`, else `$XDG_STATE_HOME/inferloom`, else `~/.local/state/inferloom`."""
    if own := os.environ.get("INFERLOOM_STATE"):
        return Path(own)
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "inferloom"


def author() -> str:
    """Who changes something, for a document's history: user@host."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def new_token() -> str:
    return secrets.token_urlsafe(24)


def announce(state: MeshState) -> Path:
    """Write the file."""
    folder = state_folder() / "meshes"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / (state.address.replace(":", "_").replace("[", "").replace("]", "") + ".json")
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(asdict(state), file)
    return path


def withdraw(path: Path) -> None:
    path.unlink(missing_ok=True)


def running() -> list[MeshState]:
    """The meshes of this user that are running; files of dead ones are removed."""
    states = []
    for path in sorted((state_folder() / "meshes").glob("*.json")):
        try:
            state = MeshState(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError):
            continue  # half-written, or of another version: not one to talk to
        if alive(state.pid):
            states.append(state)
        else:
            withdraw(path)
    return states


def find(address: str | None, token: str | None = None) -> MeshState:
    """The mesh that is meant, with what is known of it.

    `address` None: `$INFERLOOM_MESH`, else the one that runs here, else the default address.

    Raises:
        ConfigError: several run here and none is named.
    """
    states = running()
    wanted = address or os.environ.get("INFERLOOM_MESH")
    if wanted is None:
        if len(states) > 1 and all(state.address != DEFAULT for state in states):
            raise ConfigError(f"several meshes run here: name one with --mesh ({', '.join(s.address for s in states)})")
        wanted = DEFAULT if len(states) != 1 else states[0].address
    local = wanted.replace("localhost", "127.0.0.1")
    known = next((state for state in states if state.address == local), MeshState(wanted, 0, None))
    token = token or os.environ.get("INFERLOOM_TOKEN")
    return replace(known, token=token) if token else known


def alive(pid: int) -> bool:
    """Whether a process with this id runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def reachable(listen: Address) -> Address:
    """The address a client on this machine uses for one a server listens on."""
    return Address("127.0.0.1" if listen.host in ("0.0.0.0", "::", "") else listen.host, listen.port)  # noqa: S104
