import numpy as np
import pytest

from lowrank_kit.checks import InputError
from lowrank_kit.maths.dynamics import STARTS, Objective, Rule, aligned, descend, products, start


@pytest.mark.parametrize("widths", [(6, 6, 6), (7, 5, 5, 9), (1, 4), (4, 1)], ids=str)
@pytest.mark.parametrize("scale", [1e-3, 1.0, 20.0])
def test_an_orthogonal_start_has_one_singular_value(widths, scale):
    weights = start("orthogonal", widths, scale)
    assert [w.shape for w in weights] == list(zip(widths[1:], widths[:-1], strict=True))
    for weight in weights:
        np.testing.assert_allclose(np.linalg.svd(weight, compute_uv=False), scale, rtol=1e-12)


@pytest.mark.parametrize("kind", STARTS)
@pytest.mark.parametrize("widths", [(300, 200), (200, 300), (250, 250)], ids=str)
def test_all_starts_are_of_one_size(kind, widths):
    """Entries of mean 0 whose squares sum up to that of an orthogonal start; chance is about 0.6 % here."""
    (weight,) = start(kind, widths, 0.1)
    assert np.linalg.norm(weight) ** 2 == pytest.approx(0.1**2 * min(widths), rel=0.03)
    assert abs(weight.mean()) < 5 * weight.std() / np.sqrt(weight.size)


def test_what_is_drawn_is_drawn_as_it_is_called():
    (normal,), (flat,) = start("gaussian", (300, 200), 1.0), start("uniform", (300, 200), 1.0)
    # A normal distribution's fourth moment is 3 times its variance's square, a uniform one's 1.8 times.
    assert np.mean(normal**4) / np.mean(normal**2) ** 2 == pytest.approx(3, rel=0.05)
    assert np.mean(flat**4) / np.mean(flat**2) ** 2 == pytest.approx(1.8, rel=0.05)
    assert np.abs(flat).max() == pytest.approx(np.sqrt(3 / 300), rel=1e-3)


def test_no_direction_is_favoured():
    """Without care for signs, QR decompositions have a first entry that is never positive."""
    first = [start("orthogonal", (3, 3), 1.0, seed)[0][0, 0] for seed in range(400)]
    # Its mean is 0 and its variance 1/3: chance is 0.029 here.
    assert abs(np.mean(first)) < 0.1
    assert np.var(first) == pytest.approx(1 / 3, rel=0.2)


@pytest.mark.parametrize("kind", STARTS)
def test_seeds_tell_starts_apart(kind):
    one, again, other = (start(kind, (5, 5, 5), 0.5, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, again)
    assert np.abs(one[0] - other[0]).max() > 0.1
    assert np.abs(one[0] - one[1]).max() > 0.1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("orthogonale", (3, 3), 1.0), "one of 'orthogonal', 'gaussian', 'uniform'; .* Did you mean 'orthogonal'?"),
        (("orthogonal", (3, 3), 0), "`scale` must be above 0; got 0. At zero the gradient"),
        (("orthogonal", (3, 3), -1.0), "`scale` must be above 0"),
        (("orthogonal", (3, 3), float("nan")), "`scale` must be above 0; got nan"),
        (("orthogonal", (3,), 1.0), r"`widths` must be at least two numbers of at least 1; got \(3,\)"),
        (("orthogonal", (3, 0, 3), 1.0), r"`widths` .* got \(3, 0, 3\)"),
    ],
)
def test_starts_that_cannot_be(arguments, sentence):
    with pytest.raises(InputError, match=sentence):
        start(*arguments)


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_an_aligned_start_is_the_target_with_all_values_alike(rng, depth):
    target = rng.standard_normal((6, 6))
    U, _, Vh = np.linalg.svd(target)
    weights = aligned(target, depth, 0.5)
    assert len(weights) == depth
    np.testing.assert_allclose(products(weights)[-1], 0.5**depth * U @ Vh, atol=1e-14)
    for weight in weights:
        np.testing.assert_allclose(weight.T @ weight, 0.25 * np.eye(6), atol=1e-14)


def test_an_aligned_start_draws_what_lies_between(rng):
    target = rng.standard_normal((6, 6))
    one, again, other = (aligned(target, 3, 0.5, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, again)
    assert np.abs(one[1] - other[1]).max() > 0.1


def test_from_an_aligned_start_every_direction_grows_by_itself(rng):
    target = rng.standard_normal((6, 6))
    U, S, Vh = np.linalg.svd(target)
    for step, (_, product) in enumerate(descend(aligned(target, 3, 0.3), Objective(target), Rule(0.01))):
        strengths = U.T @ product @ Vh.T
        assert np.abs(strengths - np.diag(np.diag(strengths))).max() < 1e-13
        if step == 2000:
            break
    np.testing.assert_allclose(np.diag(strengths)[:4], S[:4], rtol=1e-3)


def test_only_square_targets_have_an_aligned_start():
    with pytest.raises(InputError, match=r"`target` must be square for an aligned start; got shape \(2, 3\)"):
        aligned(np.ones((2, 3)), 2, 0.5)
