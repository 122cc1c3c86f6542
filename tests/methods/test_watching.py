"""Two trainings in step: what is watched of a network and of its deep linear twin."""

import numpy as np
import pytest
import torch
from torch import nn

from lowrank_kit.checks import InputError
from lowrank_kit.methods.training import Training
from lowrank_kit.methods.watching import OPTIMISERS, Watch, WatchSettings, linear_twin
from lowrank_kit.records import Data, Examples
from lowrank_kit.records.measurements import wilson
from tests.blobs import blobs

SETTINGS = {"steps": 20, "batch": None}


@pytest.fixture
def network():
    """12 inputs, two layers of 16, 3 classes."""
    return blobs()[0]


@pytest.fixture(scope="module")
def data():
    return blobs()[1]


@pytest.fixture
def watched(network, data):
    """(settings) -> both trainings at their end."""

    def through(**settings):
        watch = Watch(network, data, WatchSettings(**SETTINGS | settings))
        assert list(watch.run()) == list(range(1, watch.settings.steps + 1)) or watch.fault
        return watch

    return through


def weights(training):
    return [part.weight.detach().double().numpy() for part in training.model if isinstance(part, nn.Linear)]


# The settings.


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"start": "zeros"}, "`start` must be one of 'orthogonal', 'gaussian', 'uniform', 'default'; got 'zeros'."),
        ({"optimiser": "sgd"}, "`optimiser` must be one of 'descent', 'momentum', 'adam'; got 'sgd'."),
        ({"scale": 0}, "`scale` must be a number above 0 and at most 1e+30; got 0."),
        ({"scale": np.nan}, "`scale` must be a number above 0 and at most 1e+30; got nan."),
        ({"learning_rate": -1.0}, "`learning_rate` must be a number above 0 and at most 1e+30; got -1.0."),
        ({"learning_rate": np.inf}, "`learning_rate` must be a number above 0 and at most 1e+30; got inf."),
        ({"steps": 0}, "`steps` must be a whole number of at least 1; got 0."),
        ({"steps": None}, "`steps` must be a whole number of at least 1; got None."),
        ({"steps": True}, "`steps` must be a whole number of at least 1; got True."),
        ({"batch": 2.5}, "`batch` must be a whole number of at least 1; got 2.5."),
        ({"batch": 0}, "`batch` must be a whole number of at least 1; got 0."),
        ({"seed": -1}, "`seed` must be a whole number of at least 0; got -1."),
        ({"seed": 1.5}, "`seed` must be a whole number of at least 0; got 1.5."),
    ],
)
def test_bad_settings_get_one_sentence(wrong, words):
    with pytest.raises(InputError) as refusal:
        WatchSettings(**wrong)
    assert str(refusal.value) == words


@pytest.mark.parametrize(("name", "momentum"), [("descent", 0), ("momentum", 0.9), ("adam", None)])
def test_every_optimiser_takes_the_learning_rate(name, momentum):
    made = WatchSettings(optimiser=name, learning_rate=0.03).torch_optimiser([nn.Parameter(torch.ones(1))])
    assert made.defaults["lr"] == 0.03 and made.defaults.get("momentum") == momentum
    assert isinstance(made, torch.optim.Adam if momentum is None else torch.optim.SGD)


# The twin.


def test_the_twin_has_the_linear_layers_in_a_row_and_copies_of_their_weights(network):
    twin = linear_twin(network)
    assert [name for name, _ in twin.named_children()] == ["0", "2", "4"]
    for name, layer in twin.named_children():
        assert type(layer) is nn.Linear and layer is not network[int(name)]
        assert torch.equal(layer.weight, network[int(name)].weight)
    twin[0].weight.data.zero_()
    assert network[0].weight.abs().sum() > 0


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (nn.Linear(2, 2), "linear layers and activations, such as digits-mlp; got Linear."),
        (nn.Sequential(nn.Linear(2, 2), nn.Dropout()), "linear layers and activations, such as digits-mlp"),
        (nn.Sequential(nn.Conv2d(1, 1, 3)), "linear layers and activations, such as digits-mlp"),
        (nn.Sequential(nn.Sequential(nn.Linear(2, 2))), "linear layers and activations, such as digits-mlp"),
        (nn.Sequential(nn.Flatten(), nn.ReLU()), "`network` must have linear layers; it has none."),
    ],
)
def test_networks_that_have_no_twin(wrong, words, data):
    for act in (linear_twin, lambda network: Watch(network, data, WatchSettings())):
        with pytest.raises(InputError) as refusal:
            act(wrong)
        assert words in str(refusal.value)


