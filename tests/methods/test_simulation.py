"""Simulations of deep linear networks: what they show where the law holds, and what they say where it does not."""

import gc
import json
import threading
from itertools import islice

import numpy as np
import pytest

from lowrank_kit.checks import InputError
from lowrank_kit.maths.dynamics import descend, gap, products, resting_values, sharpness
from lowrank_kit.methods.dynamics_views import bearings, looks, repeated
from lowrank_kit.methods.simulation import Settings, Simulation


def simulated(**settings):
    simulation = Simulation(Settings(**settings))
    for share in simulation.run():
        assert 0 < share <= 1
    assert share == 1
    return simulation


@pytest.fixture(scope="module")
def usual():
    return simulated()


# what is there


def test_a_trajectory_has_what_was_promised(usual):
    found = usual.trajectory
    T, L, d, r = len(found), 3, 30, 3
    assert found.layers == ("W1", "W2", "W3")
    assert {name: values.shape for name, values in found.arrays.items()} == {
        "values": (T, L, d),
        "repeated": (T, L),
        "angles": (T, L, 2, 2 * r + 1),
        "product": (T, d, d),
        "modes": (T, d),
        **dict.fromkeys(("loss", "twin_loss", "recovery", "twin_recovery", "gap", "gap_foretold"), (T,)),
        "resting": (T, L),
    }
    assert all(np.isfinite(values[1:]).all() for values in found.arrays.values())
    assert np.isnan(found["angles"][0]).all()
    assert ((found["angles"][1:] >= 0) & (found["angles"][1:] <= np.pi / 2)).all()


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (1, [0, 1]),
        (5, range(6)),
        (400, [0, 1, *range(4, 401, 4)]),
        (250, [0, 1, *range(2, 251, 2)]),
        (1001, [0, 1, *range(10, 1001, 10), 1001]),
    ],
)
def test_about_a_hundred_steps_are_kept_and_always_the_last(steps, expected):
    assert simulated(width=4, depth=2, rank=1, steps=steps).trajectory.steps.tolist() == list(expected)


@pytest.mark.parametrize("depth", [1, 3])
def test_what_is_shown_is_what_a_plain_descent_does(depth):
    simulation = simulated(width=8, depth=depth, rank=2, steps=60)
    found, walked = simulation.trajectory, []
    for own, product in islice(descend(simulation.weights, simulation.objective, simulation.rule), 61):
        walked.append((np.stack(own), product.copy()))
    film, origin = np.stack([own for own, _ in walked]), bearings(walked[1][0], 2, 2)
    seen = looks(film, origin)
    np.testing.assert_allclose(found["values"], seen["values"], atol=1e-12)
    np.testing.assert_allclose(found["angles"][1:], seen["angles"][1:], atol=1e-6)
    np.testing.assert_array_equal(found["repeated"], seen["repeated"])
    for step, (_, product) in enumerate(walked):
        np.testing.assert_allclose(found["product"][step], product, atol=1e-13)
        np.testing.assert_allclose(found["modes"][step], np.linalg.svd(product, compute_uv=False), atol=1e-12)
        off = np.linalg.norm(product - simulation.target)
        assert found["loss"][step] == pytest.approx(off**2 / 2)
        assert found["recovery"][step] == pytest.approx(off / np.linalg.norm(simulation.target))
    assert found["loss"][-1] < found["loss"][0]


def test_the_target_is_a_gaussian_matrix_cut_to_a_rank():
    simulation = Simulation(Settings(width=12, rank=4, seed=5))
    values = np.linalg.svd(np.random.default_rng(5).standard_normal((12, 12)), compute_uv=False)
    np.testing.assert_allclose(np.linalg.svd(simulation.target, compute_uv=False), [*values[:4], *[0] * 8], atol=1e-12)
    np.testing.assert_allclose(simulation.strengths, values[:4])


