"""Rank-adaptive training: it descends as if the core were well conditioned, and finds, keeps and tells its ranks."""

import copy
import math
from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lowrank_kit.checks import InputError
from lowrank_kit.methods.adaptive import Adaptation, AdaptiveTraining, kept_rank
from lowrank_kit.methods.training import Failure, Training
from lowrank_kit.models.bases import multi_mode_product
from lowrank_kit.models.factored import VIEWS, Factored
from lowrank_kit.models.factoring import factored, factored_layers
from lowrank_kit.models.low_rank import LowRank
from lowrank_kit.models.store import restore, save
from lowrank_kit.models.vision import Residual

SGD = partial(torch.optim.SGD, lr=0.05, momentum=0.9, weight_decay=1e-3)
OPTIMISERS = {
    "SGD": partial(torch.optim.SGD, lr=0.05),
    "momentum": SGD,
    "Nesterov": partial(torch.optim.SGD, lr=0.05, momentum=0.9, nesterov=True),
    "Adam": partial(torch.optim.Adam, lr=0.01),
    "AdamW": partial(torch.optim.AdamW, lr=0.01),
    "AMSGrad": partial(torch.optim.Adam, lr=0.01, amsgrad=True),
    "RMSprop": partial(torch.optim.RMSprop, lr=0.005, momentum=0.5),
    "Adagrad": partial(torch.optim.Adagrad, lr=0.05),
}
optimisers = pytest.mark.parametrize("optimiser", OPTIMISERS.values(), ids=OPTIMISERS)
views = pytest.mark.parametrize("view", VIEWS)


def normal(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


class Net(nn.Module):
    """Two convolutions and a linear layer between a first and a last one, with BatchNorm; inputs (n, 3, 8, 8)."""

    def __init__(self):
        super().__init__()
        self.norm0 = nn.BatchNorm2d(3)
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1)
        self.conv2, self.norm2 = nn.Conv2d(8, 12, 3, padding=1, bias=False), nn.BatchNorm2d(12)
        self.conv3 = nn.Conv2d(12, 10, 3, stride=2)
        self.fc1, self.head = nn.Linear(90, 20), nn.Linear(20, 4)

    def forward(self, x):
        x = F.max_pool2d(torch.relu(self.conv1(self.norm0(x))), 1)
        x = torch.relu(self.norm2(self.conv2(x)))
        return self.head(torch.relu(self.fc1(torch.relu(self.conv3(x)).flatten(1))))


def net():
    torch.manual_seed(0)
    return Net().double()


def batches(n=6, size=8, dtype=torch.float64):
    """Images whose class is the brightest of four quarters of their first colour."""
    x = normal(n * size, 3, 8, 8, seed=3).to(dtype)
    quarters = F.avg_pool2d(x[:, :1], 4).flatten(1)
    return [*zip(x.split(size), quarters.argmax(1).split(size), strict=True)]


def trained(steps, optimiser=SGD, adaptation=None, model=None, **options):
    """A training after so many steps on the batches, over and over."""
    training = AdaptiveTraining(model or net(), optimiser, adaptation or Adaptation(0.1, local_steps=3), **options)
    go_on(training, steps)
    return training


def go_on(training, steps):
    given = batches(dtype=next(training.model.parameters()).dtype)
    return [training.step(*given[training.steps % len(given)]) for _ in range(steps)]


def orthonormality(training):
    """The largest difference of a basis's inner products from those of orthonormal vectors."""
    bases = [basis.detach().double() for layer in training.layers.values() for basis in layer.bases]
    return max(float((U.mT @ U - torch.eye(U.shape[1], dtype=torch.float64)).abs().max()) for U in bases)


def weights(training):
    return {name: layer.weight.detach().clone() for name, layer in training.layers.items()}


def ranks(training):
    return {name: layer.ranks for name, layer in training.layers.items()}


def row(training, name, at):
    """What stands of a layer in the trajectory's row, without what fills it up."""
    found = training.trajectory[name][at]
    return {layer: tuple(values[~np.isnan(values)]) for layer, values in zip(training.layers, found, strict=True)}


# on the loss 1/2 ||W - A||^2 (papers' smallest experiment): A of ranks (5, 4, 2, 2), the training from (10, 8, 3, 3)

SHAPE, TRUE, START = (32, 24, 3, 3), (5, 4, 2, 2), (10, 8, 3, 3)


def bases(ranks, seed):
    return [torch.linalg.qr(normal(n, r, seed=seed + i)).Q for i, (n, r) in enumerate(zip(SHAPE, ranks, strict=True))]


def of_norm_one(tensor):
    return tensor / tensor.norm()


TARGET = of_norm_one(multi_mode_product(normal(*TRUE, seed=4), bases(TRUE, 10)))
NOTHING = torch.zeros(1, dtype=torch.float64)


