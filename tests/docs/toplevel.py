"""Runs a block of Python from stdin as a page shows it: `await` may stand outside of functions.

python tests/docs/toplevel.py PAGE LINE < BLOCK
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import sys
from types import ModuleType


def main() -> None:
    page, line = sys.argv[1], int(sys.argv[2])
    source = "\n" * (line - 1) + sys.stdin.read()  # a traceback names the page's lines, and shows them
    sys.argv = ["-"]
    sys.path[0] = ""
    module = sys.modules["__main__"] = ModuleType("__main__")
    code = compile(source, page, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    if code.co_flags & inspect.CO_COROUTINE:
        asyncio.run(eval(code, module.__dict__))
    else:
        exec(code, module.__dict__)


if __name__ == "__main__":
    main()
