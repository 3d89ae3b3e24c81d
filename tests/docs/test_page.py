"""A page is read into blocks with their marks."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.marks import PageError
from tests.docs.page import Page, read_page

TEXT = """---
title: A page
---

# A page

Words, and `<!-- not a mark -->`.

<!-- given: iris.onnx forest.pkl -->

```python title="app.py"
x = 1
```

```sh
inferloom up app.py
```

```text
...
ready grpc=127.0.0.1:8081
```

<!-- needs: cluster -->
```sh
kubectl get pods
```

- in a list:

  <!-- fails -->
  ```sh
  false
  ```

```json
{}
```
See [another](other.md#there), [the web](https://example.org) and [above](#a-page).
"""


def page(text: str) -> Page:
    return read_page(Path("docs/page.md"), text)


def test_blocks_have_language_title_text_line_and_what_they_print() -> None:
    app, up, kubectl, false, json = page(TEXT).blocks
    assert (app.kind, app.title, app.text, app.line) == ("file", "app.py", "x = 1\n", 12)
    assert (up.kind, up.text, up.line) == ("sh", "inferloom up app.py\n", 16)
    assert (up.prints, up.prints_line) == ("...\nready grpc=127.0.0.1:8081\n", 20)
    assert (kubectl.runs, kubectl.mark("needs") is not None) == (False, True)
    assert (false.text, false.runs, false.mark("fails") is not None) == ("false\n", True, True)
    assert (json.kind, json.runs) == ("", False)


def test_given_may_stand_anywhere_and_belongs_to_the_page() -> None:
    assert [(mark.text, mark.line) for mark in page(TEXT).given] == [("iris.onnx forest.pkl", 9)]


def test_links_to_files_are_known_without_their_anchors() -> None:
    assert page(TEXT).links == ("other.md",)


def test_text_that_does_not_directly_follow_a_command_is_not_what_it_prints() -> None:
    run, text = page("```sh\ntrue\n```\nWords.\n```text\nx\n```\n").blocks
    assert (run.prints, text.kind) == (None, "")


def test_several_marks_stand_before_one_block() -> None:
    (block,) = page("<!-- fails -->\n<!-- eventually -->\n```sh\nfalse\n```\n").blocks
    assert [mark.word for mark in block.marks] == ["fails", "eventually"]


@pytest.mark.parametrize("block", ["```sh\ntrue\n```", '```python title="a.py"\n```'])
def test_a_fragment_is_neither_run_nor_written(block: str) -> None:
    (found,) = page(f"<!-- fragment -->\n{block}\n").blocks
    assert not found.runs


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("\n<!-- need: gpu -->\n```sh\n```\n", "docs/page.md:2: '<!-- need: gpu -->' is no mark"),
        ("<!-- fails: 2 -->\n```sh\n```\n", "docs/page.md:1: '<!-- fails: 2 -->' is no mark"),
        ("<!-- tested -->\n```sh\n```\n", "docs/page.md:1: '<!-- tested -->' is no mark"),
        ("<!-- needs: patience -->\n```sh\n```\n", "docs/page.md:1: needs: 'patience' is none of clone, cluster"),
        ("<!-- fails -->\n\nWords.\n\n```sh\n```\n", "docs/page.md:1: the mark `fails` stands before no block"),
        ("<!-- fails -->\n", "docs/page.md:1: the mark `fails` stands before no block"),
        ("Words:\n\n    ls\n", "docs/page.md:3: an indented block"),
        ("```console\n$ ls\n```\n", "docs/page.md:1: ```console: commands stand in ```sh"),
    ],
)
def test_what_the_runner_would_pass_over_in_silence_is_an_error_with_its_line(text: str, says: str) -> None:
    with pytest.raises(PageError) as caught:
        page(text)
    assert str(caught.value).startswith(says)
