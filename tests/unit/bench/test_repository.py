from pathlib import Path

from bench.repository import names, write


def test_each_kind_has_four_models_that_add_one_to_four_and_take_their_time(tmp_path: Path) -> None:
    written = write(tmp_path)
    assert sorted(written) == sorted(path.name for path in tmp_path.iterdir())
    assert names(5) == ("stage-5-1", "stage-5-2", "stage-5-3", "stage-5-4")
    third = (tmp_path / "stage-5-3" / "config.pbtxt").read_text()
    assert 'key: "adds" value: { string_value: "3" }' in third
    assert 'key: "work_ms" value: { string_value: "5" }' in third
    assert "max_batch_size: 64" in third


def test_the_single_ones_take_one_request_at_a_time(tmp_path: Path) -> None:
    write(tmp_path)
    config = (tmp_path / "single-1" / "config.pbtxt").read_text()
    assert "max_batch_size: 0" in config
    assert "dims: [-1, 16]" in config
    assert "dynamic_batching" not in config
