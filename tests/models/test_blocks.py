"""What a plan makes of a layer: one answer for blocks of two factors and of three."""

import pytest
import torch
from torch import nn

from lowrank_kit.checks import InputError
from lowrank_kit.models.blocks import check_plan, empty_block, n_factors, rank_of, saves
from lowrank_kit.models.low_rank import LowRank
from lowrank_kit.models.tucker import Tucker
from lowrank_kit.records import LayerPlan

# layer, plan -> the kind of block and the numbers in its factors
CASES = {
    "linear": (nn.Linear(12, 16), LayerPlan(5), LowRank, 5 * 28),
    "aware": (nn.Linear(12, 16), LayerPlan(5, "aware"), LowRank, 5 * 28),
    "convolution": (nn.Conv2d(6, 8, 3), LayerPlan(5), LowRank, 5 * (8 + 54)),
    "spatial": (nn.Conv2d(6, 8, (3, 2)), LayerPlan(5, "spatial"), LowRank, 5 * (8 * 2 + 6 * 3)),
    "in groups": (nn.Conv2d(6, 8, 3, groups=2), LayerPlan(3), LowRank, 2 * 3 * (4 + 27)),
    "tucker": (nn.Conv2d(6, 8, 3), LayerPlan((5, 4), "tucker"), Tucker, 5 * 4 * 9 + 5 * 8 + 4 * 6),
    "tucker on one axis": (nn.Conv1d(6, 8, 3), LayerPlan((2, 6), "tucker"), Tucker, 2 * 6 * 3 + 2 * 8 + 6 * 6),
    "tucker on three axes": (nn.Conv3d(2, 4, (1, 2, 3)), LayerPlan((4, 1), "tucker"), Tucker, 4 * 6 + 4 * 4 + 2),
}
cases = pytest.mark.parametrize(("layer", "plan", "kind", "numbers"), CASES.values(), ids=CASES)


@cases
def test_a_block_is_of_its_kind_holds_its_numbers_and_tells_its_rank(layer, plan, kind, numbers):
    check_plan("0", layer, plan)
    block = empty_block(layer, plan)
    assert type(block) is kind and rank_of(block) == plan.rank
    assert n_factors(layer, plan) == numbers == sum(part.weight.numel() for part in block)
    assert torch.equal(block.bias, layer.bias)


@cases
def test_it_saves_where_its_numbers_are_strictly_fewer(layer, plan, kind, numbers):
    assert saves(layer, plan) is (numbers < layer.weight.numel())


TIES = {
    "matrix": (nn.Linear(6, 3), LayerPlan(2), LayerPlan(1)),  # 18 numbers, and 2 x 9
    "tucker": (nn.Conv1d(3, 2, 5), LayerPlan((2, 2), "tucker"), LayerPlan((1, 2), "tucker")),  # 30, and 20 + 4 + 6
}


@pytest.mark.parametrize(("layer", "tie", "less"), TIES.values(), ids=TIES)
def test_a_tie_saves_nothing(layer, tie, less):
    assert n_factors(layer, tie) == layer.weight.numel() and not saves(layer, tie) and saves(layer, less)


WRONG = {
    "unknown to the layer": (nn.Linear(4, 4), LayerPlan((2, 2), "tucker"), "`method of fc` .*; got 'tucker'"),
    "unknown to groups": (nn.Conv2d(4, 4, 3, groups=2), LayerPlan((2, 2), "tucker"), "`method of fc` .*; got 'tucker'"),
    "spatial on one axis": (nn.Conv1d(4, 4, 3), LayerPlan(2, "spatial"), "'svd', 'aware', 'tucker'; got 'spatial'"),
    "beyond the matrix": (
        nn.Linear(4, 6),
        LayerPlan(5),
        r"`rank of fc` must be .* between 1 and min\(m, n\) = 4 .*got 5",
    ),
    "beyond the outputs": (
        nn.Conv2d(4, 6, 3),
        LayerPlan((7, 1), "tucker"),
        r"`rank of fc` must be at most the sizes of its two modes, \(6, 4\); got \(7, 1\)",
    ),
    "beyond the inputs": (nn.Conv2d(4, 6, 3), LayerPlan((6, 5), "tucker"), r"two modes, \(6, 4\); got \(6, 5\)"),
}


@pytest.mark.parametrize(("layer", "plan", "words"), WRONG.values(), ids=WRONG)
def test_a_plan_that_a_layer_cannot_follow(layer, plan, words):
    with pytest.raises(InputError, match=words):
        check_plan("fc", layer, plan)