class Weight(nn.Module):
    """Puts out its weight, whatever is put in."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(24, 32, 3, bias=False).double()

    def forward(self, x):
        return self.conv.weight


def distance(weight, _):
    return (weight - TARGET).square().sum() / 2


def decaying(decay, tolerance=1e-2, local_steps=1, rate=0.1):
    """A training whose core falls by 10^-decay from each direction to the next."""
    training = AdaptiveTraining(
        Weight(),
        partial(torch.optim.SGD, lr=rate),
        Adaptation(tolerance, local_steps=local_steps),
        view="kernel",
        keep=(),
        loss=distance,
    )
    core = normal(*START, seed=2)
    for mode, size in enumerate(START):
        sizes = 10.0 ** (-decay * torch.arange(size, dtype=torch.float64))
        core = core * sizes.reshape([-1 if i == mode else 1 for i in range(4)])
    values = (of_norm_one(core), *bases(START, 20))
    layer = training.layers["conv"]
    with torch.no_grad():
        for parameter, value in zip((layer.core, *layer.bases), values, strict=True):
            parameter.data = value.contiguous()
    return training


@pytest.mark.parametrize("tolerance", [0.01, 0.03, 0.1, 0.3])
@pytest.mark.parametrize("local_steps", [1, 10])
def test_the_ranks_of_a_target_are_found_exactly(tolerance, local_steps):
    training = decaying(0, tolerance, local_steps)
    losses = [training.step(NOTHING, NOTHING) for _ in range(100)]
    assert training.layers["conv"].ranks == TRUE
    assert losses[-1] < 1e-8 and orthonormality(training) < 1e-12


@pytest.fixture(scope="module")
def curves():
    return {
        decay: [training.step(NOTHING, NOTHING) for _ in range(200)]
        for decay in (0, 1, 2)
        if (training := decaying(decay))
    }


def test_the_loss_falls_alike_however_fast_the_core_decays(curves):
    for at, expected in ((20, 1.5e-2), (50, 1.4e-5), (199, 3e-19)):
        assert [curve[at] for curve in curves.values()] == pytest.approx([expected] * 3, rel=0.1)


@pytest.mark.parametrize("decay", [0, 1, 2])
def test_plain_descent_of_all_factors_is_left_behind(curves, decay):
    network = decaying(decay).model.requires_grad_()
    vanilla = Training(network, partial(torch.optim.SGD, lr=0.1), loss=distance)
    losses = [vanilla.step(NOTHING, NOTHING) for _ in range(200)]
    assert losses[50] > 0.3 and losses[199] > 0.05 > 1e15 * curves[decay][199]


class Matrix(nn.Module):
    """Puts out its weight, whatever is put in."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(20, 30, bias=False)

    def forward(self, x):
        return self.fc.weight


@pytest.mark.parametrize("tolerance", [0.01, 0.1, 0.2])
def test_the_rank_of_a_matrix_is_found_too(tolerance):
    target = of_norm_one(torch.linalg.qr(normal(30, 5)).Q @ torch.linalg.qr(normal(20, 5, seed=1)).Q.mT)
    torch.manual_seed(0)
    training = AdaptiveTraining(
        Matrix().double(),
        partial(torch.optim.SGD, lr=0.1),
        Adaptation(tolerance, local_steps=5),
        keep=(),
        loss=lambda W, y: (W - target).square().sum() / 2,
    )
    losses = [training.step(NOTHING, NOTHING) for _ in range(100)]
    assert training.layers["fc"].ranks == (5, 5) and losses[-1] < 1e-8


# what a cycle is


def square():
    """Linear layers as wide as they are high; inputs (n, 3, 8, 8)."""
    torch.manual_seed(0)
    layers = (nn.Linear(12, 12), nn.Tanh(), nn.Linear(12, 12), nn.BatchNorm1d(12), nn.Linear(12, 4))
    return nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), *layers).double()


@pytest.mark.parametrize("optimiser", ["SGD", "momentum", "Nesterov"])
@pytest.mark.parametrize(
    ("build", "keep", "view"),
    [(net, {"conv1", "fc1", "head"}, "tucker"), (net, {"conv1", "fc1", "head"}, "kernel"), (square, {"6"}, "matrix")],
    ids=["tucker", "kernel", "matrix"],
)
def test_at_full_rank_it_is_the_training_of_the_dense_network(build, keep, view, optimiser):
    # With whole bases. Momentum and weight decay are conserved where coordinates change.
    optimiser, adaptation = OPTIMISERS[optimiser], Adaptation(1e-9, local_steps=2, floor=1)
    dense = Training(build(), optimiser)
    training = AdaptiveTraining(build(), optimiser, adaptation, rank=1.0, view=view, keep=keep)
    for x, y in batches() * 3:
        assert training.step(x, y) == pytest.approx(dense.step(x, y), rel=1e-7)
    for name, weight in weights(training).items():
        torch.testing.assert_close(weight, dense.model.get_submodule(name).weight.detach(), rtol=1e-6, atol=1e-8)
    expected = dense.model.state_dict()
    for name, values in training.model.state_dict().items():
        if name in expected:
            torch.testing.assert_close(values, expected[name], rtol=1e-6, atol=1e-8)


