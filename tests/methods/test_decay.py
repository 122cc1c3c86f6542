"""Decaying cores decay, and trainings from them do what they are said to do."""

import numpy as np
import pytest
import torch

from lowrank_kit.checks import InputError
from lowrank_kit.maths.tensor import hosvd
from lowrank_kit.methods.decay import best_rates, decaying, quadratic_descent, with_decaying_cores
from lowrank_kit.models.inventory import weights_hash
from lowrank_kit.models.networks import digits_cnn
from lowrank_kit.records import LossCurve

TENSOR = np.random.default_rng(0).standard_normal((8, 6, 3, 3))


@pytest.mark.parametrize("decay", [0.0, 0.5, 2.0])
def test_the_norm_stays_and_the_spectra_fall(decay):
    found = decaying(TENSOR, decay)
    assert np.linalg.norm(found) == pytest.approx(np.linalg.norm(TENSOR))
    for values in hosvd(found, 2)[1]:
        assert values[-1] / values[0] < max(2 * 10 ** (-5 * decay), 1e-8)


def test_without_decay_nothing_changes():
    assert np.allclose(decaying(TENSOR, 0.0), TENSOR)
    assert not decaying(np.zeros((3, 2, 3, 3)), 1.0).any()


def test_only_the_layers_named_are_changed():
    torch.manual_seed(0)
    model = digits_cnn()
    before = weights_hash(model)
    found = with_decaying_cores(model, ["conv3"], 1.0)
    assert weights_hash(model) == before
    changed = [n for n, p in found.named_parameters() if not torch.equal(p, model.get_parameter(n))]
    assert changed == ["conv3.weight"]


def test_adaptive_training_follows_the_gradient_of_the_weight_however_the_core_decays():
    """Its loss contracts by (1 - rate)^2 a step, as that of the whole weight would."""
    for decay in (0.0, 1.0, 2.0):
        (losses,) = quadratic_descent("adaptive", decay, 0.1, steps=25).losses
        assert losses[0] == pytest.approx(1.0, abs=0.1)
        assert losses[25] == pytest.approx(losses[0] * 0.9**50, rel=0.1)


def test_plain_factors_crawl_at_a_small_rate():
    (losses,) = quadratic_descent("vanilla", 1.0, 0.1, steps=25).losses
    assert losses[25] > 0.3


def test_a_rate_that_is_too_high_breaks_off():
    curve = quadratic_descent("vanilla", 2.0, 2.0, steps=20)
    assert curve.last == np.inf
    assert curve.losses.shape == (1, 21)


def test_the_best_rate_ends_lowest():
    def curve(method, rate, last):
        return LossCurve(method, 0.0, rate, np.array([0, 1]), np.array([[1.0, last]]))

    curves = [curve("a", 1.0, 0.5), curve("a", 2.0, 0.1), curve("a", 3.0, np.inf), curve("b", 3.0, np.nan)]
    assert [(c.method, c.rate) for c in best_rates(curves)] == [("a", 2.0), ("b", 3.0)]


def test_says_what_is_wrong():
    with pytest.raises(InputError, match="at least 0"):
        decaying(TENSOR, -1)
    with pytest.raises(InputError, match="must be one of"):
        with_decaying_cores(digits_cnn(), ["conv9"], 1.0)
    with pytest.raises(InputError, match="must be one of"):
        quadratic_descent("dense", 0.0, 0.1)