def test_sizes_must_be_those_of_the_data(data):
    for shape in ((11, 3), (12, 4), (12, 2)):
        with pytest.raises(InputError) as refusal:
            Watch(nn.Sequential(nn.Linear(*shape)), data, WatchSettings())
        assert str(refusal.value) == (
            "`network` must have 12 inputs and 3 outputs, as the data have values and classes; "
            f"it has {shape[0]} and {shape[1]}."
        )


def test_data_without_training_examples_are_refused(network, data):
    with pytest.raises(InputError, match="'bare' has validation and test examples only"):
        Watch(network, Data("bare", data.validation, data.test), WatchSettings())


# How both begin.


@pytest.mark.parametrize("start", ["orthogonal", "gaussian", "uniform", "default"])
def test_both_begin_with_the_same_weights_and_biases_of_zero_for_good(network, data, states, start):
    before, drawn = states(network), torch.get_rng_state()
    watch = Watch(network, data, WatchSettings(start=start, **SETTINGS))
    own, twins = (weights(training) for training in watch.trainings)
    assert all(np.array_equal(*pair) for pair in zip(own, twins, strict=True))
    assert states.same(before, states(network)) and torch.equal(drawn, torch.get_rng_state())
    list(watch.run())
    for training, begun in zip(watch.trainings, (own, twins), strict=True):
        assert all(not np.array_equal(*pair) for pair in zip(weights(training), begun, strict=True))
        biases = [p for name, p in training.model.named_parameters() if name.endswith("bias")]
        assert len(biases) == 2 and not any(bias.any() for bias in biases)


def test_an_orthogonal_start_has_one_singular_value_a_layer(network, data):
    watch = Watch(network, data, WatchSettings(scale=0.3))
    values = watch.trajectory["values"][0]
    assert values.shape == (6, 16)
    assert [np.isnan(layer).sum() for layer in values] == [4, 0, 13] * 2
    np.testing.assert_allclose(values[~np.isnan(values)], 0.3, atol=1e-6)


@pytest.mark.parametrize("start", ["gaussian", "uniform"])
def test_other_starts_are_as_large_and_differ_with_the_seed(network, data, start):
    found = [weights(Watch(network, data, WatchSettings(start=start, scale=0.3, seed=s)).trainings[0]) for s in (0, 1)]
    for one, other in zip(*found, strict=True):
        # sqrt(16) and sqrt(3) values of 0.3 would be 1.2 and 0.52.
        assert np.linalg.norm(one) == pytest.approx(0.3 * np.sqrt(min(one.shape)), rel=0.25)
        assert not np.allclose(one, other)


def test_the_default_start_is_that_of_pytorch(network, data):
    watch = Watch(network, data, WatchSettings(start="default", scale=9.0, seed=5))
    assert all(
        np.array_equal(w, part.weight.detach().double())
        for w, part in zip(weights(watch.trainings[0]), network[::2], strict=True)
    )


def test_double_networks_and_images_are_taken_as_they_come(data):
    shaped = [Examples(part.x.reshape(-1, 3, 2, 2), part.y) for part in (data.validation, data.test, data.train)]
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 3)).double()
    watch = Watch(network, Data("images", *shaped), WatchSettings(steps=3))
    assert list(watch.run()) == [1, 2, 3] and network[1].weight.dtype == torch.float64


# What it learns from.