def by_hand(network, given, tolerance, rate):
    """A cycle as it is written in the papers, of plain descent without momentum."""
    layers = factored_layers(network)
    fixed = {id(basis) for layer in layers.values() for basis in layer.bases}
    stepped = [p for p in network.parameters() if id(p) not in fixed]
    twin = copy.deepcopy(network)
    loss = F.cross_entropy(twin.train()(given[0][0]), given[0][1])
    for layer, other in zip(layers.values(), factored_layers(twin).values(), strict=True):
        layer.augment(torch.autograd.grad(loss, [*other.bases], retain_graph=True))
    for x, y in given:
        loss = F.cross_entropy(network.train()(x), y)
        for p, gradient in zip(stepped, torch.autograd.grad(loss, stepped), strict=True):
            p.data -= rate * gradient
    for layer in layers.values():
        found = layer.directions()
        bound = tolerance * float(layer.core.detach().norm()) / math.sqrt(layer.independent_modes)
        layer.truncate([max(kept_rank(values.numpy(), bound), 2) for values, _ in found], found)


@views
def test_a_cycle_is_what_the_papers_say(view):
    training = AdaptiveTraining(
        net(), partial(torch.optim.SGD, lr=0.05), Adaptation(0.3, local_steps=3), rank=0.3, view=view
    )
    network = factored(net(), rank=0.3, view=view)
    for given in (batches()[:3], batches()[3:]):
        for x, y in given:
            training.step(x, y)
        by_hand(network, given, 0.3, 0.05)
    expected = network.state_dict()
    assert {n: v.shape for n, v in training.model.state_dict().items()} == {n: v.shape for n, v in expected.items()}
    for name, values in training.model.state_dict().items():
        torch.testing.assert_close(values, expected[name], rtol=1e-9, atol=1e-11)


def test_running_statistics_see_every_batch_once():
    training, lone = trained(0), nn.BatchNorm2d(3).double()
    for x, y in batches():
        training.step(x, y)
        lone(x)
    assert int(training.model.norm0.num_batches_tracked) == int(training.model.norm2.num_batches_tracked) == 6
    assert torch.equal(training.model.norm0.running_mean, lone.running_mean)
    assert torch.equal(training.model.norm0.running_var, lone.running_var)


def test_everything_but_the_bases_moves_in_every_step_and_by_the_optimiser_alone():
    training = trained(0, partial(torch.optim.SGD, lr=0.05), Adaptation(0.1, local_steps=4))
    others = {n: p for n, p in training.model.named_parameters() if ".bases." not in n}
    held = {id(p) for group in training.optimiser.param_groups for p in group["params"]}
    assert held == {*map(id, others.values())}
    go_on(training, 1)
    for _ in range(2):
        fixed = {n: p.clone() for n, p in training.model.named_parameters()}
        go_on(training, 1)
        for name, before in fixed.items():
            moved = not torch.equal(training.model.get_parameter(name), before)
            assert moved is (name in others), name


def test_without_a_step_a_cycle_changes_no_weight():
    training = trained(0, partial(torch.optim.SGD, lr=0.0), Adaptation(1e-9, local_steps=3))
    before, kept = (
        weights(training),
        {n: p.clone() for n, p in training.model.named_parameters() if "norm" in n or "conv1" in n},
    )
    go_on(training, 2)
    assert all(layer.ranks > old for layer, old in zip(training.layers.values(), training.ranks_before, strict=True))
    go_on(training, 1)
    for name, weight in weights(training).items():
        torch.testing.assert_close(weight, before[name], rtol=1e-12, atol=1e-13)
    assert all(torch.equal(training.model.get_parameter(name), values) for name, values in kept.items())


@views
@optimisers
def test_after_many_cycles_bases_are_orthonormal_and_memory_fits(view, optimiser):
    training = AdaptiveTraining(net(), optimiser, Adaptation(1e-4, local_steps=2), rank=0.4, view=view)
    sizes, losses = [training.n_factored], []
    for tolerance in (1e-4, 0.5, 0.05):
        training.adaptation = replace(training.adaptation, tolerance=tolerance)
        for _ in range(8):
            losses += go_on(training, 1)
            for parameter, state in training.optimiser.state.items():
                tensors = [value for value in state.values() if isinstance(value, torch.Tensor) and value.ndim]
                assert all(value.shape == parameter.shape and value.isfinite().all() for value in tensors)
        sizes.append(training.n_factored)
    assert sizes[0] < sizes[1] > sizes[2]  # they grew and fell
    assert orthonormality(training) < 1e-12 and training.failures == []
    assert np.isfinite(losses).all() and np.mean(losses[-6:]) < np.mean(losses[:6])


