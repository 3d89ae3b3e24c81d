"""Run pages by hand: python -m tests.docs.run docs/up.md"""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.docs.marks import PageError
from tests.docs.page import read_page
from tests.docs.runner import run_page


def main(names: list[str]) -> int:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it, and so would ours
    for name in names:
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="page-") as folder:
            try:
                run_page(read_page(Path(name).resolve()), Path(folder) / "home", lambda line: print(line, flush=True))
            except PageError as error:
                print(f"\nFAILED {error}", file=sys.stderr)
                return 1
        print(f"\n{name}: all of it ran, {time.monotonic() - began:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) if sys.argv[1:] else "which page? python -m tests.docs.run docs/up.md")
