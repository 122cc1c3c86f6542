"""Laws of spectra and factors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowrank_kit.checks import InputError
from lowrank_kit.records import Factors, Spectrum, break_even_rank, factor_params

values = st.lists(st.floats(0, 1e6, allow_subnormal=False), min_size=1, max_size=12).map(
    lambda found: np.sort(np.array(found))[::-1]
)
shapes = st.tuples(st.integers(1, 200), st.integers(1, 200))


def spectrum(found, extra=3):
    return Spectrum(found, (len(found), len(found) + extra))


@given(shapes)
def test_break_even_rank_is_the_last_that_saves(shape):
    rank = break_even_rank(shape)
    assert factor_params(rank, shape) < shape[0] * shape[1] <= factor_params(rank + 1, shape)
    assert rank < min(shape)


@given(values)
def test_energy_rises_from_the_first_share_to_one(found):
    energy = spectrum(found).energy
    assert energy[-1] == 1
    assert (np.diff(energy) >= 0).all()
    assert energy[0] >= 1 / len(found) - 1e-12


@given(values)
def test_error_and_energy_say_the_same(found):
    s = spectrum(found)
    for rank, kept in enumerate(s.energy, start=1):
        assert s.error(rank) ** 2 == pytest.approx(1 - kept, abs=1e-12)


@given(values)
def test_errors_are_the_error_at_every_rank(found):
    s = spectrum(found)
    assert s.errors.tolist() == [s.error(rank) for rank in range(1, len(found) + 1)]
    assert (np.diff(s.errors) <= 0).all()
    assert s.errors[-1] == 0
    scaled = found / max(found[0], 1e-300)
    norms = [np.linalg.norm(scaled[rank:]) for rank in range(1, len(found) + 1)]
    np.testing.assert_allclose(s.errors * np.linalg.norm(scaled), norms, rtol=1e-12, atol=1e-150)


@given(values, st.floats(0.001, 1))
def test_rank_for_energy_is_the_smallest_that_keeps_it(found, energy):
    s = spectrum(found)
    rank = s.rank_for_energy(energy)
    assert s.energy[rank - 1] >= energy
    assert rank == 1 or s.energy[rank - 2] < energy


@given(values)
def test_stable_rank_at_most_effective_at_most_full(found):
    s = spectrum(found)
    assert s.stable_rank <= np.count_nonzero(found) + 1e-9
    assert s.effective_rank <= np.count_nonzero(found) + 1e-9
    if found[0] > 0:
        assert s.stable_rank >= 1 - 1e-12
        assert s.effective_rank >= 1 - 1e-12


@given(values.filter(lambda found: found[0] > 0 and (found[found > 0] > 1e-6).all()), st.sampled_from([1e-200, 1e200]))
def test_scale_changes_nothing(found, scale):
    s, scaled = spectrum(found), spectrum(found * scale)
    np.testing.assert_allclose(scaled.energy, s.energy, rtol=1e-12)
    assert scaled.stable_rank == pytest.approx(s.stable_rank)
    assert scaled.effective_rank == pytest.approx(s.effective_rank)
    assert scaled.error(1) == pytest.approx(s.error(1), abs=1e-12)


@pytest.mark.parametrize("k", [1, 2, 7])
def test_equal_values_have_every_rank_full(k):
    s = spectrum(np.full(k, 3.0))
    assert s.stable_rank == pytest.approx(k)
    assert s.effective_rank == pytest.approx(k)
    np.testing.assert_allclose(s.energy, np.arange(1, k + 1) / k)


def test_rank_one_by_hand():
    s = spectrum(np.array([4.0, 3.0, 0.0]))
    assert s.energy.tolist() == [0.64, 1.0, 1.0]
    assert s.error(1) == pytest.approx(0.6)
    assert s.error(3) == 0
    assert s.stable_rank == 25 / 16
    assert s.effective_rank == pytest.approx(np.exp(-(4 / 7 * np.log(4 / 7) + 3 / 7 * np.log(3 / 7))))


def test_zero_matrix():
    s = spectrum(np.zeros(4))
    assert s.energy.tolist() == [1, 1, 1, 1]
    assert s.errors.tolist() == [0, 0, 0, 0]
    assert (s.error(1), s.stable_rank, s.effective_rank, s.rank_for_energy(1.0)) == (0, 0, 0, 1)


def test_half_precision_values_keep_their_digits():
    s = spectrum(np.array([300, 1], np.float16))
    assert s.stable_rank == pytest.approx(1 + 1 / 300**2)


@pytest.mark.parametrize("ask", [lambda s: s.error(0), lambda s: s.error(5), lambda s: s.rank_for_energy(0)])
def test_ranks_and_energies_out_of_range(ask):
    with pytest.raises(InputError, match="must be a"):
        ask(spectrum(np.ones(4)))


def test_factors_know_their_sizes_and_truncate(rng):
    f = Factors(rng.standard_normal((5, 3)), np.array([3.0, 2.0, 1.0]), rng.standard_normal((3, 7)))
    assert (f.rank, f.shape, f.n_params) == (3, (5, 7), 3 * 12)
    np.testing.assert_allclose(f.dense(), f.U @ np.diag(f.S) @ f.Vh)
    cut = f.truncate(2)
    assert (cut.rank, cut.shape, cut.n_params) == (2, (5, 7), 2 * 12)
    np.testing.assert_allclose(cut.dense(), f.dense() - np.outer(f.U[:, 2], f.Vh[2]))


@pytest.mark.parametrize("rank", [0, 4, 1.0, True])
def test_factors_cannot_be_truncated_beyond_their_rank(rank, rng):
    f = Factors(rng.standard_normal((5, 3)), np.ones(3), rng.standard_normal((3, 7)))
    with pytest.raises(InputError, match=r"min\(m, n\) = 3"):
        f.truncate(rank)


def test_repr_names_layer_and_size():
    assert repr(Spectrum(np.ones(4), (4, 9), "fc1")) == "Spectrum(fc1, 4 x 9, stable rank 4.0)"


def test_repr_tells_groups():
    assert repr(Spectrum(np.ones(4), (4, 9), "conv", 3)) == "Spectrum(conv, 3 times 4 x 9, stable rank 4.0)"