def test_whitening_gives_every_seen_direction_the_same_second_moment(network, data):
    watch = Watch(network, data, WatchSettings())
    x = watch.x.double().numpy()
    squares = np.linalg.eigvalsh(x.T @ x / len(x))
    np.testing.assert_allclose(squares, [0] + [1] * 11, atol=1e-4)
    # The validation examples go the same way, by which they get no moments of their own.
    stretch = np.linalg.lstsq(data.train.x.astype(float), x, rcond=None)[0]
    np.testing.assert_allclose(watch.validation.x, data.validation.x @ stretch, atol=1e-4)
    bare = Watch(network, data, WatchSettings(whitened=False))
    assert np.array_equal(bare.x, data.train.x) and np.array_equal(bare.validation.x, data.validation.x)


@pytest.mark.parametrize(
    ("batch", "sizes"), [(None, [90] * 6), (90, [90] * 6), (200, [90] * 6), (40, [40, 40, 10] * 2)]
)
def test_both_see_the_same_batches_and_each_example_once_a_round(network, data, monkeypatch, batch, sizes):
    seen, step = [], Training.step
    monkeypatch.setattr(Training, "step", lambda training, x, y: (seen.append((x, y)), step(training, x, y))[1])
    watch = Watch(network, data, WatchSettings(steps=6, batch=batch))
    list(watch.run())
    assert [len(x) for x, _ in seen[::2]] == sizes
    assert all(one[0] is other[0] and one[1] is other[1] for one, other in zip(seen[::2], seen[1::2], strict=True))
    rounds = len(sizes) // 2 if batch == 40 else 1
    rows = [torch.cat([x for x, _ in seen[::2][k : k + rounds]]) for k in (0, rounds)]
    for found in rows:
        assert torch.equal(found.sort(dim=0).values, watch.x.sort(dim=0).values)
    assert (batch == 40) != torch.equal(*rows), "in another order every time"


# What is watched.


