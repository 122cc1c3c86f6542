"""Networks built by others: every layer is compressed, left dense or refused as it should be, and all comes back."""

from collections import Counter

import numpy as np
import pytest
import torch

from lowrank_kit.measurement.cost import layer_params, macs, n_params, size_bytes
from lowrank_kit.methods.planning import plan
from lowrank_kit.models.low_rank import LowRank, matrix_shape, suited
from lowrank_kit.models.store import restore, save
from lowrank_kit.models.surgery import Factorisation, compress, with_empty_blocks
from lowrank_kit.records import Examples, LayerPlan, RankPlan, break_even_rank

ONLY = "only linear and convolution layers are factorised"
DEPTHWISE = "no rank makes it smaller: 1 x {} in each group"
TIED = "shares its weight with transformer.wte.weight, which can't be factorised along"

# network -> layers compressed, and those left dense and refused with reasons, where all that can be smaller is planned
EXPECTED = {
    "ResNet of basic blocks": (9, {}, {}),
    "ResNet of bottlenecks": (12, {}, {}),
    "ResNeXt": (12, {}, {}),
    "DenseNet": (15, {}, {}),
    "U-Net": (7, {}, {f"{ONLY}, not ConvTranspose2d": 1}),
    "BERT (transformers)": (14, {}, {f"{ONLY}, not Embedding": 3}),
    "GPT-2 (transformers)": (8, {}, {f"{ONLY}, not Embedding": 2, TIED: 1}),
    "ViT (timm)": (10, {}, {f"a bare parameter of VisionTransformer: {ONLY}": 2}),
    "ConvNeXt (timm)": (15, {DEPTHWISE.format(49): 5}, {}),
    "EfficientNet (timm)": (16, {DEPTHWISE.format(9): 2}, {}),
    "EfficientNet of TensorFlow (timm)": (
        33,
        {DEPTHWISE.format(9): 5, DEPTHWISE.format(25): 7},
        {f"{ONLY}, not Conv2dSame": 5},
    ),
}
names = pytest.mark.parametrize("name", EXPECTED)
methods = pytest.mark.parametrize("method", ["svd", "spatial", "aware"])


def data(others, name):
    x = others.NETWORKS[name][1]
    return Examples(x.numpy(), np.zeros(len(x), int))


def planned(found, rank_of, method="svd"):
    """A plan of every layer that some rank makes smaller; rank_of tells the rank for a layer's matrix shape."""
    methods = {name: suited(layer, method) for name, layer in found.layers.items()}
    shapes = {name: matrix_shape(layer, methods[name]) for name, layer in found.layers.items()}
    plans = {n: LayerPlan(rank_of(s), methods[n]) for n, s in shapes.items() if break_even_rank(s)}
    return RankPlan(plans, found.weights)


def half_of_what_saves(shape):
    return max(break_even_rank(shape) // 2, 1)


@names
def test_every_layer_is_accounted_for(others, name):
    model = others.built(name)
    found = Factorisation(model)
    survey = found.survey(planned(found, half_of_what_saves))
    reasons = {v: Counter(r.reason for r in survey.layers if r.verdict == v) for v in ("dense", "refused")}
    compressed, dense, refused = EXPECTED[name]
    assert (survey.counts["compressed"], reasons["dense"], reasons["refused"]) == (compressed, dense, refused)


def test_every_network_is_in_the_table(others):
    assert {*others.NETWORKS} == {*EXPECTED}


@names
@methods
def test_at_full_rank_it_computes_what_it_did(others, name, method):
    model = others.built(name).double()
    found = Factorisation(model, data(others, name))
    whole = found.compress(planned(found, min, method), break_even_guard=False)
    torch.testing.assert_close(others.outputs(whole, name), others.outputs(model, name), rtol=1e-8, atol=1e-9)


@names
@methods
@pytest.mark.parametrize("share", [0.5, 0.25], ids=["half", "quarter"])
def test_below_it_is_as_small_as_promised_and_comes_back_from_its_folder(others, name, method, share, tmp_path):
    model = others.built(name)
    found = Factorisation(model, data(others, name))
    chosen = planned(found, lambda shape: max(int(share * min(shape)), 1), method)
    small, survey = found.compress(chosen), found.survey(chosen)
    saved = sum(report.n_params_before - report.n_params for report in survey.layers)
    assert n_params(model) - n_params(small) == saved > 0
    assert sum(isinstance(m, LowRank) for m in small.modules()) == survey.counts["compressed"]
    expected = others.outputs(small, name)
    assert expected.isfinite().all()
    folder = save(small, chosen, tmp_path / "net")
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 1.05 * size_bytes(small) + 150 * len(
        small.state_dict()
    )
    assert torch.equal(others.outputs(restore(folder, others.built(name, 9)), name), expected)


@names
@pytest.mark.parametrize("cost", ["params", "macs"])
def test_a_budget_is_kept(others, name, cost):
    model, x = others.built(name), others.NETWORKS[name][1].numpy()
    small = compress(model, plan(model, budget=0.7, cost=cost, data=data(others, name)))
    kept, whole = (layer_params(m) if cost == "params" else macs(m, x) for m in (small, model))
    assert 0.5 * whole < kept <= 0.7 * whole


@names
def test_empty_blocks_have_the_shapes_of_filled_ones(others, name):
    found = Factorisation(others.built(name))
    chosen = planned(found, half_of_what_saves)
    empty, filled = with_empty_blocks(found.model, chosen.layers), found.compress(chosen)
    assert [(k, v.shape) for k, v in empty.state_dict().items()] == [
        (k, v.shape) for k, v in filled.state_dict().items()
    ]
