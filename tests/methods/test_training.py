"""Training in steps: what a step does, what is undone, and what is told."""

import copy
import math
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lowrank_kit.checks import InputError
from lowrank_kit.methods.batches import Batches
from lowrank_kit.methods.training import Failure, Training, buffers_kept, constant, one_cycle, stacked
from lowrank_kit.models.layers import channels_last
from tests.methods.plain_trainings import ADAM, SGD, batches, examples, network, optimisers, state
from tests.methods.states import assert_same

# a step


def test_a_step_is_the_optimisers():
    training, model = Training(network(), SGD), network().train()
    optimiser = SGD(model.parameters())
    for (x, y), seed in zip(batches(), range(5), strict=True):
        torch.manual_seed(seed)
        value = training.step(x, y)
        torch.manual_seed(seed)
        optimiser.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimiser.step()
        assert value == loss.item()
    assert_same(dict(training.model.state_dict()), dict(model.state_dict()))
    assert training.steps == 5


def test_the_given_model_is_trained_in_place_and_in_training_mode():
    model = network().eval()
    training = Training(model, SGD)
    before = copy.deepcopy(model.state_dict())
    training.step(*batches()[0])
    assert training.model is model and model.training
    assert not torch.equal(model[0].weight, before["0.weight"]) and int(model[1].num_batches_tracked) == 1


def test_a_loss_of_ones_own_is_what_is_lowered():
    model = nn.Linear(2, 1).double()
    training = Training(model, partial(torch.optim.SGD, lr=0.1), loss=lambda out, y: (out - y).square().mean())
    x = torch.randn(20, 2, dtype=torch.float64)
    y = x @ torch.tensor([[2.0], [-1.0]], dtype=torch.float64) + 0.5
    losses = [training.step(x, y) for _ in range(300)]
    assert losses[-1] < 1e-6 < losses[0]
    torch.testing.assert_close(
        model.weight.detach(), torch.tensor([[2.0, -1.0]], dtype=torch.float64), atol=1e-3, rtol=0
    )


def test_frozen_parameters_stay_as_they_are():
    model = network()
    model[0].weight.requires_grad_(False)
    before = model[0].weight.clone()
    training = Training(model, ADAM)
    training.step(*batches()[0])
    assert torch.equal(model[0].weight, before)
    assert sum(len(group["params"]) for group in training.optimiser.param_groups) == 5


def test_images_come_in_the_layout_of_the_network():
    seen = []
    model = channels_last(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 4, 3)))
    model[0].register_forward_pre_hook(lambda module, args: seen.append(args[0].stride()))
    Training(model, SGD).step(torch.randn(2, 3, 4, 4), torch.tensor([0, 2]))
    assert seen == [torch.empty(2, 3, 4, 4).to(memory_format=torch.channels_last).stride()]


def test_inputs_take_the_networks_precision():
    training = Training(nn.Linear(4, 2).double(), partial(torch.optim.SGD, lr=0.1))
    assert math.isfinite(training.step(torch.randn(3, 4), torch.tensor([0, 1, 0])))


def test_an_optimiser_of_several_gradients_a_step_is_refused():
    with pytest.raises(InputError, match="LBFGS"):
        Training(nn.Linear(4, 2), torch.optim.LBFGS)


# the learning rate


def test_one_cycle_rises_and_falls_to_nothing():
    rates = [one_cycle(k / 100) for k in range(101)]
    assert rates[0] == pytest.approx(0.05) and max(rates) == rates[20] == pytest.approx(1) and rates[-1] < 1e-12
    assert all(a < b for a, b in pairwise(rates[:21]))
    assert all(a > b for a, b in pairwise(rates[20:]))
    assert one_cycle(0.25, warm_up=0.5) == pytest.approx(0.525)
    assert {constant(k / 10) for k in range(11)} == {1.0}


def test_the_rate_follows_the_schedule_over_all_epochs():
    training = Training(network(), SGD, schedule=lambda progress: 1 - progress)
    rates = [training.optimiser.param_groups[0]["lr"] for _ in training.run(batches(), epochs=2)]
    assert rates == pytest.approx([0.1 * (1 - k / 10) for k in range(10)])
    assert training.progress == 1 and training.total == 10


def test_every_group_of_parameters_keeps_its_own_rate():
    def two_groups(parameters):
        first, *rest = parameters
        return torch.optim.SGD([{"params": [first], "lr": 1.0}, {"params": rest}], lr=0.1)

    training = Training(network(), two_groups, schedule=lambda progress: 0.5)
    training.step(*batches()[0])
    assert [group["lr"] for group in training.optimiser.param_groups] == [0.5, 0.05]


def test_without_a_length_the_schedule_stands_at_its_beginning():
    training = Training(network(), SGD, schedule=one_cycle)
    training.step(*batches()[0])
    assert training.progress == 0 and training.optimiser.param_groups[0]["lr"] == pytest.approx(0.005)


def test_more_epochs_lengthen_the_schedule():
    model = nn.Linear(4, 2)
    training = Training(model, partial(torch.optim.SGD, lr=1.0), schedule=one_cycle)
    batches = Batches(torch.randn(8, 4), torch.arange(8) % 2, size=4)
    list(training.run(batches, 2))
    before = model.weight.detach().clone()
    list(training.run(batches, 6))
    assert (training.total, training.steps) == (12, 12)
    assert not torch.equal(model.weight, before)


def test_a_schedule_needs_a_length():
    training = Training(nn.Linear(4, 2), partial(torch.optim.SGD, lr=1.0), schedule=one_cycle)
    with pytest.raises(InputError, match="must have a length"):
        next(training.run(iter([(torch.randn(3, 4), torch.zeros(3, dtype=torch.int64))]), 1))


