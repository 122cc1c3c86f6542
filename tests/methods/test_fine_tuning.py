"""Fine-tuning learns, touches only what it may, and can be repeated to the bit."""

import numpy as np
import pytest
import torch

from lowrank_kit.checks import InputError
from lowrank_kit.methods.fine_tuning import FineTuning, fine_tune
from lowrank_kit.models.adapters import DeepLoRA, LoRA, adapted, merged, n_trained, updates
from lowrank_kit.records import Examples

WAYS = {"lora": (LoRA(4), 0.01), "deep": (DeepLoRA(8, epsilon=0.1), 0.03), "whole": (None, 0.01)}
every_way = pytest.mark.parametrize("way", WAYS)


@pytest.fixture
def examples(rng):
    """40 examples for `mlp` that can be learnt."""
    x = rng.standard_normal((40, 12)).astype(np.float32)
    return Examples(x, x[:, :4].argmax(axis=1))


def state(network):
    return {name: values.clone() for name, values in network.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@every_way
def test_learns_what_the_examples_say(mlp, examples, way):
    adapter, rate = WAYS[way]
    network, trajectory = fine_tune(mlp, examples, adapter, steps=250, learning_rate=rate)
    losses = trajectory["loss"]
    assert losses[-1] < 0.5 * losses[0] and not network.training
    right = (merged(network)(torch.from_numpy(examples.x)).argmax(1).numpy() == examples.y).mean()
    assert right > 0.8
    assert trajectory.facts["trained"] == n_trained(network) and trajectory.facts["failures"] == 0
    assert len(trajectory) == 50 and trajectory.steps[-1] == 250


@every_way
def test_the_given_model_is_untouched(mlp, examples, states, way):
    before = states(mlp)
    fine_tune(mlp, examples, WAYS[way][0], steps=3)
    assert states.same(before, states(mlp))


def test_frozen_weights_stay_as_they_are(mlp, examples):
    for adapter in (LoRA(4), DeepLoRA(4)):
        network, _ = fine_tune(mlp, examples, adapter, steps=5, learning_rate=0.1)
        for name in ("0", "2"):
            layer = network.get_submodule(name)
            assert torch.equal(layer.parametrizations.weight.original, mlp.get_submodule(name).weight)
            assert not torch.equal(layer.weight, mlp.get_submodule(name).weight)
        assert torch.equal(network[4].weight, mlp[4].weight) and torch.equal(network[0].bias, mlp[0].bias)


def test_gamma_slows_the_outer_factors(mlp, examples):
    """AdamW's first step is its learning rate, whatever the gradient, as long as that is far above its eps."""
    found = {}
    for gamma in (0.0, 0.1, 1.0):
        options = {"steps": 1, "learning_rate": 1e-3, "gamma": gamma, "batch": 40}
        found[gamma] = updates(fine_tune(mlp, examples, DeepLoRA(4, epsilon=1.0), **options)[0])["0"]
        moved = (found[gamma].cores[0] - torch.eye(4)).abs().median().item()
        assert moved == pytest.approx(1e-3, rel=0.02)
    for gamma in (0.1, 1.0):
        moved = (found[gamma].left - found[0.0].left).abs().median().item()
        assert moved == pytest.approx(gamma * 1e-3, rel=0.02)


def test_gamma_zero_trains_the_cores_alone(mlp, examples):
    network, trajectory = fine_tune(mlp, examples, DeepLoRA(4), steps=1, gamma=0.0)
    assert trajectory.facts["trained"] == n_trained(network) == 2 * 3 * 4**2


def test_groups_of_parameters(mlp, examples):
    training = FineTuning(adapted(mlp, DeepLoRA(4), examples), 0.1, gamma=0.5)
    assert [(len(g["params"]), g["lr"]) for g in training.optimiser.param_groups] == [(6, 0.1), (4, 0.05)]
    assert [len(g["params"]) for g in FineTuning(mlp, 0.1, gamma=0.5).optimiser.param_groups] == [5]


@every_way
def test_the_same_seed_gives_the_same_network(mlp, examples, way):
    adapter, rate = WAYS[way]
    mlp.insert(1, torch.nn.Dropout(0.5))
    numbers = torch.get_rng_state()
    one, again, other = (
        state(fine_tune(mlp, examples, adapter, steps=7, learning_rate=rate, seed=s)[0]) for s in (1, 1, 2)
    )
    assert same(one, again) and not same(one, other)
    assert torch.equal(torch.get_rng_state(), numbers)


def test_the_number_of_steps_is_kept_whatever_the_batches(mlp, examples):
    for batch in (7, 16, 64):
        _, trajectory = fine_tune(mlp, examples, LoRA(2), steps=11, batch=batch)
        assert trajectory.steps.tolist() == [*range(1, 12)]


def test_layers_can_be_named(mlp, examples):
    network, _ = fine_tune(mlp, examples, LoRA(2), steps=1, layers=["4"])
    assert [*updates(network)] == ["4"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"steps": 0}, "`steps` must be at least 1"),
        ({"learning_rate": 0.0}, "`learning_rate` above 0"),
        ({"gamma": -0.1}, "`gamma` at least 0"),
        ({"batch": 0}, "`size` must be at least 1"),
        ({"adapter": DeepLoRA(3)}, "must be even"),
        ({"adapter": None, "layers": ["0"]}, "`layers` are for an adapter"),
        ({"learning_rate": 1e30}, "3 times in a row"),
    ],
)
def test_bad_input(mlp, examples, options, said):
    with pytest.raises(InputError, match=said):
        fine_tune(mlp, examples, **{"adapter": LoRA(2), "steps": 20} | options)


def test_examples_must_be_some_and_of_the_networks_classes(mlp, examples):
    with pytest.raises(InputError, match="at least one example"):
        fine_tune(mlp, examples.take(slice(0)), LoRA(2))
    with pytest.raises(InputError, match="between 0 and 3"):
        fine_tune(mlp, Examples(examples.x, examples.y + 1), LoRA(2))