@pytest.mark.parametrize("start", ["orthogonal", "gaussian", "uniform"])
def test_a_start_knows_nothing_of_the_target(start):
    """Nor do inputs; cosines between independent draws of 900 numbers spread by 1/30 around 0."""
    drawn = [Simulation(Settings(start=start, condition=3.0, seed=seed)) for seed in range(20)]
    for one, other in (
        ([s.weights[0] for s in drawn], [s.target for s in drawn]),
        ([s.weights[0] for s in drawn], [s.objective.covariance - np.eye(30) for s in drawn]),
        ([s.weights[0] for s in drawn], [s.weights[1] for s in drawn]),
    ):
        cosines = [np.vdot(a, b) / np.linalg.norm(a) / np.linalg.norm(b) for a, b in zip(one, other, strict=True)]
        assert abs(np.mean(cosines)) < 4 / 30 / np.sqrt(20)


def test_inputs_have_the_condition_that_is_asked_for():
    covariance = Simulation(Settings(condition=3.0)).objective.covariance
    values = np.linalg.eigvalsh(covariance)
    # C = X X^T, so its values are those of X squared; as much above 1 as below it.
    assert np.sqrt(values[-1] / values[0]) == pytest.approx(3)
    assert values[-1] * values[0] == pytest.approx(1)
    assert Simulation(Settings()).objective.covariance is None
    other = Simulation(Settings(condition=3.0, seed=1)).objective.covariance
    assert np.abs(covariance - other).max() > 0.1


def test_a_mask_shows_the_fraction_that_is_asked_for():
    assert Simulation(Settings(width=100, seen=0.35)).objective.seen.mean() == pytest.approx(0.35, abs=0.02)
    assert Simulation(Settings()).objective.seen is None


def test_a_mask_that_shows_nothing():
    with pytest.raises(InputError, match="`seen` must hold at least one entry"):
        Simulation(Settings(width=3, rank=1, seen=1e-9))


def test_facts_are_plain(usual):
    facts = usual.trajectory.facts
    assert json.loads(json.dumps(facts)) == facts
    assert (facts["width"], facts["steps"], facts["ends"]) == (30, 400, [3, 3])
    assert (facts["n_params"], facts["n_params_twin"]) == (3 * 30**2, 3 * 6**2 + 2 * 30 * 6)
    assert facts["strengths"] == pytest.approx(np.linalg.svd(usual.target, compute_uv=False)[:3])
    assert facts["diverged_at"] is None


# where the law holds


@pytest.mark.parametrize("rule", ["descent", "momentum"])
@pytest.mark.parametrize("decay", [0.0, 0.05])
def test_what_rests_is_what_is_foretold(rule, decay):
    found = simulated(rule=rule, weight_decay=decay).trajectory
    assert (found["repeated"][0] == 30).all()
    assert (found["repeated"][1:] == 24).all()
    np.testing.assert_allclose(found["values"][..., 3:-3], np.repeat(found["resting"][..., None], 24, -1), atol=1e-12)
    np.testing.assert_allclose(found["gap"], found["gap_foretold"], atol=1e-12)
    # The middle stays where it is, as one; single directions at both ends turn.
    assert found["angles"][1:, ..., -1].max() < 1e-6
    assert found["angles"][1:, ..., :-1].max() > 0.01


def test_the_twin_loses_as_the_wide_one_does_up_to_the_gap(usual):
    found = usual.trajectory
    np.testing.assert_allclose(found["loss"], found["twin_loss"] + found["gap_foretold"] ** 2 / 2, atol=1e-11)
    assert found["twin_loss"][-1] < found["loss"][-1] < 0.01 * found["loss"][0]


def test_a_guess_above_the_rank_leaves_less_out():
    simulation = simulated(guess=7)
    found = simulation.trajectory
    np.testing.assert_allclose(found["gap"], found["gap_foretold"], atol=1e-12)
    np.testing.assert_allclose(found["gap"], gap(found["resting"], 30 - 14), atol=1e-12)
    assert found.facts["n_params_twin"] == 3 * 14**2 + 2 * 30 * 14