# a run


def test_a_run_goes_over_the_batches_once_an_epoch():
    training, given = Training(network(), SGD), batches()
    torch.manual_seed(5)
    losses = [*training.run(given, epochs=3)]
    twin = Training(network(), SGD)
    torch.manual_seed(5)
    assert losses == [twin.step(x, y) for _ in range(3) for x, y in given]
    assert (training.epoch, training.batches, training.steps) == (3, 0, 15)
    assert [*training.run(given, epochs=3)] == []


class Epochs:
    """Batches that are a function of the epoch, and tell what they are asked for."""

    def __init__(self):
        self.asked = []

    def epoch(self, number, *, start=0):
        self.asked.append((number, start))
        return iter(batches()[start:])


def test_batches_that_know_their_epochs_are_asked_for_no_more_than_is_left():
    training, given = Training(network(), SGD), Epochs()
    run = training.run(given, epochs=2)
    assert len([next(run) for _ in range(7)]) == 7
    run.close()
    assert len([*training.run(given, epochs=2)]) == 3
    assert given.asked == [(0, 0), (1, 0), (1, 2)]


# what fails


class Sick(nn.Module):
    """A network whose outputs or gradients are not finite when it is told so; inputs (n, 6)."""

    def __init__(self, what):
        super().__init__()
        self.body, self.what, self.sick = network(), what, False

    def forward(self, x):
        y = self.body(x)
        if not self.sick:
            return y
        # The root's gradient at 0 is infinite.
        return y * float("nan") if self.what == "loss" else y + (0 * y).sqrt()


sick = pytest.mark.parametrize(
    ("what", "reason"),
    [("loss", "the loss is nan"), ("gradient", "a gradient is not finite")],
    ids=["loss", "gradient"],
)


@sick
@optimisers
def test_a_step_that_is_not_finite_is_undone_to_the_bit_and_told(what, reason, optimiser):
    training = Training(Sick(what), optimiser)
    first, second, *_ = batches()
    training.step(*first)
    before = state(training)
    training.model.sick = True
    assert math.isnan(training.step(*second))
    assert_same(state(training), before)
    assert training.failures == [Failure(1, reason)]
    assert training.trajectory.facts["failures"] == 1
    training.model.sick = False
    assert math.isfinite(training.step(*second)) and training.steps == 2


@sick
@optimisers
def test_three_in_a_row_are_told_with_the_state_from_before(what, reason, optimiser):
    training = Training(Sick(what), optimiser)
    first, *rest = batches()
    training.step(*first)
    before = state(training)
    training.model.sick = True
    words = rf"at step 1 {reason}, 3 times in a row\. What these steps did is undone, .* a learning rate below 0\.\d+"
    with pytest.raises(InputError, match=words):
        [training.step(x, y) for x, y in rest]
    assert len(training.failures) == 3
    assert_same(state(training), before)
    assert math.isnan(training.step(*first))  # who goes on anyhow has as many tries again
    training.model.sick = False
    assert math.isfinite(training.step(*first))


def test_failures_between_which_a_step_succeeds_are_not_in_a_row():
    training = Training(Sick("loss"), SGD)
    for turn in range(8):
        training.model.sick = turn % 3 != 0
        training.step(*batches()[0])
    assert len(training.failures) == 5 and training.steps == 3


def test_a_run_goes_on_behind_a_batch_that_failed():
    training, given = Training(network(), SGD), batches()
    given[2] = (given[2][0] * float("inf"), given[2][1])
    losses = [*training.run(given, epochs=2)]
    assert [k for k, loss in enumerate(losses) if math.isnan(loss)] == [2, 7]
    assert (training.steps, training.epoch) == (8, 2)
    assert all(p.isfinite().all() for p in training.model.state_dict().values())


# what is recorded


def test_a_row_begins_with_the_mean_loss_since_the_row_before():
    training = Training(network(), SGD, name="mine")
    losses = []
    for x, y in batches():
        losses.append(training.step(x, y))
        if training.steps in (2, 5):
            training.record(accuracy=0.1 * training.steps)
            training.record(more=[training.steps, 7.0])
    found = training.trajectory
    assert (found.name, found.steps.tolist(), found.layers) == ("mine", [2, 5], ())
    assert found["loss"] == pytest.approx([np.mean(losses[:2]), np.mean(losses[2:])])
    assert found["accuracy"] == pytest.approx([0.2, 0.5]) and found["more"].tolist() == [[2, 7], [5, 7]]


def test_what_was_not_looked_at_is_missing_from_its_row():
    training = Training(network(), SGD)
    training.record(accuracy=0.5)
    training.step(*batches()[0])
    training.record(size=3)
    found = training.trajectory
    np.testing.assert_array_equal(found["accuracy"], [0.5, np.nan])
    np.testing.assert_array_equal(found["size"], [np.nan, 3])
    assert np.isnan(found["loss"][0]) and found.name == "Sequential"


def test_before_anything_is_recorded_the_trajectory_is_empty():
    assert len(Training(network(), SGD).trajectory) == 0


def test_entries_of_different_sizes_are_filled_up():
    found = stacked([np.ones((2, 1)), None, np.ones((1, 3))])
    assert found.shape == (3, 2, 3) and np.isnan(found).sum() == 4 + 6 + 3
    np.testing.assert_array_equal(stacked([1, None, 2.5]), [1, np.nan, 2.5])
    assert stacked([None, None]).shape == (2,) and stacked([]).shape == (0,)


def test_statistics_are_put_back():
    model = network().train()
    before = copy.deepcopy(model.state_dict())
    with buffers_kept(model):
        model(examples()[0])
        assert int(model[1].num_batches_tracked) == 1
    assert_same(dict(model.state_dict()), dict(before))
