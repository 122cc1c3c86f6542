"""What an optimiser remembers goes along where a parameter gets other coordinates: the next step does what it would."""

from functools import partial

import pytest
import torch
from torch import nn

from lowrank_kit.methods.moments import transport
from lowrank_kit.models.bases import multi_mode_product
from lowrank_kit.models.factored import factored_layer

# name -> how it is made, what it remembers of each entry and which of it are of squares
OPTIMISERS = {
    "momentum": (partial(torch.optim.SGD, lr=0.1, momentum=0.9), {"momentum_buffer"}, set()),
    "Nesterov": (partial(torch.optim.SGD, lr=0.1, momentum=0.9, nesterov=True), {"momentum_buffer"}, set()),
    "Adam": (partial(torch.optim.Adam, lr=0.01), {"exp_avg", "exp_avg_sq"}, {"exp_avg_sq"}),
    "AdamW": (partial(torch.optim.AdamW, lr=0.01), {"exp_avg", "exp_avg_sq"}, {"exp_avg_sq"}),
    "AMSGrad": (
        partial(torch.optim.Adam, lr=0.01, amsgrad=True),
        {"exp_avg", "exp_avg_sq", "max_exp_avg_sq"},
        {"exp_avg_sq", "max_exp_avg_sq"},
    ),
    "NAdam": (partial(torch.optim.NAdam, lr=0.01), {"exp_avg", "exp_avg_sq"}, {"exp_avg_sq"}),
    "RMSprop": (
        partial(torch.optim.RMSprop, lr=0.01, momentum=0.9),
        {"square_avg", "momentum_buffer"},
        {"square_avg"},
    ),
    "Adagrad": (partial(torch.optim.Adagrad, lr=0.01), {"sum"}, {"sum"}),
    "Adadelta": (torch.optim.Adadelta, {"square_avg", "acc_delta"}, {"square_avg", "acc_delta"}),
}
optimisers = pytest.mark.parametrize("name", OPTIMISERS)
SHAPE, RANKS = (6, 5, 3, 3), (3, 2)