@pytest.mark.parametrize("steps", [1, 2, 50, 150, 250, 401])
def test_about_a_hundred_rows_with_the_start_the_first_step_and_the_last(watched, steps):
    watch = watched(steps=steps)
    found = watch.trajectory.steps
    assert len(found) == watch.expected_rows <= 204
    assert {0, 1, steps} <= set(found) and (np.diff(found) > 0).all()
    assert set(np.diff(found[found > 1][:-1])) <= {max(steps // 100, 1)}


def test_a_training_can_be_left_between_two_steps(network, data, watched):
    watch = Watch(network, data, WatchSettings(**SETTINGS))
    path = watch.run()
    assert [next(path) for _ in range(5)] == [1, 2, 3, 4, 5]
    assert watch.trajectory.steps.tolist() == [0, 1, 2, 3, 4, 5] and watch.expected_rows == 21
    list(path)
    whole = watched().trajectory
    assert all(np.array_equal(whole[name], watch.trajectory[name], equal_nan=True) for name in whole.arrays)


def test_every_number_is_that_of_the_weights(watched, data):
    watch = watched(optimiser="adam", learning_rate=0.02)
    found, facts = watch.trajectory, watch.trajectory.facts
    assert found.name == "blobs" and found.layers == ("0", "2", "4", "0 (linear)", "2 (linear)", "4 (linear)")
    assert (facts["n_classes"], facts["n_train"], facts["n_looked_at"], facts["diverged"]) == (3, 90, 50, "")
    assert (facts["optimiser"], facts["learning_rate"], facts["batch"]) == ("adam", 0.02, None)
    for number, training in enumerate(watch.trainings):
        for place, (weight, first) in enumerate(zip(weights(training), watch._first[number], strict=True)):
            at, n = 3 * number + place, min(weight.shape)
            values, before = (np.linalg.svd(w, compute_uv=False) for w in (weight, first))
            np.testing.assert_allclose(found["values"][-1, at, :n], values, rtol=1e-12)
            assert np.isnan(found["values"][:, at, n:]).all() and not np.isnan(found["values"][:, at, :n]).any()
            assert found["resting"][-1, at] == sum(abs(values / before - 1) <= 0.01)
            # Six directions, twice the classes, hold of the change all but the tail of its singular values.
            U, S, Vh = np.linalg.svd(weight - first)
            kept = (U[:, :6] * S[:6]) @ Vh[: min(n, 6)] if n >= 6 else weight - first
            share = np.square(kept).sum() / np.square(weight - first).sum()
            assert found["moved"][-1, at] == pytest.approx(share, rel=1e-9)
        with torch.no_grad():
            outputs, judged = (training.model(x).numpy() for x in (watch.x, torch.from_numpy(watch.validation.x)))
        loss = np.square(outputs - np.eye(3)[data.train.y]).sum(axis=1).mean() / 2
        right = (judged.argmax(axis=1) == data.validation.y).mean()
        assert found["loss"][-1, number] == pytest.approx(loss, rel=1e-5)
        assert found["accuracy"][-1, number] == right > 0.9
        interval = found["accuracy_low"][-1, number], found["accuracy_high"][-1, number]
        assert interval == wilson(right, 50)
    assert found["loss"][0, 0] != found["loss"][0, 1], "what stands between the layers matters"
    assert (found["moved"][0] == 1).all() and found["resting"][0].tolist() == [12, 16, 3] * 2


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_the_law_of_parsimony_holds_for_the_twin_of_a_real_network(digits, optimiser):
    """Of digits-mlp, with 64 inputs, layers of 128 and 10 classes: all but twice the classes rest, but for Adam."""
    network, data = digits
    rate = 0.003 if optimiser == "adam" else 0.1
    watch = Watch(network, data, WatchSettings(optimiser=optimiser, learning_rate=rate, batch=None, steps=60))
    list(watch.run())
    found = watch.trajectory
    at = [found.layers.index(name) for name in ("fc1 (linear)", "fc2 (linear)", "head (linear)")]
    far = np.abs(found["values"][-1] - found["values"][0])[at]
    if optimiser == "adam":
        assert (found["resting"][-1][at] < 10).all() and (found["moved"][-1][at[:2]] < 0.999).all()
    else:
        assert found["resting"][-1][at].tolist() == [44, 108, 0]
        np.testing.assert_allclose(found["moved"][1:, at], 1, atol=2e-5)
        # The first layer has fewer inputs than outputs, which lets ten more move a little, and with momentum more.
        assert (far <= 1e-4).sum(axis=1).tolist() == ([44, 108, 0] if optimiser == "descent" else [34, 98, 0])
    activated = found["resting"][-1, :3]
    assert activated[0] < 44 and activated[1] < 108, "the law is one of linear networks"
    assert found["accuracy"][-1].max() > 0.9


def test_inputs_as_they_are_let_the_twin_rest_by_and_large_only(digits):
    still = []
    for whitened in (True, False):
        watch = Watch(*digits, WatchSettings(learning_rate=0.5, batch=None, steps=60, whitened=whitened))
        list(watch.run())
        begun, now = watch.trajectory["values"][[0, -1], 4]
        still.append((np.abs(now - begun) <= 1e-4).sum())
    assert still[0] == 108 > still[1] > 90


# What goes wrong.


@pytest.mark.parametrize("rate", [30.0, 1e5, 1e30])
def test_a_training_that_diverges_ends_and_what_was_seen_stays(watched, rate):
    watch = watched(learning_rate=rate, steps=100)
    assert watch.fault.startswith("training must have finite losses and gradients")
    found = watch.trajectory
    assert found.facts["diverged"] == watch.fault and 2 <= len(found) < watch.expected_rows
    assert np.isfinite(found["loss"][0]).all() and (np.diff(found.steps) > 0).all()
    assert np.isfinite(found["values"][:, 1]).all()


def test_the_same_seed_gives_the_same_training(watched):
    one, other, third = (watched(batch=16, seed=seed).trajectory for seed in (3, 3, 4))
    for name in one.arrays:
        assert np.array_equal(one[name], other[name], equal_nan=True)
    assert not np.array_equal(one["loss"], third["loss"])
