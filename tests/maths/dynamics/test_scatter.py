"""Classes part by the same factor from layer to layer: 5 classes of 10 orthogonal inputs, as in the paper."""

import numpy as np
import pytest

from lowrank_kit.checks import InputError
from lowrank_kit.maths.dynamics import Objective, Rule, descend, layer_scatter, start
from lowrank_kit.maths.separation import scatter_ratio

CLASSES, EACH, D = 5, 10, 50


@pytest.fixture
def cloud():
    """Orthogonal inputs (50, 50) and their classes."""
    return start("orthogonal", (D, D), 1.0, 7)[0], np.repeat(np.arange(CLASSES), EACH)


def trained(cloud, depth, scale):
    """Weights after descents in steps of 1 of the averaged loss, to 1e-6."""
    x, labels = cloud
    objective = Objective.of_data(x, np.eye(CLASSES)[labels], mean=True)
    weights = start("orthogonal", [D] * depth + [CLASSES], scale)
    for step, (own, product) in enumerate(descend(weights, objective, Rule(1.0))):
        if objective.loss(product) < 1e-6:
            return own
        assert step < 3000


def line(scatter):
    """The factor per layer of a straight line through the logarithms, and the share of their variance it explains."""
    depth, logs = np.arange(len(scatter)), np.log(scatter)
    fitted = np.polyval(np.polyfit(depth, logs, 1), depth)
    return np.exp(fitted[1] - fitted[0]), 1 - np.var(logs - fitted) / np.var(logs)


@pytest.mark.parametrize(("depth", "scale", "factor"), [(8, 0.5, 0.1877), (4, 0.5, 0.136), (4, 0.25, 0.0347)])
def test_every_layer_parts_classes_by_the_same_factor(cloud, depth, scale, factor):
    found = layer_scatter(trained(cloud, depth, scale), *cloud)
    assert found.shape == (depth,)
    assert found[0] == pytest.approx(11.25, abs=1e-9)
    slope, explained = line(found)
    assert slope == pytest.approx(factor, rel=0.01)
    assert explained > 0.999
    # What small starts come close to.
    assert slope == pytest.approx(scale**2 / EACH ** (1 / depth), rel=0.05)


def test_at_the_start_nothing_is_parted(cloud):
    weights = start("orthogonal", [D] * 4 + [CLASSES], 0.5)
    np.testing.assert_allclose(layer_scatter(weights, *cloud), 11.25, rtol=1e-12)


def test_layers_with_an_activation_one_by_one(rng):
    def relu(values):
        return np.maximum(values, 0)

    x, labels = rng.standard_normal((12, 4)), np.repeat([2, 5, 9], 4)
    A, B, C = (rng.standard_normal(shape) for shape in ((6, 4), (3, 6), (3, 3)))
    plain = [scatter_ratio(part, labels) for part in (x, x @ A.T, x @ A.T @ B.T)]
    np.testing.assert_allclose(layer_scatter([A, B, C], x, labels), plain)
    bent = [scatter_ratio(part, labels) for part in (x, relu(x @ A.T), relu(relu(x @ A.T) @ B.T))]
    np.testing.assert_allclose(layer_scatter([A, B, C], x, labels, relu), bent)


def test_examples_must_fit_the_first_layer():
    with pytest.raises(InputError, match="`x` must have 3 columns, the inputs of the first layer; got 2"):
        layer_scatter([np.ones((4, 3))], np.ones((5, 2)), np.zeros(5))
