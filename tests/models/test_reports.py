"""Every matrix has a verdict and a reason that a reader can act on."""

import pytest
from torch import nn
from torch.nn.utils import parametrizations

from lowrank_kit.models.inventory import Site, inventory
from lowrank_kit.models.reports import report
from lowrank_kit.records import LayerPlan


def only_site(layer):
    (site,) = inventory(layer).values()
    return site


def told(layer, plan, *, is_head=False, guard=True):
    found = report(only_site(layer), plan, is_head=is_head, guard=guard)
    return found.verdict, found.reason


def remain(after, before):
    return f"{after / before:.0%} of its parameters remain"


LINEAR = nn.Linear(12, 16)  # saves up to rank 6
DEPTHWISE = nn.Conv2d(4, 4, 3, groups=4)
KERNEL = nn.Conv2d(6, 8, 3)  # 432 numbers in its weight
CASES = {
    "not planned": (LINEAR, None, {}, ("dense", "not in the plan")),
    "head": (LINEAR, None, {"is_head": True}, ("dense", "classifier head, left out of the plan")),
    "nothing to save": (DEPTHWISE, None, {}, ("dense", "no rank makes it smaller: 1 x 9 in each group")),
    "last that saves": (LINEAR, LayerPlan(6), {}, ("compressed", remain(6 * 28 + 16, 208))),
    "first that does not": (
        LINEAR,
        LayerPlan(7),
        {},
        ("dense", "rank 7 saves nothing: factors are smaller up to rank 6"),
    ),
    "without the guard": (LINEAR, LayerPlan(12), {"guard": False}, ("compressed", remain(12 * 28 + 16, 208))),
    "head in the plan": (
        LINEAR,
        LayerPlan(1, "aware"),
        {"is_head": True},
        ("compressed", remain(28 + 16, 208)),
    ),
    "depthwise by spatial": (
        DEPTHWISE,
        LayerPlan(1, "spatial"),
        {},
        ("compressed", remain(4 * 6 + 4, 40)),
    ),
    "pair of ranks": (KERNEL, LayerPlan((4, 3), "tucker"), {}, ("compressed", remain(4 * 3 * 9 + 32 + 18 + 8, 440))),
    "last pair that saves": (
        KERNEL,
        LayerPlan((8, 4), "tucker"),
        {},
        ("compressed", remain(8 * 4 * 9 + 64 + 24 + 8, 440)),
    ),
    "pair that saves nothing": (
        KERNEL,
        LayerPlan((7, 6), "tucker"),
        {},
        ("dense", "ranks (7, 6) save nothing: 470 numbers for 432"),
    ),
    "computed": (
        parametrizations.weight_norm(nn.Linear(12, 16)),
        LayerPlan(2),
        {},
        ("compressed", remain(2 * 28 + 16, 12 * 16 + 16 + 16) + "; its computed weight is folded in"),
    ),
}


@pytest.mark.parametrize(("layer", "plan", "how", "expected"), CASES.values(), ids=CASES)
def test_verdict_and_reason(layer, plan, how, expected):
    assert told(layer, plan, **how) == expected


def test_a_refused_site_keeps_its_reason_and_its_parameters():
    found = report(Site("a", "Kind", 7, reason="why not"), LayerPlan(1), is_head=True, guard=True)
    assert (found.verdict, found.reason, found.n_params_before, found.n_params, found.how) == (
        "refused", "why not", 7, 7, "",
    )  # fmt: skip


def test_numbers_of_a_compressed_layer():
    found = report(only_site(nn.Conv2d(4, 8, 3, groups=2)), LayerPlan(3, "aware"), is_head=False, guard=True)
    assert (found.how, found.kind) == ("aware 3", "Conv2d 8 x 2 x 3 x 3")
    assert (found.n_params_before, found.n_params) == (8 * 18 + 8, 2 * 3 * (4 + 18) + 8)


def test_numbers_of_a_pair_of_ranks():
    found = report(only_site(nn.Conv2d(6, 8, 3)), LayerPlan((4, 3), "tucker"), is_head=False, guard=True)
    assert (found.how, found.kind) == ("tucker 4 x 3", "Conv2d 8 x 6 x 3 x 3")
    assert (found.n_params_before, found.n_params) == (8 * 6 * 9 + 8, 4 * 3 * 9 + 8 * 4 + 6 * 3 + 8)


def test_a_twin_names_the_layer_it_goes_with():
    model = nn.Sequential(nn.Linear(12, 12), nn.Linear(12, 12))
    model[1].weight = model[0].weight
    found = report(inventory(model)["1"], LayerPlan(2), is_head=False, guard=True)
    assert found.reason == "38% of its parameters remain; shares its factors with 0"
