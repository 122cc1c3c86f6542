"""A format takes the weight's place in the network, and nothing else changes."""

import numpy as np
import pytest
import torch
from torch import nn

from lowrank_kit.checks import InputError
from lowrank_kit.maths.formats import FORMATS
from lowrank_kit.measurement.quality import predictions
from lowrank_kit.methods.formats import compare_formats
from lowrank_kit.models.inventory import weights_hash
from lowrank_kit.models.networks import digits_cnn
from lowrank_kit.records import Examples


@pytest.fixture
def network():
    torch.manual_seed(0)
    return digits_cnn().eval()


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    return Examples(rng.random((20, 1, 8, 8), dtype=np.float32), rng.integers(0, 10, 20))


def test_every_format_at_every_share(network, images):
    before = weights_hash(network)
    fits = compare_formats(network, "conv2", (0.1, 0.2), images)
    assert [fit.format for fit in fits] == [*FORMATS, *FORMATS]
    assert all(fit.n_params <= share * 18_432 for fit, share in zip(fits, [0.1] * 5 + [0.2] * 5, strict=True))
    assert weights_hash(network) == before


def test_accuracy_is_that_of_the_network_with_the_product_in_it(network, images):
    (fit,) = compare_formats(network, "conv3", [0.2], images, formats=["tucker"])
    with torch.no_grad():
        network.conv3.weight.copy_(torch.from_numpy(fit.tensor))
    assert np.array_equal(fit.correct, predictions(network, images) == images.y)
    assert fit.accuracy == fit.correct.mean()
    assert fit.interval[0] <= fit.accuracy < fit.interval[1]


@pytest.mark.parametrize(
    ("layer", "share", "sentence"),
    [
        ("conv9", 0.1, "must be one of"),
        ("head", 0.1, "2D convolution with a kernel"),
        ("conv2", 0.0, "share"),
        ("conv2", 0.001, "at rank 1"),
    ],
)
def test_what_cannot_be_done_is_said(network, images, layer, share, sentence):
    with pytest.raises(InputError, match=sentence):
        compare_formats(network, layer, [share], images)


def test_a_one_by_one_convolution_has_no_other_formats(images):
    model = nn.Sequential(nn.Conv2d(1, 4, 1), nn.Flatten(), nn.Linear(256, 10)).eval()
    with pytest.raises(InputError, match="with a kernel"):
        compare_formats(model, "0", [0.5], images)
