"""The runner does what a page says, and stops with file, line and reason where that does not come out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.marks import PageError
from tests.docs.page import read_page
from tests.docs.runner import Run, run_page

SERVER = """```python title="server.py"
import sys, time
from pathlib import Path

Path("state").write_text("up")
print("ready at last", flush=True)
try:
    time.sleep(600)
except KeyboardInterrupt:
    Path("state").write_text("ended")
    sys.exit(int(sys.argv[1]))
```
"""


def run(text: str, folder: Path) -> list[str]:
    """What it said; the page is docs/page.md."""
    said: list[str] = []
    run_page(read_page(Path("docs/page.md"), text), folder / "home", said.append)
    return said


def fails(text: str, folder: Path) -> str:
    with pytest.raises(PageError) as caught:
        run(text, folder)
    return str(caught.value)


def test_a_page_is_one_shell_with_its_folder_its_variables_and_its_files(tmp_path: Path) -> None:
    page = """
```text title="words/hello"
at 127.0.0.1:8080
```
```sh
cd words
export COLOUR=green
cat hello | sed 's/[0-9.:]* *$/home/'
```
```text
at home
```
```sh
echo $COLOUR; basename "$PWD"
```
```text
green
words
```
```python
import asyncio, os
from pathlib import Path

await asyncio.sleep(0)
print(os.environ["COLOUR"], Path("hello").exists(), __name__)
```
```text
green True __main__
```
"""
    run(page, tmp_path)


def test_what_stays_ends_with_the_page(tmp_path: Path) -> None:
    said = run(SERVER + "```sh\npython server.py 0 &\n```\n```sh\ncat state\n```\n```text\nup\n```\n", tmp_path)
    assert said[-1] == "docs/page.md:14: python server.py 0\n    [ended by Ctrl-C]"
    assert (tmp_path / "home" / "here" / "state").read_text() == "ended"


def test_ctrl_c_ends_what_was_started_last(tmp_path: Path) -> None:
    run(SERVER + "```sh\npython server.py 0 &\n```\n```sh\n# Ctrl-C\ncat state\n```\n```text\nended\n```\n", tmp_path)


def test_what_has_failed_leaves_nothing_running(tmp_path: Path) -> None:
    page = read_page(Path("docs/page.md"), SERVER + "```sh\npython server.py 0 &\n```\n```sh\nfalse\n```\n")
    with (
        pytest.raises(PageError, match=r"docs/page.md:17: `false` ended with exit code 1, not 0"),
        Run(page, tmp_path / "home") as it,
    ):
        it.all()
    assert it.home.processes() == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("```sh\ntrue\nls nowhere\n```\n", "docs/page.md:3: `ls nowhere` ended with exit code 2, not 0\nls: cannot"),
        ("<!-- fails -->\n```sh\ntrue\n```\n", "docs/page.md:3: `true` ended with exit code 0, not another than 0"),
        ("\n```python\n\n1 / 0\n```\n", "docs/page.md:3: `python` ended with exit code 1, not 0\nTraceback"),
        ("```sh\necho a\n```\n```text\nb\n```\n", "docs/page.md:5: not printed as shown: 'b' (numbers are #)"),
        ("<!-- given: no.onnx -->\n", "docs/page.md:1: given: no.onnx: known are"),
        ("```sh\n# Ctrl-C\n```\n", "docs/page.md:2: nothing runs that Ctrl-C could end"),
        (
            SERVER + "```sh\npython server.py 3 &\n```\n",
            "docs/page.md:14: `python server.py 3`: Ctrl-C ended it with exit code 3",
        ),
        ("```sh\ninferloom up no.onnx\n```\n", "docs/page.md:2: `inferloom up no.onnx --grpc"),
        ("<!-- tested: tests/no.py -->\n```sh\nls\n```\n", "docs/page.md:1: tested: there is no tests/no.py"),
        (
            "<!-- tested: tests/docs/test_page.py -->\n```sh\nuntested-word\n```\n",
            "docs/page.md:3: tested: tests/docs/test_page.py does not have `untested-word`",
        ),
    ],
)
def test_the_first_thing_that_is_not_so_is_named_with_its_line(text: str, says: str, tmp_path: Path) -> None:
    assert fails(text, tmp_path).startswith(says)


def test_a_line_of_a_failing_script_is_the_one_of_the_page(tmp_path: Path) -> None:
    assert 'docs/page.md", line 4, in <module>' in fails("\n```python\n\n1 / 0\n```\n", tmp_path)


def test_what_needs_what_is_not_here_is_not_run(tmp_path: Path) -> None:
    said = run("<!-- needs: cluster -->\n```sh\nfalse\n```\n<!-- fragment -->\n```python\n1 / 0\n```\n", tmp_path)
    assert said == ["docs/page.md:3: sh: not run (needs cluster)", "docs/page.md:7: python: not run (fragment)"]


def test_eventually_is_tried_again_until_it_is_so(tmp_path: Path) -> None:
    page = "<!-- eventually -->\n```sh\necho >> lines\nwc -l < lines | tr 123 abc\n```\n```text\nc\n```\n"
    run(page, tmp_path)
    assert (tmp_path / "home" / "here" / "lines").read_text() == "\n" * 3


def test_an_http_error_is_a_failure_of_curl_whose_answer_is_shown_alone(tmp_path: Path) -> None:
    page = """```python title="server.py"
from http.server import BaseHTTPRequestHandler, HTTPServer

class Refuse(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(400)
        self.end_headers()
        self.wfile.write(b"refused\\n")

server = HTTPServer(("127.0.0.1", int("127.0.0.1:8080".partition(":")[2])), Refuse)
print("ready", flush=True)
try:
    server.serve_forever()
except KeyboardInterrupt:
    server.server_close()
```
```sh
python server.py &
```
<!-- fails -->
```sh
curl http://127.0.0.1:8080/
```
```text
refused
```
"""
    run(page, tmp_path)
