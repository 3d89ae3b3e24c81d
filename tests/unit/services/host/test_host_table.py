"""Who answers, what that looks like as metadata, records and statistics."""

from __future__ import annotations

import pytest
from grpc import StatusCode

from inferloom.clients.metadata import ModelMetadata, TensorSpec
from inferloom.mesh.catalog import Kind, Repeat, Replica, State
from inferloom.mesh.errors import ModelNotFound
from inferloom.services.host.described import config_of, metadata_of
from inferloom.services.host.records import Generations, records_of, waiting
from inferloom.services.host.table import Table
from inferloom.services.host.tally import Tally
from inferloom.services.signature import Signature
from tests.unit.services.host.fake_answerer import FakeAnswerer, X

BASE = Replica("", "h1", "10.0.0.1", 8001, check="10.0.0.1:8001")


def test_the_oldest_version_answers_where_none_is_asked() -> None:
    table = Table()
    table.replace([FakeAnswerer("Shop", "10"), FakeAnswerer("Shop", "2")])

    assert table.find("Shop").version == "2"
    assert table.find("Shop", "10").version == "10"
    assert table.versions("Shop") == ("2", "10")


def test_an_unknown_name_or_version_is_told_with_what_there_is() -> None:
    table = Table()
    table.replace([FakeAnswerer("Shop")])

    with pytest.raises(ModelNotFound, match=r"model 'Shpo' not found; did you mean Shop\?"):
        table.find("Shpo")
    with pytest.raises(ModelNotFound, match="Shop with version 1"):
        table.find("Shop", "2")
    assert table.versions("Shpo") == ()


def test_metadata_and_configuration_are_what_a_client_reads() -> None:
    answerer = FakeAnswerer("Shop", signature=Signature((X, TensorSpec("t", "BYTES", (1,), True)), (X,), streams=True))

    read = ModelMetadata.of(metadata_of(answerer, ("1",)), config_of(answerer).config)
    assert read == ModelMetadata(
        "Shop", ("1",), "inferloom_service", answerer.signature.inputs, answerer.signature.outputs, 0, True
    )


def test_one_that_batches_leaves_the_batch_out_of_its_configuration() -> None:
    config = config_of(
        FakeAnswerer("p", kind=Kind.PIPELINE, signature=Signature((X,), (X,), True), max_batch_size=32)
    ).config

    assert (config.max_batch_size, list(config.input[0].dims)) == (32, [4])


def test_records_say_what_each_name_is() -> None:
    answerers = [
        FakeAnswerer("Shop"),
        FakeAnswerer("Web"),
        FakeAnswerer("digits", kind=Kind.PIPELINE, repeat=Repeat.ANY),
    ]

    found = records_of(BASE, answerers, Generations(3), {"Web": 9000}, {"": "app.py:1: no", "digits": "no model"})
    assert (found["Shop"].problem, found["digits"].problem) == ("app.py:1: no", "no model")
    assert (found["Web"].app_port, found["Shop"].app_port) == (9000, 0)
    assert (found["digits"].kind, found["digits"].repeat, found["digits"].generation) == (Kind.PIPELINE, Repeat.ANY, 3)
    assert found["Shop"].versions == ("1",)


def test_what_is_not_served_yet_has_a_record_that_says_why() -> None:
    record = waiting(BASE, "digits", Kind.PIPELINE, "no model 'svm'")

    assert (record.state, record.problem, record.usable) == (State.STARTING, "no model 'svm'", False)


def test_the_generation_grows_only_where_inputs_or_outputs_changed() -> None:
    generations = Generations(5)
    assert [generations.of(FakeAnswerer("Shop")) for _ in range(2)] == [5, 5]
    changed = FakeAnswerer("Shop", signature=Signature((X,), ()))
    assert [generations.of(changed) for _ in range(2)] == [6, 6]
    assert generations.of(FakeAnswerer("Web")) == 5


def test_statistics_have_a_row_for_what_was_never_called() -> None:
    tally = Tally()
    tally.add("Shop", "1", 0.25, 1700.0, StatusCode.OK)
    tally.add("Shop", "1", 0.5, 1701.0, StatusCode.UNKNOWN)

    rows = {row.name: row for row in tally.statistics([("Shop", "1"), ("Web", "1")]).model_stats}
    assert (rows["Shop"].inference_count, rows["Shop"].last_inference) == (1, 1_701_000)
    assert rows["Shop"].inference_stats.success.ns == 250_000_000
    assert rows["Shop"].inference_stats.fail.ns == 500_000_000
    assert rows["Web"].inference_count == 0


def test_calls_are_told_by_version_and_code_and_only_of_what_is_served() -> None:
    tally = Tally()
    tally.add("Shop", "1", 0.25, 1700.0, StatusCode.OK)
    tally.add("Shop", "1", 0.5, 1701.0, StatusCode.UNKNOWN)
    tally.add("Shop", "1", 0.5, 1701.0, None)
    tally.add("Old", "1", 0.5, 1701.0, StatusCode.OK)
    (family,) = tally.collect(frozenset({"Shop"}))
    counts = {tuple(s.labels.values()): s.value for s in family.samples if s.name.endswith("_count")}
    assert counts == {("Shop", "1", "OK"): 1, ("Shop", "1", "UNKNOWN"): 1, ("Shop", "1", "CANCELLED"): 1}