def test_a_twin_whose_outer_factors_learn_follows_no_law():
    found = simulated(outer=0.01).trajectory
    assert "resting" in found.arrays
    assert "gap_foretold" not in found.arrays
    expected = gap(resting_values([0.5] * 3, Simulation(Settings()).rule, 400)[found.steps], 24)
    assert np.abs(found["gap"] - expected).max() > 0.01


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_aligned_modes_are_foretold(depth):
    found = simulated(start="aligned", depth=depth, learning_rate=1e-4, steps=3000).trajectory
    assert found["modes_foretold"].shape == (len(found), 3)
    far = np.abs(found["modes"][:, :3] - found["modes_foretold"])
    assert far.max() < 0.02 * found["modes"].max()
    assert found["modes"][-1, 0] > 1.2 * found["modes"][0, 0]
    assert (found["repeated"][1:] == 27).all()
    assert found["angles"].shape[-1] == 4


@pytest.mark.parametrize(
    "settings",
    [{"rule": "momentum"}, {"weight_decay": 0.1}, {"condition": 2.0}, {"seen": 0.5}, {"start": "orthogonal"}],
)
def test_modes_are_foretold_of_a_plain_aligned_descent_only(settings):
    found = simulated(**{"start": "aligned", "steps": 20, **settings}).trajectory
    assert "modes_foretold" not in found.arrays


# where it fails


def spread(found):
    """Of the values in the middle of each layer, at the widest."""
    return np.ptp(found["values"][:, :, 3:-3], axis=-1).max(axis=-1)


def test_inputs_that_are_not_white_part_what_was_one():
    white, mild, strong = (simulated(condition=c).trajectory for c in (1.0, 1.5, 3.0))
    assert spread(white).max() < 1e-12
    for found in (mild, strong):
        assert (found["repeated"][1:] == 0).all()
        assert {"resting", "gap_foretold"}.isdisjoint(found.arrays)
        assert (np.diff(spread(found)[1:60]) > 0).all()
        assert found["loss"][-1] < 0.01 * found["loss"][0]
    # About the sizes that were found for 400 steps of another target.
    assert 5e-3 < spread(mild)[-1] < 3e-2 < spread(strong)[-1] < 0.1


@pytest.mark.parametrize("start", ["gaussian", "uniform"])
def test_only_orthogonal_starts_change_by_a_flat_tail(usual, start):
    def change(simulation):
        *_, (own, _) = islice(descend(simulation.weights, simulation.objective, simulation.rule), 401)
        return np.linalg.svd(np.stack(own) - np.stack(simulation.weights), compute_uv=False)

    assert (repeated(change(usual)) == 24).all()
    other = simulated(start=start)
    assert (repeated(change(other)) == 0).all()
    assert np.ptp(change(other)[:, 6:], axis=1).min() > 1e-3
    assert (other.trajectory["repeated"] == 0).all()
    assert "resting" not in other.trajectory.arrays
    assert other.trajectory["angles"][-1, ..., -1].min() > 0.01


def test_adam_keeps_no_value():
    found = simulated(rule="adam", learning_rate=0.01).trajectory
    assert (found["repeated"][0] == 30).all()
    assert (found["repeated"][1:] == 0).all()
    assert "resting" not in found.arrays
    assert found.facts["limit"] == np.inf
    assert found["loss"][-1] < 0.01 * found["loss"][0]


@pytest.mark.parametrize("settings", [{"width": 6}, {"width": 5}, {"guess": 15}, {"width": 2, "rank": 2, "depth": 1}])
def test_where_all_directions_move_there_is_no_twin(settings):
    simulation = simulated(**{"steps": 20, **settings})
    found = simulation.trajectory
    assert simulation.twin is None
    assert found.facts["n_params_twin"] is None
    for name in ("gap", "twin_loss", "twin_recovery"):
        assert np.isnan(found[name]).all()
    assert np.isfinite(found["loss"]).all()
    assert {"resting", "gap_foretold"}.isdisjoint(found.arrays)


