import numpy as np

from lowrank_kit.records import Spectrum, factor_params, params_price, tucker_params


def test_in_parameters_it_is_the_count_of_the_factors():
    matrix = params_price([Spectrum(np.ones(6), (6, 30), groups=3)])
    assert matrix.dense == 3 * 180
    assert matrix.of(np.array([[1], [4]])).tolist() == [3 * factor_params(r, (6, 30)) for r in (1, 4)]
    shape, pairs = (8, 6, 3, 3), [(1, 1), (5, 2), (8, 6)]
    modes = [Spectrum(np.ones(n), (n, 432 // n)) for n in shape[:2]]
    tensor = params_price(modes)
    assert tensor.dense == 432
    assert tensor.of(np.array(pairs)).tolist() == [tucker_params(pair, shape) for pair in pairs]


def test_a_mode_may_be_longer_than_the_rest_of_its_tensor():
    modes = [Spectrum(np.ones(32), (32, 25)), Spectrum(np.ones(1), (1, 800))]
    assert params_price(modes).of(np.array([[9, 1]])).tolist() == [tucker_params((9, 1), (32, 1, 5, 5))]
