"""The law of parsimony at rounding, the narrow twin at the gap foretold, and where both fail."""

from itertools import islice

import numpy as np
import pytest

from lowrank_kit.checks import InputError
from lowrank_kit.maths.dynamics import (
    Objective,
    Rule,
    blocks,
    descend,
    gap,
    moving_directions,
    products,
    resting_values,
    start,
    twin,
)

STEPS = 400
# d, r, L, epsilon and lambda.
CASES = [(30, 3, 3, 1.0, 0.0), (30, 3, 3, 0.5, 0.01), (40, 2, 5, 0.3, 0.0)]
cases = pytest.mark.parametrize("case", CASES, ids=str)
kinds = pytest.mark.parametrize("kind", ["descent", "momentum"])


@pytest.fixture
def network(gaussian):
    """(case) -> weights at the start and what they are to learn."""

    def begun(case):
        d, rank, depth, scale, _ = case
        return start("orthogonal", [d] * (depth + 1), scale, 1), Objective(gaussian(d, rank))

    return begun


def film(weights, objective, rule, steps=STEPS):
    """Weights of every layer and their product, at every step."""
    return [([w.copy() for w in own], p.copy()) for own, p in islice(descend(weights, objective, rule), steps + 1)]


@cases
@kinds
def test_every_layer_is_a_block_and_one_number(network, case, kind):
    d, rank, depth, scale, decay = case
    weights, objective = network(case)
    rule = Rule(4e-3, kind, decay)
    found, rho = blocks(weights, objective.target, rank), resting_values([scale] * depth, rule, STEPS)
    path = film(weights, objective, rule)
    for step, (own, _) in enumerate(path):
        for layer, weight in enumerate(own):
            U, V = found.resting(layer)
            np.testing.assert_allclose(weight @ V, rho[step, layer] * U, rtol=0, atol=1e-12)
            np.testing.assert_allclose(weight.T @ U, rho[step, layer] * V, rtol=0, atol=1e-12)
            if step and step % 50 == 0:
                values = np.linalg.svd(weight, compute_uv=False)
                assert np.sum(np.abs(values - rho[step, layer]) < 1e-9) == d - 2 * rank
    assert objective.loss(path[-1][1]) < 0.1 * objective.loss(path[0][1]), "the network has learnt something"


@cases
def test_adam_keeps_nothing(network, case):
    d, rank, _, scale, decay = case
    weights, objective = network(case)
    for own, _ in film(weights, objective, Rule(1e-2, "adam", decay))[1::50]:
        for weight in own:
            values = np.linalg.svd(weight, compute_uv=False)
            assert np.min(np.diff(np.sort(values))) > 1e-9
    U, V = blocks(weights, objective.target, rank).resting(0)
    assert np.abs(U.T @ own[0] @ V - np.eye(d - 2 * rank) * np.diag(U.T @ own[0] @ V).mean()).max() > 0.01 * scale


@cases
def test_the_bases_are_orthogonal_and_chained(network, case):
    d, rank, depth, *_ = case
    weights, objective = network(case)
    found = blocks(weights, objective.target, rank)
    assert (len(found.U), len(found.V), found.n_moving) == (depth, depth, 2 * rank)
    for Q in (*found.U, *found.V):
        np.testing.assert_allclose(Q.T @ Q, np.eye(d), atol=1e-12)
    for out, into in zip(found.U[:-1], found.V[1:], strict=True):
        np.testing.assert_array_equal(out, into)
    for layer in range(depth):
        U, V = found.resting(layer)
        np.testing.assert_array_equal(U, found.U[layer][:, 2 * rank :])
        np.testing.assert_array_equal(V, found.V[layer][:, 2 * rank :])


def test_moving_directions_hold_what_the_target_reads_and_what_it_writes(network):
    weights, objective = network(CASES[0])
    found, product = moving_directions(weights, objective.target, 3), products(weights)[-1]
    np.testing.assert_allclose(found.T @ found, np.eye(6), atol=1e-12)
    across = np.eye(30) - found @ found.T
    assert np.abs(objective.target @ across).max() < 1e-12
    assert np.abs(objective.target.T @ product @ across).max() < 1e-12


