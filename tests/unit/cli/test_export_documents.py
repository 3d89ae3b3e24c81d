"""The documents that the chart's Job reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from inferloom.cli.apply_direct import read_documents
from inferloom.mesh.errors import ConfigError

SPLIT = {"kind": "split", "name": "iris", "spec": {"arms": [{"name": "1", "share": 100}]}}
WRONG: dict[str, tuple[Any, str]] = {
    "no list": (SPLIT, "must be a list of documents"),
    "no spec": ([{"kind": "split", "name": "a"}], "document 1 must have kind, name and spec"),
    "a key too many": ([SPLIT | {"host": "x"}], "document 1 must have kind, name and spec, and nothing else"),
    "a kind that there is not": ([SPLIT | {"kind": "splits"}], "document 1 (splits iris): unknown kind"),
    "a split without arms": ([SPLIT, SPLIT | {"name": "b", "spec": {}}], "document 2, split 'b'"),
    "a pipeline that is none": ([{"kind": "pipeline", "name": "p", "spec": {"node": []}}], "document 1, pipeline 'p'"),
    "a model without versions": ([{"kind": "model", "name": "m", "spec": {}}], "document 1, model 'm'"),
    "a service without versions": ([{"kind": "service", "name": "S", "spec": {}}], "document 1, service 'S'"),
    "one twice": ([SPLIT, SPLIT], "split 'iris' is there twice"),
}


def test_documents_are_read_by_kind_and_name(tmp_path: Path) -> None:
    (tmp_path / "documents.json").write_text(json.dumps([SPLIT]))
    assert read_documents(tmp_path / "documents.json") == {("split", "iris"): SPLIT["spec"]}


def test_the_charts_values_are_read_too(tmp_path: Path) -> None:
    (tmp_path / "values.yaml").write_text(f"# as exported\nmodels: {{}}\ndocuments: [{json.dumps(SPLIT)}]\n")
    assert read_documents(tmp_path / "values.yaml") == {("split", "iris"): SPLIT["spec"]}


@pytest.mark.parametrize(("content", "says"), WRONG.values(), ids=WRONG.keys())
def test_what_is_no_document_is_refused_with_its_place(tmp_path: Path, content: Any, says: str) -> None:
    file = tmp_path / "documents.json"
    file.write_text(json.dumps(content))
    with pytest.raises(ConfigError) as refused:
        read_documents(file)
    assert str(file) in str(refused.value)
    assert says in str(refused.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"documents\.json"):
        read_documents(tmp_path / "documents.json")