def test_single_precision_stays_orthonormal_too():
    training = trained(60, SGD, Adaptation(0.2, local_steps=3), net().float())
    assert orthonormality(training) < 1e-5
    assert {p.dtype for p in training.model.parameters()} == {torch.float32}


def test_the_given_model_is_left_alone(states):
    model = net()
    before = states(model)
    training = trained(7, model=model)
    assert states.same(before, states(model)) and training.model is not model


@pytest.mark.parametrize("local_steps", [1, 2, 5])
@pytest.mark.parametrize("every", [1, 2])
def test_ranks_are_told_after_every_cycle_or_each_so_many(local_steps, every):
    training = trained(20, adaptation=Adaptation(0.2, local_steps=local_steps), every=every)
    assert training.trajectory.steps.tolist() == [*range(local_steps, 21, local_steps * every)]
    assert (training.truncations, training.position) == (20 // local_steps, 20 % local_steps)


# what is told


def test_a_row_tells_what_was_cut_and_what_is_left():
    training = trained(0, adaptation=Adaptation(0.3, local_steps=2))
    sizes, widened = [], []
    for _ in range(6):
        go_on(training, 1)
        widened.append(training.n_factored)
        go_on(training, 1)
        sizes.append(training.n_factored)
    found = training.trajectory
    assert found["size"].tolist() == sizes and found["widened"].tolist() == widened
    assert (found["tolerance"] == 0.3).all() and found.layers == ("conv2", "conv3", "fc1")
    assert found["ranks"].shape == found["kept"].shape == (6, 3, 2) and found["values"].shape[:3] == (6, 3, 2)
    assert row(training, "ranks", -1) == ranks(training)
    assert found.facts["limits"] == {"conv2": [12, 8], "conv3": [10, 12], "fc1": [20, 90]}
    assert found.facts["n_dense"] == training.n_dense == 12 * 8 * 9 + 10 * 12 * 9 + 20 * 90
    assert sizes[-1] == sum(
        layer.core.numel() + sum(map(torch.numel, layer.bases)) for layer in training.layers.values()
    )
    assert found.name == "Net"


def test_values_are_those_of_the_weight_before_it_was_cut():
    training = trained(1, adaptation=Adaptation(0.3, local_steps=2))
    seen, truncate = {}, Factored.truncate

    def look(layer, chosen, directions):
        seen[id(layer)] = [torch.linalg.svdvals(layer.weight.detach().movedim(mode, 0).flatten(1)) for mode in (0, 1)]
        return truncate(layer, chosen, directions)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Factored, "truncate", look)
        go_on(training, 1)
    for layer, values in zip(training.layers.values(), training.trajectory["values"][-1], strict=True):
        for mode, expected in enumerate(seen[id(layer)]):
            found = values[mode][~np.isnan(values[mode])]
            some = min(len(found), len(expected))
            np.testing.assert_allclose(found[:some], expected[:some], rtol=1e-6, atol=1e-6 * float(expected[0]))


def test_the_share_of_new_directions_that_is_kept_tells_frozen_bases():
    # From a low rank on, a tolerance that is large beside the steps cuts all that is new at once.
    frozen = trained(8, partial(torch.optim.SGD, lr=1e-6), Adaptation(0.5, local_steps=2), rank=0.2)
    free = trained(8, partial(torch.optim.SGD, lr=0.5), Adaptation(1e-6, local_steps=2), rank=0.2)
    assert np.nanmax(frozen.trajectory["kept"]) < 1e-3
    assert np.nanmin(free.trajectory["kept"][0]) > 0.99
    for found in (frozen.trajectory["kept"], free.trajectory["kept"]):
        known = found[~np.isnan(found)]
        assert ((known >= 0) & (known <= 1 + 1e-12)).all()


def test_where_nothing_can_be_added_no_share_of_it_is_told():
    training = trained(2, adaptation=Adaptation(1e-9, local_steps=2), rank=1.0)
    kept = training.trajectory["kept"][0]
    assert np.isnan(kept[:2]).all()  # both modes of both convolutions are whole
    assert np.isnan(kept[2, 0]) and not np.isnan(kept[2, 1])


def test_facts_of_ones_own_stand_in_the_row_of_their_step():
    training = trained(3, adaptation=Adaptation(0.3, local_steps=3))
    training.record(accuracy=0.5)
    go_on(training, 1)
    training.record(accuracy=0.6)
    go_on(training, 2)
    found = training.trajectory
    assert found.steps.tolist() == [3, 4, 6]
    np.testing.assert_array_equal(found["accuracy"], [0.5, 0.6, np.nan])
    assert np.isnan(found["size"]).tolist() == [False, True, False]
    assert found.last("accuracy") == 0.6 and found.last("ranks").shape == (3, 2)


# how ranks are found