def normal(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def trained(name, seed=0):
    """A factored convolution and an optimiser of its core, after three steps towards a target."""
    torch.manual_seed(seed)
    layer = factored_layer(nn.Conv2d(5, 6, 3, bias=False).double(), RANKS)
    optimiser = OPTIMISERS[name][0]([layer.core])
    for _ in range(3):
        step(layer, optimiser)
    return layer, optimiser


def step(layer, optimiser):
    loss = (layer.weight - normal(*SHAPE, seed=9)).square().sum()
    (layer.core.grad,) = torch.autograd.grad(loss, layer.core)
    optimiser.step()


def maps(kind):
    """Changes of the coordinates of both modes."""
    found = []
    for mode, rank in enumerate(RANKS):
        whole = torch.linalg.qr(normal(rank + 2, rank + 2, seed=mode)).Q
        signed = torch.eye(rank, dtype=torch.float64).roll(1, 0) * torch.tensor([1.0, -1.0, 1.0])[:rank]
        kinds = {"widened": torch.eye(rank + 2, rank), "cut": whole[: rank - 1, :rank], "turned": signed}
        found.append(kinds[kind].double())
    return found


@optimisers
@pytest.mark.parametrize("kind", ["widened", "cut", "turned"])
def test_memory_changes_as_the_core_does_and_squares_as_squares(name, kind):
    layer, optimiser = trained(name)
    before, (_, remembered, squares) = dict(optimiser.state[layer.core]), OPTIMISERS[name]
    transport(optimiser, layer.core, layer.core.shape, maps(kind))
    after = optimiser.state[layer.core]
    assert {*after} == {*before} >= remembered
    for what, values in before.items():
        if what in squares:
            expected = multi_mode_product(values, [part.square() for part in maps(kind)])
            assert (after[what] >= 0).all()
        elif what in remembered:
            expected = multi_mode_product(values, maps(kind))
        else:  # a count of steps
            expected = values
        torch.testing.assert_close(after[what], expected)
        if what in remembered:
            assert after[what].is_contiguous() and after[what].shape[:2] == tuple(len(part) for part in maps(kind))


@pytest.mark.parametrize("name", ["momentum", "Nesterov"])
@pytest.mark.parametrize("seed", range(3))
def test_after_any_turn_momentum_moves_the_weight_as_it_would_have(name, seed):
    # A truncation that keeps all turns the core into the order of its values.
    stayed, turned = trained(name, seed), trained(name, seed)
    layer, optimiser = turned
    shape = layer.core.shape
    transport(optimiser, layer.core, shape, layer.truncate(layer.ranks, layer.directions()))
    assert not torch.allclose(layer.core, stayed[0].core)
    for _ in range(5):
        step(*stayed), step(*turned)
        torch.testing.assert_close(layer.weight, stayed[0].weight, rtol=1e-11, atol=1e-12)


@optimisers
def test_after_a_change_of_order_and_signs_every_optimiser_moves_the_weight_as_it_would_have(name):
    # An optimiser that scales every entry by itself has no more to conserve.
    stayed, turned = trained(name), trained(name)
    layer, optimiser = turned
    shape, change = layer.core.shape, maps("turned")
    with torch.no_grad():
        layer.core.data = multi_mode_product(layer.core, change).contiguous()
        for basis, part in zip(layer.bases, change, strict=True):
            basis.data = (basis @ part.mT).contiguous()
    transport(optimiser, layer.core, shape, change)
    for _ in range(5):
        step(*stayed), step(*turned)
        torch.testing.assert_close(layer.weight, stayed[0].weight, rtol=1e-11, atol=1e-12)


@optimisers
def test_in_a_widened_core_the_old_entries_move_as_they_would_have(name):
    stayed, widened = trained(name), trained(name)
    layer, optimiser = widened
    shape = layer.core.shape
    transport(optimiser, layer.core, shape, layer.augment([normal(*basis.shape) for basis in layer.bases]))
    step(*stayed), step(*widened)
    old = layer.core[: RANKS[0], : RANKS[1]]
    torch.testing.assert_close(old, stayed[0].core, rtol=1e-11, atol=1e-12)
    assert layer.core[RANKS[0] :].any()


@optimisers
def test_a_core_that_was_never_stepped_has_nothing_to_carry(name):
    layer = factored_layer(nn.Conv2d(5, 6, 3).double(), RANKS)
    optimiser = OPTIMISERS[name][0]([layer.core])
    before = {what: values.clone() for what, values in optimiser.state.get(layer.core, {}).items()}
    shape = layer.core.shape
    transport(optimiser, layer.core, shape, layer.augment([torch.zeros_like(basis) for basis in layer.bases]))
    assert {*optimiser.state.get(layer.core, {})} == {*before}
    step(layer, optimiser)
    assert layer.core.isfinite().all()


def test_other_parameters_keep_what_is_remembered_of_them():
    layer, other = factored_layer(nn.Conv2d(5, 6, 3).double(), RANKS), nn.Parameter(normal(*RANKS, 3, 3))
    optimiser = torch.optim.Adam([layer.core, other], lr=0.01)
    (layer.core.sum() + other.square().sum()).backward()
    optimiser.step()
    before = {name: values.clone() for name, values in optimiser.state[other].items()}
    transport(optimiser, layer.core, layer.core.shape, maps("cut"))
    assert all(torch.equal(optimiser.state[other][name], values) for name, values in before.items())


def test_plain_descent_remembers_nothing():
    layer = factored_layer(nn.Conv2d(5, 6, 3).double(), RANKS)
    optimiser = torch.optim.SGD([layer.core], lr=0.1)
    step(layer, optimiser)
    transport(optimiser, layer.core, layer.core.shape, maps("cut"))
    assert all(value is None for value in optimiser.state.get(layer.core, {}).values())
