"""Views show a layer's inputs in the directions of its weight."""

import numpy as np
import pytest

from lowrank_kit.checks import InputError
from lowrank_kit.maths.dimension import two_nn
from lowrank_kit.maths.principal import principal_coordinates
from lowrank_kit.maths.separation import nearest_mean, variance_between
from lowrank_kit.measurement.activations import layer_inputs
from lowrank_kit.methods.latent import latent_views


@pytest.fixture(scope="module")
def views(digits, digits_factorisation):
    data = digits[1]
    return latent_views(digits_factorisation, data.test, data.train, {"fc2": 5, "head": 4})


def test_directions_kept_and_cut_are_those_of_the_weight(views, digits, digits_factorisation):
    model, data = digits
    h = layer_inputs(model, data.test.x)["fc2"]
    (part,) = digits_factorisation.factors("fc2")
    z = h @ (part.S[:, None] * part.Vh).T
    np.testing.assert_allclose(views["fc2"].kept, z[:, :2], atol=1e-4)
    np.testing.assert_allclose(views["fc2"].cut, z[:, 5:7], atol=1e-4)
    np.testing.assert_allclose(views["fc2"].principal, principal_coordinates(h), atol=1e-4)


def test_summaries_are_of_what_is_shown(views, digits, digits_factorisation):
    model, data = digits
    view, y = views["fc2"], data.test.y
    expected = [variance_between(plane, y) for plane in (view.kept, view.cut, view.principal)]
    assert view.separation == pytest.approx(expected)
    (part,) = digits_factorisation.factors("fc2")
    shown, seen = (layer_inputs(model, e.x)["fc2"] @ (part.S[:, None] * part.Vh).T for e in (data.test, data.train))
    for where, found in zip((slice(None, 5), slice(5, None)), view.readable, strict=True):
        right = nearest_mean(shown[:, where], seen[:, where], data.train.y) == y
        assert found == pytest.approx(right.mean(), abs=0.01)
    assert view.dimension == pytest.approx(two_nn(layer_inputs(model, data.test.x)["fc2"]))


def test_the_head_reads_the_classes_from_what_is_kept(views):
    assert list(views) == ["fc2", "head"]
    assert views["head"].readable[0] > 0.8


@pytest.mark.parametrize("rank", [0, 9])
def test_two_directions_are_left_to_be_cut(digits, digits_factorisation, rank):
    with pytest.raises(InputError, match="rank of head"):
        latent_views(digits_factorisation, digits[1].test, digits[1].train, {"head": rank})