def errors(training, steps):
    """Of every truncation on the way, the relative error of every weight."""
    found, truncate = [], training.truncate

    def look():
        before = weights(training)
        truncate()
        found.append([float((w - before[n]).norm() / before[n].norm()) for n, w in weights(training).items()])

    training.truncate = look
    go_on(training, steps)
    return np.array(found)


@views
@pytest.mark.parametrize("tolerance", [0.05, 0.2, 0.5])
def test_no_truncation_errs_more_than_the_tolerance(view, tolerance):
    training = trained(0, adaptation=Adaptation(tolerance, local_steps=3), rank=1.0, view=view)
    found = errors(training, 18)
    assert found.shape == (6, 3) and found.max() <= tolerance
    assert tolerance < 0.5 or found.max() > 0.5 * tolerance  # the spectra of random weights are flat


@pytest.mark.parametrize("values", [[4.0, 3.0, 0.4, 0.3], [1.0], [0.0, 0.0], [5.0, 5.0, 5.0]])
@pytest.mark.parametrize("bound", [0.0, 0.3, 0.5, 4.0, 100.0])
def test_the_kept_rank_is_the_smallest_whose_tail_stays_within_the_bound(values, bound):
    tails = [float(np.linalg.norm(values[j:])) for j in range(len(values) + 1)]
    assert kept_rank(np.array(values), bound) == next(j for j, tail in enumerate(tails) if tail <= bound)


@views
@pytest.mark.parametrize("budget", [0.5, 0.2])
def test_a_budget_is_reached_step_by_step_and_then_kept(view, budget):
    training = trained(0, adaptation=Adaptation(budget=budget, local_steps=1), view=view, rank=0.7)
    start = training.n_factored
    go_on(training, 30)
    sizes = [start, *training.trajectory["size"]]
    aims = [max(budget * training.n_dense, 0.9 * size) for size in sizes]
    assert all(size <= aim for size, aim in zip(sizes[1:], aims, strict=False))
    assert training.n_factored <= budget * training.n_dense
    # It comes down at its pace, about a tenth: one direction of a small layer may be more.
    assert all(after > 0.7 * before for before, after in pairwise(sizes))
    assert training.n_factored > 0.75 * budget * training.n_dense


def test_a_budget_below_what_the_floor_leaves_ends_at_the_floor():
    training = trained(30, adaptation=Adaptation(budget=0.01, local_steps=1, floor=3))
    assert ranks(training) == {"conv2": (3, 3), "conv3": (3, 3), "fc1": (3, 3)}
    assert training.n_factored > 0.01 * training.n_dense


def test_a_budget_takes_first_what_errs_least():
    training = trained(30, adaptation=Adaptation(budget=0.3, local_steps=1, floor=1))
    tolerance, values = training.trajectory["tolerance"][-1], training.trajectory["values"][-1]
    for layer, found, after in zip(training.layers.values(), values, ranks(training).values(), strict=True):
        bound = tolerance * np.linalg.norm(found[0][~np.isnan(found[0])]) / math.sqrt(layer.independent_modes)
        assert [max(kept_rank(part[~np.isnan(part)], bound), 1) for part in found] == [*after]


@views
def test_floors_and_ceilings_are_kept(view):
    training = trained(0, adaptation=Adaptation(0.9, floor=4, ceiling=7, local_steps=2), view=view)
    for _ in range(6):
        go_on(training, 2)
        for layer in training.layers.values():
            assert all(min(4, n) <= r <= 7 for r, n in zip(layer.ranks, layer.limits, strict=True))
    free = trained(12, adaptation=Adaptation(1e-6, ceiling=7, local_steps=2), view=view)
    assert max(max(pair) for pair in ranks(free).values()) == 7
    if view == "kernel":  # modes smaller than a floor are kept whole
        assert {layer.ranks[2:] for layer in training.layers.values() if len(layer.ranks) == 4} == {(3, 3)}


def test_a_ceiling_does_not_freeze_the_ranks_that_have_reached_it():
    training = trained(3, adaptation=Adaptation(1e-6, ceiling=4, local_steps=3))
    before = [basis.detach().clone() for basis in training.layers["conv2"].bases]
    go_on(training, 3)
    assert training.layers["conv2"].ranks == (4, 4)
    for basis, old in zip(training.layers["conv2"].bases, before, strict=True):
        assert (basis @ basis.mT - old @ old.mT).detach().abs().max() > 1e-3


def test_no_rank_falls_while_it_burns_in():
    training = trained(0, adaptation=Adaptation(0.6, local_steps=2, burn_in=6), rank=0.5)
    start = ranks(training)
    go_on(training, 12)
    found = [row(training, "ranks", at) for at in range(6)]
    for before, after in zip([start, *found[:2]], found[:3], strict=True):
        assert all(new >= old for name in start for new, old in zip(after[name], before[name], strict=True))
    assert any(new < old for name in start for new, old in zip(found[3][name], found[2][name], strict=True))


