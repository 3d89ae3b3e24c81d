"""The shell of a page's reader: it remembers its folder and its variables from one command to the next."""

from __future__ import annotations

import os
import re
import signal
import subprocess

from inferloom.cli.consul_binary import find_binary
from tests.docs.ports import GRPC, Ports
from tests.support.up import Home

__all__ = ["KEPT", "LIMIT", "Shell"]

LIMIT = 60.0  # seconds for one command
COLUMNS = "120"
# What the shell of a reader would remember from one command to the next; readonly variables are bash's own.
KEPT = """if [ -f "$KEPT" ]; then . "$KEPT"; fi
set -a
"""
KEEP = """trap 'code=$?
[ "$INFERLOOM_MESH" != "$PAGE_MESH" ] || unset INFERLOOM_MESH
unset PAGE_MESH
{ declare -px | grep -v "^declare -[a-z]*r"; printf "cd %q\\n" "$PWD"; } > "$KEPT"
exit $code' EXIT
"""
CURLS_OWN = re.compile(r"^curl: \(22\) The requested URL returned error: \d+\n", re.MULTILINE)  # readers do not see it
CURL = "fail-with-body\nsilent\nshow-error\n"  # an HTTP error is an exit code; no meter, as in a terminal


class Shell:
    """Runs each command in a bash of its own."""

    def __init__(self, home: Home, ports: Ports) -> None:
        self._home = home
        self._ports = ports
        self._kept = home.state / "kept.sh"
        (home.state / ".curlrc").write_text(CURL)

    def run(self, text: str, *, client: bool, given: str = "") -> tuple[int | None, str]:
        """To its end: the exit code, None where it had to be ended, and what it printed to stdout and stderr.

        Args:
            client: it uses a client library, as scripts do.
            given: its stdin.
        """
        process = subprocess.Popen(
            ["bash", "-c", KEPT + KEEP + text],
            cwd=self._home.here,
            env=self.environ(client=client),
            stdin=subprocess.PIPE if given else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        code: int | None = None
        try:
            out, _ = process.communicate(given.encode() or None, LIMIT)
            code = process.returncode
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, _ = process.communicate()
        return code, CURLS_OWN.sub("", out.decode(errors="replace"))

    def environ(self, *, client: bool) -> dict[str, str]:
        """Of a command. A client library looks at the usual port, which here is another."""
        environ = self._home.environment() | {
            "COLUMNS": COLUMNS,
            "KEPT": str(self._kept),
            "CURL_HOME": str(self._home.state),
            "PYTHONUNBUFFERED": "1",
        }
        consul = find_binary()
        if consul is not None:
            environ["PATH"] += f"{os.pathsep}{consul.parent}"
        if 8500 in self._ports:
            environ["CONSUL_HTTP_ADDR"] = self._ports.address(8500)
        if client:
            environ["INFERLOOM_MESH"] = environ["PAGE_MESH"] = self._ports.address(GRPC)
        return environ
