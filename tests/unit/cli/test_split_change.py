"""What a command line makes of a split, and which versions may not go."""

from __future__ import annotations

from typing import Any

import pytest

from inferloom.cli.split_change import Change, split_after
from inferloom.cli.split_named import check_not_split
from inferloom.cli.split_table import shown_arms, table_of_split
from inferloom.mesh.catalog import Catalog, Replica
from inferloom.mesh.errors import InvalidInput, ModelNotFound
from inferloom.mesh.registry.base import Document
from inferloom.mesh.registry.memory import MemoryDocuments
from inferloom.mesh.split import KIND, Split
from inferloom.v1 import mesh_pb2 as pb

CATALOG = Catalog.build(
    [
        Replica("iris", "a", "10.0.0.1", 8001, versions=("1", "2", "3")),
        Replica("iris-b", "a", "10.0.0.1", 8001, versions=("1",)),
    ]
)


def after(present: Split | None = None, name: str = "iris", **change: Any) -> Split:
    document = Document(KIND, name, present.to_json(), 4, "me", 0.0) if present is not None else None
    return split_after(name, Change(**change), document, CATALOG)


def test_shares_make_a_split_of_versions() -> None:
    split = after(arms=("1=90", "2=10"), by="user")
    assert shown_arms(split) == "1 gets 90 %, 2 gets 10 %, by user"


def test_what_is_not_given_stays_and_nobody_moves_back() -> None:
    before = after(arms=("1=90", "2=10"), by="user", mirrors=("3=50",), overrides=("u17=2",))
    split = after(before, arms=("1=80", "2=20%"))
    assert shown_arms(split) == "1 gets 80 %, 2 gets 20 %, 3 mirrors 50 % of the requests, by user, u17 always 2"
    assert split.arms[1].ranges[0] == before.arms[1].ranges[0]


def test_an_arm_that_is_left_out_is_gone() -> None:
    assert shown_arms(after(after(arms=("1=90", "2=10")), arms=("2=100",))) == "2 gets 100 %"


def test_a_mirror_alone_leaves_the_oldest_version_all_requests() -> None:
    assert shown_arms(after(mirrors=("3=100",))) == "1 gets 100 %, 3 mirrors 100 % of the requests"


def test_a_mirror_of_0_and_an_override_without_an_arm_are_taken_out() -> None:
    before = after(arms=("1=1",), by="user", mirrors=("3=50",), overrides=("u17=1",))
    assert shown_arms(after(before, mirrors=("3=0",), overrides=("u17=",))) == "1 gets 100 %, by user"


def test_a_mirror_that_gets_a_share_is_a_mirror_no_more() -> None:
    before = after(arms=("1=1",), mirrors=("3=100",))
    assert shown_arms(after(before, arms=("1=90", "3=10"))) == "1 gets 90 %, 3 gets 10 %"


def test_an_arm_may_be_another_model() -> None:
    split = after(arms=("1=50", "iris-b=50"))
    assert [(arm.model, arm.target_version) for arm in split.arms] == [("", "1"), ("iris-b", "")]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arms": ("1",)}, "'1' is no ARM=SHARE, as 1=90"),
        ({"arms": ("1=many",)}, "'1=many' is no ARM=SHARE"),
        ({"arms": ("=5",)}, "'=5' is no ARM=SHARE"),
        ({"arms": ("1=5", "1=6")}, "'1=6': '1' is there twice"),
        (
            {"arms": ("1=90", "4=10")},
            "version 4 of 'iris' is not served (versions: 1, 2, 3); add it: inferloom add FILE --as iris:4",
        ),
        ({"arms": ("1=1",), "mirrors": ("3=200",)}, "--mirror 3=200: percent of the requests, 0 to 100"),
        ({"arms": ("1=1",), "mirrors": ("1=5",)}, "--mirror 1: version 1 has a share already"),
        ({"arms": ("1=1",), "overrides": ("u17",)}, "--override 'u17' is no UNIT=ARM, as u17=2"),
        ({"arms": ("1=1",), "overrides": ("u17=1",)}, "'overrides' need 'by'"),
        ({"arms": ("1=1",), "by": "User Id"}, "is no key of gRPC metadata"),
    ],
)
def test_what_is_wrong_is_told_with_the_cure(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        after(**change)
    assert message in str(refused.value)


def test_a_model_that_is_not_there_is_told_with_the_near_one() -> None:
    with pytest.raises(ModelNotFound, match="did you mean iris"):
        after(name="irs", arms=("1=1",))


async def test_a_version_that_a_split_sends_requests_to_may_not_go() -> None:
    documents = MemoryDocuments()
    split = after(arms=("1=90", "2=10", "iris-b=5"), mirrors=("3=10",))
    await documents.put(KIND, "iris", split.to_json())
    with pytest.raises(
        InvalidInput, match=r"the split of 'iris' sends requests to iris:2: first .*split iris OTHER=100"
    ):
        await check_not_split(documents, "iris", "2")
    with pytest.raises(InvalidInput, match=r"copies requests to iris:3: first inferloom split iris --mirror 3=0"):
        await check_not_split(documents, "iris", "3")
    await check_not_split(documents, "iris", "4")
    await check_not_split(documents, "iris-b", "2")


async def test_a_version_whose_share_is_0_may_go() -> None:
    documents = MemoryDocuments()
    await documents.put(KIND, "iris", after(arms=("1=100", "2=0")).to_json())
    await check_not_split(documents, "iris", "2")


def test_the_table_has_a_row_for_each_arm_and_says_what_is_wrong() -> None:
    answer = pb.SplitFiguresResponse(name="iris", by="user", version=3, problem="version 4: broken")
    real = answer.arms.add(arm="1", version="1", part=0.9, codes={"OK": 90, "UNAVAILABLE": 2}, stood_in=3, served=True)
    real.latency.count, real.latency.sum, real.latency.p50 = 90, 0.9, 0.008
    mirror = answer.arms.add(arm="3", version="3", part=0.5, mirror=True, codes={"OK": 5})
    mirror.compared.agreed, mirror.compared.differed, mirror.compared.failed = 3, 1, 2
    mirror.compared.difference.count, mirror.compared.difference.p50, mirror.compared.difference.max = 4, 0.01, 0.5
    table = table_of_split(answer)
    rows = list(zip(*([str(cell) for cell in column.cells] for column in table.columns), strict=True))
    assert rows[0] == (
        "1",
        "iris:1",
        "90 %",
        "92 (3 for others)",
        "2 (UNAVAILABLE 2)",
        "10.0",
        "8.0",
        "0.0",
        "-",
        "-",
        "-",
    )
    assert rows[1][:4] == ("3", "iris:3 (not served)", "mirror 50 %", "5")
    assert rows[1][8:] == ("75.0% of 4", "0.01, at most 0.5", "failed 2")
    assert table.caption == "version 4: broken"


async def test_a_model_that_another_s_split_names_may_not_go_and_its_own_split_does_not_keep_it() -> None:
    documents = MemoryDocuments()
    spec = after(arms=("1=50", "iris-b=50")).to_json()
    await documents.put(KIND, "iris", spec)
    await check_not_split(documents, "iris", None)
    with pytest.raises(InvalidInput, match="sends requests to iris-b: first inferloom split iris OTHER=100"):
        await check_not_split(documents, "iris-b", None)
