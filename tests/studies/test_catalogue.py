"""The catalogue lists the layers that the networks of others have, and as much arithmetic as their papers say."""

import importlib
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from lowrank_kit.models import shapes
from lowrank_kit.models.shapes import layer_of, layer_shapes
from lowrank_kit.records import LayerShape
from lowrank_kit.studies.catalogue import CATALOGUE, STAIRCASE

OUTSIDE = Path(__file__).parents[1] / "outside"
NETWORKS = ("vgg16", "resnet50", "vit-b16", "bert-base")
IMAGE, TOKENS = (1, 3, 224, 224), (1, 128)
# What of a network is not in its blocks, and not in the catalogue.
LEFT_OUT = {
    "vit-b16": {LayerShape(768, 3, (16, 16), (224, 224), (14, 14)): 1, LayerShape(1000, 768): 1},
    "bert-base": {LayerShape(768, 768): 1},
}


def layers_of(network):
    return [layer for layer in CATALOGUE if layer.network == network]


def total(network, what):
    return sum(layer.count * getattr(layer.shape, what) for layer in layers_of(network))


@pytest.fixture(scope="module")
def others():
    """How others build the networks, with no values."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(OUTSIDE)
        importlib.import_module("networks_of_others")  # which can load torchvision and timm, and keeps them offline
    timm, models, transformers = map(importlib.import_module, ("timm", "torchvision.models", "transformers"))
    return {
        "vgg16": models.vgg16,
        "resnet50": models.resnet50,
        "vit-b16": lambda: timm.create_model("vit_base_patch16_224"),
        "bert-base": lambda: transformers.BertModel(transformers.BertConfig()),
    }


@pytest.mark.parametrize("network", NETWORKS)
def test_the_layers_are_those_of_the_network_as_others_build_it(network, others):
    with torch.device("meta"):
        model = others[network]()
    model.to_empty(device="cpu")
    with torch.no_grad():
        for values in (*model.parameters(), *model.buffers()):
            values.zero_()
    inputs = np.zeros(TOKENS, int) if network == "bert-base" else np.zeros(IMAGE, np.float32)
    found = Counter(layer_shapes(model, inputs).values())
    listed = Counter({layer.shape: layer.count for layer in layers_of(network)})
    assert found - listed == Counter(LEFT_OUT.get(network, {}))
    assert listed - found == Counter()


@pytest.mark.parametrize(
    ("network", "weights", "macs"),
    [
        # Both as torchvision states them of its networks (138,357,544 and 25,557,032 parameters, 15.47 and 4.09
        # thousand million multiply-adds), less 13,416 biases, and 1,000 biases and 53,120 numbers of norms.
        ("vgg16", 138_357_544 - 13_416, 15.47e9),
        ("resnet50", 25_557_032 - 1_000 - 53_120, 4.09e9),
        # Twelve blocks of four 768 x 768 and two 768 x 3072 matrices, on 197 and on 128 vectors.
        ("vit-b16", 12 * 12 * 768**2, 12 * 12 * 768**2 * 197),
        ("bert-base", 12 * 12 * 768**2, 12 * 12 * 768**2 * 128),
    ],
)
def test_totals_are_those_that_are_known(network, weights, macs):
    assert total(network, "weights") == weights
    assert total(network, "macs") == pytest.approx(macs, rel=1e-3)


def test_networks_are_listed_one_behind_the_other():
    assert tuple(dict.fromkeys(layer.network for layer in CATALOGUE)) == NETWORKS
    assert [sum(layer.count for layer in layers_of(network)) for network in NETWORKS] == [16, 54, 48, 72]


def test_a_shape_stands_once_under_its_first_name():
    assert len({(layer.network, layer.shape) for layer in CATALOGUE}) == len(CATALOGUE)
    assert len({(layer.network, layer.name) for layer in CATALOGUE}) == len(CATALOGUE)
    counts = {layer.name: layer.count for layer in CATALOGUE}
    assert counts["conv5_1"] == 3  # conv5_2 and conv5_3 are of its shape, conv4_2 runs on another size
    assert (counts["conv4_2"], counts["layer3.1.conv2"], counts["0.qkv"], counts["0.query"]) == (2, 5, 12, 48)


def test_the_staircase_is_of_a_convolution_in_the_middle():
    assert STAIRCASE in CATALOGUE
    assert STAIRCASE.shape == LayerShape(256, 256, (3, 3), (14, 14), (14, 14))


def test_every_shape_can_be_made_a_layer(monkeypatch):
    """On the meta device, where a pass computes sizes alone."""
    monkeypatch.setattr(shapes, "drawn", lambda model, seed: model)
    for layer in CATALOGUE:
        shape = layer.shape
        sides = (*shape.size, shape.inputs) if shape.is_linear else (shape.inputs, *shape.size)
        out = layer_of(shape)(torch.empty(1, *sides, device="meta"))
        assert math.prod(out.shape) == shape.outputs * math.prod(shape.out_size), layer
        assert shape.is_linear or tuple(out.shape[2:]) == shape.out_size, layer