def test_a_burn_in_holds_for_a_budget_too():
    training = trained(0, adaptation=Adaptation(budget=0.1, local_steps=2, burn_in=4))
    start = training.n_factored
    go_on(training, 4)
    assert training.n_factored >= start
    go_on(training, 2)
    assert training.n_factored <= 0.9 * start


def test_another_adaptation_takes_effect_at_the_next_truncation():
    training = trained(3, adaptation=Adaptation(0.01, local_steps=3))
    before = training.n_factored
    training.adaptation = replace(training.adaptation, tolerance=0.6, ceiling=5)
    go_on(training, 3)
    assert training.n_factored < before and max(max(pair) for pair in ranks(training).values()) <= 5
    assert training.trajectory["tolerance"].tolist() == [0.01, 0.6]


def test_a_matrix_has_one_rank():
    training = trained(12, adaptation=Adaptation(budget=0.2, local_steps=1), view="matrix")
    assert all(first == second for first, second in ranks(training).values())
    narrow = nn.Sequential(nn.Flatten(), nn.Linear(192, 20), nn.Linear(20, 3), nn.Linear(3, 4)).double()
    training = trained(4, adaptation=Adaptation(0.2, floor=5, local_steps=2), model=narrow)
    assert ranks(training) == {"2": (3, 3)}


def test_a_rank_can_grow():
    training = trained(12, adaptation=Adaptation(0.01, local_steps=3), rank=0.2)
    assert ranks(training)["conv2"] > (3, 2) and ranks(training)["fc1"] > (4, 4)


# what comes out


@views
@pytest.mark.parametrize("steps", [0, 6, 7], ids=["at the beginning", "between cycles", "in a cycle"])
def test_the_compressed_network_computes_what_the_trained_one_does(view, steps, tmp_path):
    training = trained(steps, adaptation=Adaptation(0.4, local_steps=3), view=view, rank=0.4)
    small, plan = training.compressed()
    x = batches()[0][0]
    assert training.position == 0 and not small.training
    with torch.no_grad():
        torch.testing.assert_close(small(x), training.model.eval()(x), rtol=1e-9, atol=1e-10)
        again = restore(save(small, plan, tmp_path / "net"), net().eval())
        assert torch.equal(again(x), small(x))
    assert {*plan.layers} == {n for n, m in small.named_modules() if isinstance(m, LowRank)} and plan.layers


def test_a_compressed_network_can_be_trained_on():
    small, _ = trained(6).compressed()
    further = Training(small, SGD)
    before = copy.deepcopy(small.state_dict())
    further.step(*batches()[0])
    assert [n for n, p in small.named_parameters() if torch.equal(p, before[n])] == []


def test_training_goes_on_after_it_was_looked_at():
    training = trained(6, adaptation=Adaptation(0.2, local_steps=3))
    twin = trained(6, adaptation=Adaptation(0.2, local_steps=3))
    training.compressed()
    assert go_on(training, 5) == go_on(twin, 5)


def test_ending_a_cycle_that_has_not_begun_changes_nothing():
    training = trained(3, adaptation=Adaptation(0.2, local_steps=3))
    before = copy.deepcopy(training.model.state_dict())
    training.truncate(), trained(0).truncate()
    assert training.truncations == 1 and len(training.trajectory) == 1
    assert all(torch.equal(values, before[name]) for name, values in training.model.state_dict().items())


# any network


