"""Statistics of several replicas as one, held against the sums of all their integers."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from inferloom.mesh.oip import pb
from inferloom.mesh.router.statistics import summed

LATEST = ("last_inference",)
KEYS = ("batch_size", "name", "version", "type", "id")


def fill(message: Message, rng: random.Random) -> None:
    """Random integers in every field, of every message below."""
    for field in message.DESCRIPTOR.fields:
        if field.name in KEYS:
            continue
        if field.message_type is None:
            if rng.random() < 0.8 and not field.is_repeated:
                setattr(message, field.name, rng.randrange(2**40))
        elif field.message_type.GetOptions().map_entry:
            for key in rng.sample(["0", "1", "2"], rng.randrange(3)):
                fill(getattr(message, field.name)[key], rng)
        elif field.is_repeated:
            for size in rng.sample(range(1, 5), rng.randrange(3)):
                row = getattr(message, field.name).add()
                if "batch_size" in row.DESCRIPTOR.fields_by_name:
                    row.batch_size = size
                fill(row, rng)
        elif rng.random() < 0.9:
            fill(getattr(message, field.name), rng)


def response(rng: random.Random) -> Any:
    answer = pb.ModelStatisticsResponse()
    for name, version in rng.sample([("iris", "1"), ("iris", "2"), ("digits", "1")], rng.randrange(1, 4)):
        fill(answer.model_stats.add(name=name, version=version), rng)
    return answer


def numbers(message: Any, path: tuple[Any, ...] = ()) -> Counter[tuple[Any, ...]]:
    """Every integer by where it stands; rows with a key stand under it, others all under one."""
    found: Counter[tuple[Any, ...]] = Counter()
    for field, value in message.ListFields():
        here = (*path, field.name)
        if field.name in KEYS:
            continue
        if field.message_type is None:
            found[here] = max(found[here], value) if field.name in LATEST else found[here] + value
        elif field.message_type.GetOptions().map_entry:
            for key in value:
                found += numbers(value[key], (*here, key))
        elif field.is_repeated:
            for row in value:
                key = tuple(getattr(row, name) for name in KEYS if name in row.DESCRIPTOR.fields_by_name)
                found += numbers(row, (*here, key))
        else:
            found += numbers(value, here)
    return found


@given(st.integers(0, 2**32), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_every_integer_is_the_sum_of_the_replicas_and_the_last_inference_the_latest(seed: int, count: int) -> None:
    rng = random.Random(seed)
    answers = [response(rng) for _ in range(count)]
    expected: Counter[tuple[Any, ...]] = Counter()
    for answer in answers:
        for where, value in numbers(answer).items():
            expected[where] = max(expected[where], value) if where[-1] in LATEST else expected[where] + value
    copies = [pb.ModelStatisticsResponse.FromString(answer.SerializeToString()) for answer in answers]
    total = summed(copies)
    assert numbers(total) == expected
    rows = [(row.name, row.version) for row in total.model_stats]
    assert rows == sorted(set(rows))


def test_one_answer_is_itself() -> None:
    answer = response(random.Random(5))
    total = summed([pb.ModelStatisticsResponse.FromString(answer.SerializeToString())])
    assert sorted(map(str, total.model_stats)) == sorted(map(str, answer.model_stats))
