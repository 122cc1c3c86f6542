"""Factors and spectra of layers against NumPy, and the error that a spectrum promises."""

import numpy as np
import pytest
import torch
from torch import nn

from lowrank_kit.checks import InputError
from lowrank_kit.models.decomposition import decompose, decompose_aware, spectrum
from lowrank_kit.models.low_rank import as_matrices, matrix_shape

LAYERS = {
    "linear": (lambda: nn.Linear(9, 6), ["svd", "aware"]),
    "wide and flat": (lambda: nn.Linear(6, 9), ["svd", "aware"]),
    "conv1d": (lambda: nn.Conv1d(3, 6, 3), ["svd", "aware"]),
    "conv2d": (lambda: nn.Conv2d(3, 6, (3, 2)), ["svd", "spatial", "aware"]),
    "conv3d": (lambda: nn.Conv3d(2, 6, 2), ["svd", "aware"]),
    "in groups": (lambda: nn.Conv2d(4, 8, 3, groups=2), ["svd", "spatial", "aware"]),
    "depthwise": (lambda: nn.Conv2d(4, 4, 3, groups=4), ["svd", "spatial", "aware"]),
}
CASES = [pytest.param(build, m, id=f"{name}-{m}") for name, (build, methods) in LAYERS.items() for m in methods]
cases = pytest.mark.parametrize(("build", "method"), CASES)


def decomposed(layer, method, seed=0):
    if method != "aware":
        return decompose("fc", layer, method)
    return decompose_aware("fc", layer, moments(layer, seed)[1])


def moments(layer, seed):
    """Inputs of each group (groups, n, examples), and the moments of the outputs on them."""
    matrices = as_matrices(layer)
    h = np.random.default_rng(seed).standard_normal((len(matrices), matrices.shape[2], 40))
    y = matrices @ h
    return h, y @ y.swapaxes(1, 2)


@cases
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_all_factors_together_are_the_layer_in_its_precision(build, method, dtype):
    layer = build().to(dtype)
    parts, found = decomposed(layer, method)
    matrices = as_matrices(layer, method)
    assert {a.dtype for part in parts for a in (part.U, part.S, part.Vh)} == {matrices.dtype}
    np.testing.assert_allclose(np.stack([p.dense() for p in parts]), matrices, atol=50 * np.finfo(matrices.dtype).eps)
    assert (found.layer, found.shape, found.groups) == ("fc", matrix_shape(layer, method), len(matrices))
    assert (np.diff(found.values) <= 1e-9).all()


@cases
def test_the_error_of_every_rank_is_the_tail_of_the_spectrum(build, method):
    layer = build().double()
    parts, found = decomposed(layer, method)
    matrices = as_matrices(layer, method)
    seen = moments(layer, 0)[0] if method == "aware" else np.eye(matrices.shape[2])[None]
    whole = np.linalg.norm(matrices @ seen)
    for rank in range(1, min(matrices.shape[1:]) + 1):
        rest = matrices - np.stack([part.truncate(rank).dense() for part in parts])
        assert np.linalg.norm(rest @ seen) / whole == pytest.approx(found.error(rank), rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("build", [build for build, _ in LAYERS.values()], ids=LAYERS)
def test_looking_at_data_errs_less_on_them_than_not_looking(build):
    layer = build().double()
    h, _ = moments(layer, 0)
    matrices = as_matrices(layer)
    (plain, _), (aware, _) = decomposed(layer, "svd"), decomposed(layer, "aware")
    for rank in range(1, min(matrices.shape[1:])):
        errors = [
            np.linalg.norm((matrices - np.stack([p.truncate(rank).dense() for p in parts])) @ h)
            for parts in (plain, aware)
        ]
        assert errors[1] < errors[0]


@pytest.mark.parametrize("build", [build for build, _ in LAYERS.values()], ids=LAYERS)
@pytest.mark.parametrize("method", ["svd", "spatial"])
def test_values_by_themselves_are_those_of_the_factors_and_of_numpy(build, method):
    layer = build()
    if method == "spatial" and not isinstance(layer, nn.Conv2d):
        return
    found = spectrum("fc", layer, method)
    oracle = [np.linalg.svd(m.astype(np.float64), compute_uv=False) for m in as_matrices(layer, method)]
    np.testing.assert_allclose(found.values, np.sqrt(np.sum(np.square(oracle), axis=0)), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(found.values, decompose("fc", layer, method)[1].values, rtol=1e-6, atol=1e-7)
    assert (found.layer, found.shape, found.groups) == ("fc", matrix_shape(layer, method), len(oracle))


def test_a_layer_that_was_never_run_is_decomposed_by_its_weight():
    layer = nn.Conv2d(4, 8, 3, groups=2)
    (plain, spectrum), (aware, found) = decompose("fc", layer, "svd"), decompose_aware("fc", layer, np.zeros((2, 4, 4)))
    for one, other in zip(plain, aware, strict=True):
        np.testing.assert_array_equal(one.truncate(2).dense(), other.truncate(2).dense())
    np.testing.assert_array_equal(found.values, spectrum.values)


@pytest.mark.parametrize("examples", [1, 3])
def test_few_data_order_what_they_show_and_still_give_the_whole_layer(examples):
    layer = nn.Linear(6, 9).double()
    matrix = as_matrices(layer)[0]
    y = matrix @ np.random.default_rng(0).standard_normal((6, examples))
    parts, found = decompose_aware("fc", layer, (y @ y.T)[None])
    np.testing.assert_allclose(parts[0].dense(), matrix, atol=1e-12)
    np.testing.assert_allclose(found.values[examples:], 0, atol=1e-7 * found.values[0])
    cut = parts[0].truncate(examples).dense()
    np.testing.assert_allclose(cut @ np.linalg.pinv(matrix) @ y, y, atol=1e-6)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@cases
def test_weights_that_are_not_finite_name_the_layer(build, method, bad):
    layer = build()
    good = moments(layer, 0)[1]
    with torch.no_grad():
        layer.weight.view(-1)[2:4] = bad
    asks = [lambda: decompose_aware("fc", layer, good)]
    if method != "aware":
        asks = [lambda: decompose("fc", layer, method), lambda: spectrum("fc", layer, method)]
    for ask in asks:
        with pytest.raises(
            InputError, match=rf"`fc.weight` must hold finite numbers only; 2 of its {layer.weight.numel()}"
        ):
            ask()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_outputs_that_are_not_finite_name_the_layer(bad):
    layer = nn.Linear(9, 6)
    found = moments(layer, 0)[1]
    found[0, 2, 3] = bad
    with pytest.raises(InputError, match="`outputs of fc on the data` must hold finite numbers only; 1 of its 36"):
        decompose_aware("fc", layer, found)