def test_layers_that_begin_with_sizes_of_their_own(gaussian):
    scales, rule = [0.5, 0.3, 0.7], Rule(2e-3, weight_decay=0.02)
    weights = [s * w for s, w in zip(scales, start("orthogonal", [30] * 4, 1.0, 1), strict=True)]
    objective = Objective(gaussian(30, 3))
    found, rho, small = (
        blocks(weights, objective.target, 3),
        resting_values(scales, rule, STEPS),
        twin(weights, objective, 3),
    )
    wide, narrow = film(weights, objective, rule), film(small.cores, small.inner(objective), rule)
    for layer, weight in enumerate(wide[-1][0]):
        U, V = found.resting(layer)
        np.testing.assert_allclose(weight @ V, rho[-1, layer] * U, rtol=0, atol=1e-12)
    between = [np.linalg.norm(p - small.left @ q @ small.right) for (_, p), (_, q) in zip(wide, narrow, strict=True)]
    np.testing.assert_allclose(between, gap(rho, 24), rtol=0, atol=1e-12)


# what rests


def test_the_resting_value_of_the_theorems_figure():
    """Over 50 steps of the averaged loss nearly the flow's (1 + 4 t)^(-1/4)."""
    rho = resting_values([1.0] * 3, Rule(1.0), 50, scale=1 / 900)
    assert rho.shape == (51, 3)
    assert rho[-1] == pytest.approx([0.951] * 3, abs=1e-3)
    assert rho[-1] == pytest.approx([(1 + 4 * 50 / 900) ** -0.25] * 3, abs=1e-3)


def test_resting_values_follow_their_recursion():
    rate, decay, rho = 0.05, 0.1, np.array([0.9, 0.7, 0.5])
    found = resting_values(rho, Rule(rate, weight_decay=decay), 30, scale=0.5)
    for step in range(31):
        np.testing.assert_allclose(found[step], rho, rtol=1e-12)
        others = np.array([np.prod(np.delete(rho, layer)) for layer in range(3)])
        rho = rho * (1 - rate * decay - rate * 0.5 * others**2)


def test_adam_has_no_resting_values():
    with pytest.raises(InputError, match="plain descent or momentum; Adam keeps no direction at rest"):
        resting_values([0.5], Rule(0.1, "adam"), 3)


# fewer outputs


@kinds
def test_with_few_outputs_directions_rest_exactly(gaussian, kind):
    decay, rule = 0.1, Rule(2e-3, kind, 0.1)
    weights, objective = start("orthogonal", [30, 30, 30, 30, 3], 0.5, 1), Objective(gaussian(30, 3, 3))
    small, rho = twin(weights, objective, 3), resting_values([0.5, 0.5, 0.5, 0.0], rule, STEPS)
    assert [core.shape for core in small.cores] == [(6, 6), (6, 6), (6, 6), (3, 6)]
    if kind == "descent":
        faded = 0.5 * (1 - 2e-3 * decay) ** np.arange(STEPS + 1)
        np.testing.assert_allclose(rho, np.outer(faded, [1, 1, 1, 0]), rtol=1e-12)
    wide, narrow = film(weights, objective, rule), film(small.cores, small.inner(objective), rule)
    for step, ((own, product), (_, inner)) in enumerate(zip(wide, narrow, strict=True)):
        np.testing.assert_allclose(product, small.left @ inner @ small.right, rtol=0, atol=1e-12)
        if step and step % 50 == 0:
            values = np.linalg.svd(np.stack(own[:-1]), compute_uv=False)
            assert (np.sum(np.abs(values - rho[step, 0]) < 1e-10, axis=1) == 24).all()
    assert objective.loss(product) < 1e-2 * objective.loss(wide[0][1]), "the network has learnt something"


