"""Formats keep their budget, are exact where they can be, and agree with what is known of each."""

import warnings
from itertools import pairwise
from math import prod

import numpy as np
import pytest
import tensorly
from hypothesis import given
from hypothesis import strategies as st

from lowrank_kit.checks import InputError
from lowrank_kit.maths.formats import FORMATS, in_format
from lowrank_kit.maths.matrix import singular_values
from lowrank_kit.maths.tensor import hosvd, truncation_errors

SHAPE = (12, 8, 3, 3)


@pytest.fixture
def weight():
    return np.random.default_rng(0).standard_normal(SHAPE)


def stored(name, ranks):
    """Numbers of the arrays that a format is made of."""
    m, n, h, w = SHAPE
    if name == "svd":
        return ranks[0] * (m + n * h * w)
    if name == "spatial":
        return ranks[0] * (m * w + n * h)
    if name == "cp":
        return ranks[0] * (m + n + h + w)
    if name == "tucker":
        return ranks[0] * ranks[1] * h * w + m * ranks[0] + n * ranks[1]
    a, b, c = ranks
    return m * a + a * h * b + b * w * c + c * n


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("budget", [130, 300, 500])
def test_the_budget_is_kept_and_nearly_spent(weight, name, budget):
    fit = in_format(weight, name, budget)
    assert fit.n_params == stored(name, fit.ranks) <= budget
    assert fit.error == pytest.approx(np.linalg.norm(weight - fit.tensor) / np.linalg.norm(weight))
    assert fit.tensor.shape == SHAPE
    assert fit.format == name


@pytest.mark.parametrize("name", ["svd", "spatial", "tucker", "tensor train"])
def test_with_room_for_everything_nothing_is_lost(weight, name):
    assert in_format(weight, name, 10 * weight.size).error < 1e-6


@pytest.mark.parametrize("name", FORMATS)
def test_a_product_of_vectors_has_rank_one_in_every_format(name):
    rng = np.random.default_rng(1)
    product = np.einsum("i,j,k,l->ijkl", *(rng.standard_normal(n) for n in SHAPE))
    assert in_format(product, name, 130).error < 1e-6


@pytest.mark.parametrize("name", FORMATS)
def test_more_room_is_no_worse(weight, name):
    errors = [in_format(weight, name, budget).error for budget in (130, 200, 300, 400)]
    assert all(later <= earlier + 1e-9 for earlier, later in pairwise(errors))


def test_svd_is_eckart_young(weight):
    fit, values = in_format(weight, "svd", 300), singular_values(weight.reshape(12, -1))
    assert fit.error == pytest.approx(np.linalg.norm(values[fit.ranks[0] :]) / np.linalg.norm(values))


def test_tucker_takes_the_best_pair_that_fits(weight):
    fit, errors = in_format(weight, "tucker", 300), truncation_errors(hosvd(weight, 2)[0])
    fitting = [errors[a - 1, b - 1] for a in range(1, 13) for b in range(1, 9) if 9 * a * b + 12 * a + 8 * b <= 300]
    assert errors[fit.ranks[0] - 1, fit.ranks[1] - 1] == min(fitting)
    assert fit.error <= min(fitting)


def test_a_sum_of_two_products_is_found_again():
    rng = np.random.default_rng(2)
    vectors = [rng.standard_normal((n, 2)) for n in SHAPE]
    assert in_format(np.einsum("ir,jr,kr,lr->ijkl", *vectors), "cp", 2 * sum(SHAPE)).error < 1e-3


def test_a_tensor_train_of_small_bonds_is_found_again():
    rng = np.random.default_rng(3)
    turned = tensorly.tt_to_tensor([rng.standard_normal(s) for s in ((1, 12, 2), (2, 3, 2), (2, 3, 2), (2, 8, 1))])
    fit = in_format(turned.transpose(0, 3, 1, 2), "tensor train", 2 * 12 + 2 * 12 + 2 * 8)
    assert fit.ranks == (2, 2, 2)
    assert fit.error < 1e-6


@given(st.sampled_from(sorted(FORMATS)), st.integers(0, 130), st.integers(1, 12), st.integers(1, 9), st.integers(1, 3))
def test_any_size_and_any_budget(name, budget, m, n, k):
    """A fit within the budget or a sentence, never a warning."""
    tensor = np.random.default_rng(m).standard_normal((m, n, k, k))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            fit = in_format(tensor, name, budget)
        except InputError as fault:
            assert "at least" in str(fault)
        else:
            assert fit.n_params <= budget and 0 <= fit.error < 1 + 1e-6


def test_zeros_are_no_trouble():
    assert in_format(np.zeros(SHAPE), "tensor train", 200).error == 0


@pytest.mark.parametrize(
    ("tensor", "name", "budget", "sentence"),
    [
        (np.ones((3, 3)), "svd", 100, "outputs, inputs, height, width"),
        (np.ones(SHAPE), "tt", 100, "must be one of"),
        (np.full(SHAPE, np.nan), "cp", 100, "NaN"),
        (np.ones(SHAPE), "cp", prod(SHAPE[2:]), "at least 26, what cp takes at rank 1; got 9"),
    ],
)
def test_what_cannot_be_done_is_said(tensor, name, budget, sentence):
    with pytest.raises(InputError, match=sentence):
        in_format(tensor, name, budget)