def test_with_a_mask_the_twin_is_trained_as_a_whole():
    settings = {"width": 24, "rank": 2, "seen": 0.5, "scale": 0.02, "learning_rate": 0.02, "steps": 2500}
    still, learning = (simulated(outer=outer, **settings).trajectory for outer in (0.0, 0.05))
    for found in (still, learning):
        assert {"resting", "gap_foretold"}.isdisjoint(found.arrays)
        assert found["loss"][-1] < 1e-6
        assert found["recovery"][-1] < 1e-3
    assert still["twin_recovery"][-1] > 0.2
    assert learning["twin_recovery"][-1] < 1e-3


# what diverges


@pytest.mark.parametrize("times", [3.0, 1e3, 1e7])
def test_a_descent_that_diverges_is_kept_as_far_as_it_went(usual, times):
    simulation = simulated(learning_rate=times * usual.limit, steps=100)
    found, at = simulation.trajectory, simulation.diverged_at
    assert at == found.facts["diverged_at"]
    assert 1 <= at < 100
    assert found.steps.tolist() == list(range(at))
    assert simulation.rule.learning_rate > found.facts["limit"]
    for name in ("loss", "values", "product", "modes"):
        assert np.isfinite(found[name]).all()
    assert found["modes"][-1, 0] < 1e6 * np.linalg.norm(simulation.target)


def test_the_limit_is_that_of_the_target_or_of_a_larger_start(usual):
    assert usual.limit == pytest.approx(2 / sharpness(usual.objective, 3))
    assert Simulation(Settings(rule="momentum")).limit == pytest.approx(1.9 * usual.limit)
    large = Simulation(Settings(scale=4.0))
    assert large.limit == pytest.approx(2 / (3 * 64 ** (4 / 3)))
    assert np.linalg.norm(products(large.weights)[-1], 2) == pytest.approx(64)


@pytest.mark.parametrize(("share", "settles"), [(0.98, True), (1.02, False)])
def test_descents_settle_below_the_limit_only(usual, share, settles):
    losses = simulated(learning_rate=share * usual.limit, steps=4000).trajectory["loss"][-20:]
    assert (losses.max() < 5e-3) if settles else (losses.min() > 0.1)


def test_a_twin_may_diverge_alone():
    """In some of these also through numbers whose squares there are not, but without a warning."""
    largest = []
    for outer in (80.0, 110.0, 150.0, 200.0, 250.0, 300.0, 350.0, 400.0):
        found = simulated(outer=outer, learning_rate=0.01, steps=50).trajectory
        assert found.facts["diverged_at"] is None
        assert len(found) == 51
        assert found["loss"][-1] < 0.01 * found["loss"][0]
        assert not np.isfinite(found["twin_loss"][-1])
        assert not np.isfinite(found["gap"][-1])
        losses = found["twin_loss"]
        largest.append(np.where(np.isnan(losses), 0, losses).max())
    assert np.inf in largest


# runs


def same(one, other):
    np.testing.assert_array_equal(one.steps, other.steps)
    assert one.facts == other.facts
    assert one.arrays.keys() == other.arrays.keys()
    for name in one.arrays:
        np.testing.assert_array_equal(one[name], other[name])


def test_the_same_settings_give_the_same_trajectory(usual):
    same(usual.trajectory, simulated().trajectory)


@pytest.mark.parametrize(
    "settings", [{}, {"start": "gaussian"}, {"start": "aligned"}, {"seen": 0.5}, {"condition": 2.0}]
)
def test_other_seeds_give_other_trajectories(settings):
    one, other = (simulated(seed=seed, steps=5, **settings).trajectory["loss"] for seed in (1, 2))
    assert (one != other).all()


def test_a_run_goes_on_where_it_was_left_and_in_another_thread(usual):
    simulation = Simulation(Settings())
    path = simulation.run()
    shares = [*islice(path, 3)]
    other = threading.Thread(target=lambda: shares.append(next(path)))
    other.start()
    other.join()
    shares += path
    assert len(shares) > 4
    assert shares == sorted(shares)
    same(simulation.trajectory, usual.trajectory)