@pytest.mark.parametrize(("K", "rank", "is_exact"), [(3, 2, False), (10, 3, False), (10, 10, True)])
def test_fewer_outputs_are_all_needed_where_the_target_has_a_lower_rank_still(gaussian, K, rank, is_exact):
    rule, objective = Rule(2e-3), Objective(gaussian(30, min(rank, 3), K))
    weights = start("orthogonal", [30, 30, 30, K], 0.5, 1)
    small = twin(weights, objective, rank)
    wide, narrow = film(weights, objective, rule), film(small.cores, small.inner(objective), rule)
    far = max(np.linalg.norm(p - small.left @ q @ small.right) for (_, p), (_, q) in zip(wide, narrow, strict=True))
    assert (far < 1e-12) if is_exact else (far > 1e-2)


# the twin


@cases
@kinds
def test_the_twin_is_as_far_away_as_the_law_says(network, case, kind):
    d, rank, depth, scale, decay = case
    weights, objective = network(case)
    rule, small = Rule(2e-3, kind, decay), twin(weights, objective, rank)
    expected = gap(resting_values([scale] * depth, rule, STEPS), d - 2 * rank)
    assert expected[0] == pytest.approx(np.sqrt(d - 2 * rank) * scale**depth)
    np.testing.assert_allclose(small.left.T @ small.left, np.eye(2 * rank), atol=1e-12)
    np.testing.assert_allclose(small.right @ small.right.T, np.eye(2 * rank), atol=1e-12)
    inner = small.inner(objective)
    wide, narrow = film(weights, objective, rule), film(small.cores, inner, rule)
    for (_, product), (_, core), foretold in zip(wide, narrow, expected, strict=True):
        assert abs(np.linalg.norm(product - small.left @ core @ small.right) - foretold) <= 1e-12
        # What is left out lies at right angles to all the rest, so it is all that the wide one's loss has more.
        assert objective.loss(product) == pytest.approx(inner.loss(core) + foretold**2 / 2, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("guess", [3, 5, 12])
def test_a_higher_guess_leaves_less_out(network, guess):
    weights, objective = network(CASES[1])
    rule, small = Rule(2e-3), twin(weights, objective, guess)
    wide, narrow = film(weights, objective, rule), film(small.cores, small.inner(objective), rule)
    between = [np.linalg.norm(p - small.left @ q @ small.right) for (_, p), (_, q) in zip(wide, narrow, strict=True)]
    np.testing.assert_allclose(between, gap(resting_values([0.5] * 3, rule, STEPS), 30 - 2 * guess), atol=1e-12)


def test_an_averaged_loss_changes_the_pace_only(gaussian):
    weights, rule = start("orthogonal", [30] * 4, 0.5, 1), Rule(1.8)
    objective = Objective(gaussian(30, 3), scale=1 / 900)
    small, rho = twin(weights, objective, 3), resting_values([0.5] * 3, rule, STEPS, scale=1 / 900)
    assert small.inner(objective).scale == 1 / 900
    (_, product), (_, core) = (
        f[-1] for f in (film(weights, objective, rule), film(small.cores, small.inner(objective), rule))
    )
    assert np.linalg.norm(product - small.left @ core @ small.right) == pytest.approx(gap(rho, 24)[-1], abs=1e-12)
    np.testing.assert_allclose(product, film(weights, Objective(objective.target), Rule(2e-3))[-1][1], atol=1e-10)


def test_the_gap_by_hand():
    np.testing.assert_allclose(gap(np.array([[0.5, -0.5], [2.0, 3.0]]), 9), [0.75, 18.0])


def test_numbers_of_parameters(gaussian):
    weights = start("orthogonal", [100] * 4, 0.5)
    small = twin(weights, Objective(gaussian(100, 3)), 3)
    assert (sum(weight.size for weight in weights), small.n_params) == (30_000, 1308)
    assert small.n_params == 4 * 3 * 3**2 + 4 * 100 * 3
    assert [part.shape for part in small.weights] == [(6, 100), (6, 6), (6, 6), (6, 6), (100, 6)]
    assert small.rates(0.01) == [0.01, 1.0, 1.0, 1.0, 0.01]


@pytest.mark.parametrize("inputs", ["white", "data"])
def test_what_the_cores_have_to_learn_is_what_the_whole_twin_has(gaussian, rng, inputs):
    x = rng.standard_normal((50, 20))
    whole = Objective(gaussian(20, 3), scale=0.3, floor=1.0)
    if inputs == "data":
        whole = Objective.of_data(x, x @ gaussian(20, 3).T + rng.standard_normal((50, 20)), mean=True)
    small = twin(start("orthogonal", [20] * 4, 0.5), whole, 3)
    inner = small.inner(whole)
    for core in (np.zeros((6, 6)), inner.target, rng.standard_normal((6, 6))):
        outside = small.left @ core @ small.right
        assert inner.loss(core) == pytest.approx(whole.loss(outside), rel=1e-12)
        np.testing.assert_allclose(
            inner.residual(core), small.left.T @ whole.residual(outside) @ small.right.T, atol=1e-11
        )
    np.testing.assert_allclose(
        small.left.T @ whole.residual(small.left @ inner.target @ small.right) @ small.right.T, 0, atol=1e-11
    )


def test_a_mask_cannot_be_projected(gaussian):
    objective = Objective(gaussian(20, 3), seen=np.eye(20, dtype=bool))
    with pytest.raises(InputError, match="`objective` must be seen in full to be projected; with a mask, train"):
        twin(start("orthogonal", [20] * 3, 0.5), objective, 3).inner(objective)


@pytest.mark.parametrize("d", [6, 5])
def test_where_all_directions_move_there_is_no_twin(gaussian, d):
    objective, weights = Objective(gaussian(d, 3)), start("orthogonal", [d] * 3, 0.5)
    sentence = f"`rank` must be below d / 2 = {d / 2:g}, so that 2r of {d} directions .* got 3. Choose a wider network"
    for ask in (
        lambda: twin(weights, objective, 3),
        lambda: moving_directions(weights, objective.target, 3),
        lambda: blocks(weights, objective.target, 3),
    ):
        with pytest.raises(InputError, match=sentence):
            ask()


@pytest.mark.parametrize("rank", [0, 4])
def test_ranks_there_are_not(gaussian, rank):
    weights = start("orthogonal", [30, 30, 3], 0.5)
    with pytest.raises(InputError, match=rf"`rank` must be between 1 and 3 for a target \(3, 30\); got {rank}"):
        moving_directions(weights, gaussian(30, 3, 3), rank)


# completion: a 60 x 60 matrix of rank 6, 35 % of its entries seen; steps until the loss over them is 1e-9


def completed(weights, objective, rate, steps, rates=None):
    """Squared relative error of the whole target, and the loss of what is seen of it."""
    for step, (_, product) in enumerate(descend(weights, objective, Rule(rate), rates=rates)):
        if step % 50 == 0 and (objective.loss(product) < 1e-9 or step >= steps):
            break
    return np.sum((product - objective.target) ** 2) / np.sum(objective.target**2), objective.loss(product)


@pytest.fixture
def holes(gaussian):
    seen = np.random.default_rng(1).random((60, 60)) < 0.35
    return Objective(gaussian(60, 6), seen=seen, scale=1 / 3600)


@pytest.mark.parametrize(("depth", "rate", "recovers"), [(3, 100, True), (2, 60, False)])
def test_three_layers_fill_holes_and_two_do_not(holes, depth, rate, recovers):
    error, loss = completed(start("orthogonal", [60] * (depth + 1), 1e-2), holes, rate, 15_000)
    assert loss < 1e-9
    assert (error < 1e-5) if recovers else (error > 1e-3)


def test_a_twin_fills_holes_only_if_its_outer_factors_learn(holes):
    small = twin(start("orthogonal", [60] * 4, 1e-2), holes, 6)
    still, learning = (completed(small.weights, holes, 100, 9000, small.rates(share)) for share in (0.0, 1e-2))
    assert still[0] > 1e-2
    assert still[1] > 1e-4
    assert learning[0] < 1e-5
    assert learning[1] < 1e-9
