from __future__ import annotations

from inferloom.mesh.oip import pb
from inferloom.services.rest.information import plain


def test_numbers_are_numbers_and_enums_are_names() -> None:
    answer = pb.ModelConfigResponse()
    answer.config.name = "iris"
    answer.config.max_batch_size = 8
    answer.config.dynamic_batching.max_queue_delay_microseconds = 500
    answer.config.input.add(name="x", data_type="TYPE_FP32", dims=[-1, 4])
    answer.config.parameters["k"].string_value = "v"
    config = plain(answer.config)

    assert config["dynamic_batching"]["max_queue_delay_microseconds"] == 500
    assert (config["input"][0]["data_type"], config["input"][0]["dims"]) == ("TYPE_FP32", [-1, 4])
    assert config["parameters"] == {"k": {"string_value": "v"}}
    assert config["default_model_filename"] == ""
    assert "sequence_batching" not in config


def test_messages_that_are_not_there_are_left_out() -> None:
    assert plain(pb.ModelStatistics(name="a")) == {
        "name": "a",
        "version": "",
        "last_inference": 0,
        "inference_count": 0,
        "execution_count": 0,
        "batch_stats": [],
        "memory_usage": [],
        "response_stats": {},
    }