def test_a_run_that_was_dropped_can_be_begun_anew(usual):
    simulation = Simulation(Settings())
    before = threading.active_count()
    path = simulation.run()
    next(path)
    del path
    gc.collect()
    assert threading.active_count() == before
    for _ in range(2):
        assert [*simulation.run()][-1] == 1
        same(simulation.trajectory, usual.trajectory)


def test_a_run_that_was_begun_in_another_thread_can_be_closed_in_this_one():
    path = Simulation(Settings(steps=50)).run()
    other = threading.Thread(target=lambda: next(path))
    other.start()
    other.join()
    path.close()


def test_between_two_pieces_warnings_are_as_they_were():
    before, path = np.geterr(), Simulation(Settings(steps=50)).run()
    next(path)
    assert np.geterr() == before


def test_before_the_end_there_is_nothing_to_see():
    simulation = Simulation(Settings())
    path = simulation.run()
    for _ in range(2):
        with pytest.raises(InputError, match="`trajectory` is there once `run` has come to its end"):
            simulation.trajectory  # noqa: B018
        next(path)


# what cannot be simulated


@pytest.mark.parametrize("name", ["width", "depth", "rank", "steps", "seed"])
@pytest.mark.parametrize("value", [-1, 2.5, True, "3", None])
def test_counts_are_whole_numbers(name, value):
    least = {"width": 2, "seed": 0}.get(name, 1)
    with pytest.raises(InputError, match=f"`{name}` must be a whole number of at least {least}; got {value!r}"):
        Settings(**{name: value})


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"width": 1}, "`width` must be a whole number of at least 2; got 1"),
        ({"depth": 0}, "`depth` must be a whole number of at least 1; got 0"),
        ({"rank": 31}, "`rank` must be at most the width, 30; got 31"),
        ({"width": 4, "rank": 5}, "`rank` must be at most the width, 4; got 5"),
        ({"scale": 0.0}, "`scale` must be a number above 0 and at most 1e.06; got 0.0"),
        ({"scale": float("nan")}, "`scale` must be a number above 0 and at most 1e.06; got nan"),
        ({"learning_rate": -1}, "`learning_rate` must be a number above 0 and at most 1e.06; got -1"),
        ({"learning_rate": float("inf")}, "`learning_rate` must be a number above 0 and at most 1e.06; got inf"),
        ({"start": "orthogonale"}, "`start` must be one of .*'aligned'; .* Did you mean 'orthogonal'"),
        ({"rule": "sgd"}, "`rule` must be one of 'descent', 'momentum', 'adam'; got 'sgd'"),
        ({"seen": 0}, "`seen` must be a fraction above 0 and at most 1; got 0"),
        ({"seen": 35}, "`seen` must be a fraction .* Write 0.5 for 50 %"),
        ({"condition": 0.9}, "`condition` must be at least 1, which is that of whitened inputs; got 0.9"),
        ({"condition": float("nan")}, "`condition` must be at least 1"),
        ({"condition": 2.0, "seen": 0.5}, "`seen` below 1 is of whitened inputs; set `condition` to 1"),
        ({"outer": -0.1}, "`outer` must be a number of at least 0; got -0.1"),
        ({"weight_decay": float("inf")}, "`weight_decay` must be a number of at least 0; got inf"),
        ({"guess": 2}, "`guess` must be a whole number from the rank, 3, to the width, 30, or None .* got 2"),
        ({"guess": 31}, "`guess` must be .* got 31"),
        ({"guess": 3.5}, "`guess` must be .* got 3.5"),
        ({"guess": True, "rank": 1}, "`guess` must be .* got True"),
    ],
)
def test_settings_that_cannot_be(settings, sentence):
    with pytest.raises(InputError, match=sentence):
        Settings(**settings)


def test_settings_at_their_limits():
    Settings(width=2, depth=1, rank=2, steps=1, seen=1, condition=1, outer=0, guess=2)
    Settings(width=30, rank=30, guess=None)