class Blocks(nn.Module):
    """Convolutions whole, in groups and depthwise, residual blocks, and a branch that is never run."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.grouped, self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=2), nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.one, self.two = Residual(8, 12, stride=2), Residual(12, 12)
        self.never, self.head = nn.Linear(12, 12), nn.Linear(12, 4)

    def forward(self, x):
        x = torch.relu(self.grouped(torch.relu(self.stem(x))))
        return self.head(self.two(self.one(x + self.depthwise(x))).mean((2, 3)))


class Attending(nn.Module):
    """Attention over the rows of images."""

    def __init__(self):
        super().__init__()
        self.first, self.head = nn.Linear(24, 16), nn.Linear(16, 4)
        self.layer = nn.TransformerEncoderLayer(16, 2, 24, dropout=0.1, batch_first=True)
        self.cross = nn.MultiheadAttention(16, 2, batch_first=True)

    def forward(self, x):
        x = self.first(x.transpose(1, 2).flatten(2))
        z = self.layer(x)
        return self.head((z + self.cross(x, z, z, need_weights=False)[0]).mean(1))


def tied():
    first, second, both = nn.Linear(192, 16), nn.Linear(16, 16), nn.Linear(16, 16)
    third = nn.Linear(16, 16)
    third.weight = second.weight
    steps = (first, second, nn.Tanh(), third, both, nn.Tanh(), both, nn.LayerNorm(16), nn.Linear(16, 4))
    return nn.Sequential(nn.Flatten(), *steps)


def mlp():
    steps = (nn.Linear(192, 24), nn.ReLU(), nn.Linear(24, 16), nn.ReLU(), nn.Linear(16, 4))
    return nn.Sequential(nn.Flatten(), *steps)


ATTENTION = {f"layer.{name}" for name in ("self_attn.in_proj", "self_attn.out_proj", "linear1", "linear2")}
# name -> how to build it, the layers that are factored
NETWORKS = {
    "residual": (Blocks, {"one.conv1", "one.conv2", "one.shortcut.conv", "two.conv1", "two.conv2", "never"}),
    "mlp": (mlp, {"3"}),
    "attention": (Attending, {*ATTENTION, "cross.in_proj", "cross.out_proj"}),
    "tied": (tied, {"5"}),
}


@pytest.mark.parametrize(("build", "layers"), NETWORKS.values(), ids=NETWORKS)
def test_any_network_can_be_trained(build, layers):
    torch.manual_seed(0)
    model = build().double()
    keep = ["first", "head"] if build is Attending else None
    training = trained(0, adaptation=Adaptation(0.3, local_steps=2), model=model, keep=keep)
    assert {*training.layers} == layers
    losses = go_on(training, 40)
    assert np.mean(losses[-6:]) < np.mean(losses[:6]) and orthonormality(training) < 1e-12 and training.failures == []
    small, _ = training.compressed()
    x = batches()[0][0]
    with torch.no_grad():
        torch.testing.assert_close(small(x), training.model.eval()(x), rtol=1e-9, atol=1e-10)
    if build is Blocks:
        assert type(small.grouped) is type(small.depthwise) is nn.Conv2d
        assert not torch.equal(small.grouped.weight, model.grouped.weight)
    if build is tied:
        assert small[2].weight is small[4].weight and not torch.equal(small[2].weight, model[2].weight)


# what fails and what is interrupted


class Sick(nn.Module):
    """A network that is not well at one of its passes; inputs (n, 3, 8, 8)."""

    def __init__(self):
        super().__init__()
        self.body, self.passes, self.sick, self.how = net(), 0, (), "loss"

    def forward(self, x):
        self.passes += 1
        y = self.body(x)
        if self.passes not in self.sick:
            return y
        return y * float("nan") if self.how == "loss" else y + (0 * y).sqrt()


def everything(training):
    """All that a training is, but for its failures and random numbers."""
    memory = {
        f"memory {place} {name}": torch.as_tensor(value)
        for place, p in enumerate(training.optimiser.param_groups[0]["params"])
        for name, value in training.optimiser.state.get(p, {}).items()
        if value is not None
    }
    counts = (training.steps, training.position, training.truncations, len(training.rows))
    numbers = {"counts": torch.tensor(counts), "losses": torch.tensor(training.losses, dtype=torch.float64)}
    return {n: v.clone() for n, v in {**training.model.state_dict(), **memory, **numbers}.items()}


def assert_same(found, expected):
    assert [*found] == [*expected]
    assert [name for name in expected if not torch.equal(found[name], expected[name])] == []


def sick(at, how, optimiser=SGD):
    """After a cycle of three steps, so that passes 5 and 6 to 8 are those of the second."""
    training = trained(3, optimiser, Adaptation(0.2, local_steps=3), Sick(), keep=["body.conv1", "body.head"])
    assert training.model.passes == 4 and training.position == 0
    training.model.sick, training.model.how = at, how
    return training


HOW = {"loss": "the loss is nan", "gradient": "a gradient is not finite"}


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("optimiser", [SGD, OPTIMISERS["Adam"]], ids=["SGD", "Adam"])
@pytest.mark.parametrize("which", [0, 1, 2, 3], ids=["bases", "first step", "second step", "last step"])
def test_a_step_that_is_not_finite_is_undone_to_where_its_cycle_began(how, which, optimiser):
    training, twin = sick((5 + which,), how, optimiser), sick((), how, optimiser)
    before = everything(training)
    losses = go_on(training, max(which, 1))
    assert np.isnan(losses[-1]) and np.isfinite(losses[:-1]).all()
    assert_same(everything(training), before)
    assert training.failures == [Failure(max(which, 1) + 2, HOW[how])]
    # It goes on as if nothing had been.
    assert go_on(training, 4) == go_on(twin, 4)
    assert_same(everything(training), everything(twin))


@pytest.mark.parametrize("how", HOW)
def test_three_failures_in_a_row_are_told_with_the_state_from_before(how):
    training = sick(range(5, 99), how)
    before = everything(training)
    with pytest.raises(InputError, match=rf"at step 3 {HOW[how]}, 3 times in a row\. What these steps did is undone"):
        go_on(training, 5)
    assert_same(everything(training), before)
    assert len(training.failures) == 3 and orthonormality(training) < 1e-12
    training.model.sick = ()
    assert np.isfinite(go_on(training, 6)).all()


def test_rows_of_steps_that_were_undone_are_gone_with_them():
    training = sick((7,), "loss")
    go_on(training, 1)
    training.record(accuracy=0.9)
    assert training.trajectory.steps.tolist() == [3, 4]
    go_on(training, 1)
    assert training.trajectory.steps.tolist() == [3] and training.steps == 3
    go_on(training, 3)
    assert training.trajectory.steps.tolist() == [3, 6]


@pytest.mark.parametrize("where", ["bases", "augment", "backward", "step", "truncate"])
@pytest.mark.parametrize("fault", [KeyboardInterrupt(), RuntimeError("out of memory")], ids=["Ctrl-C", "error"])
def test_a_step_that_was_interrupted_has_not_been(where, fault, monkeypatch):
    training, twin = trained(3), trained(3)
    steps = 2 if where == "truncate" else 0
    go_on(training, steps), go_on(twin, steps)
    before, calls = everything(training), []

    def stopping(do):
        def stop(*args, **kwargs):
            result = do(*args, **kwargs)
            calls.append(where)
            if len(calls) == (2 if where in ("augment", "truncate") else 1):  # half of the layers are done
                raise fault
            return result

        return stop

    places = {
        "bases": (torch.autograd, "grad"),
        "augment": (Factored, "augment"),
        "backward": (torch.Tensor, "backward"),
        "step": (training.optimiser, "step"),
        "truncate": (Factored, "truncate"),
    }
    with monkeypatch.context() as patch:
        patch.setattr(*places[where], stopping(getattr(*places[where])))
        with pytest.raises(type(fault)):
            go_on(training, 1)
    assert_same(everything(training), before)
    assert go_on(training, 7) == go_on(twin, 7)
    assert_same(everything(training), everything(twin))


# sentences

BOTH = r"give either a `tolerance` or a `budget`, a number above 0 and below 1; got both or none"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, BOTH),
        ({"tolerance": 0.1, "budget": 0.1}, BOTH),
        *(
            ({"tolerance": bad}, rf"`tolerance` must lie above 0 and below 1; got {bad}")
            for bad in (0, 1, -0.1, 30, math.nan)
        ),
        *(({"budget": bad}, rf"`budget` must lie above 0 and below 1; got {bad}") for bad in (0.0, 1.0, 2, math.inf)),
        ({"tolerance": 0.1, "floor": 0}, "`floor` must be a whole number of at least 1; got 0"),
        ({"tolerance": 0.1, "floor": 2.5}, "`floor` must be a whole number of at least 1; got 2.5"),
        ({"tolerance": 0.1, "floor": 5, "ceiling": 4}, "`ceiling` must be a whole number of at least 5; got 4"),
        ({"tolerance": 0.1, "local_steps": 0}, "`local_steps` must be a whole number of at least 1; got 0"),
        ({"tolerance": 0.1, "burn_in": -1}, "`burn_in` must be a whole number of at least 0; got -1"),
    ],
)
def test_an_adaptation_that_cannot_be(settings, words):
    with pytest.raises(InputError, match=words):
        Adaptation(**settings)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"keep": ["conv9"]}, r"`keep` must be one of 'conv1', 'conv2', 'conv3', 'fc1', 'head'; got 'conv9'"),
        ({"keep": ["conv1", "conv2", "conv3", "fc1", "head"]}, r"besides those that are kept; it has conv1, conv2"),
        ({"rank": 0}, "`rank` must be a fraction above 0 and at most 1; got 0"),
        ({"rank": 50}, r"`rank` must be a fraction .*; got 50\. Write 0\.5 for 50 %"),
        ({"view": "cp"}, "`view` must be one of 'tucker', 'kernel', 'matrix'; got 'cp'"),
    ],
)
def test_a_training_that_cannot_be(options, words):
    with pytest.raises(InputError, match=words):
        AdaptiveTraining(net(), SGD, Adaptation(0.1), **options)


def test_a_budget_that_was_not_reached_is_told():
    model = nn.Sequential(nn.Linear(8, 30), nn.ReLU(), nn.Linear(30, 40), nn.ReLU(), nn.Linear(40, 3))
    training = AdaptiveTraining(model, partial(torch.optim.SGD, lr=0.1), Adaptation(budget=0.05, local_steps=1))
    training.step(torch.randn(4, 8), torch.tensor([0, 1, 2, 0]))
    with pytest.warns(UserWarning, match=r"the budget of 5\.0% was not reached"):
        training.compressed()


def test_an_optimiser_that_keeps_no_entry_for_each_number_is_refused():
    model = nn.Sequential(nn.Linear(8, 30), nn.ReLU(), nn.Linear(30, 40), nn.ReLU(), nn.Linear(40, 3))
    training = AdaptiveTraining(model, torch.optim.Adafactor, Adaptation(tolerance=0.5, local_steps=1))
    with pytest.raises(InputError, match="entry by entry"):
        for _ in range(3):
            training.step(torch.randn(4, 8), torch.tensor([0, 1, 2, 0]))
